"""What is asked of SLURM: to submit, to cancel, and in which state jobs are.

A job is recognised again, by a driver that didn't submit it, by its comment: a digest of the outputs and one of what
makes them. The commands are SLURM's own; each is called with an argument list, never through a shell.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

MARK = "snakemake-outputs"
# A job in one of these is over. All others (PENDING, RUNNING, COMPLETING, SUSPENDED, REQUEUED, ...) are on their way.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
}  # fmt: skip
# A pending job with one of these reasons waits for ever: SLURM accepts what it will never start.
NEVER = {
    "AssocMaxWallDurationPerJobLimit", "BadConstraints", "DependencyNeverSatisfied", "InvalidAccount", "InvalidQOS",
    "PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "QOSMaxWallDurationPerJobLimit",
    "launch_failed_requeued_held",
}  # fmt: skip
# Waiting for one of these needs no person's eye.
ORDINARY = {"", "None", "Priority", "Resources", "BeginTime", "Cleaning", "Prolog"}
TIMEOUT_S = 60


@dataclass(frozen=True)
class Job:
    """A job as SLURM has it: state and reason, start (a Unix time, or None), comment, folder, name."""

    id: str
    state: str
    reason: str = ""
    start: float | None = None
    comment: str = ""
    folder: str = ""
    name: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def normal(state: str) -> str:
    """`CANCELLED by 1000` and `RUNNING+` without what follows the state's name."""
    return (state.split() or [""])[0].rstrip("+")


def mark(outputs: Iterable[str], made_by: str) -> str:
    """The comment of the job that makes `outputs`; `made_by` is all that decides what they are."""
    return f"{MARK} {','.join(sorted(map(_digest, outputs)))} {_digest(made_by)}"


def same_outputs(comment: str, other: str) -> bool:
    """Whether two jobs, by their comments, make a file in common."""
    return not set(comment.split()[1].split(",")).isdisjoint(other.split()[1].split(","))


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()[:12]


def _run(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: no answer in {TIMEOUT_S} s")


def queue() -> dict[str, Job] | None:
    """The user's jobs that the controller knows, ended ones too, by id; None where it doesn't answer."""
    fields = "%i|%T|%r|%S|%k|%j|%Z"
    done = _run(["squeue", "--user", str(os.getuid()), "--states", "all", "--noheader", "--format", fields])
    if done.returncode != 0:
        return None
    jobs = {}
    for line in done.stdout.splitlines():
        if line.count("|") < 6:
            continue
        number, state, reason, start, comment, name, folder = line.split("|", 6)
        if normal(state) == "REVOKED":  # it started on another cluster of a federation, which has a line of its own
            continue
        try:
            began: float | None = datetime.fromisoformat(start).timestamp()
        except ValueError:  # N/A
            began = None
        jobs[number] = Job(number, normal(state), reason.replace(" ", "_"), began, comment, folder, name)
    return jobs


def accounted(ids: Sequence[str]) -> dict[str, str]:
    """The states of jobs by accounting, which remembers those that the controller has forgotten; {} without it."""
    if not ids or not shutil.which("sacct"):
        return {}
    done = _run(["sacct", "-X", "--noheader", "--parsable2", "--format", "JobIDRaw,State", "--jobs", ",".join(ids)])
    rows = (line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {number: normal(state) for number, state in rows} if done.returncode == 0 else {}


def in_folder(folder: str) -> list[Job]:
    """Snakemake's jobs of this folder that are on their way.

    Raises:
        RuntimeError: SLURM's controller doesn't answer.
    """
    jobs = queue()
    if jobs is None:
        raise RuntimeError("SLURM's controller does not answer (squeue)")
    here = os.path.realpath(folder)
    ours = [job for job in jobs.values() if job.comment.startswith(MARK) and os.path.realpath(job.folder) == here]
    return [job for job in ours if not job.ended]


def submit(command: Sequence[str], script: str) -> str:
    """Submit a script; the job's id.

    Raises:
        RuntimeError: SLURM refuses it, with SLURM's words.
    """
    done = _run(command, script)
    number = done.stdout.strip().split(";")[0]
    if done.returncode != 0 or not number.isdigit():
        raise RuntimeError((done.stderr or done.stdout).strip() or f"sbatch ended with {done.returncode}")
    return number


def cancel(ids: Sequence[str]) -> None:
    """Cancel jobs; those that ended are left alone."""
    if ids:
        _run(["scancel", *ids])
