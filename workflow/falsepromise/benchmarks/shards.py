"""Split a benchmark over jobs: parts ask the model, and one job reads and scores all replies.

The expensive work is split: replies and log-likelihoods. Each part prepares all questions as a single job does, and
asks its share of them. Then the verb takes every reply from the parts, and makes the score without the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from falsepromise.benchmarks.model import EngineModel, Prompt, Reply
from falsepromise.core import shards
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record
from falsepromise.core.shards import Shard
from falsepromise.generation.encoder import Encoder
from falsepromise.generation.request import Request


class AllAsked(Exception):
    """A part has asked what it has to ask."""


class PartModel(EngineModel):
    """A model folder that is asked a part of all; `records` are its replies."""

    shard: Shard
    records: list[Record]

    def of(self, shard: Shard) -> PartModel:
        """This model with its part."""
        self.shard, self.records = shard, []
        return self

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        places = self.shard.mine(range(len(requests)))
        replies = super().answer([requests[place] for place in places])
        found = [Reply("")] * len(requests)
        for place, reply in zip(places, replies, strict=True):
            found[place] = reply
            key = shards.key(*requests[place].depends_on)
            self.records.append({"key": key, "response": reply.text, "failure": reply.failure})
        return found

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, bool]]:
        from falsepromise.generation import likelihood

        with Progress(-(-len(pairs) // self.shard.of), "scoring", "choices") as progress:
            found = likelihood.loglikelihood(self.engine, pairs, progress, self.shard)  # type: ignore[arg-type]
        for pair, numbers in zip(pairs, found, strict=True):
            if numbers is not None:
                self.records.append({"key": shards.key(*pair), "logprob": numbers[0], "greedy": numbers[1]})
        return [numbers or (0.0, False) for numbers in found]

    def asked(self) -> None:
        raise AllAsked


class RepliesModel(EngineModel):
    """The replies of all parts, instead of a model with weights.

    Args:
        folder: The model's.
        files: The parts' outputs.
        of: The work that they must belong to.
    """

    def __init__(self, folder: str, files: Sequence[Path], of: Any):
        super().__init__(Encoder.of_folder(folder), folder)
        self.files = files
        self.found, self.known = shards.read_parts(files, of)

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        keys = [shards.key(*request.depends_on) for request in requests]
        return [Reply(r["response"], r["failure"]) for r in shards.of_all(self.found, keys, self.files)]

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, bool]]:
        from falsepromise.generation import likelihood

        likelihood.inputs(self.encoder, pairs)  # type: ignore[arg-type]  # the same refusals
        keys = [shards.key(*pair) for pair in pairs]
        return [(r["logprob"], r["greedy"]) for r in shards.of_all(self.found, keys, self.files)]

    def facts(self) -> dict[str, Any]:
        return {name: self.known[name] for name in ("dtype", "context")}
