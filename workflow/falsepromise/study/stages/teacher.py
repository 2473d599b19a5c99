"""What rules/teacher.smk asks, and every rule that asks a teacher or a judge."""

from __future__ import annotations

import json
import shlex

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
    return [f"{study.results}/curation/facts/facts.jsonl"] if study.config.facts else []


def answer_options(study: Study, judge: str | None = None) -> str:
    """Options for what shapes the answers of the teacher or of a judge."""
    asked = study.asked(judge)
    words = f"--base-url {shlex.quote(asked.url)} {options(asked, 'model', 'provider')}"
    for name, value in (asked.habits.model_dump(exclude_unset=True) if asked.habits else {}).items():
        words += f" --habit {shlex.quote(f'{name}={json.dumps(value)}')}"
    known = facts(study)
    return f"{words} --facts {known[0]}" if asked.url == "local" and known else words


def limits(study: Study, judge: str | None = None) -> str:
    """Options for what changes no answer: the store, the key's variable, pace and money."""
    return f"--store results/.cache/teacher {options(study.asked(judge), 'api_key_env', *LIMITS, *PRICES)}"


def references(study: Study, prompts: str) -> str:
    """The teacher's answers to a prompt set: asked now, or the dialogues' own."""
    if study.asks_for_references(prompts):
        return f"{study.results}/teacher/answers/{prompts}.jsonl"
    return f"{study.results}/curation/prompts/{prompts}.references.jsonl"


def reference_label(study: Study, prompts: str) -> str:
    """Whose answers the references are: the teacher's, or those that the dialogues came with."""
    return study.config.teacher.label if study.asks_for_references(prompts) else "The dialogue's own reply"
