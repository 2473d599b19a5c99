"""Judge programs: a worker in one sandbox, the problem's test in another."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from falsepromise.benchmarks.sandbox import Child, Gone, Sandbox, TooLate
from falsepromise.core.records import loads


@dataclass(frozen=True)
class Program:
    """A completion of a problem.

    Attributes:
        prompt: The model's prompt; its helpers are also for the test.
        completion: The model's reply.
        test: Source that defines `check(candidate)`.
        entry_point: The function's name.
        source: The whole program, where it isn't prompt and completion as they stand.
    """

    prompt: str
    completion: str
    test: str
    entry_point: str
    source: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether the test ran to its end, and if not, why, in one line; `late`: it was stopped for its time."""

    passed: bool
    reason: str
    late: bool = False


def verdicts(sandbox: Sandbox, programs: Iterable[Program], workers: int | None = None) -> Iterator[Verdict]:
    """Run programs, a few at a time, and give their verdicts in order.

    Each program has a sandbox of its own; the test runs in another sandbox and sees plain values
    alone. So a program passes only by giving the right answers: it can't reach the test.

    Args:
        sandbox: See `sandbox.open_sandbox`.
        programs: The programs.
        workers: How many at a time; twice as many as the processors that this process may use, since
            much of a start is waiting for the kernel.
    """
    workers = workers or min(2 * len(os.sched_getaffinity(0)), 32)
    slots: queue.SimpleQueue[_Judge] = queue.SimpleQueue()
    gate = _Gate()
    judges = [_Judge(sandbox, slot) for slot in range(workers)]
    for judge in judges:
        slots.put(judge)

    def run(program: Program) -> Verdict:
        judge = slots.get()
        try:
            with gate.together():
                found = judge.verdict(program)
            if found.late and judge.starved:
                with gate.alone():  # it may have waited for a processor: once more, with nothing of ours beside it
                    found = judge.verdict(program, patience=4.0)
            return found
        finally:
            slots.put(judge)

    try:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(run, programs)
    finally:
        for judge in judges:
            judge.close()


class _Gate:
    """Lets many run together, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = self._waiting = 0

    def together(self) -> AbstractContextManager[None]:
        """For one of many; waits while one alone runs or waits."""
        return self._run(alone=False)

    def alone(self) -> AbstractContextManager[None]:
        """For one alone; waits until none runs."""
        return self._run(alone=True)

    @contextlib.contextmanager
    def _run(self, alone: bool) -> Iterator[None]:
        with self._changed:
            self._waiting += alone
            self._changed.wait_for(lambda: not (self._running if alone else self._waiting))
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._waiting -= alone
                self._changed.notify_all()


class _Judge:
    """A checker that is kept, and a new worker for each program.

    Attributes:
        starved: Whether the last program that came too late had waited for a processor.
    """

    def __init__(self, sandbox: Sandbox, slot: int):
        self.sandbox, self.slot = sandbox, slot
        self.checker: Child | None = None
        self.starved = False

    def close(self) -> None:
        if self.checker is not None:
            self.checker.kill()
            self.checker = None

    def verdict(self, program: Program, patience: float = 1.0) -> Verdict:
        """The verdict; `patience`: how many times the usual wall time it may take."""
        if self.checker is None:
            self.checker = self.sandbox.start("checker", self.slot)
        worker = self.sandbox.start("worker", self.slot)
        wall = self.sandbox.limits.wall_seconds * patience
        deadline = time.monotonic() + wall
        done = False
        try:
            source = program.source or program.prompt + program.completion
            task = {"program": source, "entry_point": program.entry_point}
            worker.send(json.dumps(task).encode(), deadline)
            answer = _message(worker.receive(deadline))
            if answer != {"ready": True}:
                done = True  # the checker knows nothing of it
                return Verdict(False, str(answer.get("error", "it sent something strange"))[:200])
            problem = {"prompt": program.prompt, "test": program.test, "entry_point": program.entry_point}
            self.checker.send(json.dumps(problem).encode(), deadline)
            while True:
                line = self.checker.receive(deadline)
                if line.startswith(b'{"verdict"'):
                    done = True
                    verdict = loads(line)
                    return Verdict(verdict["verdict"] == "passed", verdict.get("reason", "passed"))
                worker.send(line, deadline)
                reply = worker.receive(deadline)
                if not {"result", "raised"} & _message(reply).keys():
                    return Verdict(False, "it sent something strange")
                self.checker.send(reply, deadline)
        except Gone as error:
            # Out of CPU time, out of memory, killed by itself, or left by a door like os._exit.
            return Verdict(False, f"gone: {error}")
        except TooLate:
            self.starved = max(waited(worker.process.pid), waited(self.checker.process.pid)) > 0.1 * wall
            return Verdict(False, f"timed out after {wall:g} s", late=True)
        finally:
            worker.kill()
            if not done:
                self.close()  # it still waits for an answer of this program's


def waited(pid: int) -> float:
    """Seconds that a process and its children waited for a processor; infinite where the kernel doesn't say."""
    try:
        found = float(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        return found + sum(waited(int(child)) for child in children)
    except (OSError, ValueError, IndexError):
        return float("inf")


def _message(line: bytes) -> dict[str, object]:
    try:
        message = loads(line)
    except ValueError as error:
        raise Gone("it sent something strange") from error
    return message if isinstance(message, dict) else {}
