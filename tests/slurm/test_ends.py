"""A run that is ended leaves nothing behind, and limits of the cluster are waited for: tried with many small jobs."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import CLUSTER, PATIENCE_S, Run, as_from_a_terminal, sh, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
SNAKEFILE = str(Path(__file__).with_name("many.smk"))


def command(count: int, *options: str, seconds: int = 300) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "snakemake", "--snakefile", SNAKEFILE, "--executor", "slurm-resilient"),
        *("--jobs", "100", "--seconds-between-status-checks", "1", "--latency-wait", "5", "--rerun-incomplete"),
        *options,
        *("--config", f"count={count}", f"seconds={seconds}"),
    )


def start(folder: Path, count: int, *options: str, seconds: int = 300, **environment: str) -> Run:
    return Run(folder, command(count, *options, seconds=seconds), environment, targets=("all",))


def on_their_way(folder: Path) -> list[str]:
    rows = (line.split("|") for line in sh("squeue", "-h", "-o", "%i|%T|%Z").splitlines())
    return [number for number, state, where in rows if where == str(folder) and state != "COMPLETING"]


@pytest.fixture
def folder(cluster: None, tmp_path: Path):
    until("an empty queue", lambda: not sh("squeue", "-h").strip())
    yield tmp_path.resolve()
    if left := on_their_way(tmp_path.resolve()):
        sh("scancel", *left)


@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGINT,) * 2, (signal.SIGTERM,), (signal.SIGHUP,) * 2])
def test_a_signal_while_jobs_are_submitted_leaves_none(folder: Path, signals: tuple[signal.Signals, ...]) -> None:
    run = start(folder, 60)
    until("some jobs", lambda: len(on_their_way(folder)) >= 3)
    for number in signals:
        run.process.send_signal(number)
        time.sleep(0.3)
    said = run.end(code=1)
    assert on_their_way(folder) == [], said
    assert said.count("submitted as SLURM job") < 60
    assert "Traceback" not in said
    time.sleep(3)
    assert on_their_way(folder) == [], "nothing arrives later"


def test_a_lost_terminal_leaves_none(folder: Path) -> None:
    """The terminal of a session is closed, as when a connection breaks."""

    def in_a_session() -> None:
        as_from_a_terminal()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    terminal, theirs = os.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    run = subprocess.Popen(command(60), cwd=folder, start_new_session=True, preexec_fn=in_a_session, **streams)
    os.close(theirs)
    until("some jobs", lambda: len(on_their_way(folder)) >= 3)
    os.close(terminal)
    run.wait(timeout=PATIENCE_S)
    assert on_their_way(folder) == []


@pytest.mark.parametrize("signals", [1, 3])
def test_signals_while_a_line_is_written_leave_none(folder: Path, signals: int) -> None:
    """Snakemake drops an interrupt that comes while it writes a line: here it waits within one, as nobody reads."""
    end, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    words = command(60, "--max-jobs-per-timespan", "5/1s")
    streams = {"stdout": theirs, "stderr": theirs}
    run = subprocess.Popen(words, cwd=folder, start_new_session=True, preexec_fn=as_from_a_terminal, **streams)
    os.close(theirs)
    said = b""
    while said.count(b"submitted as SLURM job") < 3:
        said += os.read(end, 100)
    until("a main thread that waits to write", lambda: _writes(run.pid))
    for _ in range(signals):
        run.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    with os.fdopen(end, encoding="utf-8", errors="replace") as rest:
        text = said.decode() + rest.read()
    assert run.wait(timeout=PATIENCE_S) != 0
    assert on_their_way(folder) == [], text
    assert text.count("submitted as SLURM job") < 60
    assert "Traceback" not in text


def _writes(pid: int) -> bool:
    """Whether the main thread of a process stays in a system call that writes (number 1 on x86-64, 64 on ARM)."""
    calls = []
    for _ in range(3):
        calls.append(Path(f"/proc/{pid}/syscall").read_text(encoding="ascii").split()[0])
        time.sleep(0.5)
    return set(calls) in ({"1"}, {"64"})


def test_no_cancel_leaves_jobs_for_the_next_run(folder: Path) -> None:
    run = start(folder, 4, "--slurm-resilient-no-cancel", seconds=25)
    until("all jobs", lambda: len(on_their_way(folder)) == 4)
    run.process.send_signal(signal.SIGINT)
    assert "are left (they go on); the next run takes them over" in run.end(code=1)
    assert len(on_their_way(folder)) == 4
    said = start(folder, 4, seconds=25).end()
    assert said.count("taken over from an earlier run") == 4
    assert sorted((folder / "started.txt").read_text().split()) == ["0", "1", "2", "3"], "each ran once"


def limited(name: str, value: int) -> Callable[[], None]:
    """Set a limit of the test user's association; the function returned takes it away."""
    user = sh("id", "-un").strip()
    sh("sacctmgr", "-iQ", "modify", "user", user, "set", f"{name}={value}")
    until("the limit", lambda: f"{name}={value}" in sh("scontrol", "show", "assoc_mgr", f"user={user}", "flags=assoc"))

    def free() -> None:
        sh("sacctmgr", "-iQ", "modify", "user", user, "set", f"{name}=-1")

    return free


def test_a_submit_limit_of_two_finishes_five_jobs(folder: Path) -> None:
    free = limited("MaxSubmitJobs", 2)
    try:
        said = start(folder, 5, "--retries", "0", seconds=1).end()
    finally:
        free()
    assert re.search(r"not taken by SLURM now \(sbatch: error: AssocMaxSubmitJobLimit", said)
    assert len(list((folder / "out").iterdir())) == 5
    assert sorted((folder / "started.txt").read_text().split()) == ["0", "1", "2", "3", "4"]


def test_a_limit_that_forbids_every_job_is_one_clear_error(folder: Path) -> None:
    free = limited("MaxSubmitJobs", 0)
    try:
        said = start(folder, 1, "--retries", "3", seconds=1).end(code=1)
    finally:
        free()
    assert said.count("SLURM does not take the job") == 1
    assert "AssocMaxSubmitJobLimit" in said


def test_a_limit_on_jobs_at_once_is_waited_for(folder: Path) -> None:
    free = limited("MaxJobs", 1)
    try:
        said = start(folder, 3, "--retries", "0", seconds=1).end()
    finally:
        free()
    assert "is PENDING AssocMaxJobsLimit" in said
    assert len(list((folder / "out").iterdir())) == 3


def test_the_driver_in_a_job_finds_its_slurm(folder: Path) -> None:
    """SLURM_CONF names the configuration; what else SLURM has set for the driver's job stays out of the others."""
    script = folder / "driver.sh"
    words = " ".join(command(2, seconds=1))
    script.write_text(f"#!/bin/sh\nexport SLURM_CONF={os.environ['SLURM_CONF']}\nexec {words}\n", encoding="utf-8")
    submitted = sh("sbatch", "--parsable", "-D", str(folder), "-o", str(folder / "driver.log"), "-t", "5", str(script))
    number = submitted.strip()
    until("its end", lambda: sh("squeue", "-h", "-j", number, "-t", "completed,failed", "-o", "%T").strip())
    said = (folder / "driver.log").read_text(encoding="utf-8")
    assert len(list((folder / "out").iterdir())) == 2, said


def test_a_full_disk_of_logs_is_one_clear_error_for_each_job(folder: Path) -> None:
    """The log folder's file system is full."""
    (folder / "logs").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder / "logs")], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        (folder / "logs/full").write_bytes(b"x" * 4096)
        run = start(folder, 2, "--retries", "0", seconds=1)
        run.process.wait(timeout=300)
        said = run.said
    finally:
        sh("umount", str(folder / "logs"))
    if run.process.returncode:  # SLURM lets a job whose output can't be written end well, or fail: both occur
        assert len(set(re.findall(r"^(one-\d): SLURM job", said, re.MULTILINE))) >= 1, said
        assert "ended with FAILED" in said
    else:
        assert all((folder / f"out/{number}.txt").exists() for number in range(2)), said
    assert "Traceback" not in said


def test_a_node_that_reboots_gives_its_jobs_back(folder: Path) -> None:
    run = start(folder, 2, "--retries", "0", seconds=20)
    started = folder / "started.txt"
    until("both jobs", lambda: started.exists() and len(started.read_text().split()) == 2)
    node = sh("squeue", "-h", "-t", "running", "-o", "%N").split()[0]
    sh(CLUSTER, "node", node, "kill")
    time.sleep(2)
    sh(CLUSTER, "node", node, "start")
    said = run.end()
    assert said.count("submitted as SLURM job") == 2, "SLURM requeues them by itself"
    assert len(list((folder / "out").iterdir())) == 2
