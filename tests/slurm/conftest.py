"""A real SLURM of two nodes on this machine, and a checkout in which the study ran on it from nothing to figure 4."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import CLUSTER, ROOT, Checkout, free_ports, sh, until

PROGRAMS = ("munged", "slurmdbd", "slurmctld", "slurmd", "sbatch", "mariadbd", "mariadb-install-db")
PARTS = ("Snakefile", "workflow", "config", "resources", "profiles", "slurm", "envs")


def why_no_cluster() -> str | None:
    """Why there can be no SLURM here; None where there can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    if missing:
        return f"no SLURM here: {', '.join(missing)} missing (tests/slurm/cluster.sh install)"
    if os.geteuid() != 0:
        return "no SLURM here: its nodes need root"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_no_cluster()
    for item in items:
        if item.get_closest_marker("slurm") and reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cluster, up for the session; one that was up before (`cluster.sh up`) is used and stays."""
    mine = not _answers()
    environment = dict(os.environ)
    if mine:
        # Its own folder and ports: another checkout's tests may be at work on this machine.
        os.environ["FALSEPROMISE_SLURM"] = str(tmp_path_factory.mktemp("slurm", numbered=True))
        os.environ["FALSEPROMISE_SLURM_PORT"] = str(free_ports(4))
        subprocess.run([CLUSTER, "up"], check=True, timeout=180)
    os.environ["SLURM_CONF"] = _conf()
    yield
    if mine:
        subprocess.run([CLUSTER, "down"], check=True, timeout=180)
    os.environ.clear()
    os.environ.update(environment)


def _answers() -> bool:
    asked = ["sinfo", "--noheader"]
    return Path(_conf()).exists() and not subprocess.call(asked, env={**os.environ, "SLURM_CONF": _conf()})


def _conf() -> str:
    return sh(CLUSTER, "env").strip().partition("=")[2]


@pytest.fixture(scope="session")
def study(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the study ran from nothing to figure 4 on the cluster."""
    path = tmp_path_factory.mktemp("study") / "checkout"
    path.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, path / part)
    shutil.copy(Path(__file__).with_name("study.yaml"), path / "study.yaml")
    checkout = Checkout(path)
    checkout.run()
    return checkout


@pytest.fixture
def copy(study: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The finished study, to do harm to, on idle nodes."""
    shutil.copytree(study.path, tmp_path / "checkout", symlinks=True)
    until("idle nodes", lambda: set(sh("sinfo", "-h", "-p", "main", "-o", "%t").split()) == {"idle"})
    copied = Checkout(tmp_path / "checkout")
    yield copied
    copied.abandon()
