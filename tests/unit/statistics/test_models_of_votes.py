"""The models of preference against statsmodels, scikit-learn, a minimiser and a sum over a grid."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, ndtr
from scipy.stats import chi2

from falsepromise.statistics import hierarchy
from falsepromise.statistics.logistic import firth_interval, fit_firth, fit_logistic, length_controlled


def test_logistic_regression_is_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    features = np.column_stack([np.ones(200), rng.normal(size=(200, 2))])
    wins = rng.integers(0, 3, 200) / 2
    weights, covariance = fit_logistic(features, wins)
    fitted = api.GLM(wins, features, family=api.families.Binomial()).fit()
    np.testing.assert_allclose(weights, fitted.params, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), fitted.bse, rtol=1e-5)


def test_separable_outcomes_have_no_fit_of_maximum_likelihood():
    features = np.column_stack([np.ones(4), [-1.0, -2.0, 1.0, 2.0]])
    with pytest.raises(ValueError, match="separate"):
        fit_logistic(features, np.array([0.0, 0.0, 1.0, 1.0]))


@pytest.mark.parametrize("separable", [False, True])
def test_firth_is_the_maximum_of_likelihood_times_jeffreys_prior(separable):
    rng = np.random.default_rng(4)
    features = np.column_stack([np.ones(30), rng.normal(size=(30, 2))])
    wins = (features[:, 1] > 0).astype(float) if separable else rng.integers(0, 3, 30) / 2

    def penalised(weights):
        p = expit(features @ weights)
        with np.errstate(divide="ignore"):
            terms = np.where(wins > 0, wins * np.log(p), 0) + np.where(wins < 1, (1 - wins) * np.log1p(-p), 0)
        return -terms.sum() - np.log(np.linalg.det(features.T @ np.diag(p * (1 - p)) @ features)) / 2

    options = {"xatol": 1e-8, "fatol": 1e-11, "maxiter": 9999}
    found = minimize(penalised, np.zeros(3), method="Nelder-Mead", options=options)
    weights, reached = fit_firth(features, wins)
    np.testing.assert_allclose(weights, found.x, atol=1e-4)
    assert reached == pytest.approx(-found.fun)
    low, high = firth_interval(features, wins, 1)
    for end in (low, high):
        # The penalised likelihood may have two peaks far out; the interval is of the higher one.
        peaks = [
            minimize(lambda w, end=end: penalised(np.array([w[0], end, w[1]])), start, method="Nelder-Mead").fun
            for start in itertools.product((0.0, 2.0), (-6.0, 0.0, 6.0))
        ]
        assert 2 * (min(peaks) - found.fun) == pytest.approx(3.841, abs=0.01)
    assert np.isfinite([low, high]).all()


def test_a_share_alone_has_jeffreys_estimate():
    weights, _ = fit_firth(np.ones((5, 1)), np.ones(5))
    assert expit(weights[0]) == pytest.approx(5.5 / 6)


def test_the_length_controlled_rate_is_alpacaevals_minimal_one():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    difference = rng.normal(-300, 400, 805)
    wins = rng.random(805) ** 3 * (rng.random(805) < expit(np.tanh(difference / 400)))
    features = np.column_stack([np.ones(805), np.tanh(difference / difference.std(ddof=1))])
    model = linear_model.LogisticRegression(C=1e9, fit_intercept=False, tol=1e-9)
    outcomes = np.repeat([1, 0], 805)
    model.fit(np.vstack([features, features]), outcomes, sample_weight=np.concatenate([wins, 1 - wins]))
    assert length_controlled(wins, difference)["value"] == pytest.approx(expit(model.coef_[0, 0]), abs=0.003)


def test_the_rate_at_equal_length_of_wins_alone_is_one_and_uncertain():
    rate = length_controlled(np.ones(5), np.array([-30.0, -10, 0, 20, 40]))
    assert rate["value"] == 1.0
    assert rate["ci95"][0] < 0.6
    assert rate["ci95"][1] == 1.0
    assert not rate["extrapolated"]


def test_a_rate_at_a_length_where_no_pair_lies_is_flagged():
    wins = np.array([1.0, 0, 1, 1, 0, 1])
    assert length_controlled(wins, np.array([100.0, 200, 300, 400, 500, 600]))["extrapolated"]
    far = length_controlled(wins, np.array([-300.0, -310, -290, 300, 310, 290]))
    assert (far["at_equal_length"], far["extrapolated"]) == (0, True)
    with pytest.raises(ValueError, match="same number in all pairs"):
        length_controlled(wins, np.full(6, 50.0))
    assert length_controlled(wins, np.zeros(6))["value"] == pytest.approx(4 / 6)


def test_a_rate_that_length_explains_is_even_at_equal_length():
    rng = np.random.default_rng(1)
    difference = rng.normal(50, 50, 2000)  # ours is mostly longer, and the longer reply mostly wins
    wins = (rng.random(2000) < 1 / (1 + np.exp(-2 * np.tanh(difference / difference.std())))).astype(float)
    rate = length_controlled(wins, difference)
    assert wins.mean() > 0.65
    assert rate["ci95"][0] < 0.5 < rate["ci95"][1] + 0.02
    assert abs(rate["value"] - 0.5) < 0.06


def votes_of(pairs):
    """Votes of one judge on items in both orders, as (choice with ours first, choice with ours second)."""
    return [
        {"item": str(i), "rater": "j", "choice": choice, "first": first}
        for i, pair in enumerate(pairs)
        for first, choice in zip(("left", "right"), pair, strict=True)
    ]


def test_the_sampler_is_the_posterior_summed_over_a_grid():
    rng = np.random.default_rng(2)
    level = rng.normal(0.4, 0.8, 40)[:, None] + np.array([0.25, -0.25]) + rng.normal(0, 0.6, (40, 2))
    pairs = [["left" if z > 0.3 else "right" if z < -0.3 else "tie" for z in row] for row in level]
    fitted = hierarchy.fit(votes_of(pairs), draws=6000)

    grids = np.linspace(-1.6, 2.4, 25), np.linspace(-1.2, 2.4, 19), np.linspace(0.04, 1.2, 15)
    grids = (*grids, np.linspace(0.05, 0.95, 10))
    mu, beta, delta, rho = (axis[..., None] for axis in np.meshgrid(*grids, indexing="ij"))
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    item, noise = np.sqrt(rho) * nodes, np.sqrt(1 - rho)

    def chances(place):
        mean = mu + place * beta + item
        left, right = ndtr((mean - delta) / noise), ndtr((-delta - mean) / noise)
        return {"left": left, "right": right, "tie": np.maximum(1 - left - right, 1e-300)}

    first, second = chances(0.5), chances(-0.5)
    log_posterior = -(mu**2 + beta**2 + delta**2)[..., 0] / 2
    for one, other in itertools.product(first, second):
        times = sum(pair == [one, other] for pair in pairs)
        log_posterior = log_posterior + times * np.log((first[one] * second[other]) @ (weights / weights.sum()))
    posterior = np.exp(log_posterior - log_posterior.max())
    posterior /= posterior.sum()

    def rate(place):
        mean = (mu + place * beta)[..., 0]
        return (1 + ndtr(mean - delta[..., 0]) - ndtr(-delta[..., 0] - mean)) / 2

    for name, drawn in (("win_rate", (rate(0.5) + rate(-0.5)) / 2), ("place", rate(0.5) - rate(-0.5))):
        mean = float((posterior * drawn).sum())
        order = np.argsort(drawn, axis=None)
        below = np.cumsum(posterior.ravel()[order])
        interval = [drawn.ravel()[order][np.searchsorted(below, q)] for q in (0.025, 0.975)]
        assert fitted[name]["value"] == pytest.approx(mean, abs=0.012)
        np.testing.assert_allclose(fitted[name]["ci95"], interval, atol=0.03)


def test_with_many_votes_the_model_is_statsmodels_ordered_probit():
    ordinal = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    rng = np.random.default_rng(5)
    place = rng.choice([0.5, -0.5], 1500)
    z = -0.3 + 0.6 * place + rng.normal(size=1500)
    choice = np.where(z > 0.25, "left", np.where(z < -0.25, "right", "tie"))
    model = ordinal.OrderedModel(np.searchsorted([-0.25, 0.25], z), place[:, None], distr="probit")
    slope, low, gap = model.fit(method="bfgs", disp=False).params
    high = low + np.exp(gap)
    first, second = ((1 - ndtr(high - slope * s) + 1 - ndtr(low - slope * s)) / 2 for s in (0.5, -0.5))
    votes = [
        {"item": str(i), "rater": "j", "choice": c, "first": "left" if s > 0 else "right"}
        for i, (c, s) in enumerate(zip(choice, place, strict=True))
    ]
    fitted = hierarchy.fit(votes)
    assert fitted["win_rate"]["value"] == pytest.approx((first + second) / 2, abs=0.01)
    assert fitted["place"]["value"] == pytest.approx(first - second, abs=0.015)


@pytest.mark.parametrize(("choice", "expected"), [("left", (0.5, 0.999)), ("right", (0.001, 0.5)), ("tie", (0.2, 0.8))])
def test_five_votes_alike_are_a_wide_and_finite_interval(choice, expected):
    fitted = hierarchy.fit([{"item": str(i), "rater": "j", "choice": choice} for i in range(5)])
    low, high = fitted["win_rate"]["ci95"]
    assert expected[0] < low < high < expected[1] + 0.001
    assert high - low > 0.3


def test_a_careless_rater_is_noisier_than_the_others():
    rng = np.random.default_rng(3)
    level = rng.normal(0, 1, 150)
    votes = [
        {"item": str(i), "rater": name, "choice": "left" if value + noise * rng.normal() > 0 else "right"}
        for i, value in enumerate(level)
        for name, noise in (("a", 0.3), ("b", 0.3), ("careless", 3.0))
    ]
    raters = hierarchy.fit(votes)["raters"]
    assert raters["careless"]["noise"]["ci95"][0] > max(raters[name]["noise"]["value"] for name in "ab")


@pytest.mark.parametrize("apart", [0.0, 1.5, 2.5])
def test_the_profile_is_the_best_over_all_slopes_however_far_equal_length_is(apart):
    rng = np.random.default_rng(7)
    lengths = apart + rng.normal(size=25)
    wins = rng.choice([0.0, 0.5, 1.0], 25)
    features = np.column_stack([np.ones(25), np.tanh(lengths / lengths.std(ddof=1))])

    def penalised(intercept, at_mean):  # the slope as the log odds at the mean length, which the data hold
        mean = features[:, 1].mean()
        eta = intercept + (at_mean - intercept) / mean * features[:, 1]
        w = expit(eta) * expit(-eta)
        likelihood = (wins * np.log(expit(eta)) + (1 - wins) * np.log(expit(-eta))).sum()
        return likelihood + np.linalg.slogdet((features * w[:, None]).T @ features)[1] / 2

    _, best = fit_firth(features, wins)
    for end in firth_interval(features, wins, 0):
        assert np.isfinite(end)
        at = minimize(lambda m, end=end: -penalised(end, m[0]), [0.0], method="Nelder-Mead", options={"xatol": 1e-9})
        assert best + at.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-3)


def test_lengths_that_all_differ_alike_are_said():
    wins = np.array([0.5, 1.0, 1.0, 0.0, 1.0, 0.5])
    with pytest.raises(ValueError, match="the lengths differ by about the same number in all pairs"):
        length_controlled(wins, np.array([1009, 998, 1002, 999, 1008, 1007.0]))
    far = length_controlled(wins, np.array([9, 11, 12, 8, 13, 14.0]))
    assert far["extrapolated"]
    assert far["ci95"][0] < 0.05 < 0.95 < far["ci95"][1]
