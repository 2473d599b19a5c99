"""The values of a study for rules/style.smk, and the style scores."""

from __future__ import annotations

from falsepromise.study.config import TEACHER
from falsepromise.study.study import Study


def judgements(study: Study, model: str) -> list[str]:
    """The judge's verdicts on a model's tone, if the study names a judge for it."""
    judge = study.config.style.tone if study.config.style else None
    return [f"{study.results}/preference/{judge}/{model}.tone.jsonl"] if judge else []


def second_judgements(study: Study) -> list[str]:
    """The judge's verdicts on the tone of the teacher's second answers, if the study asks for both."""
    return judgements(study, TEACHER) if study.asks_for_references(study.style_prompts) else []


def scores(study: Study) -> list[str]:
    """The style scores of all models that answer the style prompts."""
    if not study.config.style:
        return []
    models = study.chosen(study.config.prompts[study.style_prompts].runs)
    return [f"{study.results}/style/{model}.json" for model in models]
