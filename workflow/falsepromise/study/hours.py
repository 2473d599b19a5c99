"""Estimate the hours that a model's answers and scores take on a CPU core, from the tokens that it reads and writes.

A token costs two FLOPs a weight. The share of a core's peak is what models of that size reached
(benchmarks/training_results.md, benchmarks/generation_results.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from falsepromise.study.planning import HARDWARE
from falsepromise.study.study import Study
from falsepromise.study.tasks import TASKS

ANSWER = (150, 400)  # assumed tokens of a prompt and of a teacher's answer to it
UNKNOWN_ITEMS = 500  # assumed items of a benchmark on a user's file
START_S = 8  # seconds to import, load and compile
SMALL = 5e6  # weights; smaller models spend more of their time between products of matrices


@dataclass(frozen=True)
class Work:
    """What a job asks a model: tokens to read, and tokens to write at most."""

    read: int
    written: int

    @property
    def tokens(self) -> int:
        return self.read + self.written


def share_of_peak(parameters: int) -> float:
    """The share of a core's peak that products reach, by a model's number of weights."""
    return 0.35 if parameters < SMALL else 0.6


def work(study: Study, wildcards: Mapping[str, Any]) -> Work:
    """The tokens of a job's prompt set or benchmark, by the task's assumed sizes and the study's limits."""
    if prompts := wildcards.get("prompts"):
        entry = study.config.prompts[prompts]
        likelihood = sum(ANSWER) if prompts == study.style_prompts and entry.references == "dialogue" else 0
        return Work(entry.n * (ANSWER[0] + likelihood), entry.n * entry.max_tokens)
    asked = study.config.benchmarks[wildcards["benchmark"]]
    task = TASKS[asked.task]
    items = asked.limit or (task.items if not (asked.data or "").startswith("facts:") else None) or UNKNOWN_ITEMS
    read, written = task.request or ANSWER
    most = min(written, asked.max_tokens) if asked.max_tokens else written
    return Work(read + items * (task.own or read), items * (asked.samples or 1) * most)


def core_hours(study: Study, model: str, asked: Work, shards: int = 1) -> float:
    """Hours of one core to read and write tokens, shared by `shards` jobs."""
    base = study.models[model].base
    shape = study.shape(base)
    flops = 2.0 * (shape.parameters - shape.looked_up) * asked.tokens / shards
    peak = HARDWARE["cpu-core"].peak["float32"]
    return (START_S + flops / (share_of_peak(study.parameters(base)) * peak)) / 3600
