"""The values of a study for rules/release.smk."""

from __future__ import annotations

from pathlib import Path

from falsepromise.study.stages.curation import used_mixtures
from falsepromise.study.stages.figures import evaluations
from falsepromise.study.study import Study


def scores(study: Study, model: str) -> list[str]:
    """A model's scores, and those of the base models that its card compares with."""
    base = study.models[model].base
    wanted = {model, *(name for name in study.base_models if study.models[name].base == base)}
    return [file for file in evaluations(study) if Path(file).stem in wanted]


def funnels(study: Study, mixture: str) -> list[str]:
    """The counts of curation on the way to a mixture."""
    pool = study.config.mixtures[mixture].pool
    if not pool:
        return []
    names = [*(f"dialogues/{source}" for source in study.config.pools[pool].sources), f"clean/{pool}"]
    return [f"{study.results}/curation/{name}.funnel.csv" for name in names]


def data(study: Study) -> list[str]:
    """The evaluation prompts, and the mixtures that models were trained on."""
    names = [*(f"prompts/{p}" for p in study.config.prompts), *(f"mixtures/{m}" for m in used_mixtures(study))]
    return [f"results/release/{study.name}/{name}" for name in names]
