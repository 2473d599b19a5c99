"""What rules/curation.smk asks."""

from __future__ import annotations

from falsepromise.study.study import Study

SELECTION = ("max_query_characters", "max_reply_characters", "single_exchanges")


def dialogues(study: Study, mixture: str) -> str:
    """The dialogues of a mixture: a pool's training part, or the teacher's."""
    entry = study.mixtures[mixture]
    if "pool" in entry:
        return f"{study.results}/curation/clean/{entry['pool']}.train.jsonl"
    return f"{study.results}/teacher/{mixture}.jsonl"


def prompts_from(study: Study, prompts: str) -> str:
    """What evaluation prompts are drawn from: a pool's held-out part, or a source of prompts."""
    entry = study.prompts[prompts]
    if "source" in entry:
        return f"{study.results}/sources/{entry['source']}"
    return f"{study.results}/curation/clean/{entry['pool']}.heldout.jsonl"


def prompts_stay_away_from(study: Study, prompts: str) -> list[str]:
    """The training dialogues that evaluation prompts must not resemble: all that any model is trained on.

    The order that a seed gives them makes no difference, so each mixture is looked through once.
    """
    once = {name.rpartition(".s")[0]: name for name in reversed(used_mixtures(study))}
    pools = [study.prompts[prompts]["pool"]] if "pool" in study.prompts[prompts] else [] if once else [*study.pools]
    trained = {study.mixtures[name].get("pool") for name in once}
    files = [f"{study.results}/curation/clean/{pool}.train.jsonl" for pool in pools if pool not in trained]
    return files + [f"{study.results}/curation/mixtures/{name}.jsonl" for name in sorted(once.values())]


def used_mixtures(study: Study) -> list[str]:
    """The mixtures that models were trained on, as their files are called: `sharegpt_mix.s0`."""
    used = {(m["mixture"], m["seed"]) for m in map(study.models.__getitem__, study.trained)}
    return [f"{name}.s{seed}" for name, seed in sorted(used) if "text" not in study.mixtures[name]]
