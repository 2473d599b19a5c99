"""Compute log-likelihoods of continuations, with common beginnings computed once.

Three savings, in this order: pairs whose inputs are the same tokens (the letters of a multiple-choice
question) share one row; rows that begin alike (few-shot examples) share the prefill of that
beginning; rows of similar length share a compiled shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from falsepromise.core.errors import CannotScore, UserError
from falsepromise.core.progress import Progress
from falsepromise.core.shards import Shard
from falsepromise.generation import steps
from falsepromise.generation.encoder import Encoder
from falsepromise.generation.padding import power_of_two, quarter_steps
from falsepromise.generation.placing import spread
from falsepromise.generation.room import Room
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.config import ModelConfig

Ids = Sequence[int]
SHARED_LEAST = 64  # tokens that are worth a prefill of their own
SHARED_SHARE = 0.5  # of a row, at least, to join the rows before it


class Engine(Protocol):
    """The part of `generation.engine.Engine` that scoring needs."""

    config: ModelConfig
    tokenizer: ChatTokenizer
    mesh: Any
    graph: Any
    state: Any
    dtype: Any
    max_length: int
    batch_size: int
    compile_flops: float
    room: Room

    def encode(self, prompt: str | Ids) -> list[int]: ...

    def prefix(self, ids: Ids) -> Any: ...


@dataclass
class _Input:
    """One row: its tokens, where its continuations begin, and the pairs that ask about it."""

    ids: tuple[int, ...]
    n: int  # tokens of each continuation
    targets: list[tuple[int, ...]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Chunk:
    """Rows that are computed at once, and their shape.

    Attributes:
        shared: Ids that all of them begin with, and that are computed once for all chunks with the same.
        t, m, k, p: Tokens of a row, tokens of a continuation, alternatives, rows, as they are padded.
    """

    rows: list[_Input]
    shared: tuple[int, ...]
    t: int
    m: int
    k: int
    p: int


def loglikelihood(
    engine: Engine,
    pairs: Sequence[tuple[str | Ids, str | Ids]],
    progress: Progress | None = None,
    shard: Shard | None = None,
) -> list[tuple[float, bool] | None]:
    """See `Engine.loglikelihood`. A shard computes some of the very chunks that one job computes, so its numbers are
    the same to the last bit; the others' are None.
    """
    results: list[tuple[float, bool] | None] = [None] * len(pairs)
    rows = sorted(inputs(engine, pairs), key=lambda row: row.ids)
    chunks = [chunk for shared, some in _batches(rows) for chunk in _chunks(engine, some, shared)]
    if shard is not None:
        chunks = shard.stretch(chunks, [chunk.p * chunk.t for chunk in chunks])
    shared: tuple[int, ...] = ()
    cache = None
    for chunk in chunks:
        if chunk.shared != shared:
            shared = chunk.shared
            cache = engine.prefix(shared) if shared else None
        scores, likeliest = _score(engine, chunk, cache)
        for i, row in enumerate(chunk.rows):
            for k, place in enumerate(row.places):
                results[place] = float(scores[i, : row.n, k].sum()), bool(likeliest[i, : row.n, k].all())
            if progress is not None:
                progress.update(len(row.places))
    return results


def inputs(engine: Encoder | Engine, pairs: Sequence[tuple[str | Ids, str | Ids]]) -> list[_Input]:
    """The rows that pairs need.

    Raises:
        UserError: a continuation is empty, or alone longer than the context.
    """
    found: dict[tuple[tuple[int, ...], int], _Input] = {}
    for place, (context, continuation) in enumerate(pairs):
        before, after = encode_pair(engine, context, continuation)
        if not after:
            raise UserError(f"pair {place}: the continuation is empty; there is nothing to score")
        if len(after) > engine.max_length:
            raise CannotScore(
                f"pair {place}: the continuation has {len(after)} tokens, the context is {engine.max_length}"
            )
        # The last token is only predicted, so a row may be one token longer than the context.
        ids = tuple((before + after)[-(engine.max_length + 1) :][:-1])
        row = found.setdefault((ids, len(after)), _Input(ids, len(after)))
        row.targets.append(tuple(after))
        row.places.append(place)
    return list(found.values())


def encode_pair(engine: Encoder | Engine, context: str | Ids, continuation: str | Ids) -> tuple[list[int], list[int]]:
    """Ids of context and continuation, as lm-eval splits them.

    Text is encoded as one piece and cut where the context's own ids end; spaces at the end of the
    context belong to the continuation. An empty context is the end token: the start of a document.
    """
    if not (isinstance(context, str) and isinstance(continuation, str)):
        before = engine.encode(context)
        after = engine.tokenizer.encode_text(continuation) if isinstance(continuation, str) else list(continuation)
        return before, [int(i) for i in after]
    spaces = len(context) - len(context.rstrip())
    if spaces and context.strip():
        context, continuation = context[:-spaces], context[-spaces:] + continuation
    if not context:
        return engine.encode(""), engine.tokenizer.encode_text(continuation)
    before = engine.encode(context)
    return before, engine.encode(context + continuation)[len(before) :]


def _batches(rows: list[_Input]) -> Iterator[tuple[int, list[_Input]]]:
    """Rows in dictionary order, put together where they begin alike; `(tokens shared, rows)`."""
    alone: list[_Input] = []
    group: list[_Input] = []
    shared = 0
    for row in rows:
        if group:
            # At least one token of each row stays its own, and all that its continuation needs.
            common = min(_common(group[0].ids, row.ids), shared, len(row.ids) - row.n)
            if common >= SHARED_LEAST and common >= SHARED_SHARE * len(row.ids):
                group.append(row)
                shared = common
                continue
            yield from _close(group, shared, alone)
        group, shared = [row], len(row.ids) - row.n
    if group:
        yield from _close(group, shared, alone)
    if alone:
        yield 0, alone


def _close(group: list[_Input], shared: int, alone: list[_Input]) -> Iterator[tuple[int, list[_Input]]]:
    if len(group) > 1:
        yield shared, group
    else:
        alone += group


def _common(a: Ids, b: Ids) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _chunks(engine: Engine, rows: list[_Input], shared: int) -> Iterator[_Chunk]:
    """Rows that begin with as many shared tokens, the longest first, as they are computed together."""
    rows = sorted(rows, key=lambda row: -(len(row.ids) - shared))
    longest = len(rows[0].ids) - shared
    one_shape = 2.0 * engine.config.n_parameters * longest * len(rows) < engine.compile_flops
    most = max(row.n for row in rows)
    k = power_of_two(max(len(row.targets) for row in rows), 1)
    p = engine.room.texts(
        power_of_two(min(len(rows), max(1, min(engine.batch_size, 16))), 1), quarter_steps(longest, 16), shared,
        power_of_two(most, 1),
    )  # fmt: skip
    for start in range(0, len(rows), p):
        some = rows[start : start + p]
        t = quarter_steps(longest if one_shape else len(some[0].ids) - shared, 16)
        # Logits are computed at m places of each row, real or not: of a small model most of the time.
        m = power_of_two(most if one_shape else max(row.n for row in some), 1)
        yield _Chunk(some, rows[0].ids[:shared], min(t, engine.max_length - shared), m, k, p)


def _score(engine: Engine, chunk: _Chunk, cache: Any) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities `(p, m, k)` of the rows' continuations, and whether each token is the likeliest."""
    tokens, where = np.zeros((chunk.p, chunk.t), np.int32), np.zeros((chunk.p, chunk.m), np.int32)
    targets = np.zeros((chunk.p, chunk.m, chunk.k), np.int32)
    for i, row in enumerate(chunk.rows):
        own = row.ids[len(chunk.shared) :]
        tokens[i, : len(own)] = own
        where[i, : row.n] = np.arange(len(own) - row.n, len(own))
        targets[i, : row.n, : len(row.targets)] = np.array(row.targets).T
    if engine.mesh is not None:
        tokens, where, targets = spread(engine.mesh, (tokens, where, targets))
    scores, likeliest = steps.score(engine.graph, engine.state, tokens, where, targets, cache,
                                    np.int32(len(chunk.shared)), engine.dtype)  # fmt: skip
    return np.asarray(scores), np.asarray(likeliest)
