"""What a run will miss, said before its first job: files, keys, disk space, and what SLURM would never start."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.study import files, limits
from falsepromise.study.study import Study

BYTES_A_PARAMETER = 4  # a model's weights, and a base's, are kept in float32
BYTES_OF_STATE = 12  # of an unfinished training: weights and two moments


def check(study: Study) -> None:
    """The same for a run that is about to start.

    Raises:
        UserError: a file or a key is missing.
    """
    for line in absent(study):
        raise UserError(line)


def absent(study: Study) -> list[str]:
    """The files and keys that are missing."""
    lines = [file.absent for file in files.missing(study)]
    for teacher in (study.asked(judge) for judge in (None, *study.config.judges)):
        if teacher.url.startswith("https:") and not os.environ.get(teacher.api_key_env):
            lines.append(f"{teacher.url} wants a key: set it in the environment variable {teacher.api_key_env}")
    return list(dict.fromkeys(lines))


def space(study: Study, made: Iterable[tuple[str, str]], free: int) -> list[str]:
    """Whether the models that are to be made, with the largest training's state, find room.

    Args:
        made: Rule and model of each job.
        free: Bytes.
    """
    sizes = {
        (rule, model): study.parameters(study.models[model].base)
        for rule, model in made
        if rule in ("weights", "initial_weights", "pretrain", "train") and model in study.models
    }
    states = [size for (rule, _), size in sizes.items() if rule in ("pretrain", "train")]
    needed = BYTES_A_PARAMETER * sum(sizes.values()) + BYTES_OF_STATE * 2 * max(states, default=0)
    if needed <= free:
        return []
    return [
        f"disk: about {needed / 1e9:.0f} GB for {len(sizes)} models and an unfinished training's states, "
        f"{free / 1e9:.0f} GB are free here; take another --directory, or free some"
    ]


def report(study: Study, workflow: Any) -> tuple[list[str], list[str]]:
    """Lines for the end of a dry run: what is missing, and what would make it faster."""
    jobs = list(workflow.dag.needrun_jobs())
    lines = absent(study)
    made = [(job.rule.name, str(job.wildcards.get("model") or job.wildcards.get("base") or "")) for job in jobs]
    lines += space(study, made, shutil.disk_usage(".").free)
    if not workflow.resource_settings.nodes:  # jobs don't go to a cluster
        return lines, []
    asked, cluster = [limits.planned(job) for job in jobs if not job.is_local], limits.cluster()
    return lines + limits.never_started(asked, cluster), limits.advice(asked, cluster)
