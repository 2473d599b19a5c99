"""Compare requested with used resources of a run's jobs, from SLURM's accounting."""

from __future__ import annotations

import contextlib
import csv
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIELDS = "JobIDRaw,State,ElapsedRaw,TimelimitRaw,TotalCPU,AllocCPUS,ReqMem,MaxRSS,AllocTRES"
COLUMNS = (
    "slurm_job", "name", "state", "minutes_asked", "minutes_used", "cpus_asked", "cpus_used", "memory_mb_asked",
    "memory_mb_used", "gpus_asked", "gpu_hours",
)  # fmt: skip


def report(names: Mapping[str, str], folder: Path, logger: Any) -> None:
    """Write a table of a run's jobs to `folder`, and print a line for each rule with better requests."""
    rows = table(names)
    if not rows:
        return
    file = folder / time.strftime("efficiency-%Y%m%d-%H%M%S.csv")
    folder.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_rule.setdefault(row["name"].split("-")[0], []).append(row)
    lines = [
        f"{'rule':<16}{'jobs':>5}{'minutes used/asked':>20}{'MB used/asked':>18}{'CPUs used/asked':>17}{'GPU h':>7}"
    ]
    for rule, group in by_rule.items():
        of = {key: max((row[key] for row in group if row[key] is not None), default="?") for key in COLUMNS[3:]}
        minutes, memory, cpus = (
            f"{of[f'{kind}_used']}/{of[f'{kind}_asked']}" for kind in ("minutes", "memory_mb", "cpus")
        )
        hours = sum(row["gpu_hours"] for row in group)
        lines.append(f"{rule:<16}{len(group):>5}{minutes:>20}{memory:>18}{cpus:>17}{hours:>7.2f}")
    logger.info("\n".join([f"Asked for and used, the largest of each rule ({file}):", *lines]))


def table(names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each job, by its name here; none without accounting, nor for a line that isn't as sacct writes it. What
    accounting doesn't know is None.

    Args:
        names: The jobs' names by SLURM's ids.
    """
    if not shutil.which("sacct"):
        return []
    command = ["sacct", "--noheader", "--parsable2", "--units", "M", "--format", FIELDS, "--jobs", ",".join(names)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return []
    jobs: dict[str, dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        with contextlib.suppress(ValueError):  # a site's banner, TotalCPU "INVALID", a job that never started
            number, state, elapsed, limit, cpu, cpus, asked, used, tres = line.split("|")
            job, _, step = number.partition(".")
            if step:
                if job in jobs:
                    jobs[job]["memory_mb_used"] = max(jobs[job]["memory_mb_used"], _mb(used))
                continue
            # The job itself; its steps follow, and know the memory.
            gpus = re.search(r"gres/gpu=(\d+)", tres)
            row: dict[str, Any] = {
                "slurm_job": job, "name": names.get(job, ""), "state": state,
                # 0: accounting didn't hear of the job's start.
                "minutes_asked": (float(limit) or None) if limit.isdecimal() else None,  # UNLIMITED
                "minutes_used": round(int(elapsed) / 60, 1),
                "cpus_asked": int(cpus), "cpus_used": round(_seconds(cpu) / max(1, int(elapsed)), 2),
                "memory_mb_asked": _mb(asked) or None, "memory_mb_used": 0.0,
                "gpus_asked": int(gpus[1]) if gpus else 0,
            }  # fmt: skip
            jobs[job] = row | {"gpu_hours": round(row["gpus_asked"] * int(elapsed) / 3600, 4)}
    return list(jobs.values())


def _mb(text: str) -> float:
    found = re.match(r"[\d.]+", text)
    return round(float(found[0])) if found else 0


def _seconds(text: str) -> float:
    """`1-02:03:04`, `02:03.456`: days, hours, minutes, seconds."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part or 0)
    return seconds + 86400 * int(days or 0)
