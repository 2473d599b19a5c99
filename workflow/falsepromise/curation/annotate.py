"""Write a sheet of random queries to sort into the paper's categories by hand, and count it (Table 6).

  sheet   draw queries by the seed and write a CSV with an empty column `category`
  tally   read the filled sheet and write each category's share with its 95 % interval (Wilson's)

A model can fill the sheet too (`falsepromise.teacher.categorize`). With --allow-empty, empty rows are counted as
`unlabelled`, and the shares are of the rows with a category.

The categories are the paper's nine: Generation, General QA, Coding, Brainstorming, Chat,
Summarization, Rewrite, Non-English, Invalid.
"""

from __future__ import annotations

import csv
import difflib
import heapq
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import atomic_open, query_of, read_jsonl, read_text, write_json
from falsepromise.curation.diversity import check_query
from falsepromise.curation.funnel import spreadsheet_text, without_mark
from falsepromise.curation.order import place
from falsepromise.statistics.intervals import wilson

CATEGORIES = (
    "Generation",
    "General QA",
    "Coding",
    "Brainstorming",
    "Chat",
    "Summarization",
    "Rewrite",
    "Non-English",
    "Invalid",
)
COLUMNS = ("id", "category", "query")
_KNOWN = {re.sub(r"[^a-z]", "", name.lower()): name for name in CATEGORIES}


def sheet(queries: Path, output: Path, n: int, seed: int) -> None:
    """Write a sheet of `n` queries drawn by the seed, in the order of the draw."""
    keyed = ((place(record, seed), record["id"], query_of(record)) for record in read_jsonl(queries, check_query))
    drawn = heapq.nsmallest(n, keyed)
    if len(drawn) < n:
        raise UserError(f"{queries}: has {len(drawn)} queries, fewer than --n {n}")
    with atomic_open(output) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for _, name, query in drawn:
            writer.writerow([spreadsheet_text(name), "", spreadsheet_text(query)])


def read_sheet(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a sheet, as `{"id", "category", "query"}`.

    Raises:
        UserError: the file can't be read, or has no column `category`.
    """
    try:
        text = read_text(path)
        separator = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        if "category" not in (reader.fieldnames or ()):
            found = "has no column 'category'" if reader.fieldnames else "the file is empty"
            raise UserError(f"{path}: {found}; expected a sheet with {', '.join(COLUMNS)}")
        for row in reader:
            yield {column: without_mark(row.get(column) or "") for column in COLUMNS}
    except csv.Error as error:
        raise UserError(f"{path}: can't be read: {error}") from error


def named(text: str) -> str | None:
    """The category that a text names, ignoring case, blanks, quotes and a final stop; None if it names none."""
    return _KNOWN.get(re.sub(r"[^a-z]", "", text.lower()))


def tally(path: Path, allow_empty: bool = False) -> dict[str, Any]:
    """Each category's share of a filled sheet.

    Args:
        path: The sheet, separated by commas or, as some spreadsheets write it, by semicolons or tabs.
        allow_empty: Count rows without a category instead of refusing them.

    Returns:
        `{"n", "unlabelled", "categories": {name: {"value", "ci95", "n"}}}`; values are shares from 0 to 1.

    Raises:
        UserError: a row has no category, or one that isn't the paper's.
    """
    counts: Counter[str] = Counter()
    unlabelled = 0
    for number, row in enumerate(read_sheet(path), 1):
        found = " ".join(row["category"].split())
        category = named(found)
        if category is not None:
            counts[category] += 1
        elif not found and allow_empty:
            unlabelled += 1
        else:
            near = difflib.get_close_matches(found, CATEGORIES, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; expected {', '.join(CATEGORIES)}"
            raise UserError(f"{path}, row {number} ({row['id']}): the category is {found!r}{hint}")
    n = counts.total()
    if not n:
        raise UserError(f"{path}: the sheet has no rows with a category")
    shares = {name: {"value": counts[name] / n, "ci95": wilson(counts[name], n), "n": n} for name in CATEGORIES}
    return {"n": n, "unlabelled": unlabelled, "categories": shares}


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    draw = verbs.add_parser("sheet", help="write a sheet to fill in")
    draw.add_argument("--queries", type=Path, required=True, help="prompt or dialogue records")
    draw.add_argument("--n", type=int, default=50, help="number of queries to draw (default: 50)")
    draw.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    draw.add_argument("--output", type=Path, required=True, help="the sheet to write, CSV")
    count = verbs.add_parser("tally", help="count a filled sheet")
    count.add_argument("--sheet", type=Path, required=True, help="the filled sheet, CSV")
    count.add_argument("--allow-empty", action="store_true", help="count rows without a category, don't refuse them")
    count.add_argument("--annotator", default="a person", help="who filled it, for the table (default: a person)")
    count.add_argument("--stand-in", help="what the annotator really is, if it is a stand-in")
    count.add_argument("--output", type=Path, required=True, help="JSON file for the counts")
    args = parser.parse_args(argv)
    module = "falsepromise.curation.annotate"
    if args.verb == "sheet":
        if args.n < 1:
            raise UserError(f"--n {args.n}: expected 1 or more")
        sheet(args.queries, args.output, args.n, args.seed)
        write_manifest(args.output, module=module, inputs=[args.queries], config={"n": args.n}, seed=args.seed)
    else:
        who = {"annotator": args.annotator, "stand_in": args.stand_in}
        write_json(args.output, who | tally(args.sheet, args.allow_empty))
        write_manifest(args.output, module=module, inputs=[args.sheet], config={})


if __name__ == "__main__":
    cli.run(main)
