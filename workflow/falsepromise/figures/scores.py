"""Read and check score records, and combine them over seeds.

A cell's value is the mean over its seeds. If the records have the items that a metric follows from, the 95 % interval
is the crossed bootstrap's (`statistics.crossed`), which covers both the choice of items and the seed variance. With one
seed it is the record's own interval. Without items, each side of the interval is sqrt(mean of the records' own
half-widths squared + (1.96 standard errors of the mean over seeds) squared).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from falsepromise.core.errors import UserError
from falsepromise.core.metrics import MEAN, Statistic, difference_of
from falsepromise.core.records import Record, read_json
from falsepromise.figures.metrics import KNOWN, Metric
from falsepromise.figures.metrics import metric as named
from falsepromise.figures.study import Cell, Study
from falsepromise.statistics.crossed import crossed_interval, resampled
from falsepromise.statistics.intervals import Z95, middle95

SECOND = " (sample 1)"  # ending of the model's name in a judge's record of the teacher's second answers


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, its number of items, and each seed's own value."""

    value: float
    low: float
    high: float
    n: int
    seeds: tuple[float, ...] = ()

    @classmethod
    def of(cls, metric: Mapping[str, Any] | None, n: int | None = None) -> Estimate | None:
        """A metric of a record; `n` if it has none itself."""
        if metric is None:
            return None
        low, high = metric["ci95"]
        return cls(metric["value"], low, high, metric.get("n", n) or 0)

    def times(self, factor: float) -> Estimate:
        """The estimate in other units, or a share of it."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high, self.n)

    def arms(self, scale: float = 1.0) -> tuple[float, float]:
        """The distances from the value to the interval's ends; negative ones from rounding become 0."""
        return max(0.0, self.value - self.low) * scale, max(0.0, self.high - self.value) * scale


@dataclass(frozen=True)
class Missing:
    """A cell without a score, and the reason."""

    model: str
    benchmark: str
    reason: str


class Scores:
    """All score records of a study, by model and benchmark."""

    def __init__(self, study: Study, records: Mapping[tuple[str, str], Record]):
        self.study = study
        self.records = dict(records)
        self._cache: dict[tuple[tuple[str, ...], str, str], Estimate | None] = {}

    @property
    def benchmarks(self) -> list[str]:
        """The study's benchmarks in its order, then any others that have records."""
        found = sorted({benchmark for _, benchmark in self.records})
        return [*self.study.benchmarks, *(b for b in found if b not in self.study.benchmarks)]

    def of(self, benchmark: str) -> dict[str, Record]:
        """The records of a benchmark by model."""
        return {m: r for (m, b), r in self.records.items() if b == benchmark}

    def with_metric(self, metric: str) -> list[str]:
        """Benchmarks with `metric` in some record."""
        return [b for b in self.benchmarks if any(metric in r["metrics"] for r in self.of(b).values())]

    def metric(self, benchmark: str) -> str | None:
        """A benchmark's main metric: the study's choice, else the record's first."""
        named = self.study.benchmarks.get(benchmark, {}).get("metric")
        if named:
            return str(named)
        return next((name for record in self.of(benchmark).values() for name in record["metrics"]), None)

    def known(self, benchmark: str, metric: str) -> Metric:
        """The row of a benchmark's metric."""
        return named(metric, self.of(benchmark).values())

    def label(self, benchmark: str) -> str:
        """A benchmark's name for people, or a judge's, or raters'."""
        study = self.study
        entry = next((s[benchmark] for s in (study.benchmarks, study.judges, study.raters) if benchmark in s), {})
        return str(entry.get("label") or benchmark[:1].upper() + benchmark[1:])

    def not_scored(self, benchmark: str) -> str | None:
        """The reason why a benchmark has no score for any model, or None."""
        records = list(self.of(benchmark).values())
        if not records or any(record["metrics"] for record in records):
            return None
        return _reason(records[0])

    def stand_ins(self, benchmark: str) -> list[str]:
        """Notes on a benchmark's stand-ins."""
        sections = (self.study.benchmarks, self.study.judges, self.study.raters)
        notes = [section.get(benchmark, {}).get("stand_in") for section in sections]
        notes += [record.get("stand_in") for record in self.of(benchmark).values()]
        return list(dict.fromkeys(str(note) for note in notes if note))

    def missing(self, cells: Iterable[Cell], benchmark: str, metric: str) -> list[Missing]:
        """The models of `cells` without a value for a metric, except those that the study doesn't score."""
        gaps = []
        asked = self.study.asked(benchmark)
        for cell in cells:
            for model in cell.models:
                record = self.records.get((model, benchmark))
                if record is None and model not in asked:
                    continue
                if record is None:
                    gaps.append(Missing(model, benchmark, "no score file"))
                elif metric not in record["metrics"]:
                    gaps.append(Missing(model, benchmark, _reason(record, metric)))
        return gaps

    def cell(self, cell: Cell, benchmark: str, metric: str) -> Estimate | None:
        """A cell's score over its seeds; None if no seed has one."""
        return self.estimate(cell.models, benchmark, metric)

    def teacher(self, benchmark: str, metric: str) -> Estimate | None:
        names = [m for m in self.of(benchmark) if m in self.study.teacher_names]
        return self.estimate(names, benchmark, metric)

    def chance(self, benchmark: str, metric: str) -> float | None:
        """The score of guessing, if the records state it."""
        found = [(record.get("chance") or {}).get(metric) for record in self.of(benchmark).values()]
        return next((float(value) for value in found if isinstance(value, int | float)), None)

    def second_sample(self, benchmark: str, metric: str) -> Estimate | None:
        """The teacher's second answers against its first ones (Table 2, "ChatGPT #2").

        It comes from a judge's record of them, or the teacher's own style record, or a record's "second", if it was
        made with a second sample.
        """
        own = self.teacher(benchmark, metric)
        judged = [name for name in self.of(benchmark) if name.endswith(SECOND)]
        if judged:
            own = self.estimate(judged[:1], benchmark, metric)
        if own:
            return own
        for record in self.of(benchmark).values():
            second = (record.get("second") or {}).get("metrics") or {}
            if metric in second:
                return combine([{"metrics": second}], metric)
        return None

    def estimate(self, models: Sequence[str], benchmark: str, metric: str) -> Estimate | None:
        """The score of one model, or of several that differ only in the seed."""
        key = (tuple(models), benchmark, metric)
        if key not in self._cache:
            records = [self.records[m, benchmark] for m in models if (m, benchmark) in self.records]
            self._cache[key] = combine([r for r in records if metric in r["metrics"]], metric)
        return self._cache[key]

    def has(self, model: str, benchmark: str, metrics: Iterable[str]) -> bool:
        """Whether a model has a score with all of these metrics."""
        record = self.records.get((model, benchmark))
        return record is not None and set(metrics) <= record["metrics"].keys()

    def sums(self, models: Sequence[str], benchmark: str, metric: str, less: str = "") -> dict[str, np.ndarray] | None:
        """What each item adds to the sums that a metric, or its difference from another, follows from.

        Returns:
            Arrays of shape `(seeds, width)`, as `item_sums`; None if they can't be had from the records' items.
        """
        records = [self.records[m, benchmark] for m in models if (m, benchmark) in self.records]
        return item_sums([r for r in records if {metric, less} - {""} <= r["metrics"].keys()], metric, less)


def statistic_of(metric: str, less: str = "") -> Statistic:
    """How a metric, or its difference from the metric `less`, follows from sums over items."""
    own = named(metric).statistic
    return difference_of(own, named(less).statistic) if less else own


def item_sums(records: Sequence[Record], metric: str, less: str = "") -> dict[str, np.ndarray] | None:
    """`{item id: its sums over seeds, (seeds, width)}`, or None where the metric doesn't follow from the items."""
    parts, statistic = [named(name) for name in (metric, less) if name], statistic_of(metric, less)
    columns = []
    for record in records:
        sums = {}
        for item in record.get("items") or []:
            found = [part.sums_of(item) for part in parts]
            if (key := item_key(item)) and any(found):
                nothing = [(0.0,) * part.statistic.width for part in parts]
                sums[key] = np.concatenate([f or none for f, none in zip(found, nothing, strict=True)])
        values = [record["metrics"][name]["value"] for name in (metric, less) if name]
        stated = values[0] - sum(values[1:])
        if not sums or not abs(statistic.of(np.sum(list(sums.values()), axis=0)) - stated) <= 1e-6:
            return None
        columns.append(sums)
    if not columns:
        return None
    shared = [key for key in columns[0] if all(key in column for column in columns)]
    return {key: np.stack([column[key] for column in columns]) for key in shared} or None


def item_key(item: Record) -> str | None:
    """An item's id in every model's record; for votes the prompt, because their ids contain the model."""
    key = item.get("prompt_id") if "majority" in item else item.get("id")
    return None if key is None else str(key)


def combine(records: Sequence[Record], metric: str) -> Estimate | None:
    """One estimate from the records of one cell, a seed each (see the module's docstring)."""
    if not records:
        return None
    metrics = [record["metrics"][metric] for record in records]
    values = np.array([m["value"] for m in metrics], dtype=np.float64)
    value, n = float(values.mean()), min(int(m["n"]) for m in metrics)
    if len(records) == 1:
        low, high = metrics[0]["ci95"]
        return Estimate(value, float(low), float(high), n, (value,))
    items, known = item_sums(records, metric), named(metric)
    if items is not None and len(items) > 1:
        sums = np.stack(list(items.values()), axis=1)  # (seeds, items, width)
        if known.statistic is MEAN:
            low, high = crossed_interval(sums[..., 0])
        else:
            draws = resampled([sums], known.statistic)[:, 0]
            low, high = np.clip(middle95(draws[np.isfinite(draws)]), known.low, known.high)
    else:
        half = np.array([[m["value"] - m["ci95"][0], m["ci95"][1] - m["value"]] for m in metrics])
        spread = Z95 * values.std(ddof=1) / math.sqrt(len(values))
        low, high = np.array([-1, 1]) * np.sqrt((half**2).mean(axis=0) + spread**2) + value
    return Estimate(value, min(float(low), value), max(float(high), value), n, tuple(float(v) for v in values))


def read_scores(paths: Sequence[str | Path], study: Study) -> Scores:
    """Read score files.

    Raises:
        UserError: a record without its parts, a number outside its metric's range, two records of
            one model on one benchmark, a model that the study doesn't have, or a benchmark whose
            records come from different scorers.
    """
    known = set(study.models) | set(study.bases) | study.teacher_names
    records: dict[tuple[str, str], Record] = {}
    origin: dict[tuple[str, str], str] = {}
    for path in paths:
        record = read_json(path)
        problem = check_score(record)
        if problem:
            raise UserError(f"{path}: {problem}")
        record.setdefault("metrics", {})
        key = (record["model"], record["benchmark"])
        if key[0] not in known and not key[0].endswith(SECOND):
            raise UserError(
                f"{path}: the model {key[0]!r} is not in the study {study.name} "
                f"(it has {', '.join(sorted(known)[:8])}, ...); leave the file out or score the study's models"
            )
        if key in records:
            raise UserError(f"{path}: a second score of {key[0]} on {key[1]}; the first is {origin[key]}; keep one")
        records[key], origin[key] = record, str(path)
    _refuse_two_scorers(records, origin)
    return Scores(study, records)


def read_made_by(paths: Sequence[str | Path], key: str, verb: str) -> list[Record]:
    """Records that a verb of `preference` wrote.

    Raises:
        UserError: another verb wrote it.
    """
    records = [read_json(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        if not isinstance(record, dict) or "model" not in record or not {key, "absent"} & record.keys():
            raise UserError(f"{path}: not a record of {verb}; expected 'model' and {key!r} in it")
    return records


def check_score(record: Any) -> str | None:
    """What is wrong with a score record, or None."""
    if not isinstance(record, dict):
        return f"found {type(record).__name__}, expected a score record (a JSON object)"
    for key in ("model", "benchmark"):
        if not isinstance(record.get(key), str):
            return f"'{key}' is {record.get(key)!r:.80}, expected text"
    metrics = record.get("metrics", {})
    if not isinstance(metrics, dict):
        return f"'metrics' is {type(metrics).__name__}, expected an object"
    if not metrics and not record.get("not_scored"):
        return "no 'metrics' and no 'not_scored' that says why; expected one of them"
    made = record.get("manifest") or {}
    for key, part in (("manifest", made), ("manifest.config", isinstance(made, dict) and (made.get("config") or {}))):
        if not isinstance(part, dict):
            return f"{key!r} is {part!r:.60}, expected an object"
    for key in ("second", "absent"):
        if not isinstance(record.get(key) or {}, dict):
            return f"{key!r} is {record[key]!r:.60}, expected an object"
    if not isinstance(record.get("limits") or [], str | list):
        return f"'limits' is {record['limits']!r:.60}, expected texts"
    second = (record.get("second") or {}).get("metrics") or {}
    if not isinstance(second, dict):
        return f"'second.metrics' is {second!r:.60}, expected an object"
    for name, metric in [*metrics.items(), *second.items()]:
        problem = _check_metric(name, metric)
        if problem:
            return problem
    return None


LARGEST = 1e300  # of a metric; whole numbers can be larger than any that is computed with


def _check_metric(name: str, metric: Any) -> str | None:
    if not isinstance(metric, dict) or not isinstance(metric.get("value"), int | float):
        return f"metric '{name}' is {metric!r:.80}, expected {{value, ci95, n}}"
    low, high = (KNOWN[name].low, KNOWN[name].high) if name in KNOWN else (-math.inf, math.inf)
    interval = metric.get("ci95")
    if not isinstance(interval, list) or len(interval) != 2:
        return f"metric '{name}': 'ci95' is {interval!r:.60}, expected [low, high]"
    for number in (metric["value"], *interval):
        if not isinstance(number, int | float) or not low - 1e-9 <= number <= high + 1e-9 or abs(number) > LARGEST:
            return f"metric '{name}': {number!r:.60} is out of range; expected a number from {low:g} to {high:g}"
    if not isinstance(metric.get("n"), int) or metric["n"] < 1:
        return f"metric '{name}': 'n' is {metric.get('n')!r}, expected the number of items"
    return None


def scorer(record: Record) -> str | None:
    """The scorer of a record, if it is named: a classifier's or a judge's name and version."""
    config = (record.get("manifest") or {}).get("config") or {}
    found = record.get("scorer") or config.get("scorer") or record.get("judge") or config.get("judge")
    return None if found is None else str(found)


def _refuse_two_scorers(records: Mapping[tuple[str, str], Record], origin: Mapping[tuple[str, str], str]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for key, record in records.items():
        if not record["metrics"]:
            continue
        name = scorer(record) or "no scorer named"
        first, path = seen.setdefault(key[1], (name, origin[key]))
        if first != name:
            raise UserError(
                f"{origin[key]}: {key[1]} was scored by {name}, but {path} by {first}; "
                "scores of two scorers can't be compared: score all models with one"
            )


def _reason(record: Record, metric: str = "") -> str:
    reason = record.get("not_scored") or (record.get("absent") or {}).get(metric)
    return reason if isinstance(reason, str) else "; ".join(limits_of(record)) or "the metric is not in the score"


def limits_of(record: Record) -> list[str]:
    """The limits that a record reports: a text or a list of texts."""
    limits = record.get("limits") or []
    return [limits] if isinstance(limits, str) else [str(text) for text in limits]
