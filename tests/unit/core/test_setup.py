"""The lock, the conda environment and the metadata are in step with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[A-Za-z0-9._-]+", entry)[0]) for entry in requirements}  # type: ignore[index]


def locked(python: str = "3.11") -> dict[str, str]:
    """The lock's versions for a release of Python: some packages have another one for each."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = map(Requirement, re.findall(r"^([A-Za-z0-9._-]+==[^\\\n]+)", text, re.MULTILINE))
    machine = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    held = [line for line in lines if line.marker is None or line.marker.evaluate(machine)]
    return {normal(line.name): next(iter(line.specifier)).version for line in held}


def test_the_lock_has_every_dependency_with_hashes_and_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    wanted = names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])
    assert wanted <= set(locked()), f"make lock: {sorted(wanted - set(locked()))} missing"
    assert "://" not in text
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)


def test_the_lock_has_no_pytorch() -> None:
    assert not {"torch", "pytorch"} & set(locked())


def test_the_conda_environment_has_the_locks_versions() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "falsepromise.yaml").read_text(encoding="utf-8"))
    python = next(entry.split("=")[1] for entry in environment["dependencies"] if str(entry).startswith("python "))
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    pinned = dict(entry.split("==") for entry in pip)
    assert set(pinned) == names(PROJECT["dependencies"])
    versions = locked(python)
    assert pinned == {name: versions[name] for name in pinned}


def test_versions_agree() -> None:
    import falsepromise

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == falsepromise.__version__ == citation["version"]


def test_the_executor_is_pinned_to_the_plugin_whose_private_names_it_uses() -> None:
    wanted = tomllib.loads((ROOT / "executor/pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert f"snakemake-executor-plugin-slurm=={locked()['snakemake-executor-plugin-slurm']}" in wanted
    assert names(wanted) <= set(locked())
