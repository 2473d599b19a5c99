"""Write the preference for each model over the teacher, with the teacher's own answers as controls.

It reads the records of `preference.aggregate`. The teacher's second answers against its first are the upper bound of
imitation. Each of its answers against itself must be a tie; otherwise the judge is noisy or has a position bias.
"""

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

COLUMNS = ("win_rate", "preferred", "tie", "place")


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/preference.csv").parse_args(argv)
    study = read_study(args.study)
    table = build(study, read_made_by(args.scores, "metrics", "preference.aggregate"))
    table.write(args.output, "falsepromise.figures.table_preference", [args.study, *args.scores])


def label_of(study: Study, name: str) -> str:
    """A model's label; for the teacher's samples, their role as controls."""
    model, _, sample = name.rpartition(" (sample ")
    if not model:
        return model_label(study, name)
    return f"{study.teacher_label}, " + ("each answer against itself" if sample == "0)" else "second answers")


def row_of(study: Study, record: Record) -> list[Any]:
    """Label, judge, wins with half of the ties, wins, ties, the first place's share, bounds, what is not read, n."""
    metrics = record["metrics"]
    shown: list[Any] = [Estimate.of(metrics.get(name)) for name in COLUMNS]
    shown[3] = shown[3] and Printed(shown[3])
    wins = metrics.get("preferred", {})
    low, high = wins.get("bounds", [None, None])
    return [
        label_of(study, record["model"]),
        voter(study, record["benchmark"]),
        *shown,
        f"{wins['value']:.2f} ± {wins['sd']:.2f}" if "sd" in wins else None,
        f"{100 * low:.1f} to {100 * high:.1f}" if low is not None else None,
        record["counts"]["unreadable_votes"],
        record["counts"]["items"],
    ]


def build(study: Study, records: Sequence[Record]) -> Table:
    """A row for each model and judge, the controls last."""
    ordered = sorted(records, key=lambda record: " (sample " in record["model"])
    notes = [
        f"Study: {study.name} ({study.title}). Brackets: 95 % intervals, of 'wins and half of the ties' and of 'first "
        "place' by the model of all votes. Bounds: if all unreadable verdicts were for one side."
    ]
    stand_ins = {f"{voter(study, r['benchmark'])}: {r['stand_in']}" for r in records if r.get("stand_in")}
    if stand_ins:
        notes.append("Stand-ins: " + "; ".join(sorted(stand_ins)) + ".")
    header = ["Model", "Judge", "Wins and half of the ties (%)", "Wins (%)", "Ties (%)", "First place"]
    return Table(
        [*header, "Wins, mean ± one SD", "Wins, bounds (%)", "Unreadable", "Items"],
        [row_of(study, record) for record in ordered],
        "Preference for each model over the teacher.",
        notes,
    )


if __name__ == "__main__":
    cli.run(main)
