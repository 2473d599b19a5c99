"""Measure the similarity of a model's replies to the teacher's style on the same prompts (Table 2).

It writes a score record with these metrics, each with its 95 % bootstrap interval over prompts:

  list_agreement               share of our replies with a list, where the teacher's has one
  list_false_alarm             share of our replies with a list, where the teacher's has none
  summary_paragraph_agreement  the same two for a summary paragraph at the end
  summary_paragraph_false_alarm
  teacher_likelihood           mean probability that our model gives the teacher's own replies, a byte (geometric mean
                               within a reply), without sampling noise; with `reference_nats` of generation.generate
  unigram_intersection         mean share of distinct words in common (Dice), 0 to 1
  length_correlation           Pearson's correlation of the lengths in words
  authoritative_tone           share of our replies judged authoritative (with --judgements only)

  assured_tone                 share of our replies that hedge little, by a list of words (`style.hedging`), no judge
  assured_as_judged            share of the judged replies on whose tone the judge and the words agree


Where a model gave several replies to a prompt, an item has the mean over them: shares of replies with a list, the mean
length.

Read an agreement together with its false alarms: a model that always lists always agrees. With --second, the teacher's
second sample is compared in the same way, under "second": the rough upper bound of the paper's Table 2. "absent" has
the reason for each missing metric.
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest
from falsepromise.core.records import Record, read_jsonl, write_json
from falsepromise.style.detectors import has_list, has_summary_paragraph
from falsepromise.style.hedging import is_assured
from falsepromise.style.metrics import ROWS, TONE, Measured
from falsepromise.style.pairs import check_same_prompts, model_name, read_responses, read_samples
from falsepromise.style.words import unigram_intersection, words

log = logging.getLogger(__name__)
OURS = ("list", "summary_paragraph", "unigram_intersection", "assured", "words")  # what an item says of our reply


def compare(ours: dict[str, str], reference: dict[str, str]) -> list[Record]:
    """The style of each pair of replies.

    Args:
        ours: Our replies by prompt id.
        reference: The teacher's, with the same keys.

    Returns:
        One item a prompt: `id`, `list`, `reference_list`, `summary_paragraph`,
        `reference_summary_paragraph`, `assured` (booleans), `unigram_intersection` (0 to 1), `words`,
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
            "assured": is_assured(response),
            "words": len(words(response)),
            "reference_words": len(words(reference[prompt])),
        }
        for prompt, response in ours.items()
    ]


def mean_items(samples: Sequence[Sequence[Record]]) -> list[Record]:
    """One item a prompt from the items of several samples: the mean of what differs between them.

    A prompt's samples are not independent, so a prompt stays the unit of every interval.

    Args:
        samples: The items of `compare` for each sample, the same prompts in each.

    Returns:
        The items in the first sample's order; `list`, `summary_paragraph`, `assured` are then shares of the samples.
    """
    if len(samples) == 1:
        return list(samples[0])
    others = [{item["id"]: item for item in sample} for sample in samples]
    return [
        item | {key: statistics.fmean(float(other[item["id"]][key]) for other in others) for key in OURS}
        for item in samples[0]
    ]


def summarise(items: Sequence[Record], seed: int = 0) -> tuple[dict[str, Measured], dict[str, str]]:
    """Table 2's metrics from the items of `compare`.

    An item may hold `authoritative` (true, false, or null for a judgement that could not be read).

    Returns:
        Metrics by name, and for each that could not be had, why.
    """
    metrics: dict[str, Measured] = {}
    absent: dict[str, str] = {}
    for row in ROWS:
        found = row.measure(items, seed)
        if isinstance(found, str):
            absent[row.name] = found
        elif found:
            metrics[row.name] = found
    return metrics, absent


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
        if isinstance(prompt, bool) or not isinstance(prompt, str | int) or verdict not in (True, False, None):
            raise UserError(
                f"{path}: found prompt_id {prompt!r} with authoritative {verdict!r}; "
                "expected a prompt's id with true, false or null (a verdict that could not be read)"
            )
        prompt = str(prompt)
        if prompt in judgements:
            raise UserError(f"{path}: prompt {prompt!r} of {model} is judged twice; expected one judgement a reply")
        judgements[prompt] = record
    return judgements


def main(argv: Sequence[str] | None = None) -> None:
    """Compare two response files; see the module's help."""
    args = _arguments().parse_args(argv)
    samples = read_samples(args.responses)
    ours = read_responses(args.responses, args.sample)
    reference = read_responses(args.reference, args.sample)
    averaged = [samples[number] for number in sorted(samples)] if args.sample is None else [ours]
    for sample in averaged:
        check_same_prompts(sample, args.responses, reference, args.reference)
    model = args.model or model_name(ours.values(), args.responses)
    items = mean_items([compare(_texts(sample), _texts(reference)) for sample in averaged])
    for item in items:
        nats, text = ours[item["id"]].get("reference_nats"), reference[item["id"]]["response"]
        if nats is not None and text:
            item["teacher_likelihood"] = math.exp(-nats / len(text.encode("utf-8", "surrogatepass")))
    judgements = _judge(items, args.judgements, model, args.responses)
    for item in items if judgements and args.sample is None else ():
        item["assured_reply"] = is_assured(ours[item["id"]]["response"])  # the one that was judged, not a mean over all
    metrics, absent = summarise(items, args.seed)

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
    limits = dict(absent)
    if args.second:
        record["second"] = _second(args, reference)
        limits |= {f"second: {name}": why for name, why in record["second"]["absent"].items()}
    record["absent"] = absent
    judged = (TONE, "assured_as_judged")  # that no judge was asked is no fault
    limits = {name: why for name, why in limits.items() if name.removeprefix("second: ") not in judged}
    if limits:
        record["limits"] = "; ".join(f"{name} is left out: {why}" for name, why in limits.items())
    record["items"] = items
    named = (args.responses, args.reference, args.second, args.judgements, args.second_judgements)
    config = {"sample": args.sample, "second_sample": args.second_sample}
    inputs = [path for path in named if path]
    record["manifest"] = manifest("falsepromise.style.compare", inputs, config, args.seed)
    write_json(args.output, record)
    log.info("%s: %s", model, ", ".join(f"{name} {metric['value']:.3f}" for name, metric in metrics.items()))
    for name, why in absent.items():
        log.info("%s is absent: %s", name, why)


def _arguments() -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    parser.add_argument("--responses", type=cli.FileName, required=True, help="our model's response records")
    parser.add_argument(
        "--reference", type=cli.FileName, required=True, help="the teacher's response records, same prompts"
    )
    parser.add_argument(
        "--second", type=cli.FileName, help="the teacher's second sample, same prompts; may be the file of --reference"
    )
    parser.add_argument(
        "--judgements", type=cli.FileName, help="tone judgements of --responses, written by preference.tone"
    )
    parser.add_argument("--second-judgements", type=cli.FileName, help="tone judgements of --second")
    parser.add_argument(
        "--sample",
        type=int,
        help="sample of both; default: the mean over all of --responses, the first of --reference",
    )
    parser.add_argument("--second-sample", type=int, help="sample of --second; default: the first other one")
    parser.add_argument("--model", help="the model's name, if the records have none")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--output", type=cli.FileName, required=True, help="the score record")
    return parser


def _second(args: argparse.Namespace, reference: dict[str, Record]) -> Record:
    """The teacher's second sample compared with its first: the most that a model can reach."""
    number = args.second_sample
    if number is None and Path(args.second).absolute() == Path(args.reference).absolute():
        number = int(next(iter(reference.values())).get("sample") or 0) + 1
    second = read_responses(args.second, number)
    check_same_prompts(second, args.second, reference, args.reference)
    items, name = compare(_texts(second), _texts(reference)), model_name(second.values(), args.second)
    _judge(items, args.second_judgements, name, args.second)
    metrics, absent = summarise(items, args.seed)
    return {"model": name, "metrics": metrics, "absent": absent}


def _judge(items: Sequence[Record], path: str | None, model: str, responses: str) -> dict[str, Record]:
    """Put a file's verdicts on the tone into the items; the judgements by prompt id, if any."""
    if not path:
        return {}
    judgements = read_judgements(path, model)
    check_same_prompts([item["id"] for item in items], responses, judgements, path)
    for item in items:
        item["authoritative"] = judgements[item["id"]]["authoritative"]
    return judgements


def _texts(responses: dict[str, Record]) -> dict[str, str]:
    return {prompt: record["response"] for prompt, record in responses.items()}


if __name__ == "__main__":
    cli.run(main)
