"""Generation and log-likelihoods for models of the training stage.

    engine = Engine.load("results/quickstart/training/models/M")
    for result in engine.generate([Request("2 + 2 =", max_tokens=8, stop=("\\n",))]): ...
    engine.loglikelihood([("The capital of France is", " Paris")])

Requests wait in a queue; a row of the batch that ends is filled with the next one. Text that all
prompts begin with is computed once. Functions are compiled for few shapes: the number of rows,
the slots of the cache and the length of a prefill are rounded up.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from falsepromise.core.progress import Progress
from falsepromise.generation import likelihood, steps
from falsepromise.generation.encoder import Encoder
from falsepromise.generation.padding import power_of_two, quarter_steps
from falsepromise.generation.placing import decoding_sharding, default_mesh, spread
from falsepromise.generation.request import Ids, Request, Result
from falsepromise.generation.room import Room
from falsepromise.generation.sampling import Sampling, mode_of
from falsepromise.models import weights
from falsepromise.models.attention import cache_length
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.config import ModelConfig
from falsepromise.models.continuation import Continuation
from falsepromise.training.sharding import check_mesh, make_mesh, use_gpu_memory

__all__ = ["Engine", "Request", "Result"]
log = logging.getLogger("falsepromise.generation")
PREFILL_ROWS = {"cpu": 8}  # prompts that are read together, when as many rows are free; a CPU gains nothing from more
PREFILL_ROWS_ACCELERATOR = 16
CHUNK = {"cpu": 16}  # tokens between two looks of the host: a row that has ended is idle until the next
CHUNK_ACCELERATOR = 32
CHUNK_STOPS = 8  # the same where stop strings may end a row early
VOCABULARY_PART = 4096  # logits of a row that a CPU looks at together
SHARED_LEAST = 16  # tokens that are worth a prefill of their own
COMPILE_FLOPS = {"cpu": 3e10}  # about what one more compiled shape costs
COMPILE_FLOPS_ACCELERATOR = 1e13


@dataclass
class _Row:
    """A request under way."""

    index: int
    request: Request
    ids: list[int]
    room: int
    text: Continuation
    made: list[int] = field(default_factory=list)
    read: int = 0  # tokens that are in `text`
    scores: list[float] = field(default_factory=list)


class Engine(Encoder):
    """A model, its tokenizer and the batch that it works on.

    Args:
        model, config, tokenizer: As `models.weights` and `models.chat` load them.
        batch_size: Rows at most; fewer are decoded together where memory has no room for their tokens (`room`).
        max_length: Tokens of prompt and output together; None: the model's `max_positions`.
        dtype: Of the computation; None: float32 on a CPU, bfloat16 elsewhere.
        mesh: Where the batch lives (`training.sharding`): rows over `data` and `fsdp`, heads over
            `tensor`, as far as they divide. None: one device.
        name: What errors call the model.
    """

    def __init__(
        self,
        model: weights.Model,
        config: ModelConfig,
        tokenizer: ChatTokenizer,
        *,
        batch_size: int = 64,
        max_length: int | None = None,
        dtype: Any = None,
        mesh: Mesh | None = None,
        name: str = "the model",
    ):
        super().__init__(config, tokenizer, max_length, name)
        self.graph, state = nnx.split(model)
        self.batch_size, self.mesh = batch_size, mesh
        self.dtype = jnp.dtype(dtype or default_dtype())
        # Decoding reads all weights for each token: they are kept in the type that they are multiplied in.
        self.state = jax.tree.map(lambda x: x.astype(self.dtype), state)
        self.part = VOCABULARY_PART if mesh is None and jax.default_backend() == "cpu" else 0
        self.compile_flops = COMPILE_FLOPS.get(jax.default_backend(), COMPILE_FLOPS_ACCELERATOR)
        self.prefill_rows = PREFILL_ROWS.get(jax.default_backend(), PREFILL_ROWS_ACCELERATOR)
        self.chunk = CHUNK.get(jax.default_backend(), CHUNK_ACCELERATOR)
        self.room = Room.here(config, self.state, self.dtype, mesh)
        self.produced = 0

    @classmethod
    def load(cls, folder: str | Path, mesh: str | None = None, **options: Any) -> Engine:
        """The engine for a model folder.

        Args:
            folder: The model's.
            mesh: Sizes of the mesh's axes, as "data=2,tensor=4". None: `tensor` over all devices, where there are
                several, as far as it divides the heads; `data` over the rest.
            options: As in `Engine`.

        Raises:
            UserError: the folder lacks weights or tokenizer, or the mesh doesn't fit the devices.
        """
        use_gpu_memory()
        use_compile_cache()
        placed = sharding = None
        if mesh or len(jax.devices()) > 1:
            config = weights.read_config(folder)
            placed = make_mesh(mesh or default_mesh(config, len(jax.devices())))
            check_mesh(config, placed.shape)
            sharding = partial(decoding_sharding, placed)
        dtype = options.get("dtype") or default_dtype()
        model, config = weights.load(folder, sharding, dtype)
        return cls(model, config, ChatTokenizer.load(folder, turns=False), mesh=placed, name=str(folder), **options)

    def generate(
        self,
        requests: Iterable[Request],
        progress: Progress | None = None,
        logprobs: bool = False,
        on_text: Callable[[int, str], bool | None] | None = None,
    ) -> Iterator[Result]:
        """Results as they are done, in no certain order (see `Result.index`).

        Args:
            requests: All of them are encoded before the first is worked on.
            progress: Counts requests that are done.
            logprobs: Whether results carry log-probabilities.
            on_text: Told a request's index and text so far, every few tokens; False from it ends the request.
        """
        rows, self._progress, self._on_text = [], progress, on_text
        self._start, self._before = time.monotonic(), self.produced
        for index, request in enumerate(requests):
            ids = self.encode(request.prompt)
            room = min(request.max_tokens, self.max_length - len(ids))
            if room < 1:
                yield self._done(Result(index, "", "prompt_too_long", [], [] if logprobs else None, request.tag))
            else:
                rows.append(_Row(index, request, ids, room, Continuation(self.tokenizer, ids)))
        if not rows:
            return
        shared = _common([row.ids[:-1] for row in rows]) if len(rows) > 1 else 0
        shared = shared if shared >= SHARED_LEAST else 0
        cache = self.prefix(rows[0].ids[:shared]) if shared else None
        for slots, group in self._groups(rows):
            yield from self._run(group, slots, cache, shared, logprobs)

    def _done(self, result: Result) -> Result:
        self.produced += len(result.ids)
        if self._progress is not None:
            rate = (self.produced - self._before) / max(time.monotonic() - self._start, 1e-9)
            self._progress.update(1, f"{self.produced:,} tokens, {rate:,.0f} tokens/s")
        return result

    def _groups(self, rows: list[_Row]) -> Iterator[tuple[int, list[_Row]]]:
        """Requests by the slots that they need, few groups: each compiles its own functions."""
        rows = sorted(rows, key=lambda row: len(row.ids) + row.room)
        buckets: dict[int, list[_Row]] = {}
        for row in rows:
            buckets.setdefault(power_of_two(len(row.ids) + row.room, 128), []).append(row)
        pending: list[_Row] = []
        for slots in sorted(buckets):
            pending += buckets[slots]
            work = 2.0 * self.config.n_parameters * sum(len(row.ids) + row.room for row in pending)
            if slots == max(buckets):
                longest = max(len(row.ids) + row.room for row in pending)
                yield min(slots, -(-longest // 64) * 64), pending
            elif work > self.compile_flops and len(pending) >= min(self.batch_size, 16):
                yield slots, pending
                pending = []

    def _run(self, rows: list[_Row], slots: int, shared: Any, shared_length: int, logprobs: bool) -> Iterator[Result]:
        """Work off one group: admit, decode a chunk, look for ends, admit again."""
        requests = [row.request for row in rows]
        mode = mode_of([r.temperature for r in requests], [r.top_p for r in requests], [r.top_k for r in requests])
        lengths = [len(row.ids) - shared_length for row in rows]
        longest = max(lengths)
        b, p = self.room.batch(
            power_of_two(min(len(rows), self.batch_size), 1), slots, self.prefill_rows,
            min(power_of_two(longest, 32), slots - shared_length), cache_length(shared) if shared else 0,
        )  # fmt: skip
        one_shape = 2.0 * self.config.n_parameters * longest * len(rows) < self.compile_flops
        waiting = sorted(rows, key=lambda row: len(row.ids))  # taken from the end: the longest first
        places: list[_Row | None] = [None] * b
        keep = np.ones(b, bool)
        batch = steps.empty(self.graph, self.state, b, slots, self.dtype)
        batch = batch if self.mesh is None else spread(self.mesh, batch)
        ends = jnp.asarray(self.ends, jnp.int32)
        while waiting or any(places):
            free = [i for i, row in enumerate(places) if row is None]
            while waiting and len(free) >= min(p, len(waiting)):
                some = [waiting.pop() for _ in range(min(p, len(waiting)))]
                taken, free = free[: len(some)], free[len(some) :]
                t = power_of_two(longest if one_shape else len(some[0].ids) - shared_length, 32)
                t = min(t, slots - shared_length, self.max_length - shared_length)
                batch = self._admit(batch, some, taken, t, p, shared, shared_length)
                for i, admitted in zip(taken, some, strict=True):
                    places[i] = admitted
                    keep[i] = True
            stops = any(row is not None and row.request.stop for row in places)
            chunk = CHUNK_STOPS if stops or self._on_text else self.chunk
            batch, out, scores = steps.decode(
                self.graph, self.state, batch, ends, chunk, keep, self.chunk, mode, logprobs, self.dtype, self.part
            )
            made, scored = np.asarray(out), np.asarray(scores)
            for i, row in enumerate(places):
                if row is None:
                    continue
                new = made[i][made[i] >= 0].tolist()
                row.made += new
                if logprobs:
                    row.scores += scored[i, : len(new)].tolist()
                result = self._ended(row, logprobs)
                if result is not None:
                    places[i] = None
                    keep[i] = False
                    yield self._done(result)

    def _admit(
        self, batch: Any, rows: list[_Row], taken: list[int], t: int, p: int, shared: Any, shared_length: int
    ) -> Any:
        tokens = np.zeros((p, t), np.int32)
        lengths, slots, left = np.ones(p, np.int32), np.full(p, 2**30, np.int32), np.zeros(p, np.int32)
        sampling = Sampling(
            np.zeros(p, np.float32),  # type: ignore[arg-type]  # NumPy, to be filled below
            np.ones(p, np.float32),  # type: ignore[arg-type]
            np.zeros(p, np.int32),  # type: ignore[arg-type]
            np.zeros(p, np.uint32),  # type: ignore[arg-type]
        )
        for i, (row, slot) in enumerate(zip(rows, taken, strict=True)):
            own = row.ids[shared_length:]
            tokens[i, : len(own)] = own
            lengths[i], slots[i], left[i] = len(own), slot, row.room
            request = row.request
            values = (request.temperature, request.top_p, request.top_k, request.seed % 2**32)
            for array, value in zip(sampling, values, strict=True):
                array[i] = value
        return steps.prefill(self.graph, self.state, batch, tokens, lengths, slots, left, sampling, shared,
                             np.int32(shared_length), self.dtype)  # fmt: skip

    def _ended(self, row: _Row, logprobs: bool) -> Result | None:
        """The result of a row that has ended; else None."""
        reason = None
        ends = bool(row.made) and row.made[-1] in self.ends
        if ends or len(row.made) >= row.room:
            reason = "stop" if ends else "length"
        stops = row.request.stop
        if not (reason or stops or self._on_text):
            return None  # nobody wants the text yet
        new = row.made[row.read : len(row.made) - ends]
        mark, text = row.text.mark(), row.text
        text.push(new, end=bool(reason))
        at = text.find(stops, mark)
        if at is not None:
            reason = "stop"
            # The token that completes the first stop string: independent of where chunks begin.
            text.back(mark)
            for n, token in enumerate(new, 1):
                text.push([token], end=n == len(new))
                if (at := text.find(stops, mark)) is not None:
                    row.made = row.made[: row.read + n]
                    break
        row.read = len(row.made)
        if self._on_text is not None and self._on_text(row.index, text.text) is False:
            reason = reason or "abandoned"
        if reason is None:
            return None
        scores = row.scores[: len(row.made)] if logprobs else None
        return Result(row.index, text.text[:at], reason, row.made, scores, row.request.tag)

    def prefix(self, ids: Ids) -> Any:
        """Keys and values of a shared text; padded behind, where later tokens overwrite them."""
        t = min(quarter_steps(len(ids), 32), self.max_length)
        tokens = np.zeros((1, t), np.int32)
        tokens[0, : len(ids)] = ids
        return steps.prefix(self.graph, self.state, tokens, self.dtype)

    def loglikelihood(
        self, pairs: Sequence[tuple[str | Ids, str | Ids]], progress: Progress | None = None
    ) -> list[tuple[float, bool]]:
        """Log-probability of each continuation after its context, and whether it is the greedy one.

        Contexts that begin alike are computed once (see `generation.likelihood`). Too long a pair
        loses the start of its context.

        Args:
            pairs: Context and continuation, each text or token ids.
        """
        found = likelihood.loglikelihood(self, pairs, progress)
        return [numbers for numbers in found if numbers is not None]


def default_dtype() -> Any:
    """Of the computation: float32 on a CPU, bfloat16 elsewhere."""
    return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16


def _common(sequences: Sequence[Ids]) -> int:
    """How many tokens all sequences begin with."""
    low, high = min(sequences), max(sequences)  # type: ignore[type-var]  # in dictionary order, so all others lie between
    return next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


def use_compile_cache() -> None:
    """Keep all compiled functions where JAX_COMPILATION_CACHE_DIR is set: the next process reads them."""
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
