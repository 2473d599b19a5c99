"""A mistake in a study is one line, before any job starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import Checkout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("mixtuers: {}", "unknown key 'mixtuers'; did you mean 'mixtures'?"),
        ("sources: {sharegpt: {uri: 'file:nowhere.json'}}", "names the file 'nowhere.json', which does not exist"),
    ],
)
def test_one_line_and_no_job(checkout: Checkout, tmp_path: Path, change: str, message: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(change + "\n")
    done = checkout.snakemake("--cores", "1", "--configfile", "config/test.yaml", str(bad))
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in done.stderr
    assert not (checkout.path / "results/test/sources").exists()
