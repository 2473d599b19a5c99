"""Intervals that cover, paired tests, and groups of items."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from falsepromise.statistics import intervals
from falsepromise.statistics.crossed import crossed_interval, resampled
from falsepromise.statistics.intervals import bootstrap, partition
from falsepromise.statistics.paired import paired_difference


def test_the_mean_and_its_interval() -> None:
    metric = intervals.mean_metric([1.0] * 30 + [0.0] * 70)
    assert metric["value"] == pytest.approx(0.3)
    assert metric["n"] == 100
    # The normal approximation: 0.3 +- 1.96 * sqrt(0.21 / 100)
    assert metric["ci95"] == pytest.approx([0.21, 0.39], abs=0.015)
    assert intervals.mean_metric([1.0] * 30 + [0.0] * 70) == metric


def test_none_right_is_not_exactly_zero() -> None:
    low, high = intervals.mean_metric([0.0] * 164)["ci95"]
    assert low == 0.0
    assert high == pytest.approx(0.0229, abs=2e-4)  # Wilson: z^2 / (n + z^2)
    assert intervals.mean_metric([1.0] * 164)["ci95"] == pytest.approx([1 - high, 1.0])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        low, high = intervals.mean_metric(list((rng.random(80) < 0.4).astype(float)), seed=trial)["ci95"]
        covered += low <= 0.4 <= high
    assert 180 <= covered <= 200


def test_a_mean_over_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        intervals.mean_metric([])


def test_bootstrap_of_any_statistic() -> None:
    values = np.random.default_rng(1).normal(size=400)
    low, high = intervals.bootstrap(lambda i: float(np.median(values[i])), 400)
    assert low < np.median(values) < high
    assert high - low == pytest.approx(2 * 1.96 * 1.2533 / 20, rel=0.35)  # of a normal median
    assert intervals.bootstrap(lambda i: 3.0, 1) == [3.0, 3.0]


@pytest.mark.parametrize("n", range(1, 60))
def test_wilsons_interval_holds_the_share_itself(n):
    confint = pytest.importorskip("statsmodels.stats.proportion").proportion_confint

    for count in range(n + 1):
        low, high = intervals.wilson(count, n)
        assert 0 <= low <= count / n <= high <= 1
        assert [low, high] == pytest.approx(confint(count, n, method="wilson"), abs=1e-9)


def test_the_quantile_is_in_one_place() -> None:
    assert pytest.approx(1.959964, abs=1e-6) == intervals.Z95
    package = Path(intervals.__file__).parents[1]
    numbers = re.compile(r"\b1\.9(?:6|59\d*)\b(?! standard errors)|inv_cdf|norm\.ppf")
    found = [f.name for f in package.rglob("*.py") if numbers.search(f.read_text(encoding="utf-8"))]
    assert found == ["intervals.py"]


def test_a_draw_within_strata_keeps_their_sizes_and_one_of_clusters_takes_them_whole() -> None:
    keys = ["b", "a", "b", "c", "a", "b"]
    groups = partition(keys)
    assert [group.tolist() for group in groups] == [[0, 2, 5], [1, 4], [3]]
    drawn: list[np.ndarray] = []

    def seen(places: np.ndarray) -> float:
        drawn.append(places)
        return 0.0

    bootstrap(seen, 6, strata=groups, resamples=50)
    assert all([keys[place] for place in places] == keys for places in drawn)
    drawn.clear()
    bootstrap(seen, 6, clusters=groups, resamples=50)
    for places in drawn:
        counts = np.bincount(places, minlength=6)
        assert all(len(set(counts[group])) == 1 for group in groups)


def test_clusters_have_statsmodels_cluster_robust_error() -> None:
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    keys = np.repeat(np.arange(150), rng.integers(1, 5, 150))
    values = rng.normal(size=150)[keys] + rng.normal(0, 0.4, len(keys))
    model = api.OLS(values, np.ones(len(keys)))
    robust = float(model.fit(cov_type="cluster", cov_kwds={"groups": keys}).bse[0])
    low, high = bootstrap(lambda i: float(values[i].mean()), len(keys), clusters=partition(keys))
    assert (high - low) / (2 * intervals.Z95) == pytest.approx(robust, rel=0.07)
    low, high = bootstrap(lambda i: float(values[i].mean()), len(keys))
    assert (high - low) / (2 * intervals.Z95) < 0.8 * robust


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(0)
    same = np.tile((rng.random(200) < 0.5).astype(float), (3, 1))
    apart = np.stack([(rng.random(200) < p).astype(float) for p in (0.2, 0.5, 0.8)])
    width_same, width_apart = (np.diff(crossed_interval(m))[0] for m in (same, apart))
    # Items alone: 2 * 1.96 * sqrt(.25 / 200) = 0.139; the seeds' own spread comes on top.
    assert width_same == pytest.approx(0.139, abs=0.015)
    assert width_apart > 2 * width_same


def test_two_seeds_have_the_variance_of_a_mean_of_two():
    """Drawn with replacement, two rows stray by half the variance of their mean; the draws make up for it."""
    matrix = np.array([[0.3] * 50, [0.7] * 50])
    draws = resampled([np.stack([matrix, np.ones_like(matrix)], axis=-1)])[:, 0]
    assert draws.mean() == pytest.approx(0.5, abs=0.02)
    assert draws.var() == pytest.approx(np.var([0.3, 0.7], ddof=1) / 2, rel=0.1)
    low, high = crossed_interval(matrix)
    assert (low, high) == (0.3, 0.7)  # never beyond what an item can be


def test_crossed_interval_covers_the_truth():
    """Of 100 made-up studies with 4 seeds, most intervals hold the true mean."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        items, seeds = rng.normal(0, 0.2, 60), rng.normal(0, 0.05, 4)
        matrix = 0.5 + items[None, :] + seeds[:, None] + rng.normal(0, 0.1, (4, 60))
        low, high = crossed_interval(matrix)
        hits += low <= 0.5 <= high
    assert 88 <= hits <= 100


def test_mcnemar_is_exact() -> None:
    d = paired_difference([1] * 9 + [0] + [1] * 5, [0] * 9 + [1] + [1] * 5)
    assert (d["left_higher"], d["right_higher"], d["equal"], d["n"]) == (9, 1, 5, 15)
    assert d["p"] == pytest.approx(2 * (1 + 10) / 2**10)  # P(at most 1 of 10) twice
    assert d["value"] == pytest.approx(8 / 15)
    assert d["ci95"][0] > 0


def test_signs_are_permuted_where_values_are_shares() -> None:
    few = paired_difference([0.5, 0.6, 0.7], [0.1, 0.2, 0.3])
    assert few["p"] == pytest.approx(2 / 8)
    rng = np.random.default_rng(0)
    x = rng.random(200)
    y = x + rng.normal(0, 0.1, 200)
    from scipy.stats import ttest_rel

    assert paired_difference(x, y)["p"] == pytest.approx(ttest_rel(x, y).pvalue, abs=0.03)
    assert paired_difference(x, y - 0.1)["p"] < 0.001


def test_equal_models_have_no_difference_and_no_certainty() -> None:
    d = paired_difference([1, 0, 1, 1], [1, 0, 1, 1])
    assert (d["value"], d["p"]) == (0.0, 1.0)
    assert d["ci95"][0] < 0 < d["ci95"][1]
