"""Select the benchmarks, models and pairs of models for figures, tables and claims."""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core.errors import UserError
from falsepromise.figures.labels import amount_text
from falsepromise.figures.metrics import STYLE
from falsepromise.figures.scores import Scores
from falsepromise.figures.study import Cell, Study, amount
from falsepromise.study.tasks import TASKS

BEHAVIOUR = {name for name, task in TASKS.items() if not task.knowledge}


def capability_benchmarks(scores: Scores) -> list[str]:
    """The study's benchmarks of knowledge and capability."""
    return [b for b, spec in scores.study.benchmarks.items() if spec.get("task") not in BEHAVIOUR]


def accuracy_benchmarks(scores: Scores) -> list[str]:
    """Figure 4's benchmarks, without summarisation, on which the paper itself finds a slight gain (Table 1)."""
    return [b for b in capability_benchmarks(scores) if scores.study.benchmarks[b].get("task") != "cnn"]


def is_preference(metric: str) -> bool:
    return metric in ("preferred", "equal", "equal_or_better")


def preference_benchmarks(scores: Scores) -> list[str]:
    """Raters and judges with a share of equal-or-better replies, people first."""
    return sorted(scores.with_metric("equal_or_better"), key=lambda name: (not is_human(scores, name), name))


def is_human(scores: Scores, benchmark: str) -> bool:
    """Whether the preferences are people's, by the study's raters."""
    return benchmark in scores.study.raters


def known_names(scores: Scores, names: Sequence[str], option: str) -> None:
    """Check the names that a user gives.

    Raises:
        UserError: neither the study nor a score file has such a benchmark, judge or raters.
    """
    known = list(dict.fromkeys([*scores.benchmarks, *scores.study.judges, *scores.study.raters]))
    for name in names:
        if name not in known:
            raise UserError(f"{option} {name}: not in the study, and without a score; expected {', '.join(known)}")


def knowledge_benchmark(scores: Scores) -> str | None:
    """Natural Questions or its stand-in: the first question answering benchmark."""
    tasks = {name: spec.get("task") for name, spec in scores.study.benchmarks.items()}
    return next((n for n, task in tasks.items() if task == "nq"), next(iter(tasks), None))


def style_benchmark(scores: Scores) -> str:
    """The benchmark with Table 2's metrics."""
    return next((name for metric in STYLE for name in scores.with_metric(metric)), "style")


def targets(study: Study, mixture: str | None) -> list[str]:
    """The benchmarks that a mixture targets, by the study; empty for a broad one."""
    return list(study.mixtures.get(mixture or "", {}).get("targets") or [])


def target_benchmarks(scores: Scores) -> list[str]:
    """The table's columns."""
    study = scores.study
    named = [b for m in dict.fromkeys(c.mixture for c in study.cells("targeted")) for b in targets(study, m)]
    if named:
        return list(dict.fromkeys(named))
    return [b for b, spec in study.benchmarks.items() if spec.get("task") in ("nq", "cnn")]


def table_rows(study: Study) -> list[Cell]:
    """For each base model: itself, the broad mixtures, the targeted ones.

    If the run of targeted models has no broad ones, the largest amount of the other runs on the same base
    is used.
    """
    run = study.cells("targeted")
    rows: list[Cell] = []
    for base in study.bases_of(run):
        own = [cell for cell in run if cell.base == base]
        broad = [cell for cell in own if not targets(study, cell.mixture)]
        if not broad:
            others = [c for name in ("size", "amount") for c in study.cells(name) if c.base == base and c not in own]
            broad = sorted(others, key=amount)[-1:]
        rows += [study.base_cell(base), *broad, *(cell for cell in own if cell not in broad)]
    return rows


def broad(study: Study) -> list[list[Cell]]:
    """For each base model and broad mixture its amounts, ascending, of all runs."""
    groups: dict[tuple[str, str | None], list[Cell]] = {}
    for cell in study.cells("amount", "size"):
        if not targets(study, cell.mixture):
            groups.setdefault((cell.base, cell.mixture), []).append(cell)
    return [sorted(cells, key=amount) for cells in groups.values()]


def size_pairs(study: Study) -> list[tuple[Cell, Cell]]:
    """The same mixture and amount on the largest and on the smallest base model."""
    cells = study.cells("size")
    bases = study.bases_of(cells)
    pairs = []
    for recipe in dict.fromkeys((cell.mixture, cell.tokens) for cell in cells):
        of = {cell.base: cell for cell in cells if (cell.mixture, cell.tokens) == recipe}
        if len(of) > 1:
            ordered = [base for base in bases if base in of]
            largest, smallest = of[ordered[-1]], of[ordered[0]]
            pairs += [(largest, smallest)] if larger(study, largest, smallest) else []
    return pairs


def larger(study: Study, one: Cell, other: Cell) -> bool:
    """Whether the base model of one has more parameters than the other's."""
    return study.parameters(one.base) > study.parameters(other.base)


def nearest_amounts(cells: Sequence[Cell], others: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Each cell with the one of `others` on the same base model with the nearest amount."""
    pairs = []
    for cell in cells:
        same = [other for other in others if other.base == cell.base]
        if same:
            pairs.append((cell, min(same, key=lambda other: _apart(amount(other), amount(cell)))))
    return pairs


def _apart(one: float, other: float) -> tuple[float, float]:
    """The distance of two amounts; all of a mixture is nearest to all of another, then to the largest number."""
    return (0.0 if one == other else abs(one - other)), -one


def amount_columns(scores: Scores) -> list[tuple[str, Cell]]:
    """Table 2's columns, header and cell: bases, then amounts, with the base's name if there are several."""
    study = scores.study
    cells = study.cells("amount")
    bases = study.bases_of(cells)
    found = [(study.base_label(base), study.base_cell(base)) for base in bases]
    several = len({(cell.base, cell.mixture) for cell in cells}) > 1
    for cell in cells:
        name = amount_text(cell)
        if several:
            name += f" ({study.base_label(cell.base)}, {study.mixture_label(cell.mixture)})"
        found.append((name, cell))
    return found


def drawn(scores: Scores, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The benchmarks with something to show, and for each other one a line with the reason.

    A benchmark that no model solves is reported in the foot, not as a panel, unless there is no other.
    """
    shown, unsolved, absent = [], {}, {}
    for name in names:
        metric = scores.metric(name)
        records = {m: r for m, r in scores.of(name).items() if m not in scores.study.teacher_names}
        found = [r["metrics"][metric] for r in records.values() if metric in r["metrics"]]
        reason = scores.not_scored(name) or (None if scores.of(name) and metric else "no score file")
        if not reason and not found:
            reason = "the metric is not in the scores"
        if reason:
            absent[name] = reason
        elif solved(scores, name):
            shown.append(name)
        else:
            unsolved[name] = f"0 for each model that was scored (n = {min(m['n'] for m in found):,})"
    if shown:
        absent |= unsolved
    lines = [f"{scores.label(name)}: {absent[name]}" for name in names if name in absent]
    return shown or list(unsolved), lines


def solved(scores: Scores, benchmark: str) -> bool:
    """Whether a model of the study has a main score above 0."""
    metric = scores.metric(benchmark)
    records = [record for model, record in scores.of(benchmark).items() if model not in scores.study.teacher_names]
    return any(record["metrics"].get(metric, {}).get("value") for record in records)


def asks_teacher(study: Study, benchmark: str) -> bool:
    """Whether a judge's, raters' or style scores compare with answers of this study's teacher."""
    entry = study.style if benchmark == "style" else study.judges.get(benchmark) or study.raters.get(benchmark)
    if entry is None:
        return False
    named = study.prompts.get(entry.get("prompts") or "")
    return any(p.get("references") == "teacher" for p in ([named] if named else study.prompts.values()))
