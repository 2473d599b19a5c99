"""GSM8K: six shots of chain of thought, and the number that the answer ends with.

As a verb it scores responses alone: JSON lines `{"question", "response", "answer"}`, the answer in
GSM8K's own form (`... #### 72`). `exact_match_strict` is the number right behind the response's first
`####`; `exact_match_flexible` the last number anywhere in it. Numbers are compared by value: `1,200.0`
is `1200`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from falsepromise.benchmarks import data
from falsepromise.benchmarks.matching import flexible_number, gold_number, strict_number
from falsepromise.benchmarks.model import ModelUnderTest
from falsepromise.benchmarks.outcome import (
    Options,
    Outcome,
    ask,
    draw,
    failures,
    means,
    read_template,
    usable,
    write_score,
)
from falsepromise.core import cli
from falsepromise.core.records import Record

log = logging.getLogger("falsepromise.benchmarks.gsm8k")
PROMPT = "gsm8k_star.txt"  # rows 0, 2, 3, 5, 8 and 9 of GSM8K's train.jsonl, as STaR has them (Zelikman et al., 2022)
MAX_TOKENS = 400
METRICS = ("exact_match_strict", "exact_match_flexible")


def question_prompt(shots: str, question: str) -> str:
    """The shots, a blank line, and the question in the shots' form; or a template with {question} in it."""
    if "{question}" in shots:
        return shots.replace("{question}", question.strip())
    return f"{shots}\n\nQ: {question.strip()}\nA:"


def evaluate(model: ModelUnderTest, options: Options) -> Outcome:
    """Ask the questions with the six shots, greedy, up to the next "Q:"."""
    records, limits = draw(data.read(options.data, data.check_gsm8k), options.limit, options.seed)
    shots, path, said = read_template(options, PROMPT, "{question}")
    max_tokens = options.max_tokens or MAX_TOKENS
    replies = ask(
        model,
        [question_prompt(shots, record["question"]) for record in records],
        options,
        max_tokens=max_tokens,
        stop=("\nQ:",),
    )
    items = [
        {"id": record["id"], **match(reply.text, record["answer"]), "response": reply.text.strip()}
        for record, reply in zip(records, replies, strict=True)
        if usable(reply)
    ]
    return Outcome(
        items,
        means(items, METRICS, options.seed),
        [*limits, *said, *failures(replies)],
        {"shots": 6, "prompt": path.name, "stop": "Q: on a new line", "max_tokens": max_tokens},
        [path],
    )


def match(response: str, answer: str) -> dict[str, float]:
    """Strict and flexible match of a response with an answer in GSM8K's form, 1.0 or 0.0."""
    gold = gold_number(answer)
    return {
        "exact_match_strict": float(gold is not None and strict_number(response) == gold),
        "exact_match_flexible": float(gold is not None and flexible_number(response) == gold),
    }


def check_response(record: Record) -> str | None:
    """What is wrong with a line of --responses, or None. An empty response is one: a wrong one."""
    if not isinstance(record.get("response"), str):
        return f"'response' is {record.get('response')!r:.60}, expected text"
    problem = data.check_gsm8k(record)
    if problem is None and gold_number(record["answer"]) is None:
        return f"'answer' has no number behind '####': {record['answer'][-60:]!r}"
    return problem


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--responses", type=Path, required=True, help="JSON lines {question, response, answer}")
    parser.add_argument("--output", type=Path, required=True, help="score record to write")
    parser.add_argument("--name", help="the model's name in the score; default: the responses' file name")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    args = parser.parse_args(argv)
    records = data.read(args.responses, check_response)
    items = [{"id": record["id"], **match(record["response"], record["answer"])} for record in records]
    outcome = Outcome(items, means(items, METRICS, args.seed))
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
    for name, metric in outcome.metrics.items():
        log.info("%s %.4f [%.4f, %.4f], n = %d", name, metric["value"], *metric["ci95"], metric["n"])


if __name__ == "__main__":
    cli.run(main)
