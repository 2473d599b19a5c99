"""The values of a study for rules/quality.smk."""

from __future__ import annotations

from falsepromise.study.study import Study
from falsepromise.study.workflow import options


def pool_labels(study: Study) -> list[str]:
    """The pools' labels on figures: each pool's first mixture's."""
    named = {m.pool: study.mixture_label(name) for name, m in reversed(study.config.mixtures.items()) if m.pool}
    return [named.get(pool, pool) for pool in study.config.pools]


def _distinct(study: Study) -> dict[str, list[str]]:
    """The mixtures of dialogues, grouped with those of the same dialogues, which differ only in the recipe."""
    found: dict[str, list[str]] = {}
    for name, mixture in study.config.mixtures.items():
        if not mixture.text:
            origin = mixture.model_dump_json(exclude={"label", "recipe"}) if mixture.pool else name
            found.setdefault(origin, []).append(name)
    return {names[0]: names for names in found.values()}


def overlaps(study: Study) -> list[tuple[str, str, str]]:
    """The reports of benchmarks' overlap with mixtures: file, benchmark's label, mixture's label. Mixtures that
    differ only in the recipe have the same dialogues and one report.
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
    """Options that name the teacher as the annotator of queries."""
    asked = {"annotator": study.config.teacher.label, "stand_in": study.config.teacher.stand_in}
    return options(asked, "annotator", "stand_in")
