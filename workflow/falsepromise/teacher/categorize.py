"""Sort the queries of a Table 6 sheet into the paper's categories by asking a model.

Reads a sheet of `falsepromise.curation.annotate sheet` and writes the same sheet filled, for
`falsepromise.curation.annotate tally`. The prompt is this project's (`resources/prompts/categories.txt`); the
paper's authors sorted by hand. If a reply names no category, or there is no reply, the row stays empty and the log
counts it. Filled rows stay unchanged.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import Progress
from falsepromise.core.records import atomic_open
from falsepromise.curation.annotate import COLUMNS, named, read_sheet
from falsepromise.curation.funnel import spreadsheet_text
from falsepromise.teacher import options as teacher_options
from falsepromise.teacher.cost import Request
from falsepromise.teacher.prompts import fill, load
from falsepromise.teacher.prompts import path as path_of

log = logging.getLogger("falsepromise.teacher.categorize")
PROMPT = "categories.txt"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the filled sheet."""
    parser = cli.parser(__doc__)
    parser.add_argument("--sheet", required=True, type=Path, metavar="FILE", help="the sheet, CSV")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the filled sheet, CSV")
    parser.add_argument("--longest", type=int, default=6000, metavar="N", help="characters of a query to show")
    teacher_options.add_sampling(parser, temperature=0.0)
    teacher_options.add(parser)
    options = parser.parse_args(argv)

    rows = list(read_sheet(options.sheet))
    empty = [row for row in rows if not row["category"].strip()]
    template, parameters = load(PROMPT), teacher_options.sampling(options)
    requests = [
        Request(
            [{"role": "user", "content": fill(template, {"query": row["query"][: options.longest]})}],
            teacher_options.seeded(options, parameters, 0),
            whole=False,
        )
        for row in empty
    ]
    with teacher_options.open_teacher(options) as teacher:
        teacher.check_cost(teacher.estimate(requests))
        with Progress(len(requests), "sorting queries", "queries") as progress:
            for row, answer in zip(empty, teacher.ask_many(requests, progress), strict=True):
                row["category"] = named(answer.text) or "" if answer.failure in (None, "length") else ""
        facts = teacher.facts()
    unlabelled = sum(not row["category"] for row in rows)
    if unlabelled == len(rows):
        raise UserError(f"{options.model} named a category for none of {len(rows)} queries")
    if unlabelled:
        log.warning("%s named none of the categories for %d of %d queries", options.model, unlabelled, len(rows))
    with atomic_open(options.output) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([spreadsheet_text(row[column]) for column in COLUMNS] for row in rows)
    write_manifest(
        options.output,
        module="falsepromise.teacher.categorize",
        inputs=[options.sheet, path_of(PROMPT), *([options.facts] if options.facts else [])],
        config=teacher_options.description(options),
        extra={**facts, "unlabelled": unlabelled},
    )


if __name__ == "__main__":
    cli.run(main)
