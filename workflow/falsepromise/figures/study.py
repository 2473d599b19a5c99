"""The expanded study for figures, with the models of different seeds grouped into cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json

# The keys in which two models of one cell may differ.
_NOT_THE_RECIPE = {"seed", "label"}


@dataclass(frozen=True)
class Cell:
    """One point of a figure: a base model, a mixture, an amount; one model for each seed.

    The mixture of a base model is None and its amount 0; an amount of None is all of the mixture.
    """

    base: str
    mixture: str | None
    tokens: int | None
    models: tuple[str, ...]
    label: str

    @property
    def is_base(self) -> bool:
        return self.mixture is None


@dataclass
class Study:
    """A study file as `study.expand` expands it.

    `models` maps a model's name to base, mixture (None for a base model), tokens and seed; `runs` maps groups to
    models, `roles` groups to their role in figures (amount, size, targeted, replay, control, other).
    """

    name: str
    title: str
    bases: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    runs: dict[str, list[str]]
    teacher: dict[str, Any]
    benchmarks: dict[str, dict[str, Any]]
    seed: int = 0
    mixtures: dict[str, dict[str, Any]] = field(default_factory=dict)
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)
    raters: dict[str, dict[str, Any]] = field(default_factory=dict)
    style: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def teacher_names(self) -> set[str]:
        """The model names of the teacher in score records."""
        return {"teacher", *(str(self.teacher[k]) for k in ("name", "model", "label") if self.teacher.get(k))}

    @property
    def teacher_label(self) -> str:
        return str(self.teacher.get("label") or "teacher")

    def seeds_each(self, cells: Sequence[Cell] | None = None) -> str:
        """How many seeds the fine-tuned ones of these cells have, default all: `3`, or `1 to 3`."""
        trained = [cell for cell in (self.cells(*self.runs) if cells is None else cells) if not cell.is_base]
        counts = sorted({len(cell.models) for cell in trained}) or [1]
        return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"

    def base_label(self, base: str) -> str:
        return str(self.bases.get(base, {}).get("label") or base)

    def mixture_label(self, mixture: str | None) -> str:
        if mixture is None:
            return "–"
        return str(self.mixtures.get(mixture, {}).get("label") or mixture)

    def parameters(self, base: str) -> float:
        """A base model's number of parameters."""
        try:
            return float(self.bases[base]["parameters"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"study {self.name}: base model {base!r} has no 'parameters' (a number)") from error

    def base_cell(self, base: str) -> Cell:
        """The base model before any fine-tuning."""
        names = [name for name, model in self.models.items() if model["base"] == base and model.get("mixture") is None]
        names.sort(key=lambda name: (self.models[name].get("seed") or 0, name))
        return Cell(base, None, 0, tuple(names) or (base,), self.base_label(base))

    def asked(self, benchmark: str) -> set[str]:
        """The models that the study scores on a benchmark; default: all."""
        entry = self.style if benchmark == "style" else self.benchmarks.get(benchmark, {})
        return set(entry.get("models", self.models))

    def of(self, *runs: str) -> list[str]:
        """The models of all groups with these roles, or of the groups with these names."""
        found: list[str] = []
        for run in runs:
            groups = [name for name in self.runs if self.roles.get(name, name) == run] or [run]
            found += [model for name in groups for model in self.runs.get(name, [])]
        return list(dict.fromkeys(found))

    def seeds_of(self, cell: Cell) -> list[int]:
        """The seeds of a cell's models, in their order."""
        return [int(self.models[name].get("seed") or 0) for name in cell.models if name in self.models]

    def cells(self, *runs: str) -> list[Cell]:
        """The fine-tuned models of roles or groups of runs; models that differ only in the seed are one cell.

        Sorted by base size, mixture and amount. Empty if the study has no such runs.
        """
        groups: dict[str, list[str]] = {}
        for name in self.of(*runs):
            model = self.models[name]
            if model.get("mixture") is None:
                continue
            recipe = {k: v for k, v in sorted(model.items()) if k not in _NOT_THE_RECIPE}
            groups.setdefault(repr(recipe), []).append(name)
        cells = []
        for names in groups.values():
            names.sort(key=lambda name: (self.models[name].get("seed") or 0, name))
            model = self.models[names[0]]
            cells.append(
                Cell(
                    model["base"],
                    model.get("mixture"),
                    model.get("tokens"),
                    tuple(names),
                    str(model.get("label") or names[0]),
                )
            )
        return sorted(cells, key=lambda c: (self.parameters(c.base), c.base, c.mixture or "", amount(c), c.models))

    def bases_of(self, cells: list[Cell]) -> list[str]:
        """The base models of `cells`, smallest first."""
        return sorted({cell.base for cell in cells}, key=lambda base: (self.parameters(base), base))


def amount(cell: Cell) -> float:
    """A cell's tokens as a number to sort by: all of a mixture comes last."""
    return float("inf") if cell.tokens is None else float(cell.tokens)


def read_study(path: str | Path) -> Study:
    """Read an expanded study.

    Raises:
        UserError: a part is missing, or a run names a model that the study doesn't have.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: found {type(data).__name__}, expected the expanded study (a JSON object)")
    for key in ("study", "bases", "models", "runs"):
        if key not in data:
            raise UserError(f"{path}: no {key!r}; expected the expanded study with study, bases, models, runs")
    problem = next(_wrong_types(data), None)
    if problem:
        raise UserError(f"{path}: {problem}; expected the expanded study, as study.expand writes it")
    for name, model in data["models"].items():
        if not isinstance(model, dict) or model.get("base") not in data["bases"]:
            base = model.get("base") if isinstance(model, dict) else model
            raise UserError(f"{path}: model {name!r} has base {base!r}, expected one of {', '.join(data['bases'])}")
    for run, names in data["runs"].items():
        for name in names:
            if name not in data["models"]:
                raise UserError(f"{path}: run {run!r} names the model {name!r}, which 'models' doesn't have")
    return Study(
        name=str(data["study"]),
        title=str(data.get("title") or data["study"]),
        bases=data["bases"],
        models=data["models"],
        runs=data["runs"],
        teacher=data.get("teacher") or {},
        benchmarks=data.get("benchmarks") or {},
        seed=int(data.get("seed") or 0),
        mixtures=data.get("mixtures") or {},
        judges=data.get("judges") or {},
        raters=data.get("raters") or {},
        style=data.get("style") or {},
        roles=data.get("roles") or {},
        prompts=data.get("prompts") or {},
    )


def _wrong_types(data: dict[str, Any]) -> Iterator[str]:
    """Parts of another type than `study.expand` writes."""
    of_mappings = ("bases", "models", "mixtures", "benchmarks", "judges", "raters", "prompts")
    for key in (*of_mappings, "runs", "roles", "teacher", "style"):
        if not isinstance(data.get(key, {}), dict) and (key in ("bases", "models", "runs") or data[key]):
            yield f"{key!r} is {data[key]!r:.60}"
    if type(data.get("seed") or 0) is not int:
        yield f"'seed' is {data['seed']!r:.60}"
    for key in of_mappings:
        for name, entry in (data.get(key) or {}).items():
            if not isinstance(entry, dict):
                yield f"{key}.{name:.60} is {entry!r:.60}"
            elif not isinstance(entry.get("label"), str | None):
                yield f"{key}.{name:.60}.label is {entry['label']!r:.60}"
    for name, base in data["bases"].items():
        if not _number(base.get("parameters")):
            yield f"bases.{name:.60}.parameters is {base['parameters']!r:.60}"
    for name, model in data["models"].items():
        for key, types in (("base", (str,)), ("mixture", (str, NoneType)), ("seed", (int, NoneType))):
            if type(model.get(key)) not in types:
                yield f"models.{name:.60}.{key} is {model.get(key)!r:.60}"
        for key in ("tokens", "seed"):
            if not _number(model.get(key)):
                yield f"models.{name:.60}.{key} is {model[key]!r:.60}"
    lists = [(f"runs.{name:.60}", names) for name, names in data["runs"].items()]
    lists += [(f"mixtures.{name:.60}.targets", e.get("targets")) for name, e in (data.get("mixtures") or {}).items()]
    lists += [("style.models", (data.get("style") or {}).get("models"))]
    for where, names in lists:
        absent = names is None and not where.startswith("runs.")
        if not absent and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            yield f"{where} is {names!r:.60}"


def _number(value: object) -> bool:
    """Whether a count is one, or left out."""
    return value is None or (type(value) in (int, float) and 0 <= value < 1e18)  # type: ignore[operator]  # a number
