"""The values of a study for rules/benchmarks.smk, and the score files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from falsepromise.study.config import TEACHER
from falsepromise.study.files import as_input
from falsepromise.study.study import Study
from falsepromise.study.tasks import TASKS
from falsepromise.study.workflow import digest, options

# The client of servers.
SERVER = (
    *("falsepromise.benchmarks.model:EndpointModel", "falsepromise.generation.endpoint"),
    *(f"falsepromise.teacher.{name}" for name in ("client", "ledger", "options", "store")),
)


def code(study: Study, benchmark: str, of_a_server: bool = False) -> str:
    """A digest of the code that scores a benchmark: its own task, and no client if the model is a folder."""
    task = TASKS[study.config.benchmarks[benchmark].task]
    verbs = ("falsepromise.benchmarks.run", f"falsepromise.benchmarks.{task.verb}")
    without = () if of_a_server else SERVER
    return "".join(digest(verb, *task.prompts, without=without) for verb in verbs)


def data(study: Study, benchmark: str) -> list[str]:
    """The file of a benchmark's questions: a source's or one of the facts' (`facts:qa.jsonl`). Empty for lm-eval's
    tasks with their own data.
    """
    name = study.config.benchmarks[benchmark].data
    if name is None:
        return []
    if name.startswith("facts:"):
        return [f"{study.results}/curation/facts/{name.removeprefix('facts:')}"]
    return [f"{study.results}/sources/{name}"]


def own_task(study: Study, benchmark: str) -> list[str]:
    """The user's YAML file of an lm-eval task."""
    name = study.config.benchmarks[benchmark].name or ""
    return as_input(name) if name.endswith((".yaml", ".yml")) else []


def asked(study: Study, benchmark: str) -> str:
    """Options for the task. A task file of the user's counts by what it holds: `own_files`."""
    entry = study.config.benchmarks[benchmark]
    return options({"task": entry.task, "lm_eval_task": entry.name}, "task", "lm_eval_task")


def questions(data: str | Sequence[str]) -> str:
    """The option for a benchmark's data, from the job's input."""
    return options({"data": [data] if isinstance(data, str) else list(data)}, "data")


def own_files(study: Study, benchmark: str) -> list[Path]:
    """Files of the user's that shape a benchmark's scores and are no job's output: tests of programs, stored scores of
    toxicity, an lm-eval task with the files that it includes and the modules whose functions it calls.
    """
    entry = study.config.benchmarks[benchmark]
    found = [Path(name) for name in (entry.extra_tests, entry.scorer_file) if name]
    waiting = [Path(name) for name in own_task(study, benchmark)]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found.append(file)
        if file.suffix != ".py":
            text = file.read_text(encoding="utf-8", errors="replace")
            included = re.findall(r"^include:[ \t]{1,9}(\S{1,999})", text, re.M)
            called = re.findall(r"!function[ \t]{1,9}([\w/]{1,999})\.", text)
            waiting += [file.parent / name.strip("'\"") for name in included]
            waiting += [file.parent / f"{name}.py" for name in called]
    return found


def score_options(study: Study, benchmark: str) -> str:
    """Options of one benchmark. Without a sandbox, HumanEval is not scored, and its score file has the reason."""
    entry = study.config.benchmarks[benchmark]
    if entry.task == "lm_eval":
        return f"{options(entry, 'shots', 'metric', 'limit', 'max_tokens')} --allow-not-scored"
    words = options(entry, "limit", "subjects", "samples", "extra_tests", "max_tokens")
    words += f" {options(entry, 'scorer', 'scorer_file', 'scorer_url', 'scorer_model')} --allow-not-scored"
    return f"{words} --on-no-sandbox skip" if entry.task == "humaneval" else words


def turn_tokens(study: Study, benchmark: str, model: str) -> str:
    """Whether prompts get the turn tokens: for imitation models (Appendix E), never for base models."""
    never = study.config.benchmarks[benchmark].turn_tokens == "never"
    return "no" if never or model in study.base_models else "yes"


def scores(study: Study, benchmark: str) -> list[str]:
    """A benchmark's score files, with the teacher's if the study asks for it."""
    models = study.chosen(study.config.benchmarks[benchmark].runs)
    if benchmark in study.config.teacher.benchmarks:
        models.append(TEACHER)
    return [f"{study.results}/benchmarks/{benchmark}/{model}.json" for model in models]


def scores_of_tasks(study: Study, *tasks: str) -> list[str]:
    """The score files of the benchmarks with these tasks."""
    return [file for name, b in study.config.benchmarks.items() if b.task in tasks for file in scores(study, name)]


def capabilities(study: Study) -> list[str]:
    """The score files of all benchmarks of knowledge and capability."""
    return scores_of_tasks(study, *(name for name, task in TASKS.items() if task.knowledge))
