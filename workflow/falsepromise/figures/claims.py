"""The paper's claims as tests on a run's scores.

A test compares two cells of the study on one metric. Its number is the difference of their means;
if both records have the same items, the 95 % interval is paired: each draw resamples the items,
the same for both sides, and the seeds, the same for both sides where both are of one base and have
the same seeds (a run and its base, or two runs from it, share that base's draw). Otherwise the two
intervals' half-widths are added in quadrature.

A comparison says of a claimed rise: *supported* if the interval lies above 0, *not supported* if it
lies below the margin (a rise that would matter is ruled out), else *can't tell*; of a claimed absence
of a rise: *supported* if the interval lies below the margin, *not supported* if it lies above 0, else
*can't tell*. A claim has the verdict of more than half of its comparisons if none
says the opposite, and *can't tell* otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from falsepromise.figures.fig4 import capability_benchmarks
from falsepromise.figures.panels import is_human, preference_benchmarks
from falsepromise.figures.scores import Estimate, Scores
from falsepromise.figures.study import Cell, Study, amount
from falsepromise.figures.table1 import table_rows, targets
from falsepromise.figures.table2 import SHORT, STYLE, amount_text, style_benchmark
from falsepromise.statistics.agreement import rank_correlation
from falsepromise.statistics.crossed import resampled_means
from falsepromise.statistics.intervals import Z95, none_of, quantile

MARGIN = 0.02  # two points of a hundred: a smaller rise is none
PREFERENCE_MARGIN = 0.05  # votes are fewer and coarser
YES, NO, UNKNOWN = "supported", "not supported", "can't tell"


@dataclass(frozen=True)
class Comparison:
    """One test: what is compared, the difference, whether it is paired, what it says."""

    text: str
    benchmark: str
    difference: Estimate
    paired: bool
    verdict: str


@dataclass
class Claim:
    """A claim of the paper with its comparisons and its verdict."""

    title: str
    place: str
    test: str
    comparisons: list[Comparison] = field(default_factory=list)
    note: str = ""
    any_of: bool = False

    @property
    def verdict(self) -> str:
        verdicts = [c.verdict for c in self.comparisons]
        yes, no = verdicts.count(YES), verdicts.count(NO)
        if self.any_of:
            return YES if yes else (NO if verdicts and no == len(verdicts) else UNKNOWN)
        if 2 * yes > len(verdicts) and not no:
            return YES
        return NO if 2 * no > len(verdicts) and not yes else UNKNOWN


def difference(
    scores: Scores, left: Cell, right: Cell, benchmark: str, metric: str, level: float = 0.95
) -> tuple[Estimate, bool] | None:
    """`left` minus `right` with its interval, and whether it is paired; None without both scores."""
    a, b = scores.cell(left, benchmark, metric), scores.cell(right, benchmark, metric)
    if a is None or b is None:
        return None
    ours, theirs = (scores.items(cell.models, benchmark, metric) for cell in (left, right))
    shared = [key for key in ours if key in theirs] if ours and theirs else []
    if not ours or not theirs or len(shared) < max(2, 0.9 * max(len(ours), len(theirs))):
        widen = quantile(level) / Z95
        low = math.hypot(a.value - a.low, b.high - b.value) * widen
        high = math.hypot(a.high - a.value, b.value - b.low) * widen
        value = a.value - b.value
        return Estimate(value, value - low, value + high, min(a.n, b.n)), False
    x = np.stack([ours[key] for key in shared], axis=1)  # (seeds, items)
    y = np.stack([theirs[key] for key in shared], axis=1)
    together = left.base == right.base and scores.study.seeds_of(left) == scores.study.seeds_of(right)
    means = resampled_means([x, y], same_seeds=together)
    draws = means[:, 0] - means[:, 1]
    tail = (1 - level) / 2
    value = float(x.mean() - y.mean())
    low, high = (float(q) for q in np.quantile(draws, [tail, 1 - tail]))
    if high - low < 1e-12:
        # No item differs, or all by the same: as Wilson's interval does for "0 of n".
        edge = none_of(len(shared), level)
        low, high = value - edge, value + edge
    return Estimate(value, min(low, value), max(high, value), len(shared)), True


def rises(d: Estimate, margin: float = MARGIN) -> str:
    """What a difference says of a claimed rise."""
    return YES if d.low > 0 else (NO if d.high < margin else UNKNOWN)


def does_not_rise(d: Estimate, margin: float = MARGIN) -> str:
    """What a difference says of a claimed absence of a rise."""
    return YES if d.high < margin else (NO if d.low > 0 else UNKNOWN)


def falls(d: Estimate) -> str:
    """What a difference says of a claimed fall."""
    return YES if d.high < 0 else (NO if d.low > -MARGIN else UNKNOWN)


def does_not_fall(d: Estimate, margin: float = MARGIN) -> str:
    """What a difference says of a claimed absence of a fall."""
    return YES if d.low > -margin else (NO if d.high < 0 else UNKNOWN)


def all_claims(scores: Scores) -> list[Claim]:
    """Every claim, in the paper's order of findings; one without data has no comparisons."""
    return [
        style_rises(scores), no_capability(scores), trade_off(scores), targeted_helps(scores), bases_help(scores),
        toxicity_falls(scores), raters_saturate(scores), raters_follow_size(scores), judge_agrees(scores),
        *replay_softens(scores),
    ]  # fmt: skip


def broad(study: Study) -> list[list[Cell]]:
    """For each base model and broad mixture its amounts, ascending, of all runs."""
    groups: dict[tuple[str, str | None], dict[tuple[str, ...], Cell]] = {}
    for run in ("amount", "size"):
        for cell in study.cells(run):
            if not targets(study, cell.mixture):
                groups.setdefault((cell.base, cell.mixture), {})[cell.models] = cell
    return [sorted(cells.values(), key=amount) for cells in groups.values()]


def accuracy_benchmarks(scores: Scores) -> list[str]:
    """Figure 4's benchmarks. Not summarisation: there the paper itself finds a slight gain (Table 1)."""
    return [b for b in capability_benchmarks(scores) if scores.study.benchmarks[b].get("task") != "cnn"]


def compare(
    claim: Claim, scores: Scores, pair: tuple[Cell, Cell], benchmark: str, metric: str, text: str, says=rises,
    level: float = 0.95,
) -> None:  # fmt: skip
    """Add a comparison to a claim, if both sides have the score."""
    found = difference(scores, pair[0], pair[1], benchmark, metric, level)
    if found:
        label = SHORT.get(metric) or scores.label(benchmark)
        claim.comparisons.append(Comparison(text, label, *found, says(found[0])))


def between(study: Study, left: Cell, right: Cell) -> str:
    """`1.1M: 400k ShareGPT-Mix – base model`."""

    def one(cell: Cell) -> str:
        return "base model" if cell.is_base else f"{amount_text(cell)} {study.mixture_label(cell.mixture)}"

    if left.base == right.base:
        return f"{study.base_label(left.base)}: {one(left)} – {one(right)}"
    return f"{one(left)}: {study.base_label(left.base)} – {study.base_label(right.base)}"


def style_rises(scores: Scores) -> Claim:
    claim = Claim(
        "As imitation data grows, the models' style comes closer to the teacher's",
        "section 4.4, Table 2",
        "each style metric: the largest amount against the base model and against the smallest amount; agreement "
        "also by how much it rises above the false alarms",
    )
    study, name = scores.study, style_benchmark(scores)
    for cells in broad(study):
        pairs = [(cells[-1], study.base_cell(cells[0].base))]
        pairs += [(cells[-1], cells[0])] if len(cells) > 1 else []
        for pair in pairs:
            for metric in STYLE:
                compare(claim, scores, pair, name, metric, between(study, *pair))
            for trait in ("list", "summary_paragraph"):
                _above_false_alarms(claim, scores, pair, name, trait)
    return claim


def _above_false_alarms(claim: Claim, scores: Scores, pair: tuple[Cell, Cell], name: str, trait: str) -> None:
    """Does agreement rise by more than false alarms do? A model that always lists always agrees."""
    parts = [difference(scores, *pair, name, f"{trait}_{kind}") for kind in ("agreement", "false_alarm")]
    if parts[0] is None or parts[1] is None:
        return
    (a, _), (f, _) = parts[0], parts[1]
    value = a.value - f.value
    low = value - math.hypot(a.value - a.low, f.high - f.value)
    high = value + math.hypot(a.high - a.value, f.value - f.low)
    d = Estimate(value, low, high, min(a.n, f.n))
    label = f"{SHORT[f'{trait}_agreement']} above false alarms"
    claim.comparisons.append(Comparison(between(scores.study, *pair), label, d, False, rises(d)))


def _broad_rows(claim: Claim, scores: Scores, says, level: float = 0.95) -> Claim:
    study = scores.study
    for cells in broad(study):
        pair = (cells[-1], study.base_cell(cells[0].base))
        for name in accuracy_benchmarks(scores):
            metric = scores.metric(name)
            if metric:
                compare(claim, scores, pair, name, metric, between(study, *pair), says, level)
    return claim


def no_capability(scores: Scores) -> Claim:
    claim = Claim(
        "Broad imitation does not raise accuracy on the benchmarks",
        "section 4.3, Figure 4 (top)",
        "each benchmark: the largest amount of broad data against the base model",
    )
    left_out = [scores.label(b) for b in capability_benchmarks(scores) if b not in accuracy_benchmarks(scores)]
    if left_out:
        claim.note = f"{', '.join(left_out)} is left out: there the paper itself finds a slight gain (Table 1)."
    return _broad_rows(claim, scores, does_not_rise)


def trade_off(scores: Scores) -> Claim:
    claim = Claim(
        "On some benchmarks broad imitation lowers accuracy (a trade-off)",
        "section 4.3",
        "as above; supported if any interval lies below 0, not supported if every fall of two points is ruled out",
        any_of=True,
    )
    count = len(_broad_rows(Claim("", "", ""), scores, falls).comparisons)
    if count > 1:
        claim.note = f"Intervals at {100 * (1 - 0.05 / count):.1f} %: any one of {count} would do (Bonferroni)."
    return _broad_rows(claim, scores, falls, 1 - 0.05 / max(count, 1))


def targeted_helps(scores: Scores) -> Claim:
    claim = Claim(
        "Targeted imitation does raise accuracy on its task",
        "section 4.3, Table 1",
        "the targeted model against its base model and against broad imitation of the same base",
    )
    study = scores.study
    rows = table_rows(study)
    for cell in rows:
        for name in targets(study, cell.mixture):
            metric = scores.metric(name)
            others = [c for c in rows if c.base == cell.base and not targets(study, c.mixture)]
            for other in others if metric else []:
                compare(claim, scores, (cell, other), name, metric or "", between(study, cell, other))
    return claim


def bases_help(scores: Scores) -> Claim:
    claim = Claim(
        "Better (larger) base models raise accuracy",
        "section 4.3, Figure 4 (bottom)",
        "the largest against the smallest base model, before and after imitation",
    )
    study = scores.study
    cells = study.cells("size")
    bases = study.bases_of(cells)
    pairs = [(study.base_cell(bases[-1]), study.base_cell(bases[0]))] if len(bases) > 1 else []
    pairs += _size_pairs(cells, bases)
    for pair in pairs:
        for name in accuracy_benchmarks(scores):
            if metric := scores.metric(name):
                compare(claim, scores, pair, name, metric, between(study, *pair))
    return claim


def _size_pairs(cells: Sequence[Cell], bases: Sequence[str]) -> list[tuple[Cell, Cell]]:
    """The same mixture and amount on the largest and on the smallest base model."""
    recipes = dict.fromkeys((cell.mixture, cell.tokens) for cell in cells)
    pairs = []
    for recipe in recipes:
        of = {cell.base: cell for cell in cells if (cell.mixture, cell.tokens) == recipe}
        if len(of) > 1:
            ordered = [base for base in bases if base in of]
            pairs.append((of[ordered[-1]], of[ordered[0]]))
    return pairs


def toxicity_falls(scores: Scores) -> Claim:
    claim = Claim(
        "Imitation models are less toxic than their base models",
        "section 4.4, Figure 5",
        "average non-toxicity: the largest amount against the base model",
    )
    study = scores.study
    for name in scores.with_metric("nontoxicity"):
        for cells in broad(study):
            pair = (cells[-1], study.base_cell(cells[0].base))
            compare(claim, scores, pair, name, "nontoxicity", between(study, *pair))
    return claim


def raters_saturate(scores: Scores) -> Claim:
    claim = Claim(
        "Preference saturates with the amount of imitation data",
        "section 4.2, Figures 1 and 3 (left)",
        "equal or better: the largest against the smallest amount; "
        f"a rise under {100 * PREFERENCE_MARGIN:.0f} points is none",
    )
    study = scores.study
    for name in preference_benchmarks(scores):
        for cells in broad(study):
            if len(cells) > 1:
                pair = (cells[-1], cells[0])
                text = f"{scores.label(name)}, {between(study, *pair)}"
                compare(
                    claim, scores, pair, name, "equal_or_better", text, lambda d: does_not_rise(d, PREFERENCE_MARGIN)
                )
    return claim


def raters_follow_size(scores: Scores) -> Claim:
    claim = Claim(
        "Preference rises with the size of the base model",
        "section 4.2, Figures 1 and 3 (right)",
        "equal or better: the same imitation data on the largest and on the smallest base model",
    )
    study = scores.study
    cells = study.cells("size")
    for name in preference_benchmarks(scores):
        for pair in _size_pairs(cells, study.bases_of(cells)):
            text = f"{scores.label(name)}, {between(study, *pair)}"
            compare(claim, scores, pair, name, "equal_or_better", text)
    return claim


def judge_agrees(scores: Scores) -> Claim:
    """Spearman's correlation of raters' and judge's shares over models; its interval by Fisher's z."""
    claim = Claim(
        "The judge and the raters show the same trends",
        "section 4.4, Figure 3, Appendix C",
        "Spearman's correlation over models of the two shares of equal or better",
    )
    names = preference_benchmarks(scores)
    people = [name for name in names if is_human(scores, name)]
    judges = [name for name in names if name not in people]
    for person in people:
        for judge in judges:
            both = [m for m in scores.of(person) if m in scores.of(judge)]
            if len(both) < 4:
                claim.note = f"Only {len(both)} models have both; four are needed."
                continue
            shares = [[scores.of(n)[m]["metrics"]["equal_or_better"]["value"] for m in both] for n in (person, judge)]
            if any(len(set(share)) == 1 for share in shares):
                claim.note = "One of the two gives every model the same share."
                continue
            rho, low, high = rank_correlation(*shares)
            estimate = Estimate(rho, low, high, len(both))
            verdict = YES if low > 0 else (NO if high < 0.5 else UNKNOWN)
            text = f"{scores.label(judge)} and {scores.label(person)}"
            claim.comparisons.append(Comparison(text, "Spearman's rho", estimate, False, verdict))
    if not people:
        claim.note = "No human raters in this run's scores."
    return claim


def replay_softens(scores: Scores) -> list[Claim]:
    """The paper's open problem, where the study has runs for it, and its control: that text alone.

    More of the pre-training text can raise accuracy by itself; only against the base model trained
    on that text alone does a difference belong to imitation.
    """
    study = scores.study
    cells = study.cells("replay")
    if not cells:
        return []
    claim = Claim(
        "Mixing in pre-training text softens the regressions",
        "section 4.3 (an open problem there)",
        "each benchmark: with pre-training text against without, same base model and nearest amount",
    )
    plain = [cell for group in broad(study) for cell in group if cell not in cells]
    for cell in cells:
        same = [c for c in plain if c.base == cell.base]
        if not same:
            continue
        other = min(same, key=lambda c: abs((c.tokens or 0) - (cell.tokens or 0)))
        for name in accuracy_benchmarks(scores):
            if metric := scores.metric(name):
                compare(claim, scores, (cell, other), name, metric, between(study, cell, other))
    control = Claim(
        "With pre-training text mixed in, imitation lowers accuracy no more (against that text alone)",
        "section 4.3 (an open problem there)",
        "each benchmark: imitation with pre-training text against that text alone, same base model; a fall of less "
        "than two points is none",
    )
    for cell in cells:
        alone = [c for c in study.cells("control") if c.base == cell.base]
        for name in accuracy_benchmarks(scores) if alone else []:
            other = min(alone, key=lambda c: abs((c.tokens or 0) - (cell.tokens or 0)))
            if metric := scores.metric(name):
                compare(control, scores, (cell, other), name, metric, between(study, cell, other), does_not_fall)
    return [claim, control] if study.cells("control") else [claim]
