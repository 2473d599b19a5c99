"""The values of a study for rules/provenance.smk."""

from __future__ import annotations

from falsepromise.study.stages.curation import used_mixtures
from falsepromise.study.stages.figures import evaluations
from falsepromise.study.study import Study

PRINTED = (
    "table3_seed_examples.jsonl",
    "table4_nq_synthetic.txt",
    "table5_tldr_synthetic.txt",
    "table8_natural_questions.txt",
    "table9_cnn_dailymail.txt",
)


def funnels(study: Study) -> list[str]:
    """The counts of curation, in order of work."""
    asked = {name: mixture for name, mixture in study.config.mixtures.items() if mixture.teacher}
    read = [source for pool in study.config.pools.values() for source in pool.sources]
    read += [mixture.posts for mixture in asked.values() if mixture.posts]
    names = [f"curation/dialogues/{source}" for source in dict.fromkeys(read)]
    names += [f"curation/clean/{pool}" for pool in study.config.pools]
    names += [f"teacher/{mixture}" for mixture in asked]
    names += [f"curation/prompts/{name}" for name in study.config.prompts]
    names += [f"teacher/answers/{name}" for name in study.config.prompts if study.asks_for_references(name)]
    return [f"{study.results}/{name}.funnel.csv" for name in names]


def documented(study: Study) -> list[str]:
    """The artifacts whose manifests are listed: mixtures, bases, trained models, scores."""
    return [
        *(f"{study.results}/curation/mixtures/{name}.jsonl" for name in used_mixtures(study)),
        *(f"{study.results}/training/bases/{name}" for name in study.base_models),
        *(f"{study.results}/training/models/{name}" for name in study.trained),
        *evaluations(study),
    ]
