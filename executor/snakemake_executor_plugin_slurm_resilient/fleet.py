"""The jobs of one run on SLURM: submitted at a limited rate, watched with one call, and none left behind.

Nothing here knows Snakemake, and time is asked of a clock: tests/unit/slurm/test_faults.py takes it through thousands
of clusters that fail, in simulated time.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from snakemake_executor_plugin_slurm_resilient import cluster
from snakemake_executor_plugin_slurm_resilient.cluster import Job, NotTaken, Refusal, Silent

UNKNOWN_WAITS_S = (2, 5, 15, 30, 60, 120)  # between attempts that fail for an unknown reason: four minutes in all
SOON_S = (2, 5, 15)
NOT_NOW_S = 30  # after these, between attempts that wait for a limit or a busy controller: as long as it takes
LOST_S = 120  # a job that neither squeue nor sacct has known for so long is lost
SILENT_S = 300  # between two messages about the same wait
LATE_S = 15  # a submission whose answer was lost may arrive so much later
CANCEL_S = 60  # so long SLURM is asked again to cancel


class Stopped(Exception):
    """The run ends: nothing more is submitted."""


class Clock:
    """Time; tests use another clock."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    @staticmethod
    def wait(event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


@dataclass(frozen=True)
class Task:
    """What is submitted.

    Attributes:
        name: How it is called in messages.
        comment: Its mark (`cluster.mark`), by which another run recognises it.
        command: sbatch with its options.
        script: What it runs.
        inputs: The files that it reads.
    """

    name: str
    comment: str
    command: Sequence[str]
    script: str
    inputs: Sequence[str] = ()


@dataclass(frozen=True)
class End:
    """How a job ended. After a `final` one another attempt would end in the same way."""

    success: bool
    what: str = ""
    final: bool = False


@dataclass
class Fleet:
    """The jobs of one run on SLURM.

    Attributes:
        folder: The working directory of its jobs.
        say, warn: Where lines go.
        since: When this run looked for the first time at what is there (a Unix time).
        pace: At most so many submissions in so many seconds.
        stopping: Set where the run is about to end: nothing is submitted from then on.
        names: The names of the jobs that were submitted or taken over, by SLURM's ids.
    """

    folder: str
    say: Callable[[str], None]
    warn: Callable[[str], None]
    since: float = field(default_factory=time.time)
    pace: tuple[int, float] = (10, 1.0)
    clock: Clock = field(default_factory=Clock)
    stopping: threading.Event = field(default_factory=threading.Event)
    names: dict[str, str] = field(default_factory=dict)
    earlier: list[Job] = field(default_factory=list)
    _before: set[str] = field(default_factory=set)  # ids of the jobs, ended ones too, that were there before this run
    _sent: deque[float] = field(default_factory=deque)
    _tried: set[str] = field(default_factory=set)  # comments of all that this run wants on SLURM
    _sending: set[str] = field(default_factory=set)
    _unanswered: float | None = None  # when the last submission failed whose job may still arrive
    _ended: set[str] = field(default_factory=set)
    _seen: dict[str, tuple[str, str]] = field(default_factory=dict)  # state and reason that were told last
    _missing_since: dict[str, float] = field(default_factory=dict)
    _doomed: dict[str, str] = field(default_factory=dict)  # ids of jobs that SLURM will never start -> why
    _silences: list[float] = field(default_factory=list)  # when the controller didn't answer, since it last did
    _told_silent: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find_earlier(self) -> None:
        """Look for jobs that an earlier run has left in this folder.

        One that ended well after this run had looked for its files counts among them: they are there by now.

        Raises:
            Silent: the controller doesn't answer.
        """
        jobs = cluster.queue()
        self._before = set(jobs)
        self.earlier = [
            job
            for job in cluster.in_folder(jobs.values(), self.folder)
            if not job.ended or (job.state == "COMPLETED" and (job.end or 0) >= self.since)
        ]
        if self.earlier:
            self.say(f"SLURM jobs of an earlier run in this folder are on their way: {_listed(self.earlier)}")

    # Submitting ----------------------------------------------------------------------------

    def submit(self, task: Task) -> str:
        """Submit a job, or take over the one of an earlier run that makes the same; SLURM's id.

        Raises:
            NotTaken: SLURM refuses it; after a `kind` of NEVER another attempt is in vain.
            Stopped: the run ends.
        """
        with self._in_flight(task.comment):
            number = self._take_over(task)
            if not number:
                number = self._send(task)
                self.say(f"{task.name}: submitted as SLURM job {number}")
            self.names[number] = task.name
            return number

    @contextmanager
    def _in_flight(self, comment: str) -> Iterator[None]:
        self._sending.add(comment)
        self._tried.add(comment)
        try:
            yield
        finally:
            self._sending.discard(comment)

    def _send(self, task: Task) -> str:
        waits, soon = iter(UNKNOWN_WAITS_S), iter(SOON_S)
        alone: bool | None = None
        told: float | None = None
        while True:
            self._wait_for_turn()
            try:
                return cluster.submit(task.command, task.script)
            except NotTaken as error:
                refused = error
            kind = refused.kind
            if kind is not Refusal.NEVER:
                # The answer may have been lost on the way back: the job is there all the same.
                self._unanswered = self.clock.now()
                jobs = self._ask().values()
                if arrived := [job.id for job in jobs if job.comment == task.comment and self._is_new(job)]:
                    return arrived[0]
                if kind is Refusal.LIMIT:
                    # With no job of this user on its way, there is nothing whose end it could wait for.
                    before, alone = alone, all(job.ended for job in jobs)
                    kind = Refusal.NEVER if alone and before else Refusal.NOT_NOW
            wait = next(waits, None) if kind is Refusal.UNKNOWN else next(soon, NOT_NOW_S)
            if kind is Refusal.NEVER or wait is None:
                refused.kind = kind
                raise refused
            if kind is Refusal.UNKNOWN:
                self.warn(f"{task.name}: sbatch failed ({refused}); trying again in {wait} s")
            elif told is None or self.clock.now() - told > SILENT_S:
                told = self.clock.now()
                self.warn(f"{task.name}: not taken by SLURM now ({refused}); trying again until it takes it")
            self._pause(wait)

    def _wait_for_turn(self) -> None:
        most, seconds = self.pace
        while True:
            if self.stopping.is_set():
                raise Stopped
            with self._lock:
                now = self.clock.now()
                while self._sent and self._sent[0] <= now - seconds:
                    self._sent.popleft()
                if len(self._sent) < most:
                    self._sent.append(now)
                    return
                wait = self._sent[0] + seconds - now
            self._pause(wait)

    def _pause(self, seconds: float) -> None:
        if self.clock.wait(self.stopping, seconds):
            raise Stopped

    def _ask(self) -> dict[str, Job]:
        """The user's jobs; a silent controller is waited for."""
        while (jobs := self._queue()) is None:
            self._pause(NOT_NOW_S)
        return jobs

    def _queue(self) -> dict[str, Job] | None:
        """The user's jobs; None where the controller doesn't answer, with a line where it is not for the first time."""
        try:
            jobs = cluster.queue()
        except Silent as silent:
            now = self.clock.now()
            self._silences.append(now)
            if len(self._silences) > 1 and (self._told_silent is None or now - self._told_silent > SILENT_S):
                self._told_silent = now
                seconds = now - self._silences[0]
                self.warn(f"SLURM's controller has not answered for {seconds:.0f} s ({silent}); jobs are waited for")
            return None
        self._silences.clear()
        return jobs

    def _take_over(self, task: Task) -> str:
        """The id of the earlier run's job that makes just what this one would, or "".

        One that makes the same files in another way, or of inputs that have changed since, is cancelled, and
        waited for to its very end; so is one that is being cancelled already.
        """
        with self._lock:
            found = [job for job in self.earlier if cluster.same_outputs(job.comment, task.comment)]
            self.earlier = [job for job in self.earlier if job not in found]
        kept = ""
        for earlier in found:
            changed = [file for file in task.inputs if _modified(file) > (earlier.start or float("inf"))]
            same = earlier.comment == task.comment and (earlier.state == "PENDING" or not changed)
            if same and not kept and earlier.state != "COMPLETING":
                kept = earlier.id
                self.say(f"{task.name}: taken over from an earlier run, SLURM job {earlier.id}")
                continue
            if earlier.ended:
                continue
            why = "it was started with other parameters"
            if earlier.comment == task.comment:
                why = f"{changed[0]} is newer" if changed else "there are two" if kept else "it is being cancelled"
            self.warn(f"{task.name}: SLURM job {earlier.id} of an earlier run is cancelled ({why})")
            while (job := self._ask().get(earlier.id)) and not job.ended:
                cluster.cancel([earlier.id])
                self._pause(2)
        return kept

    # Watching ------------------------------------------------------------------------------

    def look(self, active: Sequence[str]) -> dict[str, End | None]:
        """How the jobs with these ids are: None while on its way. All are, while the controller is silent."""
        sending = set(self._sending)
        jobs = self._queue()
        if jobs is None:
            return dict.fromkeys(active)
        self._cancel_strays(jobs, sending)
        forgotten = [number for number in active if number not in jobs]
        remembered = cluster.accounted(forgotten)
        looked: dict[str, End | None] = {}
        for number in active:
            found = jobs.get(number) or Job(number, remembered.get(number, ""))
            looked[number] = end = self._judge(found, number in jobs)
            if end:
                self._ended.add(number)
        return looked

    def _judge(self, job: Job, in_queue: bool) -> End | None:
        if job.ended:
            if why := self._doomed.get(job.id):
                return End(False, f"SLURM will never start job {job.id} ({why}); ask for less", final=True)
            success = job.state == "COMPLETED"
            return End(success, "" if success else f"SLURM job {job.id} ended with {job.state}")
        if not in_queue:
            since = self._missing_since.setdefault(job.id, self.clock.now())
            lost = self.clock.now() - since >= LOST_S
            return End(False, f"SLURM no longer knows job {job.id}") if lost else None
        self._missing_since.pop(job.id, None)
        if job.never and self._seen.get(job.id) == (job.state, job.wait):  # at two looks
            self._doomed[job.id] = job.wait or job.state
        if job.id in self._doomed:
            cluster.cancel([job.id])  # until it is gone: it would count against the user's limits
        else:
            self._tell(job)
        return None

    def _cancel_strays(self, jobs: dict[str, Job], sending: set[str]) -> None:
        """Cancel what arrived so late that it had been submitted again: SLURM runs one of the two at a time."""
        settled = self._tried - sending - self._sending
        ours = cluster.in_folder(jobs.values(), self.folder)
        strays = [job for job in ours if not job.ended and job.comment in settled and self._is_new(job)]
        if strays:
            self.warn(f"SLURM jobs that were submitted twice are cancelled: {_listed(strays)}")
            cluster.cancel([job.id for job in strays])

    def _tell(self, job: Job) -> None:
        """One line where a job starts, or begins to wait for something that a person may have to do."""
        if self._seen.get(job.id, ("PENDING", "")) != (job.state, job.wait) and (job.wait or job.state != "COMPLETING"):
            self._seen[job.id] = (job.state, job.wait)
            self.say(f"{self.names.get(job.id, job.name)}: SLURM job {job.id} is {job.state} {job.wait}".rstrip())

    # Ending --------------------------------------------------------------------------------

    def stop(self, cancel: bool = True) -> list[str]:
        """End what this run has on SLURM, once no thread submits any more.

        Args:
            cancel: False leaves the jobs there; the next run takes them over.

        Returns:
            The ids of the jobs that are left.
        """
        self.stopping.set()
        start = self.clock.now()
        left = sorted(self.names.keys() - self._ended)
        while cancel:
            cluster.cancel(left)
            jobs = self._queue()
            if jobs is not None:
                mine = [job for job in cluster.in_folder(jobs.values(), self.folder) if self._is_mine(job)]
                left = [job.id for job in mine if not job.ended and job.state != "COMPLETING"]
                late = self._unanswered is not None and self.clock.now() - self._unanswered < LATE_S
                if not left and not late:
                    break
            if self.clock.now() - start > CANCEL_S:
                break
            self.clock.sleep(1)
        if left:
            how = "they go on" if not cancel else f"SLURM did not cancel them in {CANCEL_S} s"
            self.warn(f"SLURM jobs {', '.join(left)} are left ({how}); the next run takes them over")
        return left

    def _is_mine(self, job: Job) -> bool:
        return job.id in self.names or (job.comment in self._tried and self._is_new(job))

    def _is_new(self, job: Job) -> bool:
        """Whether a job came up during this run, which has not had an answer that names it."""
        return job.id not in self.names and job.id not in self._before


def _listed(jobs: Sequence[Job]) -> str:
    return ", ".join(f"{job.id} ({job.name})" for job in jobs)


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
