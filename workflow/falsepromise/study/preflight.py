"""Check before the first job what a run lacks: files, keys, disk space, jobs that SLURM would never start."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.study import contents, costs, files, limits
from falsepromise.study.study import Study

BYTES_A_PARAMETER = 4  # models' and bases' weights are stored in float32
BYTES_OF_STATE = 12  # a parameter of an unfinished training: weights and two moments


def check(study: Study) -> None:
    """Refuse to start a run that lacks something.

    Raises:
        UserError: a file or a key is missing, a file is damaged, or a folder can't be written.
    """
    for line in absent(study):
        raise UserError(line)


def absent(study: Study) -> list[str]:
    """The files, keys and rights that are missing, and the files that are damaged."""
    lines = [file.absent for file in files.missing(study)]
    lines += contents.damaged(study)
    lines += _same_but_for_capitals(study)
    lines += _unwritable(study.results, f"logs/{study.name}", "results/.cache")
    for teacher in study.servers().values():
        if teacher.url.startswith("https:") and not os.environ.get(teacher.api_key_env):
            lines.append(f"{teacher.url} needs a key: set it in the environment variable {teacher.api_key_env}")
    lines += refused(study)
    return list(dict.fromkeys(lines))


def refused(study: Study) -> list[str]:
    """Settings of servers that the first verb to ask would refuse: batches without a batch API, impossible habits."""
    providers = importlib.import_module("falsepromise.teacher.providers")  # by name, as in `contents`
    lines = []
    for where, asked in study.servers().items():
        own = asked.habits.model_dump(exclude_unset=True) if asked.habits else None
        try:
            batches = providers.batch_price(asked.url, asked.model, asked.provider, own)
        except UserError as error:
            lines.append(f"'{where}.habits': {error}")
            continue
        if asked.batch and asked.url == "local":
            lines.append(f"'{where}.batch' is true, but the stand-in has no batches, and costs nothing; leave it out")
        elif asked.batch and batches is None:
            hint = f"leave it out, or name its protocol: '{where}.habits.batch: openai'"
            lines.append(f"'{where}.batch' is true, but no batch API of {asked.url} is known; {hint}")
    return lines


def _same_but_for_capitals(study: Study) -> list[str]:
    """The names that are one file where a file system (FAT, exFAT, some shares) doesn't tell capitals apart."""
    if tells_capitals(Path.cwd()):
        return []
    found = []
    for section, names in [
        *((key, value) for key, value in study.config if isinstance(value, dict)),
        ("runs", study.models),
    ]:
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                found.append(f"'{section}': {other!r} and {name!r} are one file on this file system; rename one")
    return found


def tells_capitals(folder: Path) -> bool:
    """Whether a folder's name in the other case is another folder."""
    other = folder.with_name(folder.name.swapcase()) if folder.name else folder
    return other == folder or not (other.exists() and other.samefile(folder))


def _unwritable(*folders: str) -> list[str]:
    """The folders that can't be made or written, each by the part of its path that is in the way."""
    found = []
    for folder in map(Path, folders):
        place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            found.append(f"{place} can't be written as a folder; change its permissions, or choose another --directory")
    return found


def space(study: Study, made: Iterable[tuple[str, str]], free: int) -> list[str]:
    """The warning if the disk has no room for the models to be made and the largest training's state.

    Args:
        made: Rule and model of each job.
        free: Free bytes on the disk.
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
        f"{free / 1e9:.0f} GB are free here; choose another --directory, or free space"
    ]


def time_needed(study: Study, workflow: Any) -> str | None:
    """The line with the hours of the jobs to be done on this machine's cores; None on a cluster."""
    if workflow.resource_settings.nodes:
        return None
    todo = [(job.rule.name, job.wildcards) for job in workflow.dag.needrun_jobs(exclude_finished=False)]
    found = costs.on_cores(study, todo, workflow.resource_settings.cores or 1)
    return found and f"Time: {found}."


def made_again_by_time(workflow: Any) -> str | None:
    """The line about jobs that run again because of times alone, as of results that were copied without them.

    Snakemake compares files by content, but not folders, and nothing that it has no record of.
    """
    from snakemake.io import IOFile

    rules: dict[str, int] = {}
    for job in workflow.dag.needrun_jobs(exclude_finished=False):
        reason = workflow.dag.reason(job)
        newer = [str(file) for file in reason.updated_input]
        if newer and not (reason.missing_output or reason.forced or reason.params_changed or reason.updated_input_run):
            unknown = any(workflow.persistence.input(IOFile(str(file))) is None for file in job.output)
            if unknown or any(map(os.path.isdir, newer)):
                rules[job.rule.name] = rules.get(job.rule.name, 0) + 1
    if not rules:
        return None
    counted = ", ".join(f"{count} of {name}" for name, count in sorted(rules.items()))
    return (
        f"Run again only because their inputs are newer: {counted}, and what follows. If these results were copied "
        "without their times, the same command with --touch marks them as made."
    )


def report(study: Study, workflow: Any) -> tuple[list[str], list[str]]:
    """Lines for the end of a dry run: what is missing, and what would be faster."""
    jobs = list(workflow.dag.needrun_jobs(exclude_finished=False))
    lines = absent(study)
    made = [(job.rule.name, str(job.wildcards.get("model") or job.wildcards.get("base") or "")) for job in jobs]
    lines += space(study, made, shutil.disk_usage(".").free)
    if not workflow.resource_settings.nodes:  # not on a cluster
        return lines, []
    # In a dry run Snakemake calls every job local.
    submitted = [job for job in jobs if not (job.rule.norun or job.rule.name in workflow._localrules)]
    asked, cluster = [limits.planned(job) for job in submitted], limits.cluster()
    return lines + limits.never_started(asked, cluster), limits.advice(asked, cluster)
