"""What `cluster.sh` says where there is no cluster to be had."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from driver import CLUSTER


def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CLUSTER, *words], env={**os.environ, **environment}, capture_output=True, text=True)


def test_help() -> None:
    done = call("--help")
    assert done.returncode == 0
    for word in ("install", "up", "down", "env", "controller stop|start", "node n1 stop|kill|start"):
        assert word in done.stdout


@pytest.mark.parametrize("words", [(), ("upp",)])
def test_a_wrong_word_is_answered_with_the_usage(words: tuple[str, ...]) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert "cluster.sh up" in done.stdout


@pytest.mark.parametrize("words", [("controller",), ("node", "n3", "start"), ("node", "n1", "break")])
def test_a_wrong_fault_is_one_line(words: tuple[str, ...]) -> None:
    done = call(*words)
    assert done.returncode == 1
    assert done.stderr.startswith("cluster.sh: ")
    assert done.stderr.count("\n") == 1


def test_a_missing_package_is_one_line(tmp_path: Path) -> None:
    for program in ("bash", "id", "hostname"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    done = call("up", PATH=str(tmp_path), FALSEPROMISE_SLURM=str(tmp_path / "cluster"))
    assert done.returncode == 1
    assert "is missing; run: " in done.stderr
    assert "cluster.sh install" in done.stderr
    assert not (tmp_path / "cluster").exists()


def test_down_leaves_another_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = call("down", FALSEPROMISE_SLURM=str(tmp_path))
    assert done.returncode == 1
    assert "is not a cluster's folder" in done.stderr
    assert (tmp_path / "mine").exists()
