"""Intervals that cover, and the closure of imports that decides what runs again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from falsepromise.core import code, statistics


def test_the_mean_and_its_interval() -> None:
    metric = statistics.mean_metric([1.0] * 30 + [0.0] * 70)
    assert metric["value"] == pytest.approx(0.3)
    assert metric["n"] == 100
    # The normal approximation: 0.3 +- 1.96 * sqrt(0.21 / 100)
    assert metric["ci95"] == pytest.approx([0.21, 0.39], abs=0.015)
    assert statistics.mean_metric([1.0] * 30 + [0.0] * 70) == metric


def test_none_right_is_not_exactly_zero() -> None:
    low, high = statistics.mean_metric([0.0] * 164)["ci95"]
    assert low == 0.0
    assert high == pytest.approx(0.0229, abs=2e-4)  # Wilson: z^2 / (n + z^2)
    assert statistics.mean_metric([1.0] * 164)["ci95"] == pytest.approx([1 - high, 1.0])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        low, high = statistics.mean_metric(list((rng.random(80) < 0.4).astype(float)), seed=trial)["ci95"]
        covered += low <= 0.4 <= high
    assert 180 <= covered <= 200


def test_a_mean_over_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        statistics.mean_metric([])


def test_bootstrap_of_any_statistic() -> None:
    values = np.random.default_rng(1).normal(size=400)
    low, high = statistics.bootstrap(lambda i: float(np.median(values[i])), 400)
    assert low < np.median(values) < high
    assert high - low == pytest.approx(2 * 1.96 * 1.2533 / 20, rel=0.35)  # of a normal median
    assert statistics.bootstrap(lambda i: 3.0, 1) == [3.0, 3.0]


def test_closures_follow_imports_and_leave_bookkeeping_out() -> None:
    files = {path.split("falsepromise/")[1] for path in code.closure("falsepromise.training.train")}
    assert {"training/train.py", "training/optimizer.py", "models/llama.py", "core/records.py"} <= files
    assert not files & {"core/cli.py", "core/progress.py", "core/manifest.py", "core/errors.py"}
    assert not any(path.startswith(("curation/", "figures/", "benchmarks/")) for path in files)
    assert "training/train.py" not in "".join(code.closure("falsepromise.figures.fig4"))
    with pytest.raises(ModuleNotFoundError):
        code.closure("falsepromise.no.such")


def test_no_stage_imports_a_later_one() -> None:
    order = ["core", "study", "models", "sources", "curation", "teacher", "training", "generation", "benchmarks",
             "style", "preference", "figures", "release"]  # fmt: skip
    package = code.ROOT / code.PACKAGE
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).parts
        if len(parts) < 2:
            continue
        module = ".".join((code.PACKAGE, *parts)).removesuffix(".py").removesuffix(".__init__")
        parsed = code._parse(module)
        bound = [parsed.imports, *(unit.imports for units in parsed.units.values() for unit in units)]
        for imported in [f"{name}.{what}" for each in bound for name, what in each.values()]:
            stage = imported.split(".")[1] if "." in imported else "core"
            assert order.index(stage) <= order.index(parts[0]), f"{module} imports {imported}"


def test_a_digest_is_kept_until_the_package_changes(tmp_path: Path) -> None:
    """In a process of its own each: what is kept is what would be found again."""

    def asked(cache: Path) -> str:
        program = "from falsepromise.core.code import digest; print(digest('falsepromise.curation.mix'))"
        words = [sys.executable, "-c", program]
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(code.ROOT)}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout

    first = asked(tmp_path)
    kept = next((tmp_path / "falsepromise").glob("code-*.json"))
    assert asked(tmp_path) == first
    kept.write_text(kept.read_text().replace('"of": "', '"of": "another'))
    assert asked(tmp_path) == first
    kept.write_text("damaged")
    assert asked(tmp_path) == first
    assert asked(Path("/dev/null/nowhere")) == first


@pytest.mark.parametrize("n", range(1, 60))
def test_wilsons_interval_holds_the_share_itself(n):
    confint = pytest.importorskip("statsmodels.stats.proportion").proportion_confint

    for count in range(n + 1):
        low, high = statistics.wilson(count, n)
        assert 0 <= low <= count / n <= high <= 1
        assert [low, high] == pytest.approx(confint(count, n, method="wilson"), abs=1e-9)
