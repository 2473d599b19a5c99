"""A SLURM that fails as told by a seed, in simulated time: what sbatch, squeue, sacct and scancel answer.

It starts jobs, ends them in every way that SLURM has, loses answers, lets submissions arrive late, is silent for a
while, refuses for every reason, and forgets. It notices by itself when two jobs that make the same files run at once.
"""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

FOLDER = "/study"
BUSY = (
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\nResource temporarily unavailable",
    "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
    "sbatch: error: Batch job submission failed: I/O error writing script/environment to file",
    "sbatch: no answer in 60 s",
)
STRANGE = ("sbatch: error: Batch job submission failed: Unspecified error", "", "sbatch: error: a site's own words")
SUBMIT_LIMIT = (
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
    "accounting/QOS policy (job submit limit, user's size and/or time limits)",
    "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS "
    "policy (job submit limit, user's size and/or time limits)",
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
    "and/or time limits)",
)
OTHERS_LIMIT = "sbatch: error: QOSGrpSubmitJobsLimit\nsbatch: error: Job violates accounting/QOS policy"
NEVER_TAKEN = (
    "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed: Invalid partition "
    "name specified",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
    "sbatch: error: Batch job submission failed: Requested node configuration is not available",
    "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates "
    "accounting/QOS policy (job submit limit, user's size and/or time limits)",
    "sbatch: error: Memory specification can not be satisfied\nRequested memory exceeds the partition's",
    "sbatch: error: Batch job submission failed: User's group not permitted to use this partition",
)
NEVER_STARTED = (
    *("PartitionConfig", "PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "InvalidAccount", "InvalidQOS"),
    *("QOSMaxWallDurationPerJobLimit", "AssocMaxCpuPerJobLimit", "QOSMaxMemoryPerJob", "AssocMaxGRESPerJob"),
    *("QOSMaxCpuPerNode", "QOSMinGRES", "QOSMinCpuNotSatisfied", "AssocGrpCpuPerJobLimit", "QOSNotAllowed"),
    *("DependencyNeverSatisfied", "launch failed requeued held", "job_requeued_in_held_state", "JobHoldMaxRequeue"),
)
STARTED_LATER = (
    *("None", "Priority", "Resources", "BeginTime", "Dependency", "Licenses", "Reservation", "PartitionDown"),
    *("QOSMaxJobsPerUserLimit", "QOSMaxCpuPerUserLimit", "AssocMaxJobsLimit", "AssocGrpGRES", "QOSGrpMemLimit"),
    *("QOSGrpNodeLimit", "AssocGrpCPUMinutesLimit", "JobHeldUser", "JobHeldAdmin", "QOSUsageThreshold", "Cleaning"),
    *("ReqNodeNotAvail, UnavailableNodes:n[1-4]", "Nodes required for job are DOWN, DRAINED or reserved"),
)
BAD_ENDS = ("FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "CANCELLED", "PREEMPTED", "BOOT_FAIL", "DEADLINE")
LATEST_S = 12  # a submission whose answer was lost arrives no later than this
ENDED = {*BAD_ENDS, "COMPLETED"}


@dataclass
class Job:
    """A job as the simulated SLURM has it; times are of its clock."""

    id: str
    name: str
    comment: str
    begin: float  # not before
    length: float
    end: str  # the state in which it will end, if nothing happens to it
    reason: str
    singleton: bool
    state: str = "PENDING"
    started: float = 0.0
    over: float = 0.0  # when the next change is due, or since when it has ended
    requeues: int = 0

    @property
    def outputs(self) -> str:
        return self.comment.split()[1]

    @property
    def at_work(self) -> bool:
        return self.state in ("RUNNING", "COMPLETING", "SUSPENDED")


@dataclass
class Slurm:
    """The cluster. `between` is called at each moment at which another thread, or a signal, could come in."""

    random: random.Random
    never: dict[str, str]  # names of jobs that are refused or never started -> why
    faults: bool = True
    now: float = 1_000_000.0
    jobs: list[Job] = field(default_factory=list)
    late: list[tuple[float, Job]] = field(default_factory=list)
    between: Callable[[], None] = lambda: None
    completed: Counter[str] = field(default_factory=Counter)  # by comment
    bad: Counter[str] = field(default_factory=Counter)  # ends and refusals that may use an attempt up, by comment
    arrived_late: set[str] = field(default_factory=set)  # comments
    unanswered: set[str] = field(default_factory=set)  # comments
    requested: int = 0

    def __post_init__(self) -> None:
        chance = self.random.random
        self.accounting = chance() < 0.7
        self.limit = self.random.choice((1, 2, 3, 1000, 1000))
        self.limit_said = self.random.choice(SUBMIT_LIMIT)
        self.trouble = self.random.choice((0.0, 0.05, 0.2, 0.4)) if self.faults else 0.0
        longest = 2000 if self.accounting else 200  # without accounting, what ended while it was silent is forgotten
        self.silent = [
            (start, start + chance() * longest)
            for start in (self.now + chance() * 600 for _ in range(self.random.choice((0, 0, 1, 1 + self.accounting))))
            if self.faults
        ]

    # Time ----------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        target = self.now + seconds
        while True:
            due = [(when, 0, job) for when, job in self.late] + [(self._next(job), 1, job) for job in self.jobs]
            when, kind, job = min(due, key=lambda entry: entry[:2], default=(float("inf"), 0, None))
            if when > target or job is None:
                self.now = target
                return
            self.now = max(self.now, when)
            if kind == 0:
                self.late = [entry for entry in self.late if entry[1] is not job]
                self.jobs.append(job)
            else:
                self._change(job)

    def _next(self, job: Job) -> float:
        if job.state == "PENDING":
            older = [other for other in self.jobs if other.name == job.name and other is not job and not _over(other)]
            waits = job.singleton and any(other.at_work or int(other.id) < int(job.id) for other in older)
            never = job.reason.replace("_", " ") in _SPACED or job.reason in NEVER_STARTED
            return float("inf") if waits or never else job.begin
        return float("inf") if _over(job) else job.over

    def _change(self, job: Job) -> None:
        if job.state == "PENDING":
            clash = [other.id for other in self.jobs if other.at_work and other.outputs == job.outputs]
            assert not clash, f"{job.id} starts while {clash} makes the same files"
            job.state, job.started, job.over = "RUNNING", self.now, self.now + job.length
        elif job.state == "COMPLETING":
            self._finish(job, "CANCELLED")
        elif job.end == "REQUEUE":  # its node was lost, or it was preempted: the same number starts again
            job.state, job.end, job.begin = "PENDING", "COMPLETED", self.now + 20
            job.requeues += 1
        elif job.end == "SUSPEND":
            job.state = "SUSPENDED"
            job.over, job.end = self.now + 50, "RESUME"
        elif job.end == "RESUME":
            job.state, job.end, job.over = "RUNNING", "COMPLETED", self.now + 10
        else:
            self._finish(job, job.end)

    def _finish(self, job: Job, state: str) -> None:
        job.state, job.over = state, self.now
        if state == "COMPLETED":
            self.completed[job.comment] += 1
        else:
            self.bad[job.comment] += 1

    # Commands ------------------------------------------------------------------------------

    def run(self, command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
        """What `cluster._run` does, of this SLURM."""
        self.requested += 1
        self.between()
        self.advance(self.random.choice((0.05, 0.05, 0.3, 3)))
        silent = any(start <= self.now < end for start, end in self.silent)
        if silent and command[0] != "sacct":
            self.advance(self.random.choice((0.1, 60)))
            done = self._failed(command, self.random.choice(BUSY).replace("sbatch", command[0]))
        else:
            done = getattr(self, f"_{command[0]}")(command)
        self.between()
        return done

    def _failed(self, command: Sequence[str], words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", words)

    def _said(self, command: Sequence[str], words: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, words, "")

    def _trouble(self) -> bool:
        return self.random.random() < self.trouble

    def _sbatch(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        name, comment = command[command.index("--job-name") + 1], command[command.index("--comment") + 1]
        why = self.never.get(name, "")
        if why in NEVER_TAKEN:
            return self._failed(command, why)
        if self._trouble():
            words = self.random.choice((*BUSY, *STRANGE, OTHERS_LIMIT))
            if words in STRANGE:
                self.bad[comment] += 0.1  # four minutes of them are a failure
            return self._failed(command, words)
        if len([job for job in self.jobs if not _over(job)]) >= self.limit:
            return self._failed(command, self.limit_said)
        job = self._new(name, comment, why, "--dependency=singleton" in command)
        if self._trouble():
            words = self.random.choice((BUSY[0], BUSY[3], BUSY[5]))
            self.unanswered.add(comment)
            if self.random.random() < 0.5:
                self.jobs.append(job)
            else:
                self.arrived_late.add(comment)
                self.late.append((self.now + self.random.random() * LATEST_S, job))
            return self._failed(command, words)
        self.jobs.append(job)
        cluster = self.random.choice(("", ";wice"))
        return self._said(command, f"{job.id}{cluster}\n")

    def _new(self, name: str, comment: str, why: str, singleton: bool) -> Job:
        pick = self.random
        ends = ["COMPLETED"] * 8
        if self.faults:
            ends += [pick.choice(BAD_ENDS), "REQUEUE", "SUSPEND"]
        return Job(
            str(100 + len(self.jobs) + len(self.late) + self.requested),
            name,
            comment,
            self.now + pick.choice((0, 1, 30, 400)),
            pick.choice((0.2, 5, 60, 900)),
            pick.choice(ends),
            why or pick.choice(STARTED_LATER),
            singleton,
        )

    def _squeue(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if self._trouble():
            return self._failed(command, "slurm_load_jobs error: Socket timed out on send/recv operation")
        rows = ["CLUSTER: wice"] if self.random.random() < 0.1 else []
        for job in self.jobs:
            if _over(job) and self.now - job.over > 300:  # MinJobAge
                continue
            start = datetime.fromtimestamp(job.started).isoformat() if job.started else "N/A"
            end = datetime.fromtimestamp(job.over).isoformat() if _over(job) else "N/A"
            reason = job.reason if job.state == "PENDING" else "None"
            rows.append("|".join((job.id, job.state, reason, start, end, job.comment, job.name, FOLDER)))
        return self._said(command, "\n".join(rows) + "\n")

    def _sacct(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if not self.accounting:
            return self._failed(command, "Slurm accounting storage is disabled")
        if self._trouble():
            return self._failed(command, "sacct: error: slurm_persist_conn_open_without_init: connection refused")
        asked = set(command[command.index("--jobs") + 1].split(","))
        by = {"CANCELLED": "CANCELLED by 1000"}
        rows = [f"{job.id}|{by.get(job.state, job.state)}" for job in self.jobs if job.id in asked]
        return self._said(command, "\n".join(rows) + "\n")

    def _scancel(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if self._trouble():
            return self._failed(command, "scancel: error: Kill job error on job id: Socket timed out")
        for job in self.jobs:
            if job.id in command and not _over(job):
                if job.at_work and job.state != "COMPLETING":
                    job.state, job.over = "COMPLETING", self.now + self.random.choice((0.1, 2, 30))
                elif job.state == "PENDING":
                    self._finish(job, "CANCELLED")
        return self._said(command)


_SPACED = {reason.replace("_", " ") for reason in NEVER_STARTED}


def _over(job: Job) -> bool:
    return job.state in ENDED


@dataclass
class SimulatedClock:
    """The clock of a `Fleet` on a simulated SLURM."""

    slurm: Slurm

    def now(self) -> float:
        return self.slurm.now

    def sleep(self, seconds: float) -> None:
        self.slurm.advance(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        steps = 1 + int(seconds / 20)
        for _ in range(steps):  # other threads are at work, and signals come, while this one waits
            if event.is_set():
                return True
            self.slurm.advance(seconds / steps)
            self.slurm.between()
        return event.is_set()
