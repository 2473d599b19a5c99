"""Score Natural Questions: three shots by Table 8's prompt, greedy, exact match over all aliases.

Data: JSON lines `{"question", "answer": [aliases]}`, as NQ-open has them; other keys are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from falsepromise.benchmarks import data
from falsepromise.benchmarks.questions import Questions
from falsepromise.benchmarks.reading.short import contains_answer, exact_match, first_line
from falsepromise.teacher.prompts import load

PROMPT = "table8_natural_questions.txt"
MAX_TOKENS = 32


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


# `contains_answer` (an alias occurs in the answer as whole words) is there because chat models answer in sentences.
QUESTIONS = Questions(
    data.question, PROMPT, 3, MAX_TOKENS, question_prompt, scores, first_line,
    {"exact_match": "short answers, exact", "contains_answer": "short answers, contained"},
)  # fmt: skip
evaluate = QUESTIONS.evaluate
