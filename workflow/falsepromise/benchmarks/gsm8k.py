"""Score GSM8K: six shots of chain of thought, and the number at the end of the answer.

As a verb it scores responses alone: JSON lines `{"question", "response", "answer"}`, the answer in
GSM8K's own form (`... #### 72`). `exact_match_strict` is the number right behind the response's first
`####`; `exact_match_flexible` the last number anywhere in it; `exact_match` the number that the response
states as its answer, which need not be its last. Numbers are compared by value: `1,200.0` is `1200`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.benchmarks import data
from falsepromise.benchmarks.outcome import (
    Outcome,
    means,
    readings,
    write_score,
)
from falsepromise.benchmarks.questions import Questions
from falsepromise.benchmarks.reading.numbers import flexible_number, gold_number, stated_number, strict_number
from falsepromise.benchmarks.reading.reasoning import set_aside
from falsepromise.core import cli
from falsepromise.core.records import Record
from falsepromise.teacher.prompts import load

PROMPT = "gsm8k_star.txt"  # rows 0, 2, 3, 5, 8 and 9 of GSM8K's train.jsonl, as STaR has them (Zelikman et al., 2022)
MAX_TOKENS = 400


def question_prompt(shots: str, question: str) -> str:
    """The shots, a blank line, and the question in the shots' form; or a template with {question} in it."""
    if "{question}" in shots:
        return shots.replace("{question}", question.strip())
    return f"{shots}\n\nQ: {question.strip()}\nA:"


def prompt(record: Mapping[str, Any]) -> str:
    """The question of a record after STaR's six shots."""
    return question_prompt(load(PROMPT), record["question"])


def scores(record: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    """The metrics of one response: what lm-eval calls `process_results`."""
    return {**match(responses[0], record["answer"]), "exact_match": stated(responses[0], record["answer"])}


def match(response: str, answer: str) -> dict[str, float]:
    """Strict and flexible match of a response with an answer in GSM8K's form, 1.0 or 0.0."""
    gold = gold_number(answer)
    return {
        "exact_match_strict": float(gold is not None and strict_number(response) == gold),
        "exact_match_flexible": float(gold is not None and flexible_number(response) == gold),
    }


def stated(response: str, answer: str) -> float:
    """Whether the number that a response states is an answer in GSM8K's form, 1.0 or 0.0."""
    gold = gold_number(answer)
    return float(gold is not None and stated_number(response).value == gold)


def response(record: Record) -> Record:
    """A line of --responses in one form. An empty response is one: a wrong one.

    Raises:
        data.Unusable: what is wrong with it.
    """
    if not isinstance(record.get("response"), str):
        raise data.Unusable(f"'response' is {record.get('response')!r:.60}, expected text")
    known = {"question": "?", **{k: v for k, v in record.items() if v}}  # scoring needs no question
    return {**data.gsm8k(known), "response": set_aside(record["response"]).answer}


QUESTIONS = Questions(
    data.gsm8k, PROMPT, 6, MAX_TOKENS, question_prompt, scores, stated_number,
    {"exact_match_strict": None, "exact_match_flexible": "last number", "exact_match": "numbers"},
)  # fmt: skip
evaluate = QUESTIONS.evaluate


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--responses", type=Path, required=True, help="JSON lines {question, response, answer}")
    parser.add_argument("--output", type=Path, required=True, help="score record to write")
    parser.add_argument("--name", help="the model's name in the score; default: the responses' file name")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    args = parser.parse_args(argv)
    records, unusable = data.read_records(args.responses, response)
    items = [
        {
            "id": record["id"],
            **scores(record, [record["response"]]),
            "rule": stated_number(record["response"]).rule,
        }
        for record in records
    ]
    rules = readings([item["rule"] for item in items])
    outcome = Outcome(items, means(items, list(QUESTIONS.readers), args.seed), unusable, extra={"rules": rules})
    write_score(
        args.output,
        outcome,
        model=args.name or args.responses.stem,
        benchmark="gsm8k",
        module="falsepromise.benchmarks.gsm8k",
        inputs=[args.responses],
        config={},
        seed=args.seed,
    )
    outcome.log()


if __name__ == "__main__":
    cli.run(main)
