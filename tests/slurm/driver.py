"""Snakemake runs on the test cluster, and what happens to them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = str(Path(__file__).with_name("cluster.sh"))
FIGURE = "results/figures/fig4.pdf"
SCORE = "results/test/benchmarks/nq/tiny-s0.json"
MODEL = "results/test/training/models/tiny-sharegpt_mix-1k-s0"
SCORE_LOG = "logs/test/benchmarks/nq/tiny-s0.log"
LOG = "logs/test/training/models/tiny-sharegpt_mix-1k-s0.log"
TARGETS = (FIGURE, SCORE, MODEL)  # without its name, what is deleted would not be made while the figure is there
SNAKEMAKE = (sys.executable, "-m", "snakemake", "--configfile", "study.yaml", "--latency-wait", "5")
# The user's command, but for the study, and without the waits that a real cluster wants.
ON_SLURM = (*SNAKEMAKE, "--profile", "slurm", "--jobs", "4", "--seconds-between-status-checks", "1")
ON_A_SERVER = (*SNAKEMAKE, "--cores", "16", "--resources", "gpu=2")
LONG = {"batch_size": 4, "epochs": 600}  # a recipe
PATIENCE_S = 300


def sh(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def until(what: str, true: Callable[[], Any], patience: float = PATIENCE_S) -> Any:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {patience} s in vain for {what}")


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on; below those that the kernel gives out by itself."""
    ports = random.SystemRandom().sample(range(17_000, 32_000), 100)
    return next(port for port in ports if all(map(_free, range(port, port + count))))


def _free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def as_from_a_terminal() -> None:
    """Ctrl-C and a hang-up have their effect, also where the tests run in the background, which ignores both."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Run:
    """A Snakemake that is at work."""

    def __init__(
        self, path: Path, command: tuple[str, ...], environment: dict[str, str], targets: tuple[str, ...] = TARGETS
    ):
        self.path = path
        self.file = path / f"run-{time.monotonic_ns()}.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH", "SBATCH"))}
        with self.file.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [*command, "--", *targets],
                cwd=path,
                env=kept | environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=as_from_a_terminal,
            )

    @property
    def said(self) -> str:
        return self.file.read_text(encoding="utf-8", errors="replace")

    def job(self, name: str, *states: str) -> str:
        """The id of the SLURM job of this name in this run's folder, once it is in one of the states."""

        def find() -> str | None:
            assert self.process.poll() is None, self.said
            for line in sh("squeue", "-h", "-t", "all", "-o", "%i|%T|%j|%Z").splitlines():
                number, state, found, folder = line.split("|")
                if folder == str(self.path) and found.startswith(name) and state in (states or ("RUNNING",)):
                    return number
            return None

        return until(f"a job {name} that is {states or 'RUNNING'}", find)

    def end(self, code: int = 0) -> str:
        """All that it said, once it ended, with the code that is expected (any but 0 for 1)."""
        try:
            self.process.wait(timeout=2 * PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            raise AssertionError(f"it hangs: {self.said}") from None
        assert (self.process.returncode != 0) == bool(code), self.said
        return self.said


class Checkout:
    """A folder with the workflow and the study."""

    def __init__(self, path: Path):
        self.path = path.resolve()
        self.runs: list[Run] = []

    def start(self, *options: str, command: tuple[str, ...] = ON_SLURM, **environment: str) -> Run:
        self.runs.append(Run(self.path, (*command, *options), environment))
        return self.runs[-1]

    def abandon(self) -> None:
        """End what a failed test has left at work: its Snakemake, and its jobs."""
        for run in self.runs:
            run.process.kill()
            run.process.wait()
        jobs = (line.split("|") for line in sh("squeue", "-h", "-o", "%i|%Z").splitlines())
        if left := [number for number, folder in jobs if folder == str(self.path)]:
            sh("scancel", *left)

    def run(self, *options: str, command: tuple[str, ...] = ON_SLURM, **environment: str) -> str:
        return self.start(*options, command=command, **environment).end()

    def edit(self, old: str, new: str) -> None:
        """Change the study."""
        file = self.path / "study.yaml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    def lengthen(self) -> None:
        """Make training take seconds, so that something can happen to it."""
        self.edit("imitation: {batch_size: 4}", f"imitation: {json.dumps(LONG)}")

    @property
    def log(self) -> str:
        """Training's log."""
        file = self.path / LOG
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def forget(self, name: str = SCORE) -> None:
        """Remove a result, so that it is made again."""
        sh("rm", "-r", str(self.path / name))

    @property
    def figure(self) -> bytes:
        return (self.path / FIGURE).read_bytes()


def submitted(said: str) -> list[str]:
    """The names of the jobs that were submitted, in order of their names."""
    return sorted(re.findall(r"^(\S+): submitted as SLURM job", said, re.MULTILINE))


def accounted(folder: Path, name: str) -> list[str]:
    """What accounting knows of the jobs of this name that ran in a folder: a state for each start."""
    rows = sh("sacct", "-X", "-n", "-P", "-D", "-S", "now-1days", "-o", "JobName,State,WorkDir").splitlines()
    found = [row.split("|") for row in rows]
    return [state.split()[0] for job, state, where in found if job.startswith(name) and where == str(folder)]


def stopped(checkout: Checkout, verb: str = "falsepromise.benchmarks.run") -> int:
    """The process of a verb in a checkout's job, stopped: it can't end before something happens to it."""

    def find() -> int | None:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has just ended
                words = (folder / "cmdline").read_bytes().split(b"\0")
                environment = (folder / "environ").read_bytes().split(b"\0")
                ours = f"FALSEPROMISE_FOLDER={checkout.path}".encode() in environment
                if ours and words[1:3] == [b"-m", verb.encode()]:
                    return int(folder.name)
        return None

    pid = until(verb, find)
    os.kill(pid, signal.SIGSTOP)
    return pid


def halted(checkout: Checkout) -> int:
    """The process that trains, stopped in the middle of its loop."""
    rows = checkout.path / MODEL.replace("/models/", "/checkpoints/") / "log.jsonl"  # the first is the first step's
    until("the loop", lambda: rows.exists() and rows.stat().st_size)
    return stopped(checkout, "falsepromise.training.train")


def go_on_when_asked_to_save(pid: int) -> None:
    """Let a stopped process go on once it was sent SIGTERM. (SLURM sends SIGCONT with it, in most cases.)"""

    def asked() -> bool:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except OSError:  # it has ended
            return True
        pending = re.search(r"^ShdPnd:\s*(\w+)$", status, re.MULTILINE)
        sent = pending is not None and int(pending[1], 16) >> (signal.SIGTERM - 1) & 1
        return bool(sent) or "State:\tT" not in status

    until("SIGTERM", asked)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
