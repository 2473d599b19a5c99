"""Ask a judge which of two replies is better, as in the paper's appendix C (Vicuna's procedure).

The judge sees the prompt and both replies, gives each a score from 1 to 10 on the first line of its
answer and explains it below; the higher score is preferred, equal scores are a tie. Each pair is
judged in both orders by default, because judges have a position bias; the paper judged in one. Other forms of
a verdict are read if they are unambiguous (`preference.verdict`); an explanation may be truncated.
An unreadable verdict becomes a vote of null with the reason in "unreadable" (refusal, cut, prose, ...). It is counted,
not guessed: `preference.aggregate` gives bounds for all of them being for one side.

--rubric names another prompt of resources/prompts/. With the teacher's own file on both
sides and --sample 1 the judge compares the teacher's second sample with its first, the upper bound;
with --sample 0 each reply with itself, a test of the judge: anything but a tie is noise or position bias.

It writes one vote for each pair and order, for `preference.aggregate`. All requests use the teacher's client, with its
store, budget and retries.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record, write_jsonl
from falsepromise.preference.pairs import Pair, read_pairs
from falsepromise.preference.verdict import Verdict, read_verdict
from falsepromise.study.config import default
from falsepromise.teacher import options as teacher_options
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request
from falsepromise.teacher.prompts import load, path
from falsepromise.teacher.store import Answer

log = logging.getLogger(__name__)
SYSTEM = "You are a fair and careful judge of the quality of answers."
TEMPERATURE = 0.2  # Vicuna's
MAX_TOKENS = 1024  # Vicuna's
STAND_IN = "the judge is the local stand-in, a fixed rule on length and shared words, not a model"
RUBRIC = "judge_pairwise"
PLACES = {"question", "answer 1", "answer 2"}
_PLACE = re.compile(rf"\{{({'|'.join(sorted(PLACES))})\}}")  # other braces of a rubric are text, as JSON's
ORDERS = {"both": ("left", "right"), "ours-first": ("left",), "reference-first": ("right",)}


def rubric(name: str) -> str:
    """A judge's prompt in `resources/prompts/`, with places for the question and both answers.

    Raises:
        UserError: no prompt has this name, or a place is missing.
    """
    file = name if name.endswith(".txt") else f"{name}.txt"
    if Path(file).name != file:
        raise UserError(f"--rubric {name}: expected the name of a file in resources/prompts/, without folders")
    template = load(file)
    missing = sorted(PLACES - set(_PLACE.findall(template)))
    if missing:
        raise UserError(f"{path(file)}: lacks {', '.join(f'{{{place}}}' for place in missing)}, which a rubric needs")
    return template


def request(pair: Pair, first: str, template: str, parameters: dict[str, Any]) -> Request:
    """The judge's request for a pair, with the side `first` (left or right) as Assistant 1."""
    answers = (pair.left, pair.right) if first == "left" else (pair.right, pair.left)
    values = {"question": pair.question, "answer 1": answers[0], "answer 2": answers[1]}
    text = _PLACE.sub(lambda match: values[match[1]], template)  # once: what is put in is not searched
    return Request([{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}], parameters, whole=False)


def judge(
    teacher: Teacher,
    pairs: Sequence[Pair],
    orders: Sequence[str],
    parameters: dict[str, Any],
    progress: Progress | None = None,
    template: str | None = None,
    rater: str | None = None,
) -> Iterator[Record]:
    """One vote for each pair and order.

    Args:
        teacher: The judge.
        pairs: The pairs to judge.
        orders: The sides to show first: `left`, `right` or both.
        parameters: The requests' parameters.
        progress: Counts the answers.
        template: The rubric's prompt; default: Vicuna's.
        rater: The judge's name in the votes; default: its model's name.

    Yields:
        Vote records with `raw` (the judge's words), `scores` (left's, right's) where it gave some, or `unreadable`, and
        `error`, a server's words, where it gave no answer.
    """
    template = template or rubric(RUBRIC)
    asked = [(pair, first) for pair in pairs for first in orders]
    requests = [request(pair, first, template, parameters) for pair, first in asked]
    teacher.check_cost(teacher.estimate(requests))
    for (pair, first), answer in zip(asked, teacher.ask_many(requests, progress), strict=True):
        verdict = _verdict(answer)
        vote = pair.vote(rater or teacher.model, None, first)
        if verdict.choice:
            other = "right" if first == "left" else "left"
            vote["choice"] = {"first": first, "second": other, "tie": "tie"}[verdict.choice]
        else:
            vote["unreadable"], _, told = (verdict.why or "").partition(": ")
            vote |= {"error": told} if told else {}
        if verdict.scores:
            vote["scores"] = list(verdict.scores if first == "left" else verdict.scores[::-1])
        yield {**vote, "raw": answer.text}


def _verdict(answer: Answer) -> Verdict:
    """What an answer says; a failure that is no verdict under another name where it is one of the categories."""
    if answer.failure in (None, "length"):
        return read_verdict(answer.text, cut=answer.failure == "length")
    return Verdict(why="refusal" if answer.failure == "content_filter" else answer.failure)


def main(argv: Sequence[str] | None = None) -> None:
    """Judge pairs of replies; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", type=cli.FileName, required=True, help="prompt records")
    parser.add_argument("--responses", type=cli.FileName, required=True, help="replies of the model under study")
    parser.add_argument("--reference", type=cli.FileName, required=True, help="replies to compare with (the teacher's)")
    parser.add_argument("--sample", type=int, help="number of the sample in --responses; default: the first")
    parser.add_argument("--rubric", default=RUBRIC, metavar="NAME", help="name of a prompt in resources/prompts/")
    parser.add_argument("--rater", metavar="NAME", help="the judge's name in the votes; default: its model's name")
    parser.add_argument(
        "--order", choices=ORDERS, default=default("judges.order"), help="which reply the judge sees first"
    )
    parser.add_argument("--temperature", type=float, default=TEMPERATURE, help="the judge's; Vicuna's is 0.2")
    parser.add_argument("--max-tokens", type=teacher_options.positive, default=MAX_TOKENS, help="tokens of a verdict")
    parser.add_argument("--output", type=cli.FileName, required=True, help="vote records")
    teacher_options.add(parser)
    args = parser.parse_args(argv)

    pairs = read_pairs(args.prompts, args.responses, args.reference, args.sample)
    template = rubric(args.rubric)
    orders = ORDERS[args.order]
    parameters = {"temperature": args.temperature, "max_tokens": args.max_tokens}
    parameters |= teacher_options.extra_parameters(args)
    with teacher_options.open_teacher(args) as teacher:
        with Progress(len(pairs) * len(orders), f"{teacher.model} judges", "verdicts") as progress:
            votes = list(judge(teacher, pairs, orders, parameters, progress, template, args.rater))
        facts = teacher.facts()
    if args.base_url == "local":
        votes = [{**vote, "stand_in": STAND_IN} for vote in votes]
    write_jsonl(args.output, votes)
    unreadable = Counter(vote["unreadable"] for vote in votes if vote["choice"] is None)
    write_manifest(
        args.output,
        module="falsepromise.preference.judge",
        inputs=[args.prompts, args.responses, args.reference, path(f"{args.rubric.removesuffix('.txt')}.txt")],
        config={**teacher_options.description(args), "order": args.order, "rubric": args.rubric, **parameters},
        extra={**facts, "votes": len(votes), "unreadable": dict(unreadable)},
    )
    log.info("%d verdicts, %d of them unreadable %s", len(votes), unreadable.total(), dict(unreadable) or "")


if __name__ == "__main__":
    cli.run(main)
