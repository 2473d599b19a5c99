"""Write curation's counts in one table: the records that each step kept and dropped, with reasons and examples."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import read_text
from falsepromise.figures.table import Table

COLUMNS = ["source", "step", "kept", "dropped", "reason", "examples"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--funnels", type=Path, nargs="+", required=True, help="funnel tables (CSV), in order of work")
    parser.add_argument(
        "--output", type=Path, default=Path("results/tables/funnel.csv"), help="table, with .md and .tex"
    )
    args = parser.parse_args(argv)
    build(args.funnels).write(args.output, "falsepromise.figures.table_funnel", args.funnels)


def read_funnel(path: Path) -> Iterator[list[object]]:
    """A funnel's rows, counts as numbers.

    Raises:
        UserError: it can't be read, or has not the columns and counts of a funnel.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        if reader.fieldnames != COLUMNS:
            found = f"has the columns {', '.join(reader.fieldnames):.200}" if reader.fieldnames else "the file is empty"
            raise UserError(f"{path}: {found}; expected {', '.join(COLUMNS)}")
        for number, row in enumerate(reader, 2):
            try:
                yield [row["source"], row["step"], int(row["kept"]), int(row["dropped"]), row["reason"],
                       row["examples"] or ""]  # fmt: skip
            except (ValueError, TypeError) as error:
                said = f"{path}, line {number}: 'kept' and 'dropped' must be counts: {error!s:.200}"
                raise UserError(said) from error
    except csv.Error as error:
        raise UserError(f"{path}: can't be read as a CSV table: {error}") from error


def build(paths: Sequence[Path]) -> Table:
    """One table of all funnels, in the order given; equal rows of shared steps are kept once."""
    rows = list(dict.fromkeys(tuple(row) for path in paths for row in read_funnel(path)))
    return Table(
        COLUMNS,
        rows,
        "Curation: records kept and dropped at each step. A step's first row has no reason; the rows below "
        "it count records by reason (kept: changed but not dropped).",
    )


if __name__ == "__main__":
    cli.run(main)
