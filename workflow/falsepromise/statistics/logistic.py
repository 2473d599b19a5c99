"""Fit logistic regressions, and estimate the rate of wins at equal length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_expit
from scipy.stats import chi2

NEAR = 0.25  # lengths within so many standard deviations of the difference count as equal


def fit_logistic(
    features: np.ndarray, wins: np.ndarray, counts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood of a logistic regression by Newton's method.

    Args:
        features: Shape (items, features), a column of ones for the intercept among them.
        wins: Targets in [0, 1], shape (items,); 0.5 is half a win.
        counts: For how many items each counts, shape (items,); default: for one.

    Returns:
        Coefficients, shape (features,), and their covariance, shape (features, features): the
        inverse of the Fisher information.

    Raises:
        ValueError: no finite optimum (the classes are separable, or a feature is a combination of
            others).
    """
    weights = np.zeros(features.shape[1])
    counts = np.ones(len(wins)) if counts is None else counts
    for _ in range(100):
        p = expit(features @ weights)
        information = (features * (counts * p * (1 - p))[:, None]).T @ features
        if np.linalg.cond(information) > 1e12:
            raise ValueError("the features separate the outcomes, or one of them is a combination of others")
        step = np.linalg.solve(information, features.T @ (counts * (wins - p)))
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            return weights, np.linalg.inv(information)
    raise ValueError("no optimum after 100 steps")


def fit_firth(
    features: np.ndarray, wins: np.ndarray, fixed: Mapping[int, float] | None = None, near: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Firth's (1993) penalised likelihood: finite whatever the outcomes are.

    The log likelihood has half the log determinant of the Fisher information added (Jeffreys' prior).

    Args:
        features: Shape (items, features), of full rank.
        wins: Targets in [0, 1], shape (items,).
        fixed: Coefficients that are held at a value, by their column; default: none.
        near: Predictions (log odds), shape (items,), that the search starts near to; default: 0.

    Returns:
        Coefficients, shape (features,), and the penalised log likelihood there.

    Raises:
        ValueError: a feature is a combination of others.
    """
    if np.linalg.matrix_rank(features) < features.shape[1]:
        raise ValueError("a feature is a combination of others")
    fixed = fixed or {}
    free = np.array([column for column in range(features.shape[1]) if column not in fixed], dtype=int)
    weights = np.array([fixed.get(column, 0.0) for column in range(features.shape[1])])
    if near is not None:  # with one held far out, all probabilities are 0 or 1 until the others make up for it
        weights[free] = np.linalg.lstsq(features[:, free], near - features @ weights, rcond=None)[0]
    reached = _penalised(features, wins, weights)
    for _ in range(200):
        p = expit(features @ weights)
        w = p * (1 - p)
        information = (features * w[:, None]).T @ features
        inverse = np.linalg.inv(information)
        leverage = w * np.einsum("ij,jk,ik->i", features, inverse, features)
        score = features.T @ (wins - p + leverage * (0.5 - p))
        step = np.zeros(len(weights))
        if free.size:
            step[free] = np.linalg.solve(information[np.ix_(free, free)], score[free])
        step *= min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))
        for _ in range(30):
            trial = _penalised(features, wins, weights + step)
            if trial >= reached - 1e-12:
                break
            step /= 2
        weights, reached = weights + step, trial
        if np.abs(step).max() < 1e-9:
            break
    return weights, reached


def firth_interval(features: np.ndarray, wins: np.ndarray, column: int) -> tuple[float, float]:
    """95 % interval of one of `fit_firth`'s coefficients by the profile of its penalised likelihood."""
    weights, best = fit_firth(features, wins)
    edge = float(chi2.ppf(0.95, 1)) / 2
    predicted = features @ weights

    def beyond(value: float) -> float:
        return best - fit_firth(features, wins, {column: value}, predicted)[1] - edge

    ends = []
    for side in (-1.0, 1.0):
        width = 1.0
        while beyond(weights[column] + side * width) < 0 and width < 64:
            width *= 2
        outside = weights[column] + side * width
        ends.append(float(brentq(beyond, weights[column], outside, xtol=1e-4)) if width < 64 else side * np.inf)
    return ends[0], ends[1]


def _penalised(features: np.ndarray, wins: np.ndarray, weights: np.ndarray) -> float:
    eta = features @ weights
    likelihood = float((wins * log_expit(eta) + (1 - wins) * log_expit(-eta)).sum())
    information = (features * np.exp(log_expit(eta) + log_expit(-eta))[:, None]).T @ features
    sign, logarithm = np.linalg.slogdet(information)
    return likelihood + logarithm / 2 if sign > 0 else -np.inf


def length_controlled(wins: np.ndarray, differences: np.ndarray) -> dict[str, Any]:
    """Estimated rate of wins at equal length, after AlpacaEval 2's length-controlled rate.

    The logistic regression of the wins on tanh(difference / its standard deviation), read off at a
    difference of 0; lengths in characters. AlpacaEval adds each instruction's difficulty, known from other
    models; this is its `length_controlled_minimal`. The slope is Firth's; the intercept is not penalised
    (Puhr et al., 2017, FLIC): predictions and wins have the same mean. The interval is the penalised profile
    likelihood's, so that 5 wins of 5 are a rate of 1 and a wide interval.

    Args:
        wins: 1, 0 or 0.5, shape (items,).
        differences: Our length less the other's, shape (items,).

    Returns:
        `{"value", "ci95", "n", "at_equal_length", "extrapolated"}`: how many pairs are of about equal length
        (within a quarter of a standard deviation), and whether there is none or all lie on one side.

    Raises:
        ValueError: the lengths differ by the same number in all pairs, so that equal length can't be had.
    """
    scale = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if scale == 0.0 and differences.any():
        raise ValueError("the lengths differ by the same number in all pairs")
    columns = [np.ones(len(wins))] + ([np.tanh(differences / scale)] if scale else [])
    features = np.column_stack(columns)
    if scale and np.ptp(columns[1]) < 1e-4:
        raise ValueError("the lengths differ by about the same number in all pairs")
    firth, _ = fit_firth(features, wins)
    value = float(expit(_intercept(features[:, 1:] @ firth[1:], wins)))
    low, high = (float(expit(end)) for end in firth_interval(features, wins, 0))
    near = int((np.abs(differences) <= NEAR * scale).sum())
    return {
        "value": value,
        "ci95": [min(low, value), max(high, value)],
        "n": len(wins),
        "at_equal_length": near,
        "extrapolated": bool(near == 0 or differences.min() > 0 or differences.max() < 0),
    }


def _intercept(offset: np.ndarray, wins: np.ndarray) -> float:
    """The intercept that gives predictions the mean of the wins."""
    mean = float(wins.mean())
    if mean in (0.0, 1.0):
        return float(np.inf if mean else -np.inf)
    bound = float(np.abs(offset).max()) + abs(float(np.log(mean / (1 - mean)))) + 1
    return float(brentq(lambda a: float(expit(a + offset).mean()) - mean, -bound, bound))
