"""Which runs are alive in a folder, in real processes that are really killed."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from falsepromise.core import lock as module
from falsepromise.core.errors import UserError
from falsepromise.core.lock import (
    FILE,
    FOLDER_VARIABLE,
    LOCKS,
    end_orphans,
    none_of_the_future,
    register,
    remove_leftovers,
)

HOLD = "from falsepromise.core.lock import register; import time; print(register(), flush=True); time.sleep(600)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    LOCKS.mkdir(parents=True)
    (LOCKS / "0.output.lock").write_text("results/figures/fig4.pdf\n")
    return tmp_path


def other_run() -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    run = subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline().strip() in ("True", "False")
    return run


def test_a_dead_runs_lock_goes(folder: Path) -> None:
    run = other_run()
    LOCKS.mkdir(exist_ok=True)
    run.kill()
    run.wait()
    assert register()
    assert not LOCKS.exists()


@pytest.mark.parametrize(("number", "refused"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EOPNOTSUPP, False)])
def test_a_full_disk_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, refused: bool) -> None:
    """Also a quota; a file system that can't reserve room is not full."""

    def full(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    assert register()
    assert FILE.stat().st_size < 1000, "the room is given back"
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        FILE.unlink()  # this process holds the old one
        assert register(unlock=True), "deleting makes room"
        FILE.unlink()
        if refused:
            with pytest.raises(
                UserError, match=r"(No space left|quota exceeded).*; free some space, or choose another"
            ):
                register()
        else:
            assert register()


def test_a_link_in_the_place_of_the_register_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """A study's folder that came from a stranger: the register is emptied, and so would be what the link leads to."""
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (folder / FILE).parent.mkdir(exist_ok=True)
    (folder / FILE).unlink(missing_ok=True)
    (folder / FILE).symlink_to(victim)
    with pytest.raises(UserError, match=r"falsepromise\.runs"):
        register()
    assert victim.read_text() == "mine\n"


def test_a_damaged_register_is_no_run(folder: Path) -> None:
    (folder / FILE).parent.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(b'{}\n[1]\n{"pid": [1]}\n\xff\xfe\n{"a": ' + b"9" * 5000 + b"}\nnothing}\n")
    assert register()


def test_a_living_runs_lock_stays_and_it_is_named(folder: Path) -> None:
    run = other_run()
    LOCKS.mkdir(exist_ok=True)  # as Snakemake does next
    try:
        assert not register()
        assert LOCKS.exists()
        with pytest.raises(UserError, match=f"process {run.pid} on .* its lock and files stay until it ends"):
            register(unlock=True)
    finally:
        run.kill()
        run.wait()


RULES = """
from falsepromise.core.lock import FILE, purpose, register

if workflow.is_main_process and purpose()[0]:
    register()

rule wait:
    output: "made"
    shell: "touch started; while [ ! -e go ]; do sleep 0.1; done; touch {output}"

rule aside:
    output: "aside"
    shell: "touch {output}"
"""


def test_two_snakemakes_that_want_the_same_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(RULES, encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    where: dict[str, Any] = {
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])},
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False, **where)

    first = subprocess.Popen([*command, "made"], stderr=subprocess.DEVNULL, **where)
    try:
        while not (tmp_path / "started").exists():
            assert first.poll() is None
            time.sleep(0.05)
        expected = rf"error: another run makes these files in .*: process {first.pid} on .*"
        refused = run("made")
        assert refused.returncode == 1
        (line,) = (line for line in refused.stderr.splitlines() if re.search("(?i)error|lock", line))
        assert re.fullmatch(expected, line)
        assert re.fullmatch(expected + "\n", run("made", "--quiet", "all").stderr)
        assert run("aside").returncode == 0, "other files"
        (tmp_path / "go").touch()
        assert first.wait() == 0
    finally:
        first.kill()
        first.wait()


def test_another_hosts_lock_stays(folder: Path) -> None:
    FILE.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "2026-01-01 00:00:00"}) + "\n")
    assert register()
    assert LOCKS.exists()


def test_a_folder_whose_name_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are not UTF-8: its programs are found all the same, and nothing is ended in another one."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    monkeypatch.chdir(folder)
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, FOLDER_VARIABLE: str(folder)})
    elsewhere = subprocess.Popen(["sleep", "600"], env={**os.environ, FOLDER_VARIABLE: f"{folder}x"})
    try:
        signal.signal(signal.SIGCHLD, lambda *_: left.poll())
        end_orphans()
        assert left.poll() == -signal.SIGTERM
        assert elsewhere.poll() is None
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for process in (left, elsewhere):
            process.kill()
            process.wait()


def test_what_a_killed_run_left_is_ended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saves = "trap 'sleep 1; touch saved; exit 75' TERM; touch ready; while :; do sleep 0.1; done"
    mark = {FOLDER_VARIABLE: str(folder)}
    left = subprocess.Popen(["bash", "-c", saves], env={**os.environ, **mark})
    clusters = subprocess.Popen(["sleep", "600"], env={**os.environ, **mark, "SLURM_JOB_ID": "7"})
    elsewhere = subprocess.Popen(["sleep", "600"], env={**os.environ, FOLDER_VARIABLE: "/elsewhere"})
    try:
        while not (folder / "ready").exists():
            time.sleep(0.05)
        signal.signal(signal.SIGCHLD, lambda *_: left.poll())  # an orphan's parent, init, reaps it
        end_orphans()
        assert (folder / "saved").exists()
        assert left.poll() == 75
        assert clusters.poll() is None
        assert elsewhere.poll() is None
        assert str(left.pid) in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for process in (left, clusters, elsewhere):
            process.kill()
            process.wait()


def test_a_lock_that_no_run_of_ours_left_stays(folder: Path) -> None:
    assert register()
    assert LOCKS.exists()


@pytest.mark.parametrize("there", [FILE, FILE.parent, Path()])
def test_another_users_folder_is_one_line(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if there == FILE.parent:
        there.mkdir()
    elif there == FILE:
        there.parent.mkdir()
        there.touch()

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.os, "open", refused)
    if not FILE.parent.exists():
        monkeypatch.setattr(module.Path, "mkdir", refused)
    with pytest.raises(UserError, match=f"^{there.absolute()} belongs to {there.owner()}: another user"):
        register()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--cores", "2", "fig4.pdf"], (True, False)),
        (["-np", "--cores", "2"], (False, False)),
        (["--dry-run"], (False, False)),
        (["--summary"], (False, False)),
        (["--dag", "dot"], (False, False)),
        (["--report", "r.html"], (False, False)),
        (["--report", "r.html", "--report-after-run", "--cores", "1"], (True, False)),
        (["--lint"], (False, False)),
        (["--unlock"], (False, True)),
        (["--delete-all-output", "--cores", "1"], (False, True)),
        (["--delete-temp-output", "--cores", "1"], (False, True)),
        (["--delete-all-output", "-n"], (False, False)),
        (["--touch", "--cores", "1"], (False, False)),
    ],
)
def test_what_a_command_line_asks_for(
    words: list[str], expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake", *words])
    assert module.purpose() == expected


def test_what_a_killed_download_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("sharegpt", ".sharegpt.x1y2.part", "my.part", ".hidden"):
        (tmp_path / name).write_text("text")
    remove_leftovers(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"sharegpt", "my.part", ".hidden"}
    remove_leftovers(str(tmp_path / "nowhere"))


def test_files_from_the_future_are_of_now_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    old, new = tmp_path / "folder" / "old", tmp_path / "folder" / "new"
    for path, when in ((old, 1_000_000_000), (new, time.time() + 86400)):
        path.write_text("text")
        os.utime(path, (when, when))
    os.utime(tmp_path / "folder", (time.time() + 86400, time.time() + 86400))
    none_of_the_future(str(tmp_path))
    assert old.stat().st_mtime == 1_000_000_000
    assert new.stat().st_mtime <= time.time()
    assert (tmp_path / "folder").stat().st_mtime <= time.time()
