"""Ask a judge whether replies are written in an authoritative tone (Table 2's last row).

It writes one judgement for each reply: {"prompt_id", "model", "judge", "authoritative": true | false | null}.
The judge answers Yes or No; any other answer is null, counted and not guessed. `style.compare` reads the file with
--judgements. All requests use the teacher's client, with its store, budget and retries.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record, write_jsonl
from falsepromise.style.pairs import model_name, read_responses
from falsepromise.teacher import options as teacher_options
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request
from falsepromise.teacher.prompts import fill, load, path

log = logging.getLogger(__name__)
STAND_IN = "the tone is judged by the local stand-in, a fixed rule on hedging words and length, not a model"
_VERDICT = re.compile(r"[\"'*]*(yes|no)[\"'*.!]*", re.IGNORECASE)


def read_verdict(text: str) -> bool | None:
    """Yes or No, alone, as true or false; None for anything else."""
    match = _VERDICT.fullmatch(text.strip())
    return match[1].lower() == "yes" if match else None


def judge_tone(
    teacher: Teacher, responses: Iterable[Record], parameters: dict[str, Any], progress: Progress | None = None
) -> Iterator[Record]:
    """One judgement for each response record.

    Yields:
        `prompt_id`, `judge`, `authoritative` (true, false or None) and `raw` (the judge's words, or
        the reason why there are none).
    """
    template = load("judge_tone.txt")
    records = list(responses)
    requests = [
        Request([{"role": "user", "content": fill(template, {"response": text})}], parameters, whole=False)
        for text in (record["response"] for record in records)
    ]
    teacher.check_cost(teacher.estimate(requests))
    for record, answer in zip(records, teacher.ask_many(requests, progress), strict=True):
        yield {
            "prompt_id": record["prompt_id"],
            "judge": teacher.model,
            "authoritative": read_verdict(answer.text) if answer.failure in (None, "length") else None,
            "raw": answer.text if answer.failure in (None, "length") else answer.failure,
        }


def main(argv: Sequence[str] | None = None) -> None:
    """Judge the tone of replies; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument("--responses", type=cli.FileName, required=True, help="response records of one model")
    parser.add_argument("--sample", type=int, default=0, help="number of the sample to judge")
    parser.add_argument("--temperature", type=float, default=0.0, help="the judge's temperature")
    parser.add_argument("--max-tokens", type=teacher_options.positive, default=16, help="longest verdict in tokens")
    parser.add_argument("--output", type=cli.FileName, required=True, help="judgements, JSON lines")
    teacher_options.add(parser)
    args = parser.parse_args(argv)

    responses = read_responses(args.responses, args.sample)
    model = model_name(responses.values(), args.responses)
    parameters = {"temperature": args.temperature, "max_tokens": args.max_tokens}
    parameters |= teacher_options.extra_parameters(args)
    with teacher_options.open_teacher(args) as teacher:
        with Progress(len(responses), f"{teacher.model} judges the tone", "replies") as progress:
            judgements = [
                {**judgement, "model": model, **({"stand_in": STAND_IN} if args.base_url == "local" else {})}
                for judgement in judge_tone(teacher, responses.values(), parameters, progress)
            ]
        facts = teacher.facts()
    write_jsonl(args.output, judgements)
    unreadable = sum(judgement["authoritative"] is None for judgement in judgements)
    write_manifest(
        args.output,
        module="falsepromise.preference.tone",
        inputs=[args.responses, path("judge_tone.txt")],
        config={**teacher_options.description(args), "sample": args.sample, **parameters},
        extra={**facts, "judgements": len(judgements), "unreadable": unreadable},
    )
    log.info("%s: %d judgements, %d unreadable", model, len(judgements), unreadable)


if __name__ == "__main__":
    cli.run(main)
