"""Table 2: how alike a model's replies are in style to the teacher's on the same prompts.

Writes a score record. Metrics, each with its 95 % bootstrap interval over prompts:

  list_agreement               of the prompts where the teacher's reply has a list: share where ours has one
  list_false_alarm             of the prompts where the teacher's has none: share where ours has one
  summary_paragraph_agreement  the same two for a summary paragraph at the end
  summary_paragraph_false_alarm
  unigram_intersection         mean share of distinct words in common (Dice), 0 to 1
  length_correlation           Pearson's correlation of the lengths in words
  authoritative_tone           share of our replies judged authoritative (with --judgements only)

An agreement says little without the false alarms beside it: who lists always agrees always.
With --second, the teacher's second sample is compared in the same way, as the rough upper bound of
the paper's Table 2; it stands under "second".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest
from falsepromise.core.records import Record, read_jsonl, write_json
from falsepromise.core.statistics import bootstrap, mean_metric
from falsepromise.style.detectors import has_list, has_summary_paragraph
from falsepromise.style.pairs import check_same_prompts, model_name, read_responses
from falsepromise.style.words import unigram_intersection, words

log = logging.getLogger(__name__)
Metric = dict[str, Any]


def compare(ours: dict[str, str], reference: dict[str, str]) -> list[Record]:
    """The style of each pair of replies.

    Args:
        ours: Our replies by prompt id.
        reference: The teacher's, with the same keys.

    Returns:
        One item a prompt: `id`, `list`, `reference_list`, `summary_paragraph`,
        `reference_summary_paragraph` (booleans), `unigram_intersection` (0 to 1), `words`,
        `reference_words` (counts).
    """
    return [
        {
            "id": prompt,
            "list": has_list(response),
            "reference_list": has_list(reference[prompt]),
            "summary_paragraph": has_summary_paragraph(response),
            "reference_summary_paragraph": has_summary_paragraph(reference[prompt]),
            "unigram_intersection": unigram_intersection(response, reference[prompt]),
            "words": len(words(response)),
            "reference_words": len(words(reference[prompt])),
        }
        for prompt, response in ours.items()
    ]


def summarise(items: Sequence[Record], seed: int = 0) -> tuple[dict[str, Metric], list[str]]:
    """Table 2's metrics of the items of `compare`.

    An item may hold `authoritative` (true, false, or null for a judgement that could not be read).

    Returns:
        Metrics by name, and a sentence for each that could not be had.
    """
    metrics: dict[str, Metric] = {}
    limits: list[str] = []
    for trait in ("list", "summary_paragraph"):
        ours = np.array([item[trait] for item in items], dtype=float)
        theirs = np.array([item[f"reference_{trait}"] for item in items], dtype=bool)
        for name, given in ((f"{trait}_agreement", theirs), (f"{trait}_false_alarm", ~theirs)):
            if given.any():
                metrics[name] = share(ours, given, seed)
            else:
                with_or_without = "with" if name.endswith("agreement") else "without"
                limits.append(f"{name} is left out: no reference reply {with_or_without} a {trait.replace('_', ' ')}")
    metrics["unigram_intersection"] = mean_metric([item["unigram_intersection"] for item in items], seed)
    lengths = np.array([[item["words"], item["reference_words"]] for item in items], dtype=float)
    if len(items) > 2 and lengths.std(axis=0).all():
        metrics["length_correlation"] = {
            "value": _pearson(lengths),
            "ci95": bootstrap(lambda drawn: _pearson(lengths[drawn]), len(items), seed),
            "n": len(items),
        }
    else:
        limits.append("length_correlation is left out: it needs three prompts and lengths that differ")
    judged = [item["authoritative"] for item in items if item.get("authoritative") is not None]
    if judged:
        metrics["authoritative_tone"] = mean_metric([float(verdict) for verdict in judged], seed)
    return metrics, limits


def share(values: np.ndarray, given: np.ndarray, seed: int = 0) -> Metric:
    """Mean of `values` where `given`, its interval by a bootstrap over all the items.

    Args:
        values: 0 or 1, shape (n,).
        given: Booleans, shape (n,), at least one true.
        seed: Of the bootstrap.
    """
    chosen = values[given]
    if (chosen == chosen[0]).all():
        return mean_metric(list(chosen), seed)  # nothing to resample: Wilson's interval

    def statistic(drawn: np.ndarray) -> float:
        mask = given[drawn]
        return float(values[drawn][mask].mean()) if mask.any() else float("nan")

    return {"value": float(chosen.mean()), "ci95": bootstrap(statistic, len(values), seed), "n": int(given.sum())}


def _pearson(lengths: np.ndarray) -> float:
    x, y = (lengths - lengths.mean(axis=0)).T
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else float("nan")


def read_judgements(path: str | Path, model: str) -> dict[str, Record]:
    """Tone judgements of `preference.tone` for one model, by prompt id.

    `authoritative` is true, false, or null where the judge's answer could not be read.

    Raises:
        UserError: a prompt is judged twice, or a verdict is none of the three.
    """
    judgements: dict[str, Record] = {}
    for record in read_jsonl(path):
        prompt, verdict = record.get("prompt_id"), record.get("authoritative", "nothing")
        if record.get("model", model) != model:
            continue
        if not isinstance(prompt, str) or verdict not in (True, False, None):
            raise UserError(
                f"{path}: found prompt_id {prompt!r} with authoritative {verdict!r}; "
                "expected a prompt's id with true, false or null (a verdict that could not be read)"
            )
        if prompt in judgements:
            raise UserError(f"{path}: prompt {prompt!r} of {model} is judged twice; expected one judgement a reply")
        judgements[prompt] = record
    return judgements


def main(argv: Sequence[str] | None = None) -> None:
    """Compare two response files; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument("--responses", required=True, help="our model's response records")
    parser.add_argument("--reference", required=True, help="the teacher's response records, same prompts")
    parser.add_argument("--second", help="the teacher's second sample, same prompts")
    parser.add_argument("--judgements", help="tone judgements written by preference.tone")
    parser.add_argument("--sample", type=int, default=0, help="which sample of --responses and --reference")
    parser.add_argument("--second-sample", type=int, default=0, help="which sample of --second")
    parser.add_argument("--model", help="the model's name, where the records name none")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--output", required=True, help="the score record")
    args = parser.parse_args(argv)

    ours, reference = read_responses(args.responses, args.sample), read_responses(args.reference, args.sample)
    check_same_prompts(ours, args.responses, reference, args.reference)
    model = args.model or model_name(ours.values(), args.responses)
    judgements: dict[str, Record] = {}
    reference_texts = _texts(reference)
    items = compare(_texts(ours), reference_texts)
    if args.judgements:
        judgements = read_judgements(args.judgements, model)
        check_same_prompts(ours, args.responses, judgements, args.judgements)
        for item in items:
            item["authoritative"] = judgements[item["id"]]["authoritative"]
    metrics, limits = summarise(items, args.seed)

    record: Record = {
        "model": model,
        "benchmark": "style",
        "metrics": metrics,
        "counts": {
            "prompts": len(items),
            "empty_responses": sum(not item["words"] for item in items),
            "empty_references": sum(not item["reference_words"] for item in items),
            "unreadable_judgements": sum(item.get("authoritative", False) is None for item in items),
        },
        "reference": model_name(reference.values(), args.reference),
    }
    stand_in = next((judgement["stand_in"] for judgement in judgements.values() if judgement.get("stand_in")), None)
    if stand_in:
        record["stand_in"] = stand_in
    if args.second:
        second = read_responses(args.second, args.second_sample)
        check_same_prompts(second, args.second, reference, args.reference)
        bound, bound_limits = summarise(compare(_texts(second), reference_texts), args.seed)
        record["second"] = {"model": model_name(second.values(), args.second), "metrics": bound}
        limits += [f"second: {line}" for line in bound_limits]
    if limits:
        record["limits"] = "; ".join(limits)
    record["items"] = items
    inputs = [path for path in (args.responses, args.reference, args.second, args.judgements) if path]
    config = {"sample": args.sample, "second_sample": args.second_sample}
    record["manifest"] = manifest("falsepromise.style.compare", inputs, config, args.seed)
    write_json(args.output, record)
    log.info("%s: %s", model, ", ".join(f"{name} {metric['value']:.3f}" for name, metric in metrics.items()))


def _texts(responses: dict[str, Record]) -> dict[str, str]:
    return {prompt: record["response"] for prompt, record in responses.items()}


if __name__ == "__main__":
    cli.run(main)
