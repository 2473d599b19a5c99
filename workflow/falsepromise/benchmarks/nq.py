"""Natural Questions: three shots by Table 8's prompt, greedy, exact match over all aliases.

Data: JSON lines `{"question", "answer": [aliases]}`, as NQ-open has them; other keys are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from falsepromise.benchmarks import data
from falsepromise.benchmarks.model import ModelUnderTest
from falsepromise.benchmarks.outcome import (
    Options,
    Outcome,
    ask,
    bounded,
    draw,
    failures,
    is_chat,
    means,
    read_template,
    readings,
    usable,
)
from falsepromise.benchmarks.reading import UNREADABLE
from falsepromise.benchmarks.reading.short import contains_answer, exact_match, first_line
from falsepromise.teacher.prompts import load

PROMPT = "table8_natural_questions.txt"
MAX_TOKENS = 32
METRICS = ("exact_match", "contains_answer")


def question_prompt(template: str, question: str) -> str:
    """A question in the prompt.

    Table 8 ends with "Q:"; the question follows behind one space, and the answer's own line begins
    with "A:", as in the table's examples. A template of another's has `{question}` in it.
    """
    question = question.strip()
    if "{question}" in template:
        return template.replace("{question}", question)
    return f"{template} {question}\nA:"


def prompt(record: Mapping[str, Any]) -> str:
    """The question of a record in Table 8's prompt."""
    return question_prompt(load(PROMPT), record["question"])


def scores(record: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    """The metrics of one response: what lm-eval calls `process_results`."""
    aliases = [record["answer"]] if isinstance(record["answer"], str) else record["answer"]
    said = first_line(responses[0]).value or ""
    return {
        "exact_match": float(exact_match(said, aliases)),
        "contains_answer": float(contains_answer(said, aliases)),
    }


def evaluate(model: ModelUnderTest, options: Options) -> Outcome:
    """Ask the questions and compare the first line of each answer.

    `contains_answer` (an alias occurs in the answer as whole words) is reported beside
    `exact_match`: chat models answer in sentences.
    """
    records, unusable = data.read(options.data, data.question)
    records, limits = draw(records, options.limit, options.seed)
    template, path, said = read_template(options, PROMPT, "{question}")
    max_tokens = options.max_tokens or MAX_TOKENS
    texts = [question_prompt(template, record["question"]) for record in records]
    replies = ask(model, texts, options, max_tokens=max_tokens, stop=("\nQ:",))
    items = [
        {
            "id": record["id"],
            **scores(record, [reply.text]),
            "response": reply.text.strip(),
            "rule": first_line(reply.text).rule,
        }
        for record, reply in zip(records, replies, strict=True)
        if usable(reply)
    ]
    metrics = means(items, METRICS, options.seed)
    if items and is_chat(model, options):
        unreadable = sum(item["rule"] == UNREADABLE.rule for item in items)
        bounded(metrics["exact_match"], "short answers, exact", unreadable)
        bounded(metrics["contains_answer"], "short answers, contained", unreadable)
    return Outcome(
        items,
        metrics,
        limits=[*limits, *unusable, *said, *failures(replies)],
        config={"shots": 3, "prompt": path.name, "stop": "Q: on a new line", "max_tokens": max_tokens},
        inputs=[path],
        extra={"rules": readings([item["rule"] for item in items])},
    )
