"""Differences of metrics that are no plain means, held against loops over draws with NumPy's own formulas."""

from __future__ import annotations

import made_up
import numpy as np
import pytest

from falsepromise.core.metrics import PEARSON
from falsepromise.figures.differences import difference
from falsepromise.figures.scores import read_scores
from falsepromise.figures.study import read_study

PROMPTS = 300
REFERENCE = np.random.default_rng(0).gamma(2, 30, PROMPTS)
LISTED = np.random.default_rng(1).random(PROMPTS) < 0.4


def record(model: str, lengths: np.ndarray, lists: np.ndarray) -> dict:
    """A style record whose intervals are too wide on purpose: the items are to be used."""
    items = [
        {"id": str(i), "words": float(w), "reference_words": float(REFERENCE[i]), "list": float(has),
         "reference_list": bool(LISTED[i])}
        for i, (w, has) in enumerate(zip(lengths, lists, strict=True))
    ]  # fmt: skip
    values = {
        "length_correlation": np.corrcoef(lengths, REFERENCE)[0, 1],
        "list_agreement": lists[LISTED].mean(),
        "list_false_alarm": lists[~LISTED].mean(),
    }
    metrics = {name: {"value": float(v), "ci95": [0.0, 1.0], "n": PROMPTS} for name, v in values.items()}
    return {"model": model, "benchmark": "style", "metrics": metrics, "items": items, "manifest": {}}


def scores(tmp_path, made: dict[str, tuple[np.ndarray, np.ndarray]]):
    study, files = made_up.write(tmp_path, None, [record(name, *values) for name, values in made.items()])
    return read_scores(files, read_study(study))


def made(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A base, and two runs whose lengths follow the references; one of these writes far more lists, right or wrong."""
    none = np.zeros(PROMPTS)
    runs = {"small": (np.exp(rng.normal(3, 1, PROMPTS)), none + (rng.random(PROMPTS) < 0.05))}
    for seed, more in enumerate((0.0, 0.4)):
        share = np.where(LISTED, 0.4, 0.2) + more
        lengths = np.maximum(40 + 0.3 * REFERENCE + rng.normal(0, 20, PROMPTS), 1)
        runs[f"small-sharegpt-400000-s{seed}"] = lengths, (rng.random(PROMPTS) < share).astype(float)
    return runs


def cells(found):
    of_base = found.study.base_cell("small")
    trained = [cell for cell in found.study.cells("amount") if cell.tokens == 400_000]
    return trained[0], of_base


def test_a_difference_of_correlations_draws_the_same_prompts_on_both_sides(tmp_path):
    values = made(np.random.default_rng(2))
    one = {name: values[name] for name in ("small", "small-sharegpt-400000-s0")}
    found = scores(tmp_path, one)
    d, paired = difference(found, *cells(found), "style", "length_correlation")
    (base, _), (run, _) = one.values()
    rng, drawn = np.random.default_rng(3), []
    for _ in range(4000):
        i = rng.integers(0, PROMPTS, PROMPTS)
        drawn.append(np.corrcoef(run[i], REFERENCE[i])[0, 1] - np.corrcoef(base[i], REFERENCE[i])[0, 1])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert paired
    assert d.value == pytest.approx(np.corrcoef(run, REFERENCE)[0, 1] - np.corrcoef(base, REFERENCE)[0, 1])
    assert (d.low, d.high) == pytest.approx((low, high), abs=0.02)


def test_the_ends_of_a_high_level_rest_on_as_many_draws(tmp_path):
    """Of 2,000 draws two lie beyond each end at 99.8 %."""
    values = made(np.random.default_rng(2))
    one = {name: values[name] for name in ("small", "small-sharegpt-400000-s0")}
    found = scores(tmp_path, one)
    counts = np.random.default_rng(3).multinomial(PROMPTS, np.full(PROMPTS, 1 / PROMPTS), 100_000) / PROMPTS

    def correlation(lengths: np.ndarray) -> np.ndarray:
        x, y, xx, yy, xy = (counts @ v for v in (lengths, REFERENCE, lengths**2, REFERENCE**2, lengths * REFERENCE))
        return (xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y))

    (base, _), (run, _) = one.values()
    expected = np.quantile(correlation(run) - correlation(base), [0.001, 0.999])
    d, _ = difference(found, *cells(found), "style", "length_correlation", 0.998)
    assert (d.low, d.high) == pytest.approx(expected, abs=0.012)


def test_the_mean_correlation_of_two_runs_is_surer_than_that_of_one(tmp_path):
    """The records' own intervals, 0 to 1, would make it 1 wide."""
    found = scores(tmp_path, made(np.random.default_rng(2)))
    trained, _ = cells(found)
    both = found.cell(trained, "style", "length_correlation")
    assert both.high - both.low < 0.3
    assert both.low < both.value < both.high


def test_hits_and_false_alarms_of_a_run_are_drawn_together(tmp_path):
    """One run lists far more than the other, whatever the prompt: that is no doubt about the gap between the two."""
    values = made(np.random.default_rng(2))
    found = scores(tmp_path, values)
    pair = cells(found)
    gap, paired = difference(found, *pair, "style", "list_agreement", less="list_false_alarm")
    hits, alarms = (difference(found, *pair, "style", f"list_{name}")[0] for name in ("agreement", "false_alarm"))
    assert paired
    assert gap.value == pytest.approx(hits.value - alarms.value)
    assert hits.high - hits.low > 0.4, "the runs differ by .4"

    def one(lists: np.ndarray, i: np.ndarray) -> float:
        mask = LISTED[i]
        return float(lists[i][mask].mean() - lists[i][~mask].mean())

    base, *runs = (lists for _, lists in values.values())
    every = np.arange(PROMPTS)
    assert gap.value == pytest.approx(np.mean([one(run, every) for run in runs]) - one(base, every))
    rng, drawn = np.random.default_rng(4), []
    for _ in range(4000):
        i, s = rng.integers(0, PROMPTS, PROMPTS), rng.integers(0, 2, 2)
        of_runs = np.array([one(run, i) for run in runs])
        mean = of_runs.mean()
        drawn.append(mean + np.sqrt(2) * (of_runs[s].mean() - mean) - one(base, i))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (gap.low, gap.high) == pytest.approx((low, high), abs=0.02)


def test_without_items_each_side_and_each_part_counts_alone(tmp_path):
    values = made(np.random.default_rng(2))
    bare = [record(name, *v) | {"items": []} for name, v in values.items()]
    study, files = made_up.write(tmp_path, None, bare)
    found = read_scores(files, read_study(study))
    gap, paired = difference(found, *cells(found), "style", "list_agreement", less="list_false_alarm")
    assert not paired
    assert gap.high - gap.low > 1, "from the records' own intervals, 0 to 1"


def test_a_constant_length_has_no_correlation_and_no_crash(tmp_path):
    """A draw whose lengths don't differ has no correlation; it is left out, and the rest decide."""
    values = made(np.random.default_rng(2))
    base, run = values["small"], values["small-sharegpt-400000-s0"]
    rare = np.full(PROMPTS, 5.0)
    rare[0] = 6.0  # most draws lack this prompt, or have a correlation with it
    found = scores(tmp_path, {"small": (rare, base[1]), "small-sharegpt-400000-s0": run})
    d, _ = difference(found, *cells(found), "style", "length_correlation")
    assert np.isfinite([d.low, d.value, d.high]).all()


def test_pearson_of_sums_is_numpys():
    rng = np.random.default_rng(0)
    x, y = 1e4 + rng.normal(size=50), rng.normal(size=50)

    def of(x: np.ndarray) -> float:
        return float(PEARSON.of(np.stack([np.ones(50), x, y, x * x, y * y, x * y], axis=-1).sum(axis=0)))

    assert of(x) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert np.isnan(of(np.full(50, 1 / 3))), "equal values have no correlation, whatever rounding leaves of their sums"
