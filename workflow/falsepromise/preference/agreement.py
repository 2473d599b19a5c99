"""Compute the agreement between judges, raters and style metrics, for every pair.

Reads score records of `preference.aggregate` for one model (a judge's, the crowd's, one desk rater's)
and, with --style, the model's style record. For each pair of sources and the items
that both decided: the share on which they agree, Cohen's kappa, and the share without the ties of
either. Items are the same if their ids are; where two sources share no id, if their prompts are, of which each source
then may have one item. "no_majority" counts as a tie. With --style each source is compared with the metrics: Kendall's
tau-b of its choice (left 1, tie 0, right -1) with the difference in length, in lists and in summary
paragraphs and with the words in common.

Writes JSON {"model", "agreement": [rows], "style": [rows]} with 95 % bootstrap intervals over prompts;
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
from falsepromise.preference.regression import check_records, design, prompt_of
from falsepromise.statistics.agreement import all_agree_interval, cohen_kappa
from falsepromise.statistics.intervals import bootstrap, mean_metric, partition, wilson

log = logging.getLogger(__name__)
SIGN = {"left": 1, "right": -1, "tie": 0, "no_majority": 0}


def agree(a: Sequence[Record], b: Sequence[Record], seed: int = 0, where: str = "two of the records") -> Record:
    """The agreement of two sources on the items that both have.

    Args:
        a: `items` of a record of `preference.aggregate`.
        b: The same of the other source.
        seed: The seed of the bootstrap over prompts.
        where: The two records, for messages.

    Returns:
        Metrics `same`, `cohen_kappa` (left out where undefined) and `same_without_ties`.

    Raises:
        UserError: the sources share no item, or only prompts of which one has several.
    """
    shared = _shared(a, b, where)
    x, y = (np.array([SIGN[pair[side]["majority"]] for pair in shared]) for side in (0, 1))
    prompts = [prompt_of(item) for item, _ in shared]
    row: Record = {"same": _share(x == y, prompts, seed)}
    kappa = cohen_kappa(x, y)
    if np.isfinite(kappa):
        groups = partition(prompts)
        if (x == y).all():
            interval = all_agree_interval(np.unique(x, return_counts=True)[1] / len(x), len(groups))
        else:
            interval = bootstrap(lambda drawn: cohen_kappa(x[drawn], y[drawn]), len(x), seed, clusters=groups)
        row["cohen_kappa"] = {"value": kappa, "ci95": interval, "n": len(x)}
    decided = (x != 0) & (y != 0)
    if decided.any():
        row["same_without_ties"] = _share((x == y)[decided], [prompts[i] for i in np.flatnonzero(decided)], seed)
    return row


def _shared(a: Sequence[Record], b: Sequence[Record], where: str) -> list[tuple[Record, Record]]:
    """The items that two sources share: by their ids, or by their prompts where no id is shared."""
    others = {item["id"]: item for item in b}
    if shared := [(item, others[item["id"]]) for item in a if item["id"] in others]:
        return shared
    for items in (a, b):
        prompt, count = (Counter(map(prompt_of, items)).most_common(1) or [("", 0)])[0]
        if count > 1:
            raise UserError(
                f"{where}: share no item's id, and one has {count} items of prompt {prompt!r}; give the items of one "
                "prompt the same ids in both"
            )
    others = {prompt_of(item): item for item in b}
    if shared := [(item, others[prompt_of(item)]) for item in a if prompt_of(item) in others]:
        return shared
    raise UserError(f"{where}: share no prompt; give records on the same evaluation prompts")


def _share(same: np.ndarray, prompts: Sequence[Any], seed: int) -> Record:
    """The share of items on which two sources agree; items of one prompt are drawn together."""
    groups = partition(prompts)
    if len(groups) == len(same):
        return mean_metric(list(same.astype(float)), seed)
    value = float(same.mean())
    if value in (0.0, 1.0):  # nothing to resample
        interval = wilson(round(value) * len(groups), len(groups))
    else:
        interval = bootstrap(lambda drawn: float(same[drawn].mean()), len(same), seed, clusters=groups)
    return {"value": value, "ci95": interval, "n": len(same)}


def against_style(items: Sequence[Record], style_items: Sequence[Record], seed: int = 0) -> Record:
    """Kendall's tau-b of a source's choices with each feature of style (left out where one is constant)."""
    from scipy.stats import kendalltau

    signs: dict[Any, list[int]] = {}
    for item in items:
        signs.setdefault(prompt_of(item), []).append(SIGN[item["majority"]])
    kept = [(item, sign) for item in style_items for sign in signs.get(item["id"], ())]
    if not kept:
        raise UserError("the style record shares no prompt with the preferences; give the same evaluation prompts")
    features, names = design([item for item, _ in kept])
    chosen, groups = np.array([sign for _, sign in kept]), partition(item["id"] for item, _ in kept)
    row: Record = {}
    for name, column in zip(names, features.T, strict=True):

        def tau(drawn: np.ndarray, column: np.ndarray = column) -> float:
            return float(kendalltau(chosen[drawn], column[drawn]).statistic)

        value = tau(np.arange(len(kept)))
        if np.isfinite(value):
            interval = bootstrap(tau, len(kept), seed, resamples=300, clusters=groups)
            row[name] = {"value": value, "ci95": interval, "n": len(kept)}
    return row


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
    called = Counter(record["benchmark"] for record in records.values())
    names = {
        path: record["benchmark"] if called[record["benchmark"]] == 1 else f"{record['benchmark']} ({path})"
        for path, record in records.items()
    }
    items = {path: record["items"] for path, record in records.items()}
    said = [path for path in records if items[path]]
    table = [
        {"a": names[a], "b": names[b], **agree(items[a], items[b], args.seed, f"{a} and {b}")}
        for a, b in combinations(said, 2)
    ]
    result: Record = {"model": next(iter(records.values()))["model"], "agreement": table, "style": []}
    if style:
        result["style"] = [
            {"source": names[path], **against_style(items[path], style["items"], args.seed)} for path in said
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
