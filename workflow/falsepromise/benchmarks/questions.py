"""Ask questions after few shots, greedily, and read the answers from the text (for NQ and GSM8K)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from falsepromise.benchmarks import data
from falsepromise.benchmarks.model import ModelUnderTest
from falsepromise.benchmarks.outcome import (
    Options,
    Outcome,
    ask,
    bounded,
    draw,
    failures,
    is_chat,
    means,
    read_template,
    readings,
    usable,
)
from falsepromise.benchmarks.reading import UNREADABLE, Reading


@dataclass(frozen=True)
class Questions:
    """The rules of a benchmark of short answers.

    Attributes:
        check: Turns a line of the data into a record, for `data.read_records`.
        template: The file of its shots.
        shots: The number of shots in that file.
        max_tokens: Tokens of an answer, unless the options have another number.
        prompt: A function from a question to the shots and the question.
        scores: The metrics of a record's responses.
        read: Finds the answer in a response, and names the rule.
        readers: The metrics, each with the reader whose error bounds a chat model's score; None: it reads no prose.
    """

    check: Callable[..., Any]
    template: str
    shots: int
    max_tokens: int
    prompt: Callable[[str, str], str]
    scores: Callable[[Mapping[str, Any], Sequence[str]], dict[str, float]]
    read: Callable[[str], Reading]
    readers: Mapping[str, str | None]

    def evaluate(self, model: ModelUnderTest, options: Options) -> Outcome:
        """Ask the questions, greedy, up to the next "Q:" on a line of its own."""
        records, unusable = data.read_records(options.data, self.check)
        records, limits = draw(records, options.limit, options.seed)
        template, path, said = read_template(options, self.template, "{question}")
        max_tokens = options.max_tokens or self.max_tokens
        texts = [self.prompt(template, record["question"]) for record in records]
        replies = ask(model, texts, options, max_tokens=max_tokens, stop=("\nQ:",))
        items = [
            {
                "id": record["id"],
                **self.scores(record, [reply.text]),
                "response": reply.text.strip(),
                "rule": self.read(reply.text).rule,
            }
            for record, reply in zip(records, replies, strict=True)
            if usable(reply)
        ]
        metrics = means(items, list(self.readers), options.seed)
        if items and is_chat(model, options):
            unreadable = sum(item["rule"] == UNREADABLE.rule for item in items)
            for metric, reader in self.readers.items():
                if reader is not None:
                    bounded(metrics[metric], reader, unreadable)
        return Outcome(
            items,
            metrics,
            limits=[*limits, *unusable, *said, *failures(replies)],
            config={"shots": self.shots, "prompt": path.name, "stop": "Q: on a new line", "max_tokens": max_tokens},
            inputs=[path],
            extra={"rules": readings([item["rule"] for item in items])},
        )
