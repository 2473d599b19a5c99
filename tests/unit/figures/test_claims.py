"""Claims where something is missing, few or of another kind: what may decide, and what may not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr

from falsepromise.figures import claims, fig0, summary
from falsepromise.figures.differences import difference
from falsepromise.figures.scores import Scores
from falsepromise.figures.select import broad, nearest_amounts
from falsepromise.figures.study import Study
from falsepromise.statistics.agreement import rank_correlation
from falsepromise.statistics.crossed import resampled
from falsepromise.statistics.intervals import mean_metric
from falsepromise.statistics.paired import paired_difference

N = 340


def model(base: str, tokens: int | None = 0, seed: int = 0, mixture: str | None = "mix") -> dict:
    mixture = None if tokens == 0 else mixture
    return {"base": base, "mixture": mixture, "tokens": tokens, "seed": seed, "label": f"{base} {tokens}"}


def study(models: dict[str, dict], runs: dict[str, list[str]], **more) -> Study:
    bases = {
        base: {"label": base.upper(), "parameters": 1e6} for base in dict.fromkeys(m["base"] for m in models.values())
    }
    sections = {
        "bases": bases, "teacher": {"label": "T"}, "mixtures": {"mix": {"label": "Mix"}},
        "benchmarks": {"nq": {"label": "NQ", "task": "nq", "metric": "exact_match"}},
    }  # fmt: skip
    return Study(name="made-up", title="made-up", models=models, runs=runs, **{**sections, **more})


def scored(values: np.ndarray, metric: str = "exact_match") -> dict:
    items = [{"id": f"q{i}", metric: float(v)} for i, v in enumerate(values)]
    return {"metrics": {metric: mean_metric([float(v) for v in values])}, "items": items}


def scores(of: Study, found: dict[str, dict], benchmark: str = "nq") -> Scores:
    return Scores(of, {(m, benchmark): {**r, "model": m, "benchmark": benchmark} for m, r in found.items()})


def verdict(of: Scores, name: str) -> claims.Claim:
    return claims.tested(claims.CLAIMS[name], of)


@pytest.fixture
def pretrained():
    """A base with two seeds, each with a run that differs from it by chance alone."""
    models = {f"b-s{s}": model("b", 0, s) for s in (0, 1)} | {f"m-s{s}": model("b", 100_000, s) for s in (0, 1)}
    rng = np.random.default_rng(1)
    base = [rng.random(N) < 0.5 for _ in range(2)]
    run = [np.where(rng.random(N) < 0.1, rng.random(N) < 0.5, b) for b in base]
    found = {f"b-s{s}": scored(base[s]) for s in (0, 1)} | {f"m-s{s}": scored(run[s]) for s in (0, 1)}
    return study(models, {"amount": ["m-s0", "m-s1"]}), found


@pytest.mark.parametrize("gone", ["b-s1", "m-s1"])
def test_a_seed_that_one_side_lacks_counts_on_neither(pretrained, gone):
    of, found = pretrained
    left = {name: record for name, record in found.items() if name != gone}
    (c,) = verdict(scores(of, left), "trade_off").comparisons
    drawn = paired_difference(*([i["exact_match"] for i in found[m]["items"]] for m in ("m-s0", "b-s0")))
    assert c.paired
    assert c.difference.value == pytest.approx(drawn["value"])
    assert (c.difference.low, c.difference.high) == pytest.approx(tuple(drawn["ci95"]), abs=0.005)


def test_no_seed_in_common_is_no_pair_of_seeds(pretrained):
    of, found = pretrained
    (c,) = verdict(scores(of, {name: found[name] for name in ("b-s1", "m-s0")}), "trade_off").comparisons
    apart = resampled(
        [np.stack([np.array([[i["exact_match"], 1.0] for i in found[m]["items"]])]) for m in ("m-s0", "b-s1")]
    )
    low, high = np.quantile(apart[:, 0] - apart[:, 1], [0.025, 0.975])
    assert (c.difference.low, c.difference.high) == pytest.approx((low, high), abs=0.01)


def test_unequal_seeds_are_never_drawn_together():
    with pytest.raises(ValueError, match="seeds"):
        resampled([np.ones((2, 5, 2)), np.ones((3, 5, 2))], same_seeds=True)


def test_a_perplexity_is_no_accuracy():
    benchmarks = {"wiki": {"label": "WikiText", "task": "lm_eval", "metric": "word_perplexity"}}
    of = study({"b": model("b"), "m": model("b", 1000)}, {"amount": ["m"]}, benchmarks=benchmarks)
    found = scores(
        of, {"b": scored(np.full(N, 40.0), "word_perplexity"), "m": scored(np.full(N, 45.0), "word_perplexity")}, "wiki"
    )
    for name in ("capability", "half_left", "trade_off"):
        assert not verdict(found, name).comparisons
    assert "WikiText (Perplexity of a word (lower is better))" in verdict(found, "capability").note
    assert "40.00" in summary.build(found).markdown()


def test_what_no_model_solves_says_nothing_about_a_rise():
    of = study({"b": model("b"), "m": model("b", 1000)}, {"amount": ["m"]})
    found = scores(of, {"b": scored(np.zeros(N)), "m": scored(np.zeros(N))})
    claim = verdict(found, "capability")
    assert not claim.comparisons
    assert claim.note == "Solved by no model, and left out: NQ."


def test_groups_with_other_seeds_are_one_cell():
    models = {"b": model("b")} | {f"m-s{s}": model("b", 1000, s) for s in range(3)}
    of = study(models, {"amount": ["m-s0", "m-s1", "m-s2"], "size": ["m-s0"]})
    assert [[cell.models for cell in line] for line in broad(of)] == [[("m-s0", "m-s1", "m-s2")]]
    assert not claims.against_smallest(scores(of, {}))
    assert of.seeds_each() == "3"


def listing(lists: np.ndarray, teacher: np.ndarray) -> dict:
    items = [
        {"id": f"p{i}", "list": float(ours), "reference_list": bool(theirs)}
        for i, (ours, theirs) in enumerate(zip(lists, teacher, strict=True))
    ]
    means = {"list_agreement": lists[teacher].mean(), "list_false_alarm": lists[~teacher].mean()}
    return {
        "metrics": {name: {"value": float(v), "ci95": [0.0, 1.0], "n": N} for name, v in means.items()},
        "items": items,
    }


@pytest.mark.parametrize(("lists", "says"), [(1, "can't tell"), (5, "can't tell"), (60, "supported")])
def test_a_handful_of_the_teachers_lists_decides_nothing(lists, says):
    of = study({"b": model("b"), "m": model("b", 1000)}, {"amount": ["m"]})
    rng = np.random.default_rng(0)
    teacher = np.arange(N) < lists
    base, run = ((rng.random(N) < share).astype(float) for share in (0.10, 0.15))
    base[teacher], run[teacher] = 0.0, 1.0
    found = scores(of, {"b": listing(base, teacher), "m": listing(run, teacher)}, "style")
    (c,) = verdict(found, "style").comparisons
    assert c.difference.n == lists
    assert c.verdict == says
    # All of the few are hit: as unsure as "0 of n", whatever the false alarms say.
    assert c.difference.high - c.difference.value >= min(3.84 / (lists + 3.84), 1.99 - c.difference.value)


def test_two_right_answers_are_no_verdict_and_no_more_than_all():
    of = study({"b": model("b"), "m": model("b", 1000)}, {"amount": ["m"]})
    found = scores(of, {"b": scored(np.zeros(2)), "m": scored(np.ones(2))})
    (c,) = verdict(found, "capability").comparisons
    assert (c.verdict, c.difference.n, c.difference.high) == ("can't tell", 2, 1.0)
    same = paired_difference([1.0] * 5, [0.0] * 5)
    assert same["ci95"] == [pytest.approx(1 - 3.841 / 8.841, abs=1e-3), 1.0]


def test_a_measure_that_one_pair_lacks_leaves_the_claim_open():
    of = study({"b": model("b"), "s": model("b", 1000), "m": model("b", 9000)}, {"amount": ["s", "m"]})
    rng = np.random.default_rng(0)
    values = {"b": 0.1, "s": 0.2, "m": 0.5}
    found = {
        name: scored(np.clip(v + 0.05 * rng.normal(size=N), 0, 1), "unigram_intersection") for name, v in values.items()
    }
    lengths = 50 + np.arange(N)
    for name, noise in (("s", 100.0), ("m", 5.0)):
        ours = lengths + noise * rng.normal(size=N)
        for item, own, other in zip(found[name]["items"], ours, lengths, strict=True):
            item |= {"words": float(own), "reference_words": float(other)}
        r = float(np.corrcoef(ours, lengths)[0, 1])
        found[name]["metrics"]["length_correlation"] = {"value": r, "ci95": [-1.0, 1.0], "n": N}
    claim = verdict(scores(of, found, "style"), "style")
    assert {c.verdict for c in claim.comparisons} == {"supported"}
    assert claim.verdict == "can't tell"
    assert "Length correlation is missing for B: 9k Mix – base model" in claim.note


def test_a_base_whose_style_is_not_asked_for_leaves_nothing_open():
    of = study(
        {b: model(b) for b in "ab"} | {f"{b}1": model(b, 1000) for b in "ab"}, {"amount": ["a1"], "size": ["b1"]}
    )
    rng = np.random.default_rng(0)
    values = {"a": 0.1, "a1": 0.5}
    found = {m: scored(np.clip(v + 0.05 * rng.normal(size=N), 0, 1), "unigram_intersection") for m, v in values.items()}
    claim = verdict(scores(of, found, "style"), "style")
    assert (claim.verdict, len(claim.comparisons)) == ("supported", 1)


def test_figure_0_says_what_its_own_line_shows(monkeypatch):
    models = {"a": model("a"), "a1": model("a", 1000)} | {
        "b": model("b"),
        "b1": model("b", 1000),
        "b2": model("b", 2000),
    }
    of = study(models, {"amount": ["a1", "b1", "b2"]})
    shares = {"a": 0.3, "a1": 0.7, "b": 0.7, "b1": 0.3, "b2": 0.3}
    rng = np.random.default_rng(0)
    found = scores(of, {name: scored(rng.random(N) < share) for name, share in shares.items()})
    said = []
    monkeypatch.setattr(fig0.draw, "titled", lambda axes, title, verdict: said.append(verdict))
    fig0.draw_figure(found)
    assert said == ["no rise: supported"]
    assert verdict(found, "capability").verdict == "can't tell", "the other base's accuracy rose"


def test_all_of_a_mixture_is_nearest_to_all():
    of = study(
        {"b": model("b"), "s": model("b", 1000), "m": model("b", 9000), "w": model("b", None),
         "r": model("b", None, 0, "replay")},
        {"amount": ["s", "m", "w"], "replay": ["r"]},
    )  # fmt: skip
    cells, (of_replay,) = of.cells("amount"), of.cells("replay")
    assert nearest_amounts([of_replay], cells)[0][1].models == ("w",)
    assert nearest_amounts([of_replay], [c for c in cells if c.tokens])[0][1].models == ("m",)


def test_bases_of_one_size_are_not_ranked_by_their_names():
    of = study({"a": model("a"), "b": model("b"), "a1": model("a", 9), "b1": model("b", 9)}, {"size": ["a1", "b1"]})
    rng = np.random.default_rng(0)
    found = scores(
        of, {name: scored(rng.random(N) < share) for name, share in zip(of.models, (0.2, 0.8, 0.2, 0.8), strict=True)}
    )
    assert not verdict(found, "bases").comparisons


def test_few_models_need_an_exact_test_and_seeds_are_no_models():
    """Four models in one order: p is 2 of 24, whatever Fisher's z says."""
    assert rank_correlation([1, 2, 3, 4], [1, 2, 3, 4])[3] == pytest.approx(2 / 24)
    x, y = [1.0, 2.0, 2.0, 4.0, 5.0, 6.0], [2.0, 1.0, 3.0, 3.0, 6.0, 5.0]
    rho = spearmanr(x, y).statistic
    every = [spearmanr(p, y).statistic for p in itertools.permutations(x)]
    assert rank_correlation(x, y)[3] == pytest.approx(np.mean(np.abs(every) >= abs(rho) - 1e-9))
    theirs = permutation_test((x,), lambda p: spearmanr(p, y).statistic, permutation_type="pairings", n_resamples=720)
    assert rank_correlation(x, y)[3] == pytest.approx(theirs.pvalue)

    models = {"b": model("b")} | {f"m{t}-s{s}": model("b", t, s) for t in (1000, 9000) for s in (0, 1)}
    of = study(models, {"amount": list(models)[1:]}, raters={"people": {}}, judges={"gpt": {}})
    records = {}
    for place, name in enumerate(models):
        for who in ("people", "gpt"):
            value = {"value": 0.1 * place, "ci95": [0.0, 1.0], "n": 50}
            records[name, who] = {"model": name, "benchmark": who, "metrics": {"equal_or_better": value}, "items": []}
    records["b", "gpt"] = {"model": "b", "benchmark": "gpt", "metrics": {}, "not_scored": "no vote could be read"}
    claim = verdict(Scores(of, records), "judge")
    assert (claim.comparisons, claim.note) == ([], "Only 2 models have both; four are needed.")


def test_a_difference_is_none_where_a_side_has_no_score(pretrained):
    of, found = pretrained
    only = scores(of, {"b-s0": found["b-s0"]})
    assert difference(only, of.cells("amount")[0], of.base_cell("b"), "nq", "exact_match") is None
