"""Table 2's metrics, one object each with its computation and its labels.

To add one, add an object to `ROWS`: score records, tables, figures and claims use it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from falsepromise.core.metrics import Metric, number
from falsepromise.core.records import Record
from falsepromise.statistics.agreement import pearson
from falsepromise.statistics.intervals import bootstrap, mean_metric, mean_of_those

Measured = dict[str, Any]
TONE = "authoritative_tone"


@dataclass(frozen=True)
class StyleMetric(Metric):
    """A metric of the similarity of a model's replies to the teacher's.

    Attributes:
        question: Its row in Table 2; without one it is only in the records.
        measure: Items of `style.compare` and a seed -> the metric with its interval, why it can't be had, or None.
        claimed: Whether the claim about style is tested on it, and Table 2's figure draws it.
        alarm: The metric that counts its false alarms.
    """

    question: str = ""
    measure: Callable[[Sequence[Record], int], Measured | str | None] = lambda items, seed: None
    claimed: bool = False
    alarm: str = ""


def traits(trait: str, label: str, words: str) -> tuple[StyleMetric, StyleMetric]:
    """Agreement and false alarms of a trait: the share of our replies with it, where the teacher's has it and has not.

    Args:
        trait: The items' key, `reference_TRAIT` beside it.
        label: For axes.
        words: For Table 2's row.
    """

    def measure(wanted: bool) -> Callable[[Sequence[Record], int], Measured | str]:
        def of(items: Sequence[Record], seed: int) -> Measured | str:
            given = np.array([bool(item[f"reference_{trait}"]) is wanted for item in items])
            if not given.any():
                return f"no reference reply {'with' if wanted else 'without'} a {trait.replace('_', ' ')}"
            return mean_of_those(np.array([item[trait] for item in items], dtype=float), given, seed)

        return of

    def item(wanted: bool) -> Callable[[Record], float | None]:
        # A mean over those items alone whose reference has the trait, or has it not.
        return lambda item: number(item, trait) if item.get(f"reference_{trait}") is wanted else None

    alarm = f"{trait}_false_alarm"
    return (
        StyleMetric(
            f"{trait}_agreement", f"{label} agreement", item=item(True), measure=measure(True), claimed=True,
            alarm=alarm, question=f"If the teacher outputs a {words}, do we? (%)",
        ),
        StyleMetric(
            alarm, f"{label} false alarms", item=item(False), measure=measure(False),
            question="If it does not, do we nevertheless? (%)",
        ),
    )  # fmt: skip


def mean_of(key: str) -> Callable[[Sequence[Record], int], Measured]:
    """The mean of the items' numbers of this name."""
    return lambda items, seed: mean_metric([float(item[key]) for item in items], seed)


def length_correlation(items: Sequence[Record], seed: int) -> Measured | str:
    """Pearson's correlation of the lengths in words."""
    lengths = np.array([[item["words"], item["reference_words"]] for item in items], dtype=float)
    if len(items) < 3 or not lengths.std(axis=0).all():
        return "it needs three prompts and lengths that differ"
    interval = bootstrap(lambda drawn: pearson(lengths[drawn]), len(items), seed)
    return {"value": pearson(lengths), "ci95": interval, "n": len(items)}


def authoritative_tone(items: Sequence[Record], seed: int) -> Measured | str:
    """The share of the judged replies that the judge calls authoritative."""
    judged = [float(item["authoritative"]) for item in items if item.get("authoritative") is not None]
    if judged:
        return mean_metric(judged, seed)
    if any("authoritative" in item for item in items):
        return "none of the judge's verdicts could be read"
    return "no judge was asked: give --judgements, which preference.tone writes"


def assured_as_judged(items: Sequence[Record], seed: int) -> Measured | str:
    """The share of the judged replies on whose tone the judge and the words agree."""
    judged = [item for item in items if item.get("authoritative") is not None]
    both = [item["authoritative"] == item.get("assured_reply", item["assured"]) for item in judged]
    return mean_metric([float(same) for same in both], seed) if both else "no verdict of a judge to compare with"


def teacher_likelihood(items: Sequence[Record], seed: int) -> Measured | None:
    """The mean probability, a byte, of the teacher's own replies, where the model was asked for it."""
    found = [item["teacher_likelihood"] for item in items if "teacher_likelihood" in item]
    return mean_metric(found, seed) if found else None


ROWS = (
    StyleMetric(
        "teacher_likelihood", "Likelihood of the teacher's replies", unit="% a byte", measure=teacher_likelihood,
        claimed=True, question="Likelihood of the teacher's output under the model (% a byte)",
    ),
    *traits("list", "List", "list"),
    *traits("summary_paragraph", "Summary", "summary paragraph"),
    StyleMetric(
        "unigram_intersection", "Unigram intersection", measure=mean_of("unigram_intersection"), claimed=True,
        question="Unigram intersection with the teacher's output (%)",
    ),
    StyleMetric(
        "length_correlation", "Length correlation", low=-1.0, scale=1.0, unit="Pearson's r", measure=length_correlation,
        correlates=("words", "reference_words"), claimed=True,
        question="Pearson correlation in length with the teacher's output",
    ),
    StyleMetric(
        TONE, "Authoritative tone", item=lambda item: number(item, "authoritative"), measure=authoritative_tone,
        claimed=True, question="Outputs in authoritative tone according to the judge (%)",
    ),
    StyleMetric(
        "assured_tone", "Assured tone", item=lambda item: number(item, "assured"), measure=mean_of("assured"),
        question="Outputs that hedge little, by a list of words (%)",
    ),
    StyleMetric("assured_as_judged", "Assured as judged", measure=assured_as_judged),
)  # fmt: skip
