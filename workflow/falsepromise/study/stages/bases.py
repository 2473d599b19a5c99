"""What rules/bases.smk asks."""

from __future__ import annotations

import json

from falsepromise.study.study import Study


def architecture(study: Study, model: str) -> str:
    """The configuration of a base made here, as JSON with the hub's keys."""
    fixed = {"model_type": "llama", "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}
    own = study.bases[study.models[model]["base"]]["architecture"]
    return json.dumps({**fixed, "tie_word_embeddings": True, **own})


def recipe(study: Study, model: str) -> str:
    """The recipe by which a base is pre-trained here, as JSON."""
    return json.dumps(study.training[study.bases[study.models[model]["base"]].get("recipe", "pretraining")])


def pretraining_blocks(study: Study, base: str) -> str:
    """The pre-training text in the tokens of a base."""
    return f"{study.results}/training/blocks/{study.tokenizer(base)}/pretraining.s{study.seed}"


def tokenizer_dialogues(study: Study) -> list[str]:
    """The dialogues that the study's tokenizer is trained on, beside the pre-training text: each pool's
    first mixture, which the imitation models see."""
    first: dict[str, str] = {}
    for name, mixture in study.mixtures.items():
        if "pool" in mixture:
            first.setdefault(mixture["pool"], name)
    return [f"{study.results}/curation/mixtures/{name}.s{study.seed}.jsonl" for name in first.values()]
