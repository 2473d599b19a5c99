"""Jobs in an environment of their own: a stand-in conda, whose Python leaves a mark, and a container's recipe."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from checkout import ROOT, Checkout

CONDA = """\
#!/bin/sh
case "$*" in
    --version) echo conda 25.1.0 ;;
    *info*) echo '{{"conda_prefix": "{base}", "root_prefix": "{base}", "conda_version": "25.1.0",' ;
        echo '"platform": "linux-64"}}' ;;
    *config*) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
    *create*)
        for word; do [ "$before" = --prefix ] && prefix=$word; [ "$before" = --file ] && file=$word; before=$word; done
        mkdir -p "$prefix/bin" "$prefix/conda-meta"
        touch "$prefix/conda-meta/history"
        cp "$file" "{base}/asked.yaml"
        printf '#!/bin/sh\\necho "$*" >> "{base}/called"\\nexec "{python}" "$@"\\n' > "$prefix/bin/python"
        chmod +x "$prefix/bin/python" ;;
esac
"""
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


@pytest.mark.slow
def test_with_conda_jobs_run_in_its_python(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, path = tmp_path / "conda", tmp_path / "checkout"
    (base / "bin").mkdir(parents=True)
    (base / "bin/conda").write_text(CONDA.format(base=base, python=sys.executable))
    (base / "bin/conda").chmod(0o755)
    (base / "bin/activate").write_text(ACTIVATE)
    monkeypatch.setenv("PATH", f"{base}/bin:{os.environ['PATH']}")
    shutil.copytree(checkout.path, path, ignore=shutil.ignore_patterns(".snakemake"))
    study = ("--configfile", "config/test.yaml", "--cores", "1", "--", "results/tables/prompts.md")
    done = Checkout(path).snakemake("--sdm", "conda", *study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "-m falsepromise.figures.table_prompts" in (base / "called").read_text()
    assert yaml.safe_load((base / "asked.yaml").read_text()) == yaml.safe_load(
        (ROOT / "envs/falsepromise.yaml").read_text()
    )
    (base / "called").unlink()
    (path / "results/tables/prompts.md").unlink()
    (path / "results/test/tables/prompts.md").unlink()
    assert Checkout(path).snakemake(*study).returncode == 0
    assert not (base / "called").exists(), "without it, jobs run in Snakemake's own Python"


def test_the_containers_definition_installs_the_lock_and_this_package() -> None:
    """Without a builder here, by its text: its sections, and that what it copies is there."""
    text = (ROOT / "envs/falsepromise.def").read_text(encoding="utf-8")
    sections = re.split(r"^%", text, flags=re.MULTILINE)
    names = [section.split(maxsplit=1)[0] for section in sections[1:]]
    assert text.startswith("Bootstrap: docker\nFrom: python:3.11")
    assert names == ["files", "post", "environment", "runscript", "test", "help"]
    for line in sections[1].splitlines()[1:]:
        if line.strip():
            assert (ROOT / line.split()[0]).exists(), line
    assert "--require-hashes -r requirements.lock" in sections[2]
    assert "--no-deps" in sections[2]
