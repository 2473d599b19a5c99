"""A checkout whose test study looks finished: every output is there, and Snakemake recorded making it.

No verb runs: the files are made by name and `snakemake --touch` records them with their inputs,
parameters and checksums. What would run next is then asked with dry runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkout import ROOT, STUDY, Checkout

PARTS = ("Snakefile", "workflow", "config", "resources", "profiles", "slurm", "envs")
FOLDERS = ("bases", "initial", "models", "blocks", "tokenizer")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A fresh copy in which nothing has run."""
    path = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, path / part)
    return Checkout(path)


@pytest.fixture(scope="session")
def finished(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy in which the test study has run to its end."""
    path = tmp_path_factory.mktemp("finished") / "repository"
    shutil.copytree(checkout.path, path, ignore=shutil.ignore_patterns(".snakemake"))
    copy = Checkout(path)
    summary = copy.snakemake("--summary", "--cores", "1", *STUDY)
    assert summary.returncode == 0, summary.stderr
    outputs = [line.split("\t")[0] for line in summary.stdout.splitlines() if line.startswith("results/")]
    assert len(outputs) > 50, summary.stdout
    for output in map(Path, outputs):
        parts = output.parts
        if len(parts) > 3 and parts[2] == "training" and parts[3] in FOLDERS:
            (path / output).mkdir(parents=True)
            (path / output / "config.json").write_text("{}\n", encoding="utf-8")
        else:
            (path / output).parent.mkdir(parents=True, exist_ok=True)
            (path / output).write_text(f"{output}\n", encoding="utf-8")
    touched = copy.snakemake("--touch", "--forceall", "--cores", "2", *STUDY)
    assert touched.returncode == 0, touched.stderr
    return copy
