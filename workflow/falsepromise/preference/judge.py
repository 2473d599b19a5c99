"""Ask a judge which of two replies is better, as in the paper's appendix C (Vicuna's procedure).

The judge sees the prompt and both replies, gives each a score from 1 to 10 on the first line of its
answer and explains it below; the higher score is preferred, equal scores are a tie. Each pair is
judged in both orders by default, since judges favour a place; the paper judged in one. The first
line is read strictly: two numbers within 1 to 10 and nothing else; an explanation may be cut off.
What can't be read becomes a vote of null with the reason in "unreadable", counted and never guessed.

Writes one vote a pair and order; `preference.aggregate` adds them up. Everything goes through the
teacher's client: its store, budget and retries.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record, write_jsonl
from falsepromise.preference.pairs import Pair, read_pairs
from falsepromise.teacher import options as teacher_options
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request
from falsepromise.teacher.prompts import fill, load, path

log = logging.getLogger(__name__)
SYSTEM = "You are a fair and careful judge of the quality of answers."
TEMPERATURE = 0.2  # Vicuna's
MAX_TOKENS = 1024  # Vicuna's
STAND_IN = "the judge is the local stand-in, a fixed rule on length and shared words, not a model"
ORDERS = {"both": ("left", "right"), "ours-first": ("left",), "reference-first": ("right",)}
_SCORES = re.compile(r"(\d+(?:\.\d+)?)(?:\s*,\s*|\s+)(\d+(?:\.\d+)?)")


def read_scores(text: str) -> tuple[tuple[float, float] | None, str | None]:
    """The two scores on the first line of a judge's answer.

    Returns:
        The scores of the first and the second reply and None, or None and what is wrong: `prose`
        (the line is not two numbers alone) or `out of range` (a score below 1 or above 10).
    """
    match = _SCORES.fullmatch(text.strip().partition("\n")[0].strip())
    if not match:
        return None, "prose"
    scores = float(match[1]), float(match[2])
    if not all(1 <= score <= 10 for score in scores):
        return None, "out of range"
    return scores, None


def request(pair: Pair, first: str, template: str, parameters: dict[str, Any]) -> Request:
    """The judge's request for a pair, with the side `first` (left or right) as Assistant 1."""
    answers = (pair.left, pair.right) if first == "left" else (pair.right, pair.left)
    text = fill(template, {"question": pair.question, "answer 1": answers[0], "answer 2": answers[1]})
    return Request([{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}], parameters, whole=False)


def judge(
    teacher: Teacher,
    pairs: Sequence[Pair],
    orders: Sequence[str],
    parameters: dict[str, Any],
    progress: Progress | None = None,
) -> Iterator[Record]:
    """One vote for each pair and order.

    Args:
        teacher: The judge.
        pairs: What to judge.
        orders: The sides to show first: `left`, `right` or both.
        parameters: Of the requests.
        progress: Counts the answers.

    Yields:
        Vote records with `scores` (left's, right's) and `raw` (the judge's words), or `unreadable`.
    """
    template = load("judge_pairwise.txt")
    asked = [(pair, first) for pair in pairs for first in orders]
    requests = [request(pair, first, template, parameters) for pair, first in asked]
    teacher.check_cost(teacher.estimate(requests))
    for (pair, first), answer in zip(asked, teacher.ask_many(requests, progress), strict=True):
        scores, why = read_scores(answer.text)
        if answer.failure and not (answer.failure == "length" and "\n" in answer.text.lstrip()):
            scores, why = None, answer.failure  # of an explanation that was cut off the first line is whole
        vote = pair.vote(teacher.model, None, first)
        if scores:
            left, right = scores if first == "left" else scores[::-1]
            vote["choice"] = "tie" if left == right else "left" if left > right else "right"
            vote["scores"] = [left, right]
        else:
            vote["unreadable"] = why
        yield {**vote, "raw": answer.text}


def main(argv: Sequence[str] | None = None) -> None:
    """Judge pairs of replies; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", required=True, help="prompt records")
    parser.add_argument("--responses", required=True, help="replies of the model under study")
    parser.add_argument("--reference", required=True, help="replies that it is compared to (the teacher's)")
    parser.add_argument("--order", choices=ORDERS, default="both", help="which reply the judge sees first")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE, help="the judge's; Vicuna's is 0.2")
    parser.add_argument("--max-tokens", type=teacher_options.positive, default=MAX_TOKENS, help="of one verdict")
    parser.add_argument("--output", required=True, help="vote records")
    teacher_options.add(parser)
    args = parser.parse_args(argv)

    pairs = read_pairs(args.prompts, args.responses, args.reference)
    orders = ORDERS[args.order]
    parameters = {"temperature": args.temperature, "max_tokens": args.max_tokens}
    parameters |= teacher_options.extra_parameters(args)
    with teacher_options.open_teacher(args) as teacher:
        with Progress(len(pairs) * len(orders), f"{teacher.model} judges", "verdicts") as progress:
            votes = list(judge(teacher, pairs, orders, parameters, progress))
        facts = teacher.facts()
    if args.base_url == "local":
        votes = [{**vote, "stand_in": STAND_IN} for vote in votes]
    write_jsonl(args.output, votes)
    unreadable = Counter(vote["unreadable"] for vote in votes if vote["choice"] is None)
    write_manifest(
        args.output,
        module="falsepromise.preference.judge",
        inputs=[args.prompts, args.responses, args.reference, path("judge_pairwise.txt")],
        config={**teacher_options.description(args), "order": args.order, **parameters},
        extra={**facts, "votes": len(votes), "unreadable": dict(unreadable)},
    )
    log.info("%d verdicts, %d of them unreadable %s", len(votes), unreadable.total(), dict(unreadable) or "")


if __name__ == "__main__":
    cli.run(main)
