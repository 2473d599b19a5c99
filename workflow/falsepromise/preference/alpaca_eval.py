"""Compute the length-controlled rate of AlpacaEval 2's leaderboard (Dubois et al., 2024; `length_controlled_v1`).

For one model, by logistic regression over the instructions,

    P(the model wins) = sigmoid(a tanh(d) + b difficulty + c)

with d the baseline's length less the model's in characters over its standard deviation, and each instruction's
difficulty as AlpacaEval fitted it on other models. The baseline asked to be long, and asked to be short, count as
two more models without a c, each outcome as a tenth. The rate is the mean over instructions at d = 0.

AlpacaEval also has an L1 penalty of 1/C, C by cross-validation from ten values; here there is none, which changed
the rates of 56 published models by 0.001 at most. It finds an instruction's difficulty by the row's number, also
where rows are missing; here it is found by the instruction's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from falsepromise.core.errors import UserError
from falsepromise.preference.results import read_table
from falsepromise.statistics.intervals import Z95
from falsepromise.statistics.logistic import fit_logistic

GAMED_COUNTS = 0.1  # AlpacaEval's regularisation of 0.2, over two gamed baselines
_COLUMNS = ("index", "preference", "std_delta_len", "instruction_difficulty")


@dataclass(frozen=True)
class Gamed:
    """The baseline's long and short replies against the baseline itself, as AlpacaEval publishes them.

    Attributes:
        features: tanh of the standardised difference in length, and the difficulty; shape (rows, 2).
        wins: In [0, 1], shape (rows,).
        difficulty: Of each instruction, by its number as text.
    """

    features: np.ndarray
    wins: np.ndarray
    difficulty: dict[str, float]


def read_gamed(path: str | Path) -> Gamed:
    """AlpacaEval's `df_gamed.csv` (data set `tatsu-lab/alpaca_eval` on the hub).

    Raises:
        UserError: a column is missing or a value is no number.
    """
    rows = read_table(path)
    missing = [name for name in _COLUMNS if name not in rows[0]]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}; expected AlpacaEval's df_gamed.csv")
    values = np.empty((len(rows), 3))
    for number, row in enumerate(rows):
        try:
            values[number] = [float(row[name]) for name in _COLUMNS[1:]]
        except (KeyError, ValueError) as error:
            expected = ", ".join(_COLUMNS[1:])
            raise UserError(f"{path}: row {number + 1}: {error}; expected numbers in {expected}") from error
    if not np.isfinite(values).all() or values[:, 0].min() < 0 or values[:, 0].max() > 1:
        raise UserError(f"{path}: expected finite numbers, and a 'preference' from 0 to 1")
    difficulty = {row["index"].removesuffix(".0"): float(value) for row, value in zip(rows, values[:, 2], strict=True)}
    return Gamed(np.column_stack([np.tanh(values[:, 1]), values[:, 2]]), values[:, 0], difficulty)


def alpaca_eval_rate(prompts: Sequence[str], wins: np.ndarray, differences: np.ndarray, gamed: Gamed) -> dict[str, Any]:
    """The rate of the module's docstring.

    Args:
        prompts: The instructions' numbers, as text.
        wins: In [0, 1], a tie 0.5, shape (items,).
        differences: The model's length less the baseline's in characters, shape (items,).
        gamed: As `read_gamed` returns it.

    Returns:
        `{"value", "ci95", "n"}`; the interval is by the fit's sandwich covariance, on the scale of log odds.

    Raises:
        ValueError: an instruction has no difficulty, all lengths differ alike, or there is no finite fit.
    """
    unknown = [prompt for prompt in prompts if prompt not in gamed.difficulty]
    if unknown:
        raise ValueError(f"{len(unknown)} prompts have no difficulty in AlpacaEval's file, the first is {unknown[0]!r}")
    scale = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if not scale:
        raise ValueError("the lengths differ by the same number in all pairs")
    difficulty = np.array([gamed.difficulty[prompt] for prompt in prompts])
    own = np.column_stack([np.tanh(-differences / scale), difficulty, np.ones(len(wins))])
    features = np.concatenate([own, np.column_stack([gamed.features, np.zeros(len(gamed.wins))])])
    outcomes = np.concatenate([wins, gamed.wins])
    counts = np.concatenate([np.ones(len(wins)), np.full(len(gamed.wins), GAMED_COUNTS)])
    weights, bread = fit_logistic(features, outcomes, counts)
    scores = features * (counts * (outcomes - expit(features @ weights)))[:, None]
    covariance = bread @ (scores.T @ scores) @ bread
    at_equal = own * [0.0, 1.0, 1.0]
    p = expit(at_equal @ weights)
    value = float(p.mean())
    slope = (at_equal * (p * (1 - p))[:, None]).mean(axis=0) / (value * (1 - value))
    error = Z95 * float(np.sqrt(slope @ covariance @ slope))
    odds = float(np.log(value / (1 - value)))
    return {"value": value, "ci95": [float(expit(odds - error)), float(expit(odds + error))], "n": len(wins)}
