"""GPUs of one machine, counted: slots on a CPU, in real processes that are really killed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from falsepromise.core import gpus
from falsepromise.core.errors import UserError

LAUNCH = (
    "import sys; from pathlib import Path; from falsepromise.core import gpus;"
    "gpus.FOLDER = Path(sys.argv.pop(1)); gpus.main()"
)


def start(folder: Path, count: int, command: str, devices: str = "0,1") -> subprocess.Popen[str]:
    environment = {
        **{k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"},
        "PYTHONPATH": str(Path(gpus.__file__).parents[2]),
        "CUDA_VISIBLE_DEVICES": devices,
    }
    words = [sys.executable, "-c", LAUNCH, str(folder / "locks"), str(count), "--", "sh", "-c", command]
    return subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def given(folder: Path, name: str) -> str:
    end = time.monotonic() + 60
    while not (folder / name).exists() or not (folder / name).read_text():
        assert time.monotonic() < end, f"{name} did not start"
        time.sleep(0.05)
    return (folder / name).read_text().strip()


def test_each_job_gets_its_own_and_the_third_waits(tmp_path: Path) -> None:
    command = "echo $CUDA_VISIBLE_DEVICES > {0}; while [ ! -e stop-{0} ]; do sleep 0.1; done"
    first, second = (start(tmp_path, 1, command.format(name)) for name in ("a", "b"))
    assert {given(tmp_path, "a"), given(tmp_path, "b")} == {"0", "1"}
    third = start(tmp_path, 1, command.format("c"))
    assert third.stderr is not None
    waiting = third.stderr.readline()
    assert not (tmp_path / "c").exists()
    (tmp_path / "stop-a").touch()
    assert given(tmp_path, "c") == given(tmp_path, "a")
    (tmp_path / "stop-b").touch()
    (tmp_path / "stop-c").touch()
    for process in (first, second, third):
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert "waiting for 1 of the GPUs 0, 1" in waiting
    assert f"'s process {first.pid} (sh -c echo $CUDA_VISIBLE_DEVICES > a;" in waiting


def test_a_killed_jobs_gpus_are_free_at_once_and_not_before_its_last_process(tmp_path: Path) -> None:
    first = start(tmp_path, 2, "echo $CUDA_VISIBLE_DEVICES > a; exec sleep 600")
    assert given(tmp_path, "a") == "0,1"
    second = start(tmp_path, 2, "echo $CUDA_VISIBLE_DEVICES > b")
    time.sleep(1)
    assert not (tmp_path / "b").exists()
    first.kill()
    first.communicate()
    assert given(tmp_path, "b") == "0,1"
    assert second.wait(timeout=60) == 0


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start(tmp_path, 2, "echo $CUDA_VISIBLE_DEVICES > a; exec sleep 600")
    assert given(tmp_path, "a") == "0,1"
    monkeypatch.setenv("FALSEPROMISE_GPU_WAIT", "0.0001")
    second = start(tmp_path, 1, "true")
    _, said = second.communicate(timeout=60)
    first.kill()
    first.communicate()
    assert second.returncode != 0
    assert f"process {first.pid} (sleep 600)" in said
    assert "FALSEPROMISE_GPU_LOCKS" in said


def test_a_wait_that_is_no_number_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("FALSEPROMISE_GPU_WAIT", "a day")
    with pytest.raises(UserError, match="FALSEPROMISE_GPU_WAIT is 'a day', expected a number of hours"):
        gpus.main(["1", "--", "true"])


def test_another_users_umask_locks_nobody_out(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        assert gpus.take(1, ["0"], tmp_path / "locks") == ["0"]
    finally:
        os.umask(old)
    assert (tmp_path / "locks" / "-0.lock").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_another_user_waits_for_a_lock_that_is_not_theirs(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    locks = Path("/tmp") / f"{tmp_path.name}-locks"
    assert gpus.take(1, ["0"], locks) == ["0"]
    code = (
        "import os, sys; from pathlib import Path; from falsepromise.core import gpus; os.setuid(65534)\n"
        "print([gpus.take(1, asked, Path(sys.argv[1])) for asked in (['0'], ['0', '1'])])"
    )
    said = subprocess.run([sys.executable, "-c", code, str(locks)], capture_output=True, text=True, check=False)
    shutil.rmtree(locks)
    assert said.stdout.strip() == "[None, ['1']]", said.stderr


@pytest.mark.parametrize("trap", ["link", "pipe", "folder"])
def test_a_trap_in_the_shared_folder_is_one_line(trap: str, tmp_path: Path) -> None:
    place = tmp_path / "-0.lock"
    match trap:
        case "link":
            place.symlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
    with pytest.raises(UserError, match="can't be locked"):
        gpus.take(1, ["0"], tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(gpus.fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"can't be locked .No locks available.*FALSEPROMISE_GPU_LOCKS"):
        gpus.take(1, ["0"], tmp_path)


def test_too_few_is_one_line(tmp_path: Path) -> None:
    process = start(tmp_path, 3, "true")
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the job asks for 3 GPUs, this machine has 2 (0, 1)" in said


def test_without_gpus_the_program_just_runs(tmp_path: Path) -> None:
    process = start(tmp_path, 1, "echo $CUDA_VISIBLE_DEVICES > a; exit 3", devices="")
    assert process.wait(timeout=60) == 3


@pytest.mark.parametrize("words", [[], ["1"], ["x", "--", "true"], ["1", "true"]])
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        gpus.main(words)
    assert error.value.code == 2
    assert "CUDA_VISIBLE_DEVICES" in capsys.readouterr().out
