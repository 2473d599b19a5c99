"""Write this run beside the paper: each claim with its test and verdict, and the published numbers beside ours.

`falsepromise.figures.claims` describes the tests and the three verdicts; the published numbers are in
`resources/paper/numbers.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import atomic_open, write_json
from falsepromise.core.text import markdown
from falsepromise.figures import draw
from falsepromise.figures.claims import Claim, all_claims
from falsepromise.figures.differences import FEWEST, MARGIN, difference
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.metrics import STYLE
from falsepromise.figures.paper import PAPER, Numbers, read_numbers
from falsepromise.figures.scores import Estimate, Scores
from falsepromise.figures.select import (
    amount_columns,
    is_human,
    preference_benchmarks,
    style_benchmark,
    table_rows,
    targets,
)
from falsepromise.figures.table import GAP, markdown_table, spell, webpage


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/tables/versus_paper.md")
    parser.add_argument("--paper", type=Path, help="published numbers (default: resources/paper/numbers.csv)")
    args = parser.parse_args(argv)
    scores = draw.load(args)
    paper = args.paper or PAPER
    text = page(scores, read_numbers(paper))
    found = [
        {"name": c.name, "title": c.title, "place": c.place, "verdict": c.verdict, "comparisons": len(c.comparisons)}
        for c in all_claims(scores)
    ]
    write_json(args.output.with_suffix(".json"), {"study": scores.study.name, "claims": found})
    for suffix, form in ((".md", text), (".html", webpage(text))):
        with atomic_open(args.output.with_suffix(suffix)) as stream:
            stream.write(form)
    inputs = [args.study, *args.scores, paper]
    write_manifest(args.output, module="falsepromise.figures.versus_paper", inputs=inputs, config={"margin": MARGIN})


def page(scores: Scores, numbers: Numbers) -> str:
    """The Markdown page."""
    study = scores.study
    claims = all_claims(scores)
    used = [(b, scores.metric(b) or "") for b in study.benchmarks]
    parts = [
        f"# {markdown(study.title)}: this run beside the paper\n",
        *(f"{markdown(line)}\n" for line in foot_lines(scores, used, form="table")),
        "## The paper's claims\n",
        f"Differences are in points of a hundred with 95 % intervals. A rise of less than {100 * MARGIN:.0f} points "
        "counts as none. *supported*: the interval shows it; *not supported*: the interval excludes it; "
        "*can't tell*: this run is too small, or has no such scores. A claim has the verdict of more than half of its "
        "comparisons, if none has the opposite one; where all or one of them are needed, its test says so. Fewer than "
        f"{FEWEST} items decide nothing.\n",
        _intervals(study.seeds_each()),
        markdown_table(["Claim", "Where", "Verdict", "Comparisons for / against / open"], [_row(c) for c in claims]),
        "",
        *(section(number, claim) for number, claim in enumerate(claims, 1)),
        "## Published numbers beside ours\n",
        "The paper's models have 1.5B to 13B parameters and up to 150M tokens of imitation data. "
        "Compare directions and, with care, sizes.\n",
        *tables(scores, numbers),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _intervals(seeds: str) -> str:
    """A note on what the intervals cover."""
    if seeds == "1":
        return "One seed: intervals cover only the choice of items, not the seed variance.\n"
    poorly = " Two or three seeds estimate it poorly: such intervals are somewhat too narrow."
    few = poorly if int(seeds.split()[0]) < 4 else ""
    return (
        f"Intervals are a bootstrap over items and over the {seeds} seeds: they cover the choice of items and the "
        f"seed variance.{few}\n"
    )


def _row(claim: Claim) -> list[str]:
    verdicts = [c.verdict for c in claim.comparisons]
    counts = " / ".join(str(verdicts.count(v)) for v in ("supported", "not supported", "can't tell"))
    return [claim.title, claim.place, claim.verdict, counts if verdicts else "no scores"]


def section(number: int, claim: Claim) -> str:
    """One claim: its test, its verdict, the numbers."""
    parts = [f"### {number}. {markdown(claim.title)}: {claim.verdict}\n", f"Test: {markdown(claim.test)}.\n"]
    if claim.note:
        parts.append(f"{markdown(claim.note)}\n")
    if not claim.comparisons:
        return "\n".join([*parts, "This run has no scores for it.\n"])
    rows = [
        [c.benchmark, c.text, _signed(c.difference), f"{c.difference.n:,}", "yes" if c.paired else "no", c.verdict]
        for c in claim.comparisons
    ]
    table = markdown_table(["Measured by", "Compared", "Difference", "n", "Paired", "Says"], rows)
    return "\n".join([*parts, table, ""])


def _signed(estimate: Estimate | None, scale: float = 100.0) -> str:
    if estimate is None:
        return GAP
    digits = 1 if scale > 1 else 2
    value, low, high = (f"{scale * x:+.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def tables(scores: Scores, numbers: Numbers) -> list[str]:
    """Tables 1, 2 and 7 and Figure 1's printed number beside this run's."""
    return [*_table2(scores, numbers), *_changes(scores, numbers), *_figure1(scores, numbers)]


def _table2(scores: Scores, numbers: Numbers) -> list[str]:
    name, cells = style_benchmark(scores), [cell for _, cell in amount_columns(scores)]
    trained = [cell for cell in cells if not cell.is_base]
    if not trained or not scores.of(name):
        return []
    bases = [cell for cell in cells if cell.base == trained[-1].base and cell.is_base]
    rows = []
    for metric, row in STYLE.items():
        ours = [scores.cell(bases[0], name, metric), scores.cell(trained[-1], name, metric)]
        ours.append(scores.second_sample(name, metric))
        theirs = [numbers.get(("Table 2", metric, *key)) for key in
                  (("LLaMA", "none"), ("imitation", "150M"), ("ChatGPT #2", ""))]  # fmt: skip
        printed = [GAP if e is None else spell(e, row.scale, row.digits) for e in ours]
        published = [GAP if v is None else f"{v:g}" for v in theirs]
        rows.append([row.axis, *(cell for pair in zip(published, printed, strict=True) for cell in pair)])
    header = ["Table 2", "LLaMA", "our base", "150M", "our largest amount", "ChatGPT #2", "our second sample"]
    return [markdown_table(header, rows), ""]


def _changes(scores: Scores, numbers: Numbers) -> list[str]:
    """Tables 1 and 7: the changes against the base model by broad and by targeted data."""
    study, rows = scores.study, table_rows(scores.study)
    shown = []
    for name in dict.fromkeys(b for cell in rows for b in targets(study, cell.mixture)):
        task = study.benchmarks.get(name, {}).get("task")
        metrics = ["rouge1", "rouge2", "rougeL"] if task == "cnn" else [scores.metric(name) or ""]
        for metric in metrics:
            for kind in ("broad", "targeted"):
                ours = []
                for cell in rows:
                    made_for = targets(study, cell.mixture)
                    if cell.is_base or (name in made_for) != (kind == "targeted") or (kind == "broad" and made_for):
                        continue
                    found = difference(scores, cell, study.base_cell(cell.base), name, metric)
                    if found:
                        known = scores.known(name, metric)
                        ours.append(f"{study.base_label(cell.base)}: {_signed(found[0], known.scale)}")
                published = [
                    GAP if change is None else f"{size}: {change:+.4g}"
                    for size in ("7B", "13B")
                    for change in [_published_change(numbers, task, metric, kind, size)]
                ]
                named = scores.known(name, metric).label
                shown.append([scores.label(name), named, kind, *published, "; ".join(ours) or GAP])
    if not shown:
        return []
    header = ["Change against the base model", "Metric", "Imitation data", "Paper, 7B", "Paper, 13B", "This run"]
    return [markdown_table(header, shown), ""]


def _published_change(numbers: Numbers, task: str | None, metric: str, kind: str, size: str) -> float | None:
    if task == "cnn":
        place, quantity, target = "Table 7", metric, "TLDR-Synthetic"
    else:
        place, quantity, target = "Table 1", f"{task} {metric}", "Targeted Imitation"
    data = target if kind == "targeted" else "ShareGPT-Mix"
    after = numbers.get((place, quantity, size, data))
    before = numbers.get((place, quantity, size, "none"))
    return None if after is None or before is None else after - before


def _figure1(scores: Scores, numbers: Numbers) -> list[str]:
    published = numbers.get(("Figure 1", "outputs rated equal or better than the teacher's", "", ""))
    rows = []
    for name in preference_benchmarks(scores):
        for cell in scores.study.cells("amount")[-1:]:
            ours = scores.cell(cell, name, "equal_or_better")
            if ours:
                people = f"about {published:g}" if published and is_human(scores, name) else GAP
                rows.append([scores.label(name), people, spell(ours), cell.label])
    if not rows:
        return []
    header = ["Equal to or better than the teacher (%)", "Paper, raters (Figure 1, left)", "This run", "Model"]
    return [markdown_table(header, rows), ""]


if __name__ == "__main__":
    cli.run(main)
