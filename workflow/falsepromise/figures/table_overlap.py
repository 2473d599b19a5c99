"""Write the similarity of each benchmark's questions to each mixture's queries, the paper's confounder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json
from falsepromise.figures.scores import Estimate
from falsepromise.figures.table import Printed, Table


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--reports", type=Path, nargs="+", required=True, help="output of benchmarks.overlap")
    parser.add_argument("--benchmarks", nargs="+", required=True, help="the benchmark of each report")
    parser.add_argument("--mixtures", nargs="+", required=True, help="the mixture of each report")
    parser.add_argument(
        "--output", type=Path, default=Path("results/tables/overlap.csv"), help="table, with .md and .tex"
    )
    args = parser.parse_args(argv)
    if not len(args.reports) == len(args.benchmarks) == len(args.mixtures):
        raise UserError("--benchmarks and --mixtures: give one name for each report")
    table = build(list(zip(args.reports, args.benchmarks, args.mixtures, strict=True)))
    table.write(args.output, "falsepromise.figures.table_overlap", args.reports)


def build(reports: Sequence[tuple[Path, str, str]]) -> Table:
    """The table: a row for each benchmark and mixture.

    Raises:
        UserError: a file is not a report.
    """
    rows, limits = [], set()
    for path, benchmark, mixture in reports:
        record = read_json(path)
        try:
            over = record["share_over"]
            limits.add(f"{record['max_bleu']:g}")
            (low, high), (least, most) = record["ci95"], over["ci95"]
            mean = Estimate(record["mean_bleu"], low, high, record["n"])
            share = Estimate(over["value"], least, most, over["n"])
            highest = f"{record['items'][0]['bleu']:.1f}"
            counts = [record["n"], record["n_training_queries"]]
            rows.append([benchmark, mixture, *counts, Printed(mean, 1, 1), share, highest])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{path}: not an overlap report ({error!r}); make it with benchmarks.overlap") from error
    limit = " or ".join(sorted(limits))
    return Table(
        ["Benchmark", "Data", "Questions", "Queries in the data", "Mean BLEU", f"Over {limit} (%)", "Highest BLEU"],
        rows,
        "Overlap of the benchmarks with the imitation data: each question's BLEU with the nearest user query. "
        "Brackets: 95 % intervals over questions.",
        [f"The paper drops prompts of its own evaluation set over {limit} %; benchmarks are scored on all items."],
    )


if __name__ == "__main__":
    cli.run(main)
