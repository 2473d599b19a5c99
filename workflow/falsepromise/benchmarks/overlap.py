"""Measure how much of a benchmark is in the training data, by BLEU (section 4.1, footnote 2).

The paper names contamination as a confounder: an apparent skill may have been in the dialogues.
Each question's overlap is its highest BLEU with any user query of the training data. Nothing is removed
from the benchmark; the report gives the distance of the questions from the data, and the close ones.

The question is MMLU's without its choices, HumanEval's prompt, CNN/DailyMail's article, and the beginning
that RealToxicityPrompts has continued. The report's form is `falsepromise.curation.decontaminate`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from falsepromise.benchmarks import data
from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import write_json
from falsepromise.curation.decontaminate import add_arguments, check_arguments, overlap

log = logging.getLogger("falsepromise.benchmarks")


def questions(task: str, path: Path | None, lm_eval_task: str | None = None) -> Iterator[tuple[str, str]]:
    """The ids and the questions of a benchmark's file or folder.

    Args:
        task: Its kind.
        path: The file or folder; None: the own data of a task of lm-eval.
        lm_eval_task: The task of lm-eval, for "lm_eval".

    Raises:
        UserError: it is not as the task's data are.
    """
    if task == "lm_eval":
        from falsepromise.benchmarks import lm_eval_task as any_task

        if not lm_eval_task:
            raise UserError("--lm-eval-task is missing: the name of a task of lm-eval, or a YAML file of its form")
        yield from any_task.questions(lm_eval_task, path)
        return
    if path is None:
        raise UserError("--data is missing: the benchmark's file or folder")
    if task == "mmlu":
        records, _, unusable = data.mmlu(path)
        yield from ((record["id"], record["question"]) for record in records)
    elif task == "humaneval":
        unusable = []
        yield from ((name, problem["prompt"]) for name, problem in data.read_problems(path).items())
    else:
        form, key = data.FORMS[task]
        records, unusable = data.read_records(path, form)
        found = {str(record.get("item") or record["id"]): record[key] for record in records}
        yield from ((name, text["text"] if isinstance(text, dict) else text) for name, text in found.items())
    for said in unusable:
        log.warning("%s", said)


TASKS = ("mmlu", "humaneval", "lm_eval", *data.FORMS)


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--task", required=True, choices=TASKS, help="the benchmark's task")
    parser.add_argument("--data", type=Path, help="the benchmark's file or folder; lm_eval: default: the task's own")
    parser.add_argument("--lm-eval-task", metavar="NAME", help="lm_eval: a task, group or tag of lm-eval, or a YAML")
    add_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="JSON file for every question's overlap")
    args = parser.parse_args(argv)
    check_arguments(args)
    if args.data is not None and not args.data.exists():
        raise UserError(f"--data {args.data}: does not exist; give the benchmark's file or folder")
    ids, texts = zip(*questions(args.task, args.data, args.lm_eval_task), strict=True)
    report, _ = overlap(ids, texts, args.training, args.max_bleu)
    write_json(args.output, {"task": args.task, **report})
    write_manifest(
        args.output,
        module="falsepromise.benchmarks.overlap",
        inputs=[*([args.data] if args.data else []), *args.training],
        config={"task": args.task, "max_bleu": args.max_bleu},
    )


if __name__ == "__main__":
    cli.run(main)
