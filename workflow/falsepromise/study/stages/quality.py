"""What rules/quality.smk asks."""

from __future__ import annotations

from falsepromise.study.study import Study
from falsepromise.study.workflow import options


def pool_labels(study: Study) -> list[str]:
    """What the pools are called on figures: as the first mixture that is made of each."""
    named = {m.pool: study.mixture_label(name) for name, m in reversed(study.config.mixtures.items()) if m.pool}
    return [named.get(pool, pool) for pool in study.config.pools]


def _distinct(study: Study) -> dict[str, list[str]]:
    """The mixtures of dialogues, each with all that have the same: those that differ in their recipe alone."""
    found: dict[str, list[str]] = {}
    for name, mixture in study.config.mixtures.items():
        if not mixture.text:
            origin = mixture.model_dump_json(exclude={"label", "recipe"}) if mixture.pool else name
            found.setdefault(origin, []).append(name)
    return {names[0]: names for names in found.values()}


def overlaps(study: Study) -> list[tuple[str, str, str]]:
    """The reports of how close benchmarks come to mixtures: file, benchmark's label, mixture's label. Mixtures
    that differ in their recipe alone have the same dialogues and are reported once.
    """
    return [
        (f"{study.results}/benchmarks/overlap/{name}/{mixture}.json", b.label, study.mixture_label(mixture))
        for name, b in study.config.benchmarks.items()
        for mixture in _distinct(study)
    ]


def leaks(study: Study) -> list[tuple[str, str]]:
    """The benchmark and the mixtures of each of these reports, the latter joined by `+`."""
    return [(name, "+".join(mixtures)) for name in study.config.benchmarks for mixtures in _distinct(study).values()]


def teacher_as_annotator(study: Study) -> str:
    """Options that name the teacher as who sorted queries."""
    asked = {"annotator": study.config.teacher.label, "stand_in": study.config.teacher.stand_in}
    return options(asked, "annotator", "stand_in")
