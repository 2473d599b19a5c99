"""Logistic regression, and the rate of wins at equal length that is read off one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from falsepromise.core.statistics import bootstrap


def fit_logistic(features: np.ndarray, wins: np.ndarray, ridge: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood of a logistic regression by Newton's method.

    Args:
        features: Shape (items, features), a column of ones for the intercept among them.
        wins: Targets in [0, 1], shape (items,); 0.5 is half a win.
        ridge: Penalty on the squared coefficients, for data that a feature separates wholly.

    Returns:
        Coefficients, shape (features,), and their covariance, shape (features, features): the
        inverse of the Fisher information.

    Raises:
        ValueError: no finite optimum (the classes are separable, or a feature is a combination of
            others).
    """
    weights = np.zeros(features.shape[1])
    for _ in range(100):
        p = expit(features @ weights)
        gradient = features.T @ (wins - p) - ridge * weights
        information = (features * (p * (1 - p))[:, None]).T @ features + ridge * np.eye(len(weights))
        if np.linalg.cond(information) > 1e12:
            raise ValueError("the features separate the outcomes, or one of them is a combination of others")
        step = np.linalg.solve(information, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            return weights, np.linalg.inv(information)
    raise ValueError("no optimum after 100 steps")


def length_controlled(wins: np.ndarray, differences: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Estimated rate of wins at equal length, after AlpacaEval's length-controlled rate.

    The logistic regression of the wins on tanh(difference / its standard deviation), read off at a
    difference of 0. A small ridge (0.1) keeps one-sided draws finite.

    Args:
        wins: 1, 0 or 0.5, shape (items,).
        differences: Our length less the other's, in words, shape (items,).
        seed: Of the bootstrap over items.

    Returns:
        `{"value", "ci95", "n"}`.
    """
    scale = differences.std() or 1.0
    features = np.column_stack([np.ones(len(wins)), np.tanh(differences / scale)])

    def rate(drawn: np.ndarray) -> float:
        return float(expit(fit_logistic(features[drawn], wins[drawn], ridge=0.1)[0][0]))

    everything = np.arange(len(wins))
    return {"value": rate(everything), "ci95": bootstrap(rate, len(wins), seed, 500), "n": len(wins)}
