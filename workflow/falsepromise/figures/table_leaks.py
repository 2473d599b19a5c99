"""Write scores with and without the benchmark items that a model was trained on.

An item is flagged for the models of a mixture if `benchmarks.overlap` found it in the mixture's dialogues: in
another spelling, within a turn, or in 13 words in a row. A high BLEU alone doesn't flag an item, because questions
of one pattern are similar. A score without flagged items is the mean over the other items and all seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, read_json
from falsepromise.figures import draw
from falsepromise.figures.scores import Scores, item_key, item_sums, named
from falsepromise.figures.table import Table, shown
from falsepromise.statistics.intervals import mean_metric


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/tables/leaks.csv")
    parser.add_argument("--reports", type=Path, nargs="+", required=True, help="output of benchmarks.overlap")
    parser.add_argument("--benchmarks", nargs="+", required=True, help="the benchmark of each report")
    joined = "the mixture of each report, or several of the same dialogues joined by +"
    parser.add_argument("--mixtures", nargs="+", required=True, help=joined)
    args = parser.parse_args(argv)
    if not len(args.reports) == len(args.benchmarks) == len(args.mixtures):
        raise UserError("--benchmarks and --mixtures: give one name for each report")
    flagged: dict[tuple[str, str], list[str]] = {}
    for path, benchmark, mixtures in zip(args.reports, args.benchmarks, args.mixtures, strict=True):
        for mixture in mixtures.split("+"):
            flagged[benchmark, mixture] = flagged_in(path)
    table = build(draw.load(args), flagged)
    table.write(args.output, "falsepromise.figures.table_leaks", [args.study, *args.scores, *args.reports])


def flagged_in(path: Path) -> list[str]:
    """The ids of the items that an overlap report flags.

    Raises:
        UserError: it is not such a report.
    """
    record = read_json(path)
    ids = record.get("flagged") if isinstance(record, dict) else None
    if not isinstance(ids, list):
        raise UserError(f"{path}: not an overlap report with 'flagged' items; make it with benchmarks.overlap")
    return [str(name) for name in ids]


def build(scores: Scores, flagged: Mapping[tuple[str, str], Sequence[str]]) -> Table:
    """The table: a row for each benchmark and trained model with scores."""
    study = scores.study
    rows, gaps = [], []
    cells = {cell.models: cell for cell in study.cells(*study.runs)}
    for benchmark in scores.study.benchmarks:
        metric = scores.metric(benchmark)
        for cell in cells.values():
            names = [name for name in cell.models if (name, benchmark) in scores.records]
            ids = flagged.get((benchmark, cell.mixture or ""))
            if metric is None or not names or ids is None:
                continue
            records = {name: scores.records[name, benchmark] for name in names}
            items = item_sums([r for r in records.values() if metric in r["metrics"]], metric)
            if items is None:
                gaps.append(scores.label(benchmark))
                continue
            hit = set(ids) & set(items)
            left = {(name, benchmark): without(record, metric, hit) for name, record in records.items()}
            clean = Scores(study, {key: record for key, record in left.items() if record is not None})
            label = [scores.label(benchmark), cell.label, study.mixture_label(cell.mixture)]
            both = (shown(scores, of.cell(cell, benchmark, metric), benchmark, metric) for of in (scores, clean))
            rows.append([*label, next(both), len(hit), next(both)])
    notes = [f"No score of single items: {', '.join(dict.fromkeys(gaps))}."] if gaps else []
    return Table(
        ["Benchmark", "Model", "Imitation data", "Score", "Flagged items", "Score without them"],
        rows,
        "Scores with and without the items in a model's imitation data, shares times 100, with 95 % intervals.",
        [*notes, "Flagged: equal to a turn of the data, within one, or 13 words in a row, in any spelling."],
    )


def without(record: Record, metric: str, ids: set[str]) -> Record | None:
    """A score record without some of its items; None if none is left."""
    items = [item for item in record.get("items") or [] if item_key(item) not in ids]
    values = [value for item in items if (value := named(metric).of_item(item)) is not None]
    return {**record, "items": items, "metrics": {metric: mean_metric(values)}} if values else None


if __name__ == "__main__":
    cli.run(main)
