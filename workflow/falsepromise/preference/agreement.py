"""Compute the agreement between judges, raters and style metrics, for every pair.

Reads score records of `preference.aggregate` for one model (a judge's, the crowd's, one desk rater's)
and, with --style, the model's style record. For each pair of sources and the items
that both decided: the share on which they agree, Cohen's kappa, and the share without the ties of
either. "no_majority" counts as a tie. With --style each source is compared with the metrics: Kendall's
tau-b of its choice (left 1, tie 0, right -1) with the difference in length, in lists and in summary
paragraphs and with the words in common.

Writes JSON {"model", "agreement": [rows], "style": [rows]} with 95 % bootstrap intervals over items;
`figures.table_agreement` prints it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest
from falsepromise.core.records import Record, read_json, write_json
from falsepromise.preference.regression import check_records, design
from falsepromise.statistics.agreement import cohen_kappa
from falsepromise.statistics.intervals import bootstrap, mean_metric

log = logging.getLogger(__name__)
SIGN = {"left": 1, "right": -1, "tie": 0, "no_majority": 0}


def agree(a: dict[str, int], b: dict[str, int], seed: int = 0) -> Record:
    """The agreement of two sources on the items that both have.

    Args:
        a: Signs (1, 0, -1) by prompt id.
        b: The same for the other source.
        seed: The seed of the bootstrap.

    Returns:
        Metrics `same`, `cohen_kappa` (left out where undefined) and `same_without_ties`.

    Raises:
        UserError: the sources share no item.
    """
    shared = [item for item in a if item in b]
    if not shared:
        raise UserError("two of the records share no prompt; give records on the same evaluation prompts")
    x, y = np.array([a[i] for i in shared]), np.array([b[i] for i in shared])
    row: Record = {"same": mean_metric(list((x == y).astype(float)), seed)}
    kappa = cohen_kappa(x, y)
    if np.isfinite(kappa):
        interval = bootstrap(lambda drawn: cohen_kappa(x[drawn], y[drawn]), len(shared), seed)
        row["cohen_kappa"] = {"value": kappa, "ci95": interval, "n": len(shared)}
    decided = (x != 0) & (y != 0)
    if decided.any():
        row["same_without_ties"] = mean_metric(list((x == y)[decided].astype(float)), seed)
    return row


def against_style(signs: dict[str, int], style_items: Sequence[Record], seed: int = 0) -> Record:
    """Kendall's tau-b of a source's choices with each feature of style (left out where one is constant)."""
    from scipy.stats import kendalltau

    kept = [item for item in style_items if item["id"] in signs]
    if not kept:
        raise UserError("the style record shares no prompt with the preferences; give the same evaluation prompts")
    features, names = design(kept)
    chosen = np.array([signs[item["id"]] for item in kept])
    row: Record = {}
    for name, column in zip(names, features.T, strict=True):

        def tau(drawn: np.ndarray, column: np.ndarray = column) -> float:
            return float(kendalltau(chosen[drawn], column[drawn]).statistic)

        value = tau(np.arange(len(kept)))
        if np.isfinite(value):
            row[name] = {"value": value, "ci95": bootstrap(tau, len(kept), seed, resamples=300), "n": len(kept)}
    return row


def signs_of(record: Record) -> dict[str, int]:
    """The items of a preference record as 1 (ours), 0 (equal), -1, by prompt id."""
    return {item.get("prompt_id", item["id"]): SIGN[item["majority"]] for item in record["items"]}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--preference", type=cli.FileName, required=True, nargs="+", help="score records of preference.aggregate"
    )
    parser.add_argument("--style", type=cli.FileName, help="score record of style.compare for the same model")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--output", type=cli.FileName, required=True, help="JSON of the table")
    args = parser.parse_args(argv)
    records = {path: read_json(path) for path in args.preference}
    if len(records) + bool(args.style) < 2:
        raise UserError(
            f"--preference {' '.join(args.preference)}: expected two different records, or --style beside it"
        )
    style: Any = read_json(args.style) if args.style else None
    check_records([*records.items()], [(args.style, style)] if args.style else [])
    signs = {path: signs_of(record) for path, record in records.items()}
    called = Counter(record["benchmark"] for record in records.values())
    names = {
        path: record["benchmark"] if called[record["benchmark"]] == 1 else f"{record['benchmark']} ({path})"
        for path, record in records.items()
    }
    said = [path for path in records if signs[path]]
    table = [{"a": names[a], "b": names[b], **agree(signs[a], signs[b], args.seed)} for a, b in combinations(said, 2)]
    result: Record = {"model": next(iter(records.values()))["model"], "agreement": table, "style": []}
    if style:
        result["style"] = [
            {"source": names[path], **against_style(signs[path], style["items"], args.seed)} for path in said
        ]
    result["stand_ins"] = {names[path]: r["stand_in"] for path, r in records.items() if r.get("stand_in")}
    result["absent"] = {names[path]: "no item could be judged" for path in records if path not in said}
    inputs = [*args.preference, *([args.style] if args.style else [])]
    result["manifest"] = manifest("falsepromise.preference.agreement", inputs, {}, args.seed)
    write_json(args.output, result)
    for row in table:
        log.info("%s and %s agree on %.3f of the items", row["a"], row["b"], row["same"]["value"])


if __name__ == "__main__":
    cli.run(main)
