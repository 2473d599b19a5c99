"""Ask the teacher for answers to a set of prompts, as response records.

A prompt without an answer (truncated, filtered, refused, empty, rejected, or no reply at any attempt) has no record:
the funnel beside the output counts it by reason, and the log names it. The next call repeats requests that were not
paid for; with --again, all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record, check_prompt, read_jsonl
from falsepromise.curation.funnel import Funnel
from falsepromise.teacher import options as teacher_options
from falsepromise.teacher.cost import Request

log = logging.getLogger("falsepromise.teacher.answer")


def chat_of(prompt: Record) -> list[dict[str, str]]:
    """The messages to send for a prompt record; raw text is one user message."""
    if "prompt" in prompt:
        return [{"role": "user", "content": prompt["prompt"]}]
    return [{"role": message["role"], "content": message["content"]} for message in prompt["messages"]]


def check(prompt: Record) -> str | None:
    """What is wrong with a prompt for a teacher, or None."""
    problem = check_prompt(prompt)
    if problem is None and chat_of(prompt)[-1]["role"] != "user":
        return "the last message is not the user's: there is nothing to answer"
    return problem


def main(argv: Sequence[str] | None = None) -> None:
    """Write the responses."""
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", type=cli.FileName, required=True, metavar="FILE", help="prompt records")
    parser.add_argument(
        "--samples", type=teacher_options.positive, default=1, metavar="K", help="answers to each prompt"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed for --send-seed; each sample adds 1")
    parser.add_argument("--system", metavar="TEXT", help="a system message before each prompt")
    parser.add_argument("--name", default="teacher", metavar="NAME", help="`model` of the response records")
    teacher_options.add_output(parser, "response records")
    teacher_options.add_sampling(parser, temperature=1.0)
    teacher_options.add(parser)
    options = parser.parse_args(argv)
    if options.samples > 1 and options.temperature == 0:
        raise UserError(f"--samples {options.samples} with --temperature 0 would be one answer many times; raise it")

    prompts = list(read_jsonl(options.prompts, check))
    places = [(prompt, sample) for prompt in prompts for sample in range(options.samples)]
    parameters = teacher_options.sampling(options)
    system = [{"role": "system", "content": options.system}] if options.system else []

    def requests() -> Iterator[Request]:
        for prompt, sample in places:
            sent = teacher_options.seeded(options, parameters, options.seed + sample)
            yield Request([*system, *chat_of(prompt)], sent, sample)

    funnel = Funnel(options.name)
    records: list[Record] = []
    with teacher_options.open_teacher(options) as teacher:
        teacher.check_cost(teacher.estimate(requests()))
        with Progress(len(places), "teacher's answers", "answers") as progress:
            for (prompt, sample), answer in zip(places, teacher.ask_many(requests(), progress), strict=True):
                if answer.failure:
                    funnel.drop("answers", answer.failure, prompt["id"])
                    continue
                funnel.keep("answers")
                records.append(
                    {
                        "prompt_id": prompt["id"],
                        "model": options.name,
                        "sample": sample,
                        "response": answer.text,
                        "finish_reason": answer.finish_reason,
                        "n_tokens": answer.output_tokens,
                        "snapshot": answer.model,
                    }
                )
        facts = teacher.facts()
    if not records:
        raise UserError(f"{options.model} answered none of {len(places)}: {funnel.reasons('answers')}; nothing written")
    if len(records) < len(places):
        log.warning("%d of %d unanswered: %s", len(places) - len(records), len(places), funnel.reasons("answers"))
    config = {"samples": options.samples, "system": options.system, **teacher_options.description(options)}
    made = {"module": "falsepromise.teacher.answer", "config": config, "extra": facts}
    teacher_options.save(options, records, funnel, [options.prompts], **made)


if __name__ == "__main__":
    cli.run(main)
