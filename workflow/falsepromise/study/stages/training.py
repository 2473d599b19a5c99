"""The values of a study for rules/training.smk."""

from __future__ import annotations

from falsepromise.study.stages.bases import pretraining_blocks
from falsepromise.study.study import Study
from falsepromise.study.workflow import options


def tokenizer(study: Study, name: str) -> str:
    """The folder of a tokenizer by its name: the study's own, or the first base's that has it."""
    if name == "study":
        return f"{study.results}/training/tokenizer"
    return f"{study.results}/training/bases/{next(b for b in study.config.bases if study.tokenizer(b) == name)}"


def records(study: Study, mixture: str, seed: str) -> str:
    """The records that become tokens."""
    if mixture == "pretraining":
        return f"{study.results}/curation/pretraining/text.jsonl"
    return f"{study.results}/curation/mixtures/{mixture}.s{seed}.jsonl"


def block_options(study: Study, tokenizer: str, mixture: str) -> str:
    """Size and packing of blocks. Pre-training text is one stream, cut wherever a block ends."""
    base = next(name for name in study.config.bases if study.tokenizer(name) == tokenizer)
    packing = "contiguous" if mixture == "pretraining" else study.config.blocks.packing
    return f"--block-size {study.block_size(base)} --packing {packing}"


def base(study: Study, model: str) -> str:
    """The folder of the base that a trained model starts from."""
    entry = study.models[model]
    return f"{study.results}/training/bases/{study.base_model(entry.base, entry.seed)}"


def blocks(study: Study, model: str) -> str:
    """The token blocks that a trained model sees."""
    entry = study.models[model]
    if study.mixture_of(model).text:
        return pretraining_blocks(study, entry.base)
    return f"{study.results}/training/blocks/{study.tokenizer(entry.base)}/{entry.mixture}.s{entry.seed}"


def replay(study: Study, model: str) -> list[str]:
    """The pre-training blocks that a model replays, if its recipe replays any."""
    recipe = study.recipe_of(model)
    return [pretraining_blocks(study, study.models[model].base)] if recipe and recipe.replay_share else []


def recipe(study: Study, model: str) -> str:
    """A trained model's recipe, as JSON."""
    return study.config.training[study.mixture_of(model).recipe].model_dump_json()


def tokens(study: Study, model: str) -> str:
    """The option for a trained model's token budget; nothing for all tokens."""
    return options(study.models[model], "tokens")


def weights(study: Study, model: str) -> str:
    """The folder of a model's weights, base or trained."""
    kind = "bases" if model in study.base_models else "models"
    return f"{study.results}/training/{kind}/{model}"
