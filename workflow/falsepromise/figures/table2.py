"""Write Table 2: similarity of the models' replies to the teacher's style, as imitation data grows.

Columns: the base model without imitation data, each amount, and the teacher's second sample as the
rough upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.scores import Scores
from falsepromise.figures.select import amount_columns, style_benchmark
from falsepromise.figures.table import Printed, Table
from falsepromise.style.metrics import ROWS


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/table2.csv").parse_args(argv)
    build(draw.load(args)).write(args.output, "falsepromise.figures.table2", [args.study, *args.scores])


def build(scores: Scores) -> Table:
    """The table; the notes name metrics that no record has."""
    name = style_benchmark(scores)
    shown = amount_columns(scores)
    rows, absent, missing = [], [], []
    asked = [row for row in ROWS if row.question]
    for row in asked:
        metric = row.name
        if name not in scores.with_metric(metric):
            absent.append(metric)
            continue
        estimates = [*(scores.cell(cell, name, metric) for _, cell in shown), scores.second_sample(name, metric)]
        rows.append([row.question, *(e and Printed(e, row.scale, row.digits) for e in estimates)])
        missing += scores.missing([cell for _, cell in shown], name, metric)
    notes = foot_lines(scores, [(name, row.name) for row in asked], list(dict.fromkeys(missing)), form="table")
    if "assured_tone" not in absent:
        records = scores.of(name).values()
        shares = [r["metrics"]["assured_as_judged"]["value"] for r in records if "assured_as_judged" in r["metrics"]]
        known = f"on {min(shares):.0%} to {max(shares):.0%} of a model's replies" if shares else "not known"
        notes.append(f"The list of words and the judge agree on the tone: {known}.")
    if absent:
        notes.append("Missing in all scores: " + ", ".join(absent) + ".")
    return Table(
        ["Metric", *(header for header, _ in shown), f"{scores.study.teacher_label} #2"],
        rows,
        "As imitation data grows (tokens), is the style of the models' outputs more like the teacher's? "
        "Means with 95 % intervals.",
        notes,
    )


if __name__ == "__main__":
    cli.run(main)
