"""The values of a study for rules/curation.smk."""

from __future__ import annotations

from falsepromise.study.config import default
from falsepromise.study.files import as_input
from falsepromise.study.study import Study
from falsepromise.study.workflow import options

SELECTION = ("max_query_characters", "max_reply_characters", "query_words", "single_exchanges")


def reader_options(study: Study, source: str) -> str:
    """A source's options for its reader."""
    entry = study.config.sources[source]
    if entry.format == "sharegpt":
        return "" if entry.join_parts else "--keep-parts"
    return options(entry, "all_branches") if entry.format == "exports" else ""


def dialogues(study: Study, mixture: str) -> str:
    """The dialogues of a mixture: a pool's training part, or the teacher's."""
    pool = study.config.mixtures[mixture].pool
    if pool:
        return f"{study.results}/curation/clean/{pool}.train.jsonl"
    return f"{study.results}/teacher/{mixture}.jsonl"


def named(study: Study, mixture: str, key: str) -> list[str]:
    """The file that a mixture names under a key, if it does."""
    file = getattr(study.config.mixtures[mixture], key)
    return as_input(file) if file else []


def prompts_from(study: Study, prompts: str) -> str:
    """Where evaluation prompts are drawn from: a pool's held-out part, or a source of prompts."""
    entry = study.config.prompts[prompts]
    if entry.source:
        return f"{study.results}/sources/{entry.source}"
    return f"{study.results}/curation/clean/{entry.pool}.heldout.jsonl"


def prompts_stay_away_from(study: Study, prompts: str) -> list[str]:
    """The training dialogues that evaluation prompts must not resemble: all that any model is trained on.

    A seed changes only their order, so the study's own is enough, and the runs' seeds leave the prompts as they are.
    """
    once = {name.rpartition(".s")[0] for name in used_mixtures(study)}
    own = study.config.prompts[prompts].pool
    pools = [own] if own else [] if once else [*study.config.pools]
    trained = {study.config.mixtures[name].pool for name in once}
    files = [f"{study.results}/curation/clean/{pool}.train.jsonl" for pool in pools if pool not in trained]
    return files + [f"{study.results}/curation/mixtures/{name}.s{study.seed}.jsonl" for name in sorted(once)]


def mix_options(study: Study, mixture: str) -> str:
    """Options that select a mixture's dialogues and put its prompt before a share of first queries."""
    entry = study.config.mixtures[mixture]
    return options(entry, *SELECTION, "balanced", *(("query_prompt_share",) if entry.query_prompt else ()))


def prompt_options(study: Study, prompts: str) -> str:
    """Options that select prompts: in the pool's language, unlike the training queries."""
    entry = study.config.prompts[prompts]
    language = entry.language or (study.config.pools[entry.pool].language if entry.pool else default("pools.language"))
    return f"{options({'language': language}, 'language')} {options(entry, 'max_bleu', *SELECTION)}"


def used_mixtures(study: Study) -> list[str]:
    """The mixtures that models were trained on, by their files' names: `sharegpt_mix.s0`."""
    used = {(str(model.mixture), model.seed) for model in map(study.models.__getitem__, study.trained)}
    return [f"{name}.s{seed}" for name, seed in sorted(used) if not study.config.mixtures[name].text]
