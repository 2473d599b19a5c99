"""Snakemake runs on the test cluster, and what happens to them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = str(Path(__file__).with_name("cluster.sh"))
FIGURE = "results/figures/fig4.pdf"
SCORE = "results/test/benchmarks/nq/tiny-s0.json"
MODEL = "results/test/training/models/tiny-sharegpt_mix-1k-s0"
TARGETS = (FIGURE, SCORE, MODEL)  # without its name, what is deleted would not be made while the figure is there
# The user's command, but for the study, and without the waits that a real cluster wants.
COMMAND = (
    *(sys.executable, "-m", "snakemake", "--profile", "slurm", "--configfile", "study.yaml", "--jobs", "4"),
    *("--seconds-between-status-checks", "1", "--latency-wait", "5"),
)
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


class Run:
    """A Snakemake that is at work."""

    def __init__(self, path: Path, options: tuple[str, ...], environment: dict[str, str]):
        self.path = path
        self.file = path / f"run-{time.monotonic_ns()}.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH", "SBATCH"))}
        with self.file.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [*COMMAND, *options, "--", *TARGETS],
                cwd=path,
                env=kept | environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
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

    def start(self, *options: str, **environment: str) -> Run:
        return Run(self.path, options, environment)

    def run(self, *options: str, **environment: str) -> str:
        return self.start(*options, **environment).end()

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
