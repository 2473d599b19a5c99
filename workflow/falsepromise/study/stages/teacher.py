"""The values of a study for rules/teacher.smk, and for every rule that asks a teacher or a judge."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from falsepromise.study.study import Study
from falsepromise.study.workflow import options

NQ_PROMPTS = ("prompts/table3_seed_examples.jsonl", "prompts/table4_nq_synthetic.txt")
LIMITS = (
    *("max_usd", "max_requests", "concurrency", "requests_per_minute", "tokens_per_minute"),
    *("max_failures", "reserve_tokens", "batch"),
)
PRICES = ("price_input", "price_output")


def facts(study: Study) -> list[str]:
    """The file of the local stand-in's facts; empty for a teacher behind an API."""
    return [f"{study.results}/curation/facts/facts.jsonl"] if study.config.facts else []


def answer_options(study: Study, judge: str | None = None) -> str:
    """Options that shape the answers of the teacher or of a judge.

    Args:
        study: The study.
        judge: A judge's name, or None for the teacher.
    """
    asked = study.asked(judge)
    return f"--base-url {shlex.quote(asked.url)} {options(asked, 'model', 'provider')}{_habits(study, judge, False)}"


def known_facts(study: Study, known: Sequence[str], judge: str | None = None) -> str:
    """The option for the stand-in's facts, from the job's input `facts`.

    Snakemake may give the file another place (a module's prefix, a storage), so it must come from the input. It keeps
    no record of a param that does, which is why nothing else may be in it.
    """
    return f"--facts {shlex.quote(known[0])}" if study.asked(judge).url == "local" and known else ""


def limits(study: Study, judge: str | None = None) -> str:
    """Options that change no answer: the store, the key's variable, pace and money, and how batches are sent."""
    kept = options(study.asked(judge), "api_key_env", *LIMITS, *PRICES)
    return f"--store results/.cache/teacher {kept}{_habits(study, judge, True)}"


def _habits(study: Study, judge: str | None, of_batches: bool) -> str:
    """The options for a server's habits: those of its batches, which change no answer, or the others."""
    asked = study.asked(judge)
    found = asked.habits.model_dump(exclude_unset=True) if asked.habits else {}
    chosen = {name: value for name, value in found.items() if name.startswith("batch") is of_batches}
    return "".join(f" --habit {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in chosen.items())


def references(study: Study, prompts: str) -> str:
    """The file of the teacher's answers to a prompt set: new ones, or the dialogues' own."""
    if study.asks_for_references(prompts):
        return f"{study.results}/teacher/answers/{prompts}.jsonl"
    return f"{study.results}/curation/prompts/{prompts}.references.jsonl"


def known_references(study: Study, prompts: str) -> list[str]:
    """The teacher's replies whose likelihood is measured: those that the style prompts' dialogues came with."""
    asked = study.asks_for_references(prompts)
    return [references(study, prompts)] if prompts == study.style_prompts and not asked else []


def reference_label(study: Study, prompts: str) -> str:
    """The author of the references: the teacher, or the dialogue itself."""
    return study.config.teacher.label if study.asks_for_references(prompts) else "The dialogue's own reply"
