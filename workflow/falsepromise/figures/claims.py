"""Test the paper's claims on a run's scores, one row of `ROWS` for each claim.

A claim compares pairs of cells on measures; `figures.differences` computes the intervals. A claimed rise is *supported*
by a comparison whose interval is above 0, *not supported* if it is below the margin (which excludes a rise that
matters), else *can't tell*. A claimed absence of a rise is *supported* if the interval is below the margin, *not
supported* if it is above 0, else *can't tell*. A claim has the verdict of more than half of its comparisons if none has
the opposite one, and *can't tell* otherwise. Where all comparisons are needed, one that isn't supported is enough
against the claim; where one is enough, all are needed against it.

To add a claim, add a row to `ROWS`: its pairs, its measures, and how a difference decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from falsepromise.figures.differences import (
    FEWEST,
    NO,
    UNKNOWN,
    YES,
    Comparison,
    Measure,
    Pair,
    Rule,
    does_not_fall,
    does_not_rise,
    falls,
    is_positive,
    measured,
    rises,
    verdict_of,
)
from falsepromise.figures.labels import between
from falsepromise.figures.metrics import STYLE
from falsepromise.figures.scores import Estimate, Scores
from falsepromise.figures.select import (
    accuracy_benchmarks,
    broad,
    capability_benchmarks,
    is_human,
    larger,
    nearest_amounts,
    preference_benchmarks,
    size_pairs,
    solved,
    style_benchmark,
    table_rows,
    targets,
)
from falsepromise.figures.study import Cell
from falsepromise.statistics.agreement import rank_correlation

# On what the claim about style is tested; tone only where a judge was asked. Whether a list or a
# summary paragraph is there at all proves nothing, and summaries are too rare for a test: Table 2 has them.
TESTED = ("teacher_likelihood", "unigram_intersection", "list_agreement", "length_correlation", "authoritative_tone")
PREFERENCE_MARGIN = 0.05  # votes are fewer and coarser than a benchmark's items


@dataclass(frozen=True)
class Row:
    """A claim before it is tested.

    Attributes:
        name: Its name in the code.
        brief: The claim in two or three words, for a panel.
        title, place: The paper's statement, and its section.
        test: The comparison in words.
        pairs: The pairs of cells to compare.
        measures: The measures to compare each pair on.
        says: The verdict of a difference.
        any_of: Whether one comparison is enough; then each interval is at Bonferroni's level.
        all_of: Whether all comparisons are needed; then each refutation is at Bonferroni's level.
        others: Tests of another kind, instead of pairs.
        note: A note to print beside it.
        optional: Whether to leave it out of a study without runs for it.
    """

    name: str
    brief: str
    title: str
    place: str
    test: str
    pairs: Callable[[Scores], list[Pair]] = lambda scores: []
    measures: Callable[[Scores, Pair], list[Measure]] = lambda scores, pair: []
    says: Rule = rises
    any_of: bool = False
    all_of: bool = False
    others: Callable[[Scores], Iterator[Comparison | str]] | None = None
    note: Callable[[Scores], str] = lambda scores: ""
    optional: bool = False


@dataclass
class Claim:
    """A claim of the paper with its comparisons and its verdict.

    Attributes:
        gaps: Whether a comparison that all are needed of has no scores, though others on its measure have.
    """

    name: str
    title: str
    place: str
    test: str
    comparisons: list[Comparison] = field(default_factory=list)
    note: str = ""
    any_of: bool = False
    all_of: bool = False
    gaps: bool = False

    @property
    def verdict(self) -> str:
        said = verdict_of(self.comparisons, self.any_of, self.all_of)
        return UNKNOWN if said == YES and self.gaps else said


def all_claims(scores: Scores) -> list[Claim]:
    """Every claim, in the order of the paper's findings; a claim without data has no comparisons."""
    return [tested(row, scores) for row in ROWS if not row.optional or row.pairs(scores)]


def tested(row: Row, scores: Scores) -> Claim:
    """A claim with its comparisons."""
    claim = Claim(row.name, row.title, row.place, row.test, [], row.note(scores), row.any_of, row.all_of)
    for other in row.others(scores) if row.others else ():
        if isinstance(other, str):
            claim.note = other
        else:
            claim.comparisons.append(other)
    asked = [(pair, measure) for pair in row.pairs(scores) for measure in row.measures(scores, pair)]
    scored = [(pair, m) for pair, m in asked if all(scores.cell(cell, m.benchmark, m.metric) for cell in pair)]
    corrected = 1 - 0.05 / max(len(scored), 1)
    level = corrected if row.any_of else 0.95
    if row.any_of and len(scored) > 1:
        claim.note = f"Intervals at {100 * level:.1f} %: one of {len(scored)} comparisons is enough (Bonferroni)."
    for pair, measure in asked:
        found = measured(scores, pair, measure, level)
        if found:
            text, said = between(scores.study, *pair), row.says(found[0]) if found[0].n >= FEWEST else UNKNOWN
            if row.all_of and said == NO and (wider := measured(scores, pair, measure, corrected)):
                said = row.says(wider[0])  # one is enough against the claim
            claim.comparisons.append(Comparison(text, measure.label, *found, said, measure, pair))
    tested_here = [(c.pair, c.measure) for c in claim.comparisons]
    scored_pairs = [c.pair for c in claim.comparisons]  # a study may ask for style of a single base
    never = {m for _, m in asked} - {m for _, m in tested_here}
    if row.all_of and claim.comparisons and never:
        labels = dict.fromkeys(m.label for _, m in asked if m in never)
        claim.note = f"Not measured in this run, and not tested: {', '.join(labels)}."
    for pair, measure in asked if row.all_of else ():
        if pair in scored_pairs and (pair, measure) not in tested_here and measure not in never:
            without = between(scores.study, *pair)
            claim.note += f" {measure.label} is missing for {without}, which leaves the claim open."
            claim.gaps = True
    if row.all_of and any(c.verdict == NO for c in claim.comparisons):
        claim.note += f" One that doesn't rise is enough, so that is tested at {100 * corrected:.1f} % (Bonferroni)."
        claim.note = claim.note.strip()
    return claim


@lru_cache(maxsize=64)
def _kept(name: str, scores: Scores) -> Claim:
    return tested(CLAIMS[name], scores)


def verdict(
    scores: Scores, name: str, benchmark: str = "", metric: str = "", cells: Sequence[Cell] | None = None
) -> str:
    """A claim's verdict for a panel: `no rise: supported (2 of 2)`; on one benchmark, metric or line, if given.

    It is empty without a comparison.

    Args:
        cells: The cells that the panel draws: only comparisons of theirs count.
    """
    claim = _kept(name, scores)
    found = [
        c
        for c in claim.comparisons
        if c.measure
        and benchmark in ("", c.measure.benchmark)
        and metric in ("", c.measure.metric)
        and (cells is None or (c.pair and c.pair[0] in cells))
    ]
    if not found:
        return ""
    said = replace(claim, comparisons=found).verdict
    count = f" ({sum(c.verdict == said for c in found)} of {len(found)})" if len(found) > 1 and said != UNKNOWN else ""
    return f"{CLAIMS[name].brief}: {said}{count}"


def against_base_and_smallest(scores: Scores) -> list[Pair]:
    """Pairs of the largest amount with the base model and with the smallest amount."""
    pairs = []
    for cells in broad(scores.study):
        pairs.append((cells[-1], scores.study.base_cell(cells[0].base)))
        pairs += [(cells[-1], cells[0])] if len(cells) > 1 else []
    return pairs


def against_base(scores: Scores) -> list[Pair]:
    """The largest amount against the base model."""
    return [(cells[-1], scores.study.base_cell(cells[0].base)) for cells in broad(scores.study)]


def against_smallest(scores: Scores) -> list[Pair]:
    """The largest amount against the smallest."""
    return [(cells[-1], cells[0]) for cells in broad(scores.study) if len(cells) > 1]


def by_size(scores: Scores) -> list[Pair]:
    """The same imitation data on the largest and on the smallest base model."""
    return size_pairs(scores.study)


def by_size_and_bases(scores: Scores) -> list[Pair]:
    """The largest base model against the smallest one, and then imitation models of both."""
    study = scores.study
    bases = study.bases_of(study.cells("size"))
    ends = [study.base_cell(bases[-1]), study.base_cell(bases[0])] if bases else []
    alone = [(ends[0], ends[1])] if ends and larger(study, *ends) else []
    return alone + by_size(scores)


def targeted(scores: Scores) -> list[Pair]:
    """Targeted models against their base model and against broad imitation of it."""
    rows, study = table_rows(scores.study), scores.study
    return [
        (cell, other)
        for cell in rows
        if targets(study, cell.mixture)
        for other in rows
        if other.base == cell.base and not targets(study, other.mixture)
    ]


def replay(scores: Scores) -> list[Pair]:
    """Imitation with pre-training text against without, at the nearest amount."""
    cells = scores.study.cells("replay")
    own = {model for cell in cells for model in cell.models}
    return nearest_amounts(cells, [c for group in broad(scores.study) for c in group if own.isdisjoint(c.models)])


def against_text_alone(scores: Scores) -> list[Pair]:
    """Imitation with pre-training text against that text alone."""
    return nearest_amounts(scores.study.cells("replay"), scores.study.cells("control"))


def style(scores: Scores, pair: Pair) -> list[Measure]:
    """The style metrics of `TESTED`; agreement above its false alarms, because a model that always lists agrees."""
    name, rows = style_benchmark(scores), [STYLE[metric] for metric in TESTED]
    labels = [f"{row.label} above false alarms" if row.alarm else row.label for row in rows]
    return [Measure(name, row.name, label, row.alarm) for row, label in zip(rows, labels, strict=True)]


def of_benchmarks(scores: Scores, names: list[str], metric: str = "") -> list[Measure]:
    """One metric of these benchmarks, if it is a share that rises; default: the main metric of each."""
    found = [(name, metric or scores.metric(name)) for name in names]
    return [
        Measure(name, metric, scores.label(name)) for name, metric in found if metric and is_share(scores, name, metric)
    ]


def accuracy(scores: Scores, pair: Pair) -> list[Measure]:
    """The main metric of each benchmark."""
    return of_benchmarks(scores, accuracy_benchmarks(scores))


def of_solved(scores: Scores, pair: Pair) -> list[Measure]:
    """The same of those that some model solves: where none does, no accuracy can fall or rise."""
    return [measure for measure in accuracy(scores, pair) if solved(scores, measure.benchmark)]


def half_of_accuracy(scores: Scores, pair: Pair) -> list[Measure]:
    return [replace(measure, share=0.5) for measure in of_solved(scores, pair)]


def target(scores: Scores, pair: Pair) -> list[Measure]:
    return of_benchmarks(scores, targets(scores.study, pair[0].mixture))


def nontoxicity(scores: Scores, pair: Pair) -> list[Measure]:
    return of_benchmarks(scores, scores.with_metric("nontoxicity"), "nontoxicity")


def preference(scores: Scores, pair: Pair) -> list[Measure]:
    return of_benchmarks(scores, preference_benchmarks(scores), "equal_or_better")


def is_share(scores: Scores, benchmark: str, metric: str) -> bool:
    """Whether points of a hundred mean something, and more are better: not of a perplexity."""
    return scores.known(benchmark, metric).is_share


def left_out(scores: Scores) -> str:
    """A note on the benchmarks that don't count as accuracy, and why."""
    names = [scores.label(b) for b in capability_benchmarks(scores) if b not in accuracy_benchmarks(scores)]
    note = f"{', '.join(names)} is left out: the paper itself finds a slight gain on it (Table 1)." if names else ""
    others = [
        f"{scores.label(b)} ({scores.known(b, metric).axis})"
        for b in accuracy_benchmarks(scores)
        if (metric := scores.metric(b)) and not is_share(scores, b, metric)
    ]
    note += f" Not an accuracy, and left out: {', '.join(others)}." if others else ""
    never = [scores.label(b) for b in accuracy_benchmarks(scores) if scores.of(b) and not solved(scores, b)]
    never = [label for label in never if not any(label in other for other in others)]
    return f"{note} Solved by no model, and left out: {', '.join(never)}.".strip() if never else note.strip()


def rank_correlations(scores: Scores) -> Iterator[Comparison | str]:
    """Spearman's correlation of raters' and judge's shares over cells, with an interval by Fisher's z."""
    names = preference_benchmarks(scores)
    people = [name for name in names if is_human(scores, name)]
    if not people:
        yield "No human raters in this run's scores."
    study = scores.study
    cells = [*(study.base_cell(base) for base in study.bases), *study.cells(*study.runs)]
    for person, judge in ((p, j) for p in people for j in names if j not in people):
        pairs = [[scores.cell(cell, name, "equal_or_better") for name in (person, judge)] for cell in cells]
        both = [(p.value, j.value) for p, j in pairs if p and j]
        shares = list(zip(*both, strict=True))
        if len(both) < 4:
            yield f"Only {len(both)} models have both; four are needed."
        elif any(len(set(share)) == 1 for share in shares):
            yield "One of the two gives every model the same share."
        else:
            rho, low, high, p = rank_correlation(*shares)
            d = Estimate(rho, low, high, len(both))
            says = YES if low > 0 and p <= 0.05 else (NO if high < 0.5 else UNKNOWN)
            yield Comparison(f"{scores.label(judge)} and {scores.label(person)}", "Spearman's rho", d, False, says)


ROWS = (
    Row(
        "style", "comes closer", "As imitation data grows, the models' style comes closer to the teacher's",
        "section 4.4, Table 2",
        "all of these have to rise: the likelihood of the teacher's own replies, unigram intersection, list agreement "
        "above false alarms, length correlation; the largest amount against the base model and against the smallest",
        against_base_and_smallest, style, all_of=True,
    ),
    Row(
        "capability", "no rise", "Broad imitation does not raise accuracy on the benchmarks",
        "section 4.3, Figure 4 (top)",
        "each benchmark: the largest amount of broad data against the base model",
        against_base, of_solved, does_not_rise, note=left_out,
    ),
    Row(
        "half_left", "half is left", "Broad imitation leaves at least half of the accuracy",
        "not the paper's; it tells a flat curve from forgetting in Figure 4 (top)",
        "each benchmark: the largest amount of broad data less half of the base model's accuracy",
        against_base, half_of_accuracy, is_positive,
    ),
    Row(
        "trade_off", "a fall", "On some benchmarks broad imitation lowers accuracy (a trade-off)",
        "section 4.3",
        "as above; supported if any interval lies below 0, not supported if every fall of two points is ruled out",
        against_base, of_solved, falls, any_of=True,
    ),
    Row(
        "targeted", "targeted data help", "Targeted imitation does raise accuracy on its task",
        "section 4.3, Table 1",
        "the targeted model against its base model and against broad imitation of the same base",
        targeted, target,
    ),
    Row(
        "bases", "larger is better", "Better (larger) base models raise accuracy",
        "section 4.3, Figure 4 (bottom)",
        "the largest against the smallest base model, before and after imitation",
        by_size_and_bases, of_solved,
    ),
    Row(
        "toxicity", "less toxic", "Imitation models are less toxic than their base models",
        "section 4.4, Figure 5",
        "average non-toxicity: the largest amount against the base model",
        against_base, nontoxicity,
    ),
    Row(
        "saturation", "saturates", "Preference saturates with the amount of imitation data",
        "section 4.2, Figures 1 and 3 (left)",
        f"equal or better: the largest against the smallest amount; a rise under {100 * PREFERENCE_MARGIN:.0f} points "
        "is none",
        against_smallest, preference, partial(does_not_rise, margin=PREFERENCE_MARGIN),
    ),
    Row(
        "preferred_size", "larger is preferred", "Preference rises with the size of the base model",
        "section 4.2, Figures 1 and 3 (right)",
        "equal or better: the same imitation data on the largest and on the smallest base model",
        by_size, preference,
    ),
    Row(
        "judge", "same trends", "The judge and the raters show the same trends",
        "section 4.4, Figure 3, Appendix C",
        "Spearman's correlation over models of the two shares of equal or better",
        others=rank_correlations,
    ),
    Row(
        "replay", "softens", "Mixing in pre-training text softens the regressions",
        "section 4.3 (an open problem there)",
        "each benchmark: with pre-training text against without, same base model and nearest amount",
        replay, of_solved, optional=True,
    ),
    # More pre-training text alone can raise accuracy. A difference is due to imitation only against the base model
    # trained on that text alone.
    Row(
        "replay_control", "no fall",
        "With pre-training text mixed in, imitation lowers accuracy no more (against that text alone)",
        "section 4.3 (an open problem there)",
        "each benchmark: imitation with pre-training text against that text alone, same base model; a fall of less "
        "than two points is none",
        against_text_alone, of_solved, does_not_fall, optional=True,
    ),
)  # fmt: skip
CLAIMS = {row.name: row for row in ROWS}
