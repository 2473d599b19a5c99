"""Labels on figures and in tables."""

from __future__ import annotations

from falsepromise.figures.study import Cell, Study


def short(number: float) -> str:
    """A count as on an axis: `150M`, `50k`."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            scaled = number / size
            return (f"{scaled:.1f}".removesuffix(".0") if scaled < 99.95 else f"{scaled:.0f}") + unit
    return f"{number:g}"


def amount_text(cell: Cell) -> str:
    """`150M`, or `all` of the mixture."""
    return "all" if cell.tokens is None else short(cell.tokens)


def voter(study: Study, name: str) -> str:
    """The label of a judge or of raters."""
    entry = study.judges.get(name) or study.raters.get(name) or {}
    return str(entry.get("label") or name)


def model_label(study: Study, name: str) -> str:
    """A model's label, with the seed if another model has the same label."""
    model = study.models.get(name, {})
    label = str(model.get("label") or name)
    twins = [other for other in study.models.values() if other.get("label") == model.get("label")]
    return f"{label}, seed {model['seed']}" if len(twins) > 1 and "seed" in model else label


def between(study: Study, left: Cell, right: Cell) -> str:
    """`1.1M: 400k ShareGPT-Mix – base model`."""

    def one(cell: Cell) -> str:
        return "base model" if cell.is_base else f"{amount_text(cell)} {study.mixture_label(cell.mixture)}"

    if left.base == right.base:
        return f"{study.base_label(left.base)}: {one(left)} – {one(right)}"
    return f"{one(left)}: {study.base_label(left.base)} – {study.base_label(right.base)}"
