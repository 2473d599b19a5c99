"""What a run will miss, said before its first job: files, keys, disk space, and what SLURM would never start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.study import files
from falsepromise.study.study import Study

BYTES_A_PARAMETER = 4  # a model's weights, and a base's, are kept in float32
BYTES_OF_STATE = 12  # of an unfinished training: weights and two moments


@dataclass(frozen=True)
class Planned:
    """What a job asks for; minutes, MB, CPUs and GPUs (each host's), 0 for nothing asked."""

    rule: str
    minutes: int = 0
    memory: int = 0
    cpus: int = 1
    gpus: int = 0
    hosts: int = 1
    partition: str = ""


@dataclass(frozen=True)
class Partition:
    """What the largest nodes of a partition have; minutes None for no limit."""

    name: str
    default: bool
    minutes: int | None
    cpus: int
    memory: int
    gpus: int


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


def never_started(jobs: Iterable[Planned], partitions: Sequence[Partition]) -> list[str]:
    """The jobs that ask for more than their partition has, by rule, and what to change."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for job in jobs:
        partition = next((p for p in partitions if p.name == job.partition or (not job.partition and p.default)), None)
        if partition is None:
            if job.partition:
                found[job.rule, f"there is no partition {job.partition!r}"] += 1
            continue
        asked = (
            ("runtime", "minutes", job.minutes, partition.minutes),
            ("mem_mb", "MB", job.memory, partition.memory),
            ("threads", "CPUs", job.cpus, partition.cpus),
            ("gpus", "GPUs a node", job.gpus, partition.gpus),
        )
        for resource, unit, wanted, most in asked:
            if most is not None and wanted > most:
                where = f"partition {partition.name!r} has {most} {unit}"
                found[job.rule, f"asks for {wanted} {unit}, {where} (set {resource}, or slurm_partition)"] += 1
    return [f"SLURM would never start {count} of {rule}: {what}" for (rule, what), count in found.items()]


def partitions() -> list[Partition]:
    """SLURM's partitions, as sinfo lists them; none without SLURM."""
    if not shutil.which("sinfo"):
        return []
    asked = ["sinfo", "--noheader", "--exact", "--format", "%P|%l|%c|%m|%G"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return read_partitions(done.stdout) if done.returncode == 0 else []


def read_partitions(text: str) -> list[Partition]:
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        if line.count("|") < 4:
            continue
        name, limit, cpus, memory, gres = line.split("|", 4)
        gpus = sum(int(count) for count in re.findall(r"gpu:(?:[^,:(]+:)?(\d+)", gres))
        new = Partition(name.rstrip("*"), name.endswith("*"), _minutes(limit), _number(cpus), _number(memory), gpus)
        old = found.get(new.name, new)
        found[new.name] = Partition(
            new.name, new.default, new.minutes,
            max(old.cpus, new.cpus), max(old.memory, new.memory), max(old.gpus, new.gpus),
        )  # fmt: skip
    return list(found.values())


def user_limit() -> int | None:
    """The most minutes that the user's own jobs may take, by accounting, or None."""
    if not shutil.which("sacctmgr"):
        return None
    user = os.environ.get("USER") or str(os.getuid())
    asked = ["sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=MaxWall"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    limits = [minutes for line in done.stdout.split() if (minutes := _minutes(line)) is not None]
    return max(limits, default=None) if done.returncode == 0 else None


def _minutes(text: str) -> int | None:
    """`1-02:00:00`, `02:00:00`, `30:00` (minutes and seconds), `infinite`: minutes, or None for no limit."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) > 3:
        return None
    hours, minutes, seconds = ([0, 0, 0, *map(int, parts)])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0)


def _number(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def report(study: Study, workflow: Any) -> list[str]:
    """Lines for the end of a dry run."""
    jobs = list(workflow.dag.needrun_jobs())
    lines = absent(study)
    made = [(job.rule.name, str(job.wildcards.get("model") or job.wildcards.get("base") or "")) for job in jobs]
    lines += space(study, made, shutil.disk_usage(".").free)
    if workflow.resource_settings.nodes:  # jobs go to a cluster
        asked = [planned(job) for job in jobs if not job.is_local]
        lines += never_started(asked, partitions())
        longest = user_limit()
        over = {job.rule for job in asked if longest is not None and job.minutes > longest}
        lines += [f"your account's jobs may take {longest} minutes, {rule} asks for more" for rule in sorted(over)]
    return lines


def planned(job: Any) -> Planned:
    of = job.resources.get
    hosts = of("nodes") or 1

    def number(key: str) -> int:
        value = of(key)
        return value if isinstance(value, int) else 0

    return Planned(
        job.rule.name, number("runtime"), number("mem_mb"), job.threads, -(-number("gpu") // hosts), hosts,
        str(of("slurm_partition") or ""),
    )  # fmt: skip
