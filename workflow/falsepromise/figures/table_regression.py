"""Write the results of `preference.regression` (does style explain the preference?) by model and judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.core.records import Record
from falsepromise.figures import draw
from falsepromise.figures.labels import model_label, voter
from falsepromise.figures.scores import Estimate, read_made_by
from falsepromise.figures.study import Study, read_study
from falsepromise.figures.table import Printed, Table

COLUMNS = {
    "length": "Longer",
    "list": "List",
    "summary_paragraph": "Summary",
    "unigram_intersection": "Words in common",
}


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/regression.csv").parse_args(argv)
    study = read_study(args.study)
    table = build(study, read_made_by(args.scores, "coefficients", "preference.regression"))
    table.write(args.output, "falsepromise.figures.table_regression", [args.study, *args.scores])


def row_of(study: Study, record: Record) -> list[Any]:
    """Coefficients with intervals, the joint test, pseudo R2, wins at equal style, n."""
    coefficients = record.get("coefficients", {})
    shown = [Estimate.of(coefficients.get(name), record["n"]) for name in COLUMNS]
    wald, r2 = record.get("wald"), record.get("pseudo_r2")
    return [
        model_label(study, record["model"]),
        voter(study, record["benchmark"]),
        *(value and Printed(value) for value in shown),
        f"{wald['p']:.2g}" if wald else None,
        f"{r2:.2f}" if r2 is not None else None,
        Estimate.of(record.get("rate_at_equal_style")),
        record["n"],
    ]


def build(study: Study, records: Sequence[Record]) -> Table:
    """The table; a regression without a fit is a row of gaps, and the notes have the reason."""
    notes = [
        f"Study: {study.name} ({study.title}). Logistic regression of our win (a tie: half) on standardised "
        "differences in style to the teacher; brackets: 95 % intervals, robust (HC0). A correlation is not a cause."
    ]
    stand_ins = {f"{voter(study, r['benchmark'])}: {r['stand_in']}" for r in records if r.get("stand_in")}
    for section in (study.judges, study.raters):
        stand_ins |= {f"{e['label']}: {e['stand_in']}" for e in section.values() if e.get("stand_in")}
    if stand_ins:
        notes.append("Stand-ins: " + "; ".join(sorted(stand_ins)) + ".")
    absent: dict[str, list[str]] = {}
    for record in records:
        if record.get("absent"):
            label = f"{model_label(study, record['model'])} by {voter(study, record['benchmark'])}"
            absent.setdefault(record["absent"], []).append(label)
    notes += [f"{'; '.join(labels)}: {reason}." for reason, labels in absent.items()]
    return Table(
        ["Model", "Rated by", *COLUMNS.values(), "p of all four", "Pseudo R2", "Wins at equal style (%)", "n"],
        [row_of(study, record) for record in records],
        "Does style explain the preference?",
        notes,
    )


if __name__ == "__main__":
    cli.run(main)
