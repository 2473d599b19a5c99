"""Test whether style explains the preference, by logistic regression of the choice on style and length.

Reads the score records of `preference.aggregate` and `style.compare` for one model and fits

    P(ours wins) = sigmoid(b0 + b1 x1 + ...)

over items, with a tie as half a win. The features, each standardised, are length (tanh of the difference in words over
its standard deviation), our list without one of the teacher's (1, 0, -1), the same for a summary paragraph, and the
words in common. It writes for each coefficient its value, robust standard error (HC0, the items of a prompt as one
cluster), z, p and 95 % interval; the Wald test that all but the intercept are 0 (does style explain anything?);
McFadden's pseudo R2; the rate of wins at equal length and style (the intercept's). If the likelihood has no optimum
(style separates the outcomes, or all are the same), the fit is Firth's, which is finite and has the wide intervals of
its penalised likelihood: "method" records this. If there is no fit at all (too few items, style that does not vary),
"absent" gives the reason. Correlation is not causation: a longer reply may also be a better one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import chi2, norm

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest
from falsepromise.core.records import Record, read_json, write_json
from falsepromise.statistics.intervals import Z95, partition
from falsepromise.statistics.logistic import firth_interval, fit_firth, fit_logistic

log = logging.getLogger(__name__)
UNNAMED = "left"  # the model in a record of `preference.aggregate` whose votes name none
WIN = {"left": 1.0, "right": 0.0, "tie": 0.5, "no_majority": 0.5}
_OF_STYLE = (
    *("words", "reference_words", "list", "reference_list"),
    *("summary_paragraph", "reference_summary_paragraph", "unigram_intersection"),
)


def check_records(preferences: Sequence[tuple[str, Record]], styles: Sequence[tuple[str, Record]]) -> None:
    """Refuse files that are no score records of `preference.aggregate` and `style.compare`, or not of one model.

    Raises:
        UserError: names the files.
    """
    for path, item in _items(preferences, "preference.aggregate"):
        if item.get("majority") not in WIN:
            raise UserError(
                f"{path}: item {item['id']!r} has the majority {item.get('majority')!r}, expected {', '.join(WIN)}"
            )
    for path, item in _items(styles, "style.compare"):
        missing = [key for key in _OF_STYLE if key not in item]
        if missing:
            raise UserError(f"{path}: item {item['id']!r} has no {missing[0]!r}; expected a record of style.compare")
    records = [*preferences, *styles]
    models = sorted({str(record["model"]) for _, record in records} - {UNNAMED})
    if len(models) > 1:
        names = ", ".join(path for path, _ in records)
        raise UserError(f"{names}: records of {len(models)} models ({', '.join(models)}); expected one model's")


def _items(records: Sequence[tuple[str, Record]], verb: str) -> Iterator[tuple[str, Record]]:
    for path, record in records:
        items = record.get("items") if isinstance(record, dict) and "model" in record else None
        if not isinstance(items, list) or not all(
            isinstance(item, dict) and isinstance(item.get("id"), str | int) for item in items
        ):
            raise UserError(f"{path}: not a score record with 'model' and 'items', as {verb} writes it")
        twice, count = (Counter(item["id"] for item in items).most_common(1) or [("", 0)])[0]
        if count > 1:
            raise UserError(f"{path}: has item {twice!r} {count} times, expected each once; write it anew with {verb}")
        yield from ((path, item) for item in items)


def prompt_of(item: Record) -> Any:
    """The prompt of an item of a preference record: several items may share one."""
    return item["id"] if item.get("prompt_id") is None else item["prompt_id"]


def design(style_items: Sequence[Record]) -> tuple[np.ndarray, list[str]]:
    """The features of the module's help, not standardised, shape (items, 4), and their names."""
    length = np.array([item["words"] - item["reference_words"] for item in style_items], dtype=float)
    columns = {
        "length": np.tanh(length / (length.std() or 1.0)),
        "list": np.array([int(item["list"]) - int(item["reference_list"]) for item in style_items]),
        "summary_paragraph": np.array(
            [int(item["summary_paragraph"]) - int(item["reference_summary_paragraph"]) for item in style_items]
        ),
        "unigram_intersection": np.array([item["unigram_intersection"] for item in style_items]),
    }
    return np.column_stack(list(columns.values())).astype(float), list(columns)


def regress(preference_items: Sequence[Record], style_items: Sequence[Record]) -> Record:
    """The regression of the module's help on the items that both records have.

    Args:
        preference_items: `items` of `preference.aggregate`.
        style_items: `items` of `style.compare` for the same prompts.

    Returns:
        `coefficients`, `wald` (of all but the intercept), `pseudo_r2`, `rate_at_equal_style`, `n`,
        `method` and `constant` (features that do not vary here and were left out); or `absent`, `n` and
        `constant` where there is no fit.

    Raises:
        UserError: an item of the preferences has no style.
    """
    by_id = {item["id"]: item for item in style_items}
    prompts = [prompt_of(item) for item in preference_items]
    missing = [prompt for prompt in prompts if prompt not in by_id]
    if missing:
        raise UserError(
            f"{len(missing)} items have a preference and no style, the first being {missing[0]!r}; "
            "give the style record of the same prompts"
        )
    if not prompts:
        return {"absent": "no item could be judged", "n": 0, "constant": []}
    wins = np.array([WIN[item["majority"]] for item in preference_items])
    features, names = design([by_id[prompt] for prompt in prompts])
    varies = features.std(axis=0) > 0
    kept = features[:, varies] / features[:, varies].std(axis=0)
    if "unigram_intersection" in (used := [n for n, v in zip(names, varies, strict=True) if v]):
        column = used.index("unigram_intersection")
        kept[:, column] -= kept[:, column].mean()  # its zero is no likeness at all, not equal style
    features = np.column_stack([np.ones(len(wins)), kept])
    constant = [n for n, v in zip(names, varies, strict=True) if not v]
    try:
        if not used:
            raise ValueError("style does not vary")
        if len(wins) <= features.shape[1]:
            raise ValueError("fewer items than it takes to tell the features apart")
        try:
            fitted = _likeliest_fit(features, wins, ["intercept", *used], prompts)
        except ValueError:
            fitted = _penalised_fit(features, wins, ["intercept", *used])
    except ValueError as error:
        return {"absent": f"no fit on {len(wins)} items: {error}", "n": len(wins), "constant": constant}
    return {**fitted, "constant": constant}


def _likeliest_fit(features: np.ndarray, wins: np.ndarray, names: Sequence[str], prompts: Sequence[Any]) -> Record:
    """The maximum of the likelihood in the form of `regress`, with robust errors.

    Raises:
        ValueError: there is no maximum.
    """
    if np.all(wins == wins[0]):
        raise ValueError("all items have the same outcome")
    weights, bread = fit_logistic(features, wins)
    # A tie is half a win, so the outcomes are no coin throws: the sandwich, not the Fisher information alone.
    # Items of one prompt share its difficulty and its style: their scores go together.
    residuals = features * (wins - expit(features @ weights))[:, None]
    scores = np.array([residuals[group].sum(axis=0) for group in partition(prompts)])
    covariance = bread @ (scores.T @ scores) @ bread
    errors = np.sqrt(np.diag(covariance))
    coefficients = {
        name: {
            "value": float(b),
            "se": float(se),
            "z": float(b / se),
            "p": float(2 * norm.sf(abs(b / se))),
            "ci95": [float(b - Z95 * se), float(b + Z95 * se)],
        }
        for name, b, se in zip(names, weights, errors, strict=True)
    }
    statistic = float(weights[1:] @ np.linalg.pinv(covariance[1:, 1:]) @ weights[1:])
    null = _log_likelihood(np.full(len(wins), wins.mean()), wins)
    interval = [float(expit(weights[0] + side * Z95 * errors[0])) for side in (-1, 1)]
    return {
        "coefficients": coefficients,
        "wald": {"chi2": statistic, "df": len(names) - 1, "p": float(chi2.sf(statistic, len(names) - 1))},
        "pseudo_r2": 1 - _log_likelihood(expit(features @ weights), wins) / null if null else None,
        "rate_at_equal_style": {"value": float(expit(weights[0])), "ci95": interval, "n": len(wins)},
        "n": len(wins),
        "method": "maximum likelihood, robust errors",
    }


def _penalised_fit(features: np.ndarray, wins: np.ndarray, names: Sequence[str]) -> Record:
    """Firth's fit in the form of `regress`; p values are of the penalised likelihood's ratio."""
    weights, best = fit_firth(features, wins)
    coefficients: Record = {}
    for column, name in enumerate(names):
        low, high = firth_interval(features, wins, column)
        ratio = 2 * (best - fit_firth(features, wins, {column: 0.0})[1])
        coefficients[name] = {"value": float(weights[column]), "p": float(chi2.sf(ratio, 1)), "ci95": [low, high]}
    ratio = 2 * (best - fit_firth(features, wins, dict.fromkeys(range(1, len(names)), 0.0))[1])
    interval = [float(expit(end)) for end in coefficients["intercept"]["ci95"]]
    return {
        "coefficients": coefficients,
        "wald": {"chi2": ratio, "df": len(names) - 1, "p": float(chi2.sf(ratio, len(names) - 1))},
        "pseudo_r2": None,
        "rate_at_equal_style": {"value": float(expit(weights[0])), "ci95": interval, "n": len(wins)},
        "n": len(wins),
        "method": "Firth's penalised likelihood: style separates the outcomes, or all are the same",
    }


def _log_likelihood(p: np.ndarray, wins: np.ndarray) -> float:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return float((wins * np.log(p) + (1 - wins) * np.log(1 - p)).sum())


def main(argv: Sequence[str] | None = None) -> None:
    """Regress preference on style; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument("--preference", type=cli.FileName, required=True, help="score record of preference.aggregate")
    parser.add_argument("--style", type=cli.FileName, required=True, help="score record of style.compare, same prompts")
    parser.add_argument("--output", type=cli.FileName, required=True, help="JSON of the fit")
    args = parser.parse_args(argv)
    preference, style = read_json(args.preference), read_json(args.style)
    check_records([(args.preference, preference)], [(args.style, style)])
    result = regress(preference["items"], style["items"])
    inputs = [args.preference, args.style]
    made = manifest("falsepromise.preference.regression", inputs, {})
    about = {key: preference[key] for key in ("model", "benchmark", "stand_in") if key in preference}
    write_json(args.output, {**about, **result, "manifest": made})
    found = result.get("absent") or f"{result['method']}; p of no effect of style {result['wald']['p']:.3g}"
    log.info("%s: %s (%d items)", preference["model"], found, result["n"])


if __name__ == "__main__":
    cli.run(main)
