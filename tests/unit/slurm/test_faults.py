"""Thousands of runs on clusters that fail as a seed says, with properties that hold for each.

It ends. What ended well is told as success, and nothing else. Two jobs never make the same files at once (the
simulated SLURM asserts it). A job that can be made is made, unless its attempts were used up; one that can't is told
once. After a signal nothing is left on the cluster, and after `kill -9` another run takes over what is there.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field

import pytest
from simulated import NEVER_STARTED, NEVER_TAKEN, STARTED_LATER, SimulatedClock, Slurm

from snakemake_executor_plugin_slurm_resilient import cluster, fleet
from snakemake_executor_plugin_slurm_resilient.fleet import Fleet, Stopped, Task

RETRIES = 3
LONGEST_S = 40_000
BLOCKS, RUNS = 8, 400


class Killed(BaseException):
    """kill -9."""


@dataclass
class Driver:
    """What Snakemake and the executor do with a `Fleet`: submit what is ready, look, submit again what failed.

    Attributes:
        signal: "stop" (Ctrl-C, SIGTERM, a lost terminal), "leave" (the same with no_cancel), "kill" or "".
        moment: At which of the moments that the cluster counts the signal comes.
    """

    slurm: Slurm
    tasks: list[Task]
    signal: str = ""
    moment: int = 0
    done: set[str] = field(default_factory=set)  # comments
    failed: dict[str, str] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    left: list[str] | None = None
    said: list[str] = field(default_factory=list)
    _moments: int = 0
    _looking: bool = False
    _looked: float = 0.0

    def run(self) -> None:
        slurm = self.slurm
        self.fleet = Fleet("/study", self.said.append, self.said.append, slurm.now, clock=SimulatedClock(slurm))
        self.active: dict[str, Task] = {}
        self.ready = list(self.tasks)
        slurm.between = self._between
        start = slurm.now
        try:
            self.fleet.find_earlier()
            while (self.ready or self.active) and not self.fleet.stopping.is_set():
                while self.ready and not self.fleet.stopping.is_set():
                    self._submit(self.ready.pop(0))
                self._look()
                slurm.advance(20)
                self._between()
                assert slurm.now - start < LONGEST_S, f"it does not end: {self.said[-3:]}"
        except cluster.Silent:
            self.left = []  # one clear line, and another try later
            return
        except (Killed, Stopped):
            pass
        finally:
            slurm.between = lambda: None
        if self.signal == "kill" and self._moments > self.moment:
            return
        if self.fleet.stopping.is_set():
            self.left = self.fleet.stop(cancel=self.signal != "leave")

    def _submit(self, task: Task) -> None:
        self.attempts[task.comment] += 1
        try:
            number = self.fleet.submit(task)
        except cluster.NotTaken as refused:
            self._failed(task, str(refused), refused.kind is cluster.Refusal.NEVER)
        else:
            self.active[number] = task

    def _failed(self, task: Task, what: str, final: bool) -> None:
        if final or self.attempts[task.comment] > RETRIES:
            self.failed[task.comment] = what
        else:
            self.ready.append(task)

    def _look(self) -> None:
        self._looking, self._looked = True, self.slurm.now
        for number, end in self.fleet.look(list(self.active)).items():
            if end:
                task = self.active.pop(number)
                if end.success:
                    self.done.add(task.comment)
                else:
                    self._failed(task, end.what, end.final)
        self._looking = False

    def _between(self) -> None:
        """A moment at which something else may happen: a signal, or a look by the thread that watches."""
        self._moments += 1
        if self.signal and self._moments == self.moment:
            if self.signal == "kill":
                raise Killed
            self.fleet.stopping.set()
        due = self.slurm.now - self._looked > 20 or self.slurm.random.random() < 0.1
        if due and not self._looking and not self.fleet.stopping.is_set():
            self._look()


def simulate(seed: int) -> None:
    pick = random.Random(seed)
    names = [f"job-{number}" for number in range(pick.choice((1, 2, 4, 7)))]
    never = {name: pick.choice((*NEVER_TAKEN, *NEVER_STARTED)) for name in names if pick.random() < 0.1}
    slurm = Slurm(pick, never, faults=pick.random() < 0.9)
    tasks = [
        Task(name, comment, ("sbatch", "--dependency=singleton", "--job-name", name, "--comment", comment), "#!/bin/sh")
        for name, comment in ((name, cluster.mark([f"results/{name}"], "rule")) for name in names)
    ]
    signal = pick.choice(("", "", "stop", "leave", "kill"))
    first = Driver(slurm, tasks, signal, pick.choice((1, 2, 5, 10, 20, 40, 80, pick.randrange(300))))
    first.run()
    _check_told(slurm, first)
    if signal == "stop" and first.left == []:
        slurm.advance(100)
        orphans = [job.id for job in slurm.jobs if job.state in ("PENDING", "RUNNING", "SUSPENDED")]
        assert not orphans, f"left behind: {orphans}"
    if signal == "stop" and not slurm.silent and slurm.trouble < 0.3:
        assert not first.left, "SLURM answered, and jobs are left all the same"
    # The user starts the same command again, on a cluster that is well, until it says that it is done.
    silent, slurm.trouble, slurm.silent, slurm.limit = slurm.silent, 0.0, [], 1000
    slurm.advance(pick.choice((0, 0, 5, 100)))
    made = {comment for comment, count in slurm.completed.items() if count}
    second = Driver(slurm, [task for task in tasks if task.comment not in made])
    second.run()
    _check_told(slurm, second)
    slurm.advance(5000)
    assert not [job.id for job in slurm.jobs if job.state in ("PENDING", "RUNNING")], "left behind by the second run"
    for task in tasks:
        times = slurm.completed[task.comment]
        if task.name in never:
            assert times == 0
        else:
            used_up = slurm.bad[task.comment] > RETRIES
            assert times >= 1 or used_up, f"{task.name} was not made"
            # SLURM itself loses sight of a submission without an answer before it is silent for so long.
            forgotten = any(end - start > 300 for start, end in silent) and task.comment in slurm.unanswered
            assert times <= 1 or task.comment in slurm.arrived_late or forgotten, f"{task.name}: made {times} times"


def _check_told(slurm: Slurm, driver: Driver) -> None:
    for task in driver.tasks:
        if task.comment in driver.done:
            assert slurm.completed[task.comment], f"{task.name} is no success"
        if task.comment in driver.failed:
            why = slurm.never.get(task.name, "")
            used_up = slurm.bad[task.comment] >= RETRIES or driver.attempts[task.comment] > RETRIES
            assert why or used_up, f"{task.name} is a false final: {driver.failed[task.comment]}"
            if why:
                assert driver.attempts[task.comment] <= RETRIES + 1
    for name, why in slurm.never.items():
        if why in NEVER_TAKEN:
            assert all(driver.attempts[task.comment] <= 1 for task in driver.tasks if task.name == name)


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch):
    """Let a simulated SLURM answer."""

    def answered_by(command, text=None):
        return answered_by.slurm.run(command, text)

    monkeypatch.setattr(cluster.shutil, "which", lambda name: f"/usr/bin/{name}")
    original = Slurm.__post_init__

    def register(self: Slurm) -> None:
        original(self)
        monkeypatch.setattr(cluster, "_run", self.run)

    monkeypatch.setattr(Slurm, "__post_init__", register)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_thousands_of_runs(block: int) -> None:
    for seed in range(block * RUNS, (block + 1) * RUNS):
        try:
            simulate(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def _found_by(seeds: range) -> list[str]:
    found = []
    for seed in seeds:
        try:
            simulate(seed)
        except AssertionError as error:
            found.append(str(error))
    return found


def test_the_simulation_finds_orphans(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would say of a run that forgets submissions whose answer was lost."""
    monkeypatch.setattr(Fleet, "_is_mine", lambda self, job: job.id in self.names)
    assert any("left behind" in error for error in _found_by(range(800)))


def test_the_simulation_finds_two_jobs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would say of a SLURM that isn't told that a job is the only one of its name."""
    original = Slurm._new
    monkeypatch.setattr(Slurm, "_new", lambda self, name, comment, why, _: original(self, name, comment, why, False))
    assert any("makes the same files" in error for error in _found_by(range(800)))


def test_the_simulation_finds_false_finals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would say of an executor that takes each refusal for its last."""
    monkeypatch.setattr(fleet, "NOT_NOW_S", None)
    monkeypatch.setattr(Fleet, "_pause", lambda self, seconds: None)
    monkeypatch.setattr(cluster, "_REFUSALS", ((cluster.Refusal.NEVER, "."),))
    assert any("false final" in error for error in _found_by(range(300)))


@pytest.mark.parametrize("reason", STARTED_LATER)
def test_reasons_that_pass(reason: str) -> None:
    assert not cluster.Job("1", "PENDING", reason.replace(" ", "_")).never


@pytest.mark.parametrize("reason", NEVER_STARTED)
def test_reasons_that_never_pass(reason: str) -> None:
    assert cluster.Job("1", "PENDING", reason.replace(" ", "_")).never


@pytest.mark.parametrize("reason", ["None", "JobHeldUser", "job requeued in held state"])
@pytest.mark.parametrize("state", ["REQUEUE_HOLD", "SPECIAL_EXIT"])
def test_a_job_that_was_put_back_and_is_held_is_given_up(
    state: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told at one look, cancelled at the next, and then failed for good."""
    queue = {"7": cluster.Job("7", state, reason.replace(" ", "_"))}
    cancelled: list[str] = []
    monkeypatch.setattr(cluster, "queue", lambda: queue)
    monkeypatch.setattr(cluster, "cancel", cancelled.extend)
    said: list[str] = []
    watched = Fleet("/study", said.append, said.append, names={"7": "train"})
    assert watched.look(["7"]) == {"7": None}
    assert (len(said), cancelled) == (1, [])
    assert watched.look(["7"]) == {"7": None}
    assert (len(said), cancelled) == (1, ["7"])
    queue["7"] = cluster.Job("7", "CANCELLED", "None")
    end = watched.look(["7"])["7"]
    assert end is not None
    assert end.final
    assert (state if reason == "None" else reason.replace(" ", "_")) in end.what


def test_submissions_keep_a_pace() -> None:
    slurm = Slurm(random.Random(1), {}, faults=False)
    slurm.limit = 1000
    driver = Driver(slurm, [])
    driver.run()
    driver.fleet.pace = (5, 10.0)
    times = []
    for number in range(300):
        comment = cluster.mark([str(number)], "rule")
        driver.fleet.submit(
            Task(str(number), comment, ("sbatch", "--job-name", str(number), "--comment", comment), "#!/bin/sh")
        )
        times.append(slurm.now)
    assert all(later - first >= 6 for first, later in zip(times, times[5:], strict=False))  # an answer takes up to 3 s
    asked = slurm.requested
    driver.fleet.look(list(driver.fleet.names))
    assert slurm.requested - asked <= 2, "all jobs are asked for at once"
    assert all(re.fullmatch(r"\d+", number) for number in driver.fleet.names)
