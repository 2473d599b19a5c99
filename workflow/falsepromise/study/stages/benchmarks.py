"""What rules/benchmarks.smk asks, and the score files."""

from __future__ import annotations

from pathlib import Path

from falsepromise.study.study import GROUPS, TEACHER, Study
from falsepromise.study.workflow import options

_TASKS = "workflow/falsepromise/benchmarks/tasks/falsepromise_"
PROMPTS = {
    "nq": ["resources/prompts/table8_natural_questions.txt"],
    "cnn": ["resources/prompts/table9_cnn_dailymail.txt"],
    "gsm8k": ["resources/prompts/gsm8k_star.txt"],
    "mmlu": [_TASKS + "mmlu.yaml"],
    "multiple_choice": [_TASKS + "multiple_choice.yaml"],
}


def data(study: Study, benchmark: str) -> str:
    """A benchmark's questions: a source's file, or one of the facts' (`facts:qa.jsonl`)."""
    name = study.benchmarks[benchmark]["data"]
    if name.startswith("facts:"):
        return f"{study.results}/curation/facts/{name.removeprefix('facts:')}"
    return f"{study.results}/sources/{name}"


def prompt(study: Study, benchmark: str) -> list[str]:
    """The files that shape a benchmark's prompt, so that an edit of them scores again."""
    return [file for file in PROMPTS.get(study.benchmarks[benchmark]["task"], []) if Path(file).exists()]


def score_options(study: Study, benchmark: str) -> str:
    """Options of one benchmark. Where there is no sandbox, HumanEval is not scored, and says so."""
    entry = study.benchmarks[benchmark]
    words = options(entry, "limit", "samples", "max_tokens", "scorer")
    return f"{words} --on-no-sandbox skip" if entry["task"] == "humaneval" else words


def turn_tokens(study: Study, benchmark: str, model: str) -> str:
    """Whether prompts get the turn tokens: of imitation models (Appendix E), never of base models."""
    never = study.benchmarks[benchmark].get("turn_tokens", "auto") == "never"
    return "no" if never or model in study.base_models else "yes"


def scores(study: Study, benchmark: str) -> list[str]:
    """A benchmark's score files; the teacher's with them where the study asks for it."""
    models = study.chosen(study.benchmarks[benchmark], ("bases", *GROUPS))
    if benchmark in study.teacher.get("benchmarks", []):
        models.append(TEACHER)
    return [f"{study.results}/benchmarks/{benchmark}/{model}.json" for model in models]


def scores_of_tasks(study: Study, *tasks: str) -> list[str]:
    """The score files of the benchmarks with these tasks."""
    return [file for name, b in study.benchmarks.items() if b["task"] in tasks for file in scores(study, name)]


def capabilities(study: Study) -> list[str]:
    """The score files of all benchmarks but toxicity."""
    return scores_of_tasks(study, *({b["task"] for b in study.benchmarks.values()} - {"toxicity"}))
