"""Write the agreement of judges, raters and style metrics, from `preference.agreement`, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.core.records import Record
from falsepromise.figures import draw
from falsepromise.figures.labels import model_label, voter
from falsepromise.figures.scores import Estimate, read_made_by
from falsepromise.figures.study import Study, read_study
from falsepromise.figures.table import Printed, Table

FEATURES = {
    "length": "longer",
    "list": "list where the teacher has none",
    "summary_paragraph": "summary where the teacher has none",
    "unigram_intersection": "words in common",
}


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/agreement.csv").parse_args(argv)
    study = read_study(args.study)
    table = build(study, read_made_by(args.scores, "agreement", "preference.agreement"))
    table.write(args.output, "falsepromise.figures.table_agreement", [args.study, *args.scores])


def rows_of(study: Study, record: Record) -> Iterator[list[Any]]:
    """The rows of one model."""
    label = model_label(study, record["model"])
    for row in record["agreement"]:
        kappa = Estimate.of(row.get("cohen_kappa"))
        same, decided = Estimate.of(row["same"]), Estimate.of(row.get("same_without_ties"))
        yield [label, voter(study, row["a"]), voter(study, row["b"]), same, decided, kappa and Printed(kappa), None]
    for row in record["style"]:
        for feature, text in FEATURES.items():
            tau = Estimate.of(row.get(feature))
            if tau:
                yield [label, voter(study, row["source"]), text, None, None, None, Printed(tau)]


def build(study: Study, records: Sequence[Record]) -> Table:
    """A row for each pair of a model; the notes name judges with unreadable verdicts."""
    notes = [
        f"Study: {study.name} ({study.title}). Brackets: 95 % intervals over prompts. no_majority counts as a tie."
    ]
    said = {f"{voter(study, n)}: {text}" for record in records for n, text in record.get("stand_ins", {}).items()}
    for section in (study.judges, study.raters):
        said |= {
            f"{voter(study, name)}: {entry['stand_in']}" for name, entry in section.items() if entry.get("stand_in")
        }
    if said:
        notes.append("Stand-ins: " + "; ".join(sorted(said)) + ".")
    for record in records:
        for name, why in record["absent"].items():
            notes.append(f"{voter(study, name)} on {model_label(study, record['model'])}: {why}.")
    return Table(
        ["Model", "One", "Other", "Same choice (%)", "Same, ties aside (%)", "Cohen's kappa", "Kendall's tau-b"],
        [row for record in records for row in rows_of(study, record)],
        "Do judges and raters choose alike, and do their choices go with style?",
        notes,
    )


if __name__ == "__main__":
    cli.run(main)
