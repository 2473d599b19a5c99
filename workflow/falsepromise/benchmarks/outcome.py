"""The outcome of a benchmark, and the score record made from it."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from falsepromise.benchmarks.model import ModelUnderTest, Prompt, Reply, as_prompt, cut
from falsepromise.benchmarks.reading import ERRORS
from falsepromise.benchmarks.reading.reasoning import set_aside
from falsepromise.core.errors import CannotScore, UserError
from falsepromise.core.manifest import manifest
from falsepromise.core.records import Record, read_prose, write_json
from falsepromise.statistics.intervals import mean_metric, wilson

log = logging.getLogger("falsepromise.benchmarks")
T = TypeVar("T")
# Failures that aren't the model's: such items are left out and counted, never scored.
LEFT_OUT = ("rejected", "content_filter", "prompt_too_long", "no answer", "cut_off")


@dataclass(frozen=True)
class Options:
    """The options of all benchmarks.

    Attributes:
        data: The benchmark's file or folder.
        turn_tokens: Whether the turn tokens go around each prompt (students yes, base models no).
        limit: Items to draw, None for all.
        seed: Of the draw, of sampling and of the bootstrap.
        max_tokens: Tokens of an answer; None: the benchmark's own.
        prompt: A file with another prompt in place of the paper's.
        samples: Answers to each problem, where the benchmark draws several.
        more: Options of a single benchmark.
    """

    data: Path
    turn_tokens: bool = False
    limit: int | None = None
    seed: int = 0
    max_tokens: int | None = None
    prompt: Path | None = None
    samples: int = 1
    more: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """A benchmark's result.

    Attributes:
        items: `{"id", metric: value, ...}` for each item that was scored.
        metrics: Score record's metrics.
        limits: The limits of the numbers, a sentence each.
        config: All that shaped the numbers, for the manifest.
        inputs: Further files that went in.
        extra: More keys of the score record.
        beside: Ending of a file beside the score -> its JSON document.
    """

    items: list[Record]
    metrics: dict[str, dict[str, Any]]
    limits: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    inputs: list[Path] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)

    def log(self) -> None:
        """Log the numbers and their limits."""
        for name, metric in self.metrics.items():
            log.info("%s %.4f [%.4f, %.4f], n = %d", name, metric["value"], *metric["ci95"], metric["n"])
        for sentence in self.limits:
            log.info("note: %s", sentence)


def means(items: Sequence[Record], names: Sequence[str], seed: int) -> dict[str, dict[str, Any]]:
    """The mean of each metric over the items that have it, with its interval."""
    found = {}
    for name in names:
        values = [float(item[name]) for item in items if item.get(name) is not None]
        if values:
            found[name] = mean_metric(values, seed)
    return found


def draw(items: Sequence[T], limit: int | None, seed: int) -> tuple[list[T], list[str]]:
    """`limit` of the items, drawn with `seed`, in their own order; and the sentence that reports it."""
    if limit is None or limit >= len(items):
        return list(items), []
    places = sorted(random.Random(seed).sample(range(len(items)), limit))
    return [items[i] for i in places], [f"{limit} of {len(items)} items, drawn with seed {seed}"]


def is_chat(model: ModelUnderTest, options: Options) -> bool:
    """Whether prompts go to the model as a user's message."""
    return options.turn_tokens or model.chat_only


def ask(
    model: ModelUnderTest, texts: Sequence[str], options: Options, stop: Sequence[str] = (), **sampling: Any
) -> list[Reply]:
    """The model's replies to prompts in text, up to a stop string, without its reasoning.

    Stop strings of a chat model are applied to its answer alone: its reasoning may hold them too.

    Raises:
        CannotScore: no prompt fits into the model's context.
    """
    chat = is_chat(model, options)
    prompts: list[Prompt] = [as_prompt(text, chat) for text in texts]
    replies = model.generate(prompts, stop=() if chat else stop, **sampling)
    model.asked()
    check_fit(model, texts, replies, options)
    return [answer_of(reply, stop) for reply in replies]


def answer_of(reply: Reply, stop: Sequence[str]) -> Reply:
    """A reply without its reasoning, up to a stop string behind that; "cut_off" where it ended within it."""
    said = set_aside(reply.text)
    if reply.failure in (None, "truncated") and (said.cut_off or (reply.failure and not reply.text.strip())):
        return Reply("", "cut_off", True)  # it was still thinking
    return Reply(cut(said.answer, stop), reply.failure, said.thought)


def readings(rules: Sequence[str]) -> dict[str, int]:
    """How often each rule read an answer, the commonest first."""
    return dict(Counter(rules).most_common())


def bounded(metric: dict[str, Any], reader: str, unread: int) -> None:
    """Add to a metric what reading answers may have cost it: `reading` holds the bounds of its value.

    The value counts unread answers as wrong. The bounds take them for wrong or right, and let the reader err at the
    rate of its labelled replies (the upper end of that rate's 95 % interval).
    """
    wrong, of = ERRORS[reader]
    rate = wilson(wrong, of)[1]
    low, high = metric["value"] - rate, metric["value"] + unread / metric["n"] + rate
    metric["reading"] = {"bounds": [max(low, 0.0), min(high, 1.0)], "error_rate_at_most": rate, "unreadable": unread}


def check_fit(model: ModelUnderTest, texts: Sequence[str], replies: Sequence[Reply], options: Options) -> None:
    """Refuse replies of which none came about because no prompt fits into the model's context.

    Raises:
        CannotScore: the first prompt is too long; the message has the excess.
    """
    if replies and all(reply.failure == "prompt_too_long" for reply in replies):
        over = -(model.room(as_prompt(texts[0], options.turn_tokens or model.chat_only)) or 0)
        raise CannotScore(
            f"{model.name}: no prompt of {options.data} fits into its context ({over} tokens "
            "too many in the first); take a model with a longer context or a shorter prompt (--prompt)"
        )


def failures(replies: Sequence[Reply]) -> list[str]:
    """Sentences about the replies that are no whole answers, by reason."""
    counts = Counter(reply.failure for reply in replies if reply.failure)
    said = []
    for reason, count in sorted(counts.items()):
        how = "left out" if reason in LEFT_OUT else "scored as they are"
        said.append(f"{count} of {len(replies)} replies: {reason.replace('_', ' ')} ({how})")
    return said


def usable(reply: Reply) -> bool:
    """Whether a reply reveals anything about the model (a server's rejection does not)."""
    return reply.failure not in LEFT_OUT


def write_score(
    output: Path,
    outcome: Outcome,
    *,
    model: str,
    benchmark: str,
    module: str,
    inputs: Sequence[Path],
    config: dict[str, Any],
    seed: int,
    facts: dict[str, Any] | None = None,
) -> None:
    """Write the score record, and the files beside it: `SCORE.json` -> `SCORE.<ending>`."""
    for ending, document in outcome.beside.items():
        write_json(output.with_name(f"{output.stem}.{ending}"), document)
    record: dict[str, Any] = {"model": model, "benchmark": benchmark, "metrics": outcome.metrics, **outcome.extra}
    if outcome.limits:
        record["limits"] = "; ".join(outcome.limits)
    record["items"] = outcome.items
    record["manifest"] = manifest(
        module, [*inputs, *outcome.inputs], {**config, **outcome.config}, seed, extra=facts or {}
    )
    write_json(output, record)


def read_template(options: Options, name: str, place: str) -> tuple[str, Path, list[str]]:
    """The paper's prompt `name`, or the one of `--prompt`; its path, and a note on it.

    Args:
        options: The benchmark's options.
        name: File in `resources/prompts/`.
        place: The template's place for the item's text, such as `{question}`.
    """
    from falsepromise.teacher.prompts import load, path

    if options.prompt is None:
        return load(name), path(name), []
    text = read_prose(options.prompt).removesuffix("\n")
    if place not in text:
        raise UserError(f"{options.prompt}: the prompt has no {place}; put it where the item's own text belongs")
    return text, options.prompt, [f"prompt of {options.prompt.name}, not the paper's"]
