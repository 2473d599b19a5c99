"""GPUs of one machine, counted: slots on a CPU, in real processes that are really killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from falsepromise.core import gpus

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
    time.sleep(2)
    assert not (tmp_path / "c").exists()
    (tmp_path / "stop-a").touch()
    assert given(tmp_path, "c") == given(tmp_path, "a")
    (tmp_path / "stop-b").touch()
    (tmp_path / "stop-c").touch()
    for process in (first, second, third):
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert "waiting for 1 of the GPUs 0, 1" in said


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


def test_too_few_is_one_line(tmp_path: Path) -> None:
    process = start(tmp_path, 3, "true")
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "3 GPUs are asked for, this machine gives 2 (0, 1)" in said


def test_without_gpus_the_program_just_runs(tmp_path: Path) -> None:
    process = start(tmp_path, 1, "echo $CUDA_VISIBLE_DEVICES > a; exit 3", devices="")
    assert process.wait(timeout=60) == 3


@pytest.mark.parametrize("words", [[], ["1"], ["x", "--", "true"], ["1", "true"]])
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        gpus.main(words)
    assert error.value.code == 2
    assert "CUDA_VISIBLE_DEVICES" in capsys.readouterr().out
