"""Write Table 6: the categories of queries in the imitation data, from a filled sheet.

It reads the tally of `curation.annotate` and puts the paper's shares beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json
from falsepromise.figures.paper import PAPER, Numbers, read_numbers
from falsepromise.figures.scores import Estimate
from falsepromise.figures.table import Table


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--tally", type=Path, required=True, help="output of curation.annotate tally")
    parser.add_argument("--paper", type=Path, default=PAPER, help="published numbers")
    parser.add_argument("--queries", default="the imitation data", help="origin of the queries, for the caption")
    parser.add_argument(
        "--output", type=Path, default=Path("results/tables/table6.csv"), help="table, with .md and .tex"
    )
    args = parser.parse_args(argv)
    table = build(args.tally, read_numbers(args.paper), args.queries)
    table.write(args.output, "falsepromise.figures.table6", [args.tally, args.paper])


def build(tally: Path, paper: Numbers, queries: str) -> Table:
    """The table.

    Raises:
        UserError: the file is not a tally.
    """
    record = read_json(tally)
    try:
        n = int(record["n"])
        shares = {
            name: Estimate(share["value"], share["ci95"][0], share["ci95"][1], share["n"])
            for name, share in record["categories"].items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{tally}: not a tally ({error!r}); make it with curation.annotate tally") from error
    published = {name: paper.get(("Table 6", f"category {name}", "", "")) for name in shares}
    rows = [
        [name, shares[name], None if published[name] is None else f"{published[name]:g}"]
        for name in sorted(shares, key=lambda name: -(published[name] or 0))
    ]
    reviewed = paper.get(("Table 6", "queries reviewed", "", ""), float("nan"))
    return Table(
        ["Category", "Here (%)", "Paper (%)"],
        rows,
        f"Categories of {n:,} random queries of {queries}, sorted by {record.get('annotator') or 'hand'}. "
        "Brackets: Wilson's 95 % intervals.",
        [
            f"n = {n:,} queries here, {reviewed:g} in the paper, whose shares add up to 99 %.",
            *([f"Stand-ins: {record['annotator']}: {record['stand_in']}."] if record.get("stand_in") else []),
        ],
    )


if __name__ == "__main__":
    cli.run(main)
