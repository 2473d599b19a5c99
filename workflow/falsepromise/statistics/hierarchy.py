"""Fit one model of all votes, with items, places, raters and ties, and its uncertainty.

A vote on item i by rater r is an ordered probit (Albert and Chib, 1993, with crossed effects):

    z = mu + beta * place + lean_r + item_i + noise,    left if z > delta, right if z < -delta, else a tie

with `place` 1/2 where the left reply was shown first, -1/2 where it was second, 0 where that is not known;
item_i ~ N(0, rho) and noise ~ N(0, (1 - rho) s_r^2), so that rho is the share of a vote that is the item's
and s_r how noisy a rater is beside the others. Priors: mu and beta N(0, 1), which makes the rate about
uniform before any vote is seen; rho uniform; delta half-normal; lean_r N(0, tau^2) with tau^2 near 0.05;
s_r^2 around 1 (both for two raters or more). A Gibbs sampler draws from the posterior. The rate it gives is
that of these raters on items like these, both places alike often, a tie as half a win. Where all votes go
one way it stays finite and wide: 5 of 5 is about [0.54, 0.99].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from falsepromise.core.records import Record
from falsepromise.statistics.intervals import middle95

DRAWS = 1500
BURN_IN = 250
_GRID = np.linspace(0.005, 0.995, 199)  # of rho
_LEVELS = {"right": 0, "tie": 1, "left": 2}
_PLACES = {"left": 0.5, "right": -0.5}


def fit(votes: Sequence[Record], seed: int = 0, draws: int = DRAWS) -> Record:
    """The posterior of the module's model.

    Args:
        votes: As `votes.read_votes` returns them; those without a choice are left out.
        seed: Of the sampler.
        draws: How many, after the burn-in.

    Returns:
        `win_rate`, and where votes of both places are there `place` (the rate where the left reply stood first
        less that where it stood second), each `{"value", "ci95", "n"}`; `tie` (share), `item_share` (rho);
        `items`, each one's expected rate by id; `raters`, with `noise` (s_r; 1 is the middle) and `rate` for
        each by name, where there are two or more. n counts items.
    """
    votes = [vote for vote in votes if vote["choice"] is not None]
    items, item = np.unique([vote["item"] for vote in votes], return_inverse=True)
    raters, rater = np.unique([vote["rater"] for vote in votes], return_inverse=True)
    level = np.array([_LEVELS[vote["choice"]] for vote in votes])
    place = np.array([_PLACES.get(vote.get("first") or "", 0.0) for vote in votes])
    kept = _sample(item, rater, place, level, np.random.default_rng(seed), draws)

    weight = np.bincount(rater) / len(rater)
    by_rater = kept["rate_of_rater"]
    result: Record = {"win_rate": _estimate(by_rater @ weight, len(items))}
    if len(np.unique(place[place != 0])) == 2:
        result["place"] = _estimate((kept["rate_if_first"] - kept["rate_if_second"]) @ weight, len(items))
    result["tie"] = _estimate(kept["tie"] @ weight, len(items))
    result["item_share"] = _estimate(kept["rho"], len(items))
    result["items"] = dict(zip(map(str, items), map(float, kept["rate_of_item"] / draws), strict=True))
    if len(raters) > 1:
        result["raters"] = {
            str(name): {"noise": _estimate(np.sqrt(kept["s2"][:, k]), n), "rate": _estimate(by_rater[:, k], n)}
            for k, (name, n) in enumerate(zip(raters, np.bincount(rater), strict=True))
        }
    return result


def _estimate(drawn: np.ndarray, n: int) -> dict[str, Any]:
    return {"value": float(drawn.mean()), "ci95": middle95(drawn), "n": int(n)}


def _rate(mean: np.ndarray, delta: float, spread: np.ndarray) -> np.ndarray:
    """Wins and half of the ties, where z has this mean and standard deviation."""
    return (1 + ndtr((mean - delta) / spread) - ndtr((-delta - mean) / spread)) / 2


def _sample(
    item: np.ndarray, rater: np.ndarray, place: np.ndarray, level: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, np.ndarray]:
    """Draws of what `fit` reports, by name; item, rater, place and level have the shape (votes,)."""
    n_items, n_raters, n = item.max() + 1, rater.max() + 1, len(item)
    right, tie, left = sides = [np.flatnonzero(level == k) for k in range(3)]
    has_ties, several = bool(len(tie)), n_raters > 1
    x = np.column_stack([np.ones(n), place])
    per_rater = np.bincount(rater, minlength=n_raters)
    b, u, lean, s2 = np.zeros(2), np.zeros(n_items), np.zeros(n_raters), np.ones(n_raters)
    rho, tau2, delta = 0.5, 0.05, 0.3 if has_ties else 0.0
    names = ("rate_of_rater", "rate_if_first", "rate_if_second", "tie", "s2")
    kept = {name: np.empty((draws, n_raters)) for name in names}
    kept |= {"rho": np.empty(draws), "rate_of_item": np.zeros(n_items)}
    for step in range(-BURN_IN, draws):
        sd = np.sqrt((1 - rho) * s2)[rater]
        eta = x @ b + lean[rater] + u[item]
        if has_ties:
            # Delta is drawn with z integrated out: given z it would hardly move.
            proposed = delta * np.exp(0.25 * rng.standard_normal())
            gain = _log_likelihood(eta, sd, proposed, sides) - _log_likelihood(eta, sd, delta, sides)
            gain += (delta**2 - proposed**2) / 2 + np.log(proposed / delta)
            if np.log(rng.random()) < gain:
                delta = proposed
        noise, share = np.empty(n), rng.random(n)
        noise[left] = -_below((eta[left] - delta) / sd[left], 1 - share[left])
        noise[right] = _below((-delta - eta[right]) / sd[right], share[right])
        noise[tie] = _between((-delta - eta[tie]) / sd[tie], (delta - eta[tie]) / sd[tie], share[tie])
        z = eta + sd * noise

        precision = 1 / sd**2
        u = _normal(item, n_items, precision, (z - x @ b - lean[rater]) * precision, 1 / rho, rng)
        posterior = np.linalg.inv((x * precision[:, None]).T @ x + np.eye(2))
        mean = posterior @ (x.T @ ((z - lean[rater] - u[item]) * precision))
        b = mean + np.linalg.cholesky(posterior) @ rng.standard_normal(2)
        # Once more with the items' own levels held fast: where rho is high, mu moves freely only so.
        levels = b[0] + u
        b[0] = levels.sum() / (n_items + rho) + np.sqrt(rho / (n_items + rho)) * rng.standard_normal()
        u = levels - b[0]
        if several:
            lean = _normal(rater, n_raters, precision, (z - x @ b - u[item]) * precision, 1 / tau2, rng)
            tau2 = (0.1 + lean @ lean / 2) / rng.gamma(2 + n_raters / 2)
        residual2 = (z - x @ b - lean[rater] - u[item]) ** 2
        if several:
            squares = np.bincount(rater, residual2, n_raters) / (1 - rho)
            s2 = (4 + squares / 2) / rng.gamma(5 + per_rater / 2)
        log_p = -0.5 * (n_items * np.log(_GRID) + u @ u / _GRID)
        log_p -= 0.5 * (n * np.log1p(-_GRID) + (residual2 / s2[rater]).sum() / (1 - _GRID))
        p = np.cumsum(np.exp(log_p - log_p.max()))
        rho = float(_GRID[min(np.searchsorted(p, rng.random() * p[-1]), len(_GRID) - 1)])

        if step < 0:
            continue
        spread, middle = np.sqrt(rho + (1 - rho) * s2), b[0] + lean
        first, second = (_rate(middle + side * b[1] / 2, delta, spread) for side in (1, -1))
        kept["rate_if_first"][step], kept["rate_if_second"][step] = first, second
        kept["rate_of_rater"][step] = (first + second) / 2 if place.any() else _rate(middle, delta, spread)
        kept["tie"][step] = ndtr((delta - middle) / spread) - ndtr((-delta - middle) / spread)
        kept["s2"][step], kept["rho"][step] = s2, rho
        kept["rate_of_item"] += _rate(b[0] + u, delta, np.sqrt(1 - rho))
    return kept


def _log_likelihood(eta: np.ndarray, sd: np.ndarray, delta: float, sides: Sequence[np.ndarray]) -> float:
    """Of all votes; `sides` has the places of those for the right, of ties, and of those for the left."""
    right, tie, left = sides
    middle, spread = eta[tie], sd[tie]
    p = (
        ndtr((-delta - eta[right]) / sd[right]),
        1 - ndtr((middle - delta) / spread) - ndtr((-delta - middle) / spread),
        ndtr((eta[left] - delta) / sd[left]),
    )
    return float(sum(np.log(np.maximum(some, 1e-300)).sum() for some in p))


def _below(high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Standard normal draws below `high`: those with these shares of the probability below them."""
    return np.minimum(ndtri(np.maximum(ndtr(high) * share, 1e-300)), high)


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Standard normal draws between `low` and `high`, by the inverse of the distribution on its precise side."""
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    below = ndtr(low)
    drawn = np.clip(ndtri(np.maximum(below + (ndtr(high) - below) * share, 1e-300)), low, high)
    return np.where(flip, -drawn, drawn)


def _normal(
    group: np.ndarray, n: int, precision: np.ndarray, weighted: np.ndarray, prior: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws of n effects N(0, 1 / prior) given residuals with these precisions, summed by group."""
    total = np.bincount(group, precision, n) + prior
    return np.bincount(group, weighted, n) / total + rng.standard_normal(n) / np.sqrt(total)
