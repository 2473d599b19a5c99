"""Pairs to compare: a prompt with our reply on the left and the other model's on the right."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, check_prompt, read_jsonl
from falsepromise.style.pairs import check_same_prompts, model_name, read_responses


@dataclass(frozen=True)
class Pair:
    """One item to vote on. `left` is the model under study, `right` the other model."""

    item: str
    prompt_id: str
    question: str
    left_model: str
    right_model: str
    left: str
    right: str

    def vote(self, rater: str, choice: str | None, first: str) -> Record:
        """A vote record on this pair; `first` is the side that was shown first."""
        return {
            "item": self.item,
            "prompt_id": self.prompt_id,
            "left": self.left_model,
            "right": self.right_model,
            "rater": rater,
            "first": first,
            "choice": choice,
        }


def read_pairs(
    prompts: str | Path, responses: str | Path, reference: str | Path, sample: int | None = None
) -> list[Pair]:
    """The pairs of two response files, in the order of the prompts.

    Args:
        prompts: Prompt records.
        responses: Replies of the model under study, one for each prompt.
        reference: Replies of the other model, likewise, of which the first sample is taken.
        sample: Of `responses`; default: the first. Where it is given, both may be of one model: the left one
            is then called `NAME (sample N)`.

    Raises:
        UserError: a prompt comes twice, or the files don't answer the same prompts.
    """
    questions: dict[str, str] = {}
    for record in read_jsonl(prompts, check_prompt):
        if record["id"] in questions:
            raise UserError(f"{prompts}: prompt {record['id']!r} comes twice; expected each prompt once")
        questions[record["id"]] = question_of(record)
    ours, theirs = read_responses(responses, sample), read_responses(reference)
    check_same_prompts(questions, prompts, ours, responses)
    check_same_prompts(questions, prompts, theirs, reference)
    left_model, right_model = model_name(ours.values(), responses), model_name(theirs.values(), reference)
    if left_model == right_model and sample is not None:
        left_model = f"{left_model} (sample {sample})"
    if left_model == right_model:
        raise UserError(f"{responses} and {reference}: both are replies of {left_model!r}; expected two models")
    return [
        Pair(
            item=f"{left_model}/{right_model}/{prompt}",
            prompt_id=prompt,
            question=question,
            left_model=left_model,
            right_model=right_model,
            left=ours[prompt]["response"],
            right=theirs[prompt]["response"],
        )
        for prompt, question in questions.items()
    ]


def question_of(prompt: Record) -> str:
    """What a rater is shown as the question: the user's message, or the whole chat with its roles."""
    if "prompt" in prompt:
        return prompt["prompt"]
    messages = prompt["messages"]
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)


def shuffled_sides(items: Iterable[str], seed: int | str) -> dict[str, str]:
    """Which side of each item is shown first, `left` or `right`: by seed and item, whatever the order."""
    return {item: random.Random(f"{seed}/{item}").choice(["left", "right"]) for item in items}
