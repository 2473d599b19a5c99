"""Several ways to do one piece of work, timed in turns: A B C, A B C, ...

Each way ("side") is a process of its own, started with the same processors and threads. It warms up
(compiling, caches), then does the work once a round, while the others wait. What is reported: medians of
the wall time and of the processor time (of all threads), and the load of the machine meanwhile. On a busy
machine read the processor time, with one thread: waiting for a processor doesn't count in it.

Every benchmark that times something takes `parser` and calls `machine`, whether it has sides or not.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Measured:
    """One side's times, in seconds, and what it gave in the last round; or why there is none."""

    first: float = 0.0  # of the warm-up
    first_cpu: float = 0.0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    result: Any = None
    missing: str = ""

    @property
    def s(self) -> float:
        return statistics.median(self.wall)

    @property
    def cpu_s(self) -> float:
        return statistics.median(self.cpu)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what all benchmarks that time something share."""
    ours = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    ours.add_argument("--busy", action="store_true", help="measure above a load of 1 too")
    return ours


def gpu(small: bool) -> str | None:
    """The GPU's own name, found by a process that ends and leaves its memory free; None, and a line, without one.

    Args:
        small: Rehearses a script: any device will do.
    """
    probe = "import jax; d = jax.devices()[0]; print(d.platform, d.device_kind, sep='\\t')"
    found = subprocess.run([sys.executable, "-c", probe], stdout=subprocess.PIPE, text=True, check=True)
    platform, kind = found.stdout.strip().splitlines()[-1].split("\t")
    if platform in ("gpu", "cuda") or small:
        return kind
    print(f"no GPU found (jax sees {platform}); nothing was measured")
    return None


def machine(settings: argparse.Namespace) -> None:
    """Print what a table was measured on: load, clock, and the rate of a matrix product.

    Raises:
        SystemExit: the load is above 1, and `--busy` isn't given.
    """
    load = os.getloadavg()[0]
    if load > 1 and not settings.busy:
        sys.exit(f"the load is {load:.1f}: measure on a quiet machine (a load of 1 at most), or give --busy")
    print(
        f"load {load:.1f} on {os.cpu_count()} CPUs{clock()}; "
        f"a product of matrices: {product_rate():.0f} GFLOP in a second of CPU time\n",
        flush=True,
    )


def clock() -> str:
    """The processor's clock, where the kernel gives it."""
    file = Path("/proc/cpuinfo")
    found = [line.split(":")[1] for line in file.read_text().splitlines() if "MHz" in line] if file.exists() else []
    return f" at {float(found[0]) / 1000:.1f} GHz" if found else ""


def product_rate() -> float:
    """GFLOP in a second of CPU time of NumPy's product of two matrices in float32: the best of five."""
    import numpy as np

    a = np.ones((1024, 1024), np.float32)
    a @ a
    spent = []
    for _ in range(5):
        begun = time.process_time()
        a @ a
        spent.append(time.process_time() - begun)
    return 2 * 1024**3 / min(spent) / 1e9


def options(doc: str | None) -> argparse.ArgumentParser:
    """The same with what all comparisons share."""
    ours = parser(doc)
    ours.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every side")
    ours.add_argument("--rounds", type=int, default=3)
    ours.add_argument("--lock", metavar="FILE", help="held during each round, on a machine with other benchmarks")
    ours.add_argument("--side", help=argparse.SUPPRESS)
    return ours


def serve(prepare: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]) -> None:
    """Be a side: prepare a warm-up and the work; warm up, then work once for each line on standard input."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print

    def say(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        warm_up, work = prepare()
    except ImportError as error:
        say(missing=f"{error.name} is not installed")
        return
    start, cpu = time.perf_counter(), time.process_time()
    warm_up()
    say(first=time.perf_counter() - start, first_cpu=time.process_time() - cpu)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        result = work()
        say(wall=time.perf_counter() - start, cpu=time.process_time() - cpu, result=result)


def compare(names: list[str], settings: argparse.Namespace) -> dict[str, Measured]:
    """Start this very script once for each side (`--side NAME`) and time them in turns.

    Raises:
        SystemExit: as `machine`.
    """
    machine(settings)
    cpus = sorted(os.sched_getaffinity(0))[: settings.threads]
    threads = {f"{lib}_NUM_THREADS": str(settings.threads) for lib in ("OMP", "MKL", "OPENBLAS")}
    found = {name: Measured() for name in names}
    with contextlib.ExitStack() as stack:
        processes = {}
        for name in names:
            process = subprocess.Popen(
                [sys.executable, *sys.argv, "--side", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=os.environ | threads | {"TOKENIZERS_PARALLELISM": "false"},
                preexec_fn=lambda: os.sched_setaffinity(0, cpus),
            )  # fmt: skip
            stack.callback(process.kill)
            first = _answer(process)
            if "missing" in first:
                found[name].missing = first["missing"]
                continue
            found[name].first, found[name].first_cpu = first["first"], first["first_cpu"]
            processes[name] = process
        before = os.getloadavg()[0]
        for _ in range(settings.rounds):
            with _lock(settings.lock):
                for name, process in processes.items():
                    process.stdin.write("again\n")  # type: ignore[union-attr]
                    process.stdin.flush()  # type: ignore[union-attr]
                    answer = _answer(process)
                    found[name].wall.append(answer["wall"])
                    found[name].cpu.append(answer["cpu"])
                    found[name].result = answer["result"]
    print(
        f"{settings.threads} threads, {settings.rounds} rounds in turns, "
        f"load {before:.1f} to {os.getloadavg()[0]:.1f} meanwhile\n"
    )
    return found


def table(rows: list[Mapping[str, str]]) -> None:
    """Print rows as a Markdown table."""
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = process.stdout.readline()  # type: ignore[union-attr]
    if not line:
        raise SystemExit(f"a side ended: {' '.join(map(str, process.args))[-120:]}")  # type: ignore[arg-type]
    return json.loads(line)


@contextlib.contextmanager
def _lock(path: str | None) -> Iterator[None]:
    if path is None:
        yield
        return
    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
