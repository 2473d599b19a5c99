"""The values of a study for rules/bases.smk."""

from __future__ import annotations

import json

from falsepromise.study.study import Study


def source(study: Study, key: str) -> str:
    """The source of a table of facts (`countries`) or of the pre-training text (`wikipedia`)."""
    section = study.config.pretraining if key == "wikipedia" else study.config.facts
    return getattr(section, key, "none")


def loaded(study: Study) -> list[str]:
    """The bases whose folder is fetched, from the hub or this machine."""
    return [name for name, base in study.config.bases.items() if base.weights and not gguf(study, name)]


def unpacked(study: Study) -> list[str]:
    """The bases that are a GGUF file among the sources."""
    return [name for name in study.config.bases if gguf(study, name)]


def gguf(study: Study, base: str) -> list[str]:
    """A base's GGUF file, if it is one."""
    kind, _, source = (study.config.bases[base].weights or "").partition(":")
    return [f"{study.results}/sources/{source}"] if kind == "source" else []


def architecture(study: Study, model: str) -> str:
    """The configuration of a base made here, as JSON with the hub's keys."""
    own = study.base_of(model).architecture
    return json.dumps(own.model_dump(exclude_none=True) if own else None)


def recipe(study: Study, model: str) -> str:
    """The recipe by which a base is pre-trained here, as JSON."""
    return study.config.training[study.base_of(model).recipe].model_dump_json()


def text_seed(study: Study) -> int:
    """The seed of the pre-training text."""
    section = study.config.pretraining
    return study.seed if section is None or section.seed is None else section.seed


def pretraining_blocks(study: Study, base: str) -> str:
    """The pre-training text in the tokens of a base."""
    return f"{study.results}/training/blocks/{study.tokenizer(base)}/pretraining.s{study.seed}"


def tokenizer_dialogues(study: Study) -> list[str]:
    """The dialogues for the study's tokenizer, besides the pre-training text: each pool's first mixture,
    which the imitation models see."""
    first: dict[str, str] = {}
    for name, mixture in study.config.mixtures.items():
        if mixture.pool:
            first.setdefault(mixture.pool, name)
    return [f"{study.results}/curation/mixtures/{name}.s{study.seed}.jsonl" for name in first.values()]
