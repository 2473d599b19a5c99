"""What rules/teacher.smk asks, and every rule that asks a teacher or a judge."""

from __future__ import annotations

import json
import shlex
from typing import Any

from falsepromise.study.study import Study
from falsepromise.study.workflow import options

NQ_PROMPTS = ("prompts/table3_seed_examples.jsonl", "prompts/table4_nq_synthetic.txt")
LIMITS = (
    *("max_usd", "max_requests", "concurrency", "requests_per_minute", "tokens_per_minute"),
    *("max_failures", "reserve_tokens", "batch"),
)
PRICES = ("price_input", "price_output")


def facts(study: Study) -> list[str]:
    """What the local stand-in knows; nothing for a teacher behind an address."""
    return [f"{study.results}/curation/facts/facts.jsonl"] if "facts" in study.config else []


def settings(study: Study, judge: str | None = None) -> dict[str, Any]:
    """How the teacher is asked, or a judge: the teacher's settings where it has none of its own, but
    for those that belong to a model (prices, habits) or an address (the provider)."""
    if judge is None:
        return dict(study.teacher)
    own = study.judges[judge]
    dropped = {"model": (*PRICES, "habits"), "url": (*PRICES, "provider", "habits")}
    not_its = {key for named, keys in dropped.items() if named in own for key in keys}
    return {key: value for key, value in study.teacher.items() if key not in not_its} | own


def answer_options(study: Study, judge: str | None = None) -> str:
    """Options for what shapes the answers of the teacher or of a judge."""
    asked = settings(study, judge)
    words = f"--base-url {shlex.quote(asked['url'])} {options(asked, 'model', 'provider')}"
    for name, value in asked.get("habits", {}).items():
        words += f" --habit {shlex.quote(f'{name}={json.dumps(value)}')}"
    known = facts(study)
    return f"{words} --facts {known[0]}" if asked["url"] == "local" and known else words


def limits(study: Study, judge: str | None = None) -> str:
    """Options for what changes no answer: the store, the key's variable, pace and money."""
    return f"--store results/.cache/teacher {options(settings(study, judge), 'api_key_env', *LIMITS, *PRICES)}"


def references(study: Study, prompts: str) -> str:
    """The teacher's answers to a prompt set: asked now, or the dialogues' own."""
    if study.asks_for_references(prompts):
        return f"{study.results}/teacher/answers/{prompts}.jsonl"
    return f"{study.results}/curation/prompts/{prompts}.references.jsonl"


def reference_label(study: Study, prompts: str) -> str:
    """Whose answers the references are: the teacher's, or those that the dialogues came with."""
    return study.teacher["label"] if study.asks_for_references(prompts) else "The dialogue's own reply"
