"""The compiled functions of the engine: prefill, decode, and scoring of continuations.

Slot s of a row of the cache holds the token at position s. Prompts are padded on the right: what the
padding writes lies behind every later query's position until a real token overwrites it, so no
mask has to be kept. Shape letters as in models/attention.py; p rows of one prefill, c cache slots.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from falsepromise.generation.sampling import Mode, Sampling, likeliest, sample
from falsepromise.models.attention import Cache, LayerCache, cache_length

TEXT_PART = 64  # places of a text whose logits are computed together


class Rows(NamedTuple):
    """The batch that is being decoded.

    Attributes:
        cache: Keys and values, `(b, k, c, h)` a layer.
        hidden_bd: What each row's next token is read from: the final hidden state behind its last one.
        position_b: Where the next token goes.
        count_b: Tokens produced so far.
        left_b: Tokens that may still be produced; 0 for a row that has ended or is empty.
        sampling: Parameters of each row.
    """

    cache: Cache
    hidden_bd: jax.Array
    position_b: jax.Array
    count_b: jax.Array
    left_b: jax.Array
    sampling: Sampling


@partial(jax.jit, static_argnames=("graph", "rows", "length", "dtype"))
def empty(graph: Any, state: Any, rows: int, length: int, dtype: Any) -> Rows:
    """A batch of `rows` empty rows with `length` slots each."""
    model = nnx.merge(graph, state)
    zeros = jnp.zeros(rows, jnp.int32)
    ones = jnp.ones(rows, jnp.float32)
    hidden = jnp.zeros((rows, model.config.hidden_size), dtype)
    sampling = Sampling(jnp.zeros(rows, jnp.float32), ones, zeros, zeros.astype(jnp.uint32))
    return Rows(model.new_cache(rows, length, dtype), hidden, zeros, zeros, zeros, sampling)


@partial(jax.jit, static_argnames=("graph", "dtype"))
def prefix(graph: Any, state: Any, tokens_1t: jax.Array, dtype: Any) -> Cache:
    """Keys and values of one text that many rows begin with."""
    model = nnx.merge(graph, state)
    return model.hidden(tokens_1t, cache=model.new_cache(*tokens_1t.shape, dtype), dtype=dtype)[1]


def _after(model: Any, tokens_pt: jax.Array, shared: Cache | None, shared_length: jax.Array, dtype: Any) -> Any:
    """Hidden states of tokens that follow a shared text, and the rows' cache up to their end."""
    p, t = tokens_pt.shape
    start = 0 if shared is None else cache_length(shared)
    cache = model.new_cache(p, start + t, dtype)
    if shared is not None:
        cache = [
            LayerCache(*(own.at[:, :, :start].set(common) for own, common in zip(layer, of_all, strict=True)))
            for layer, of_all in zip(cache, shared, strict=True)
        ]
    positions_pt = jnp.broadcast_to(shared_length + jnp.arange(t), (p, t))
    return model.hidden(tokens_pt, positions_bt=positions_pt, cache=cache, dtype=dtype)


@partial(jax.jit, static_argnames=("graph", "dtype"), donate_argnames=("batch",))
def prefill(
    graph: Any,
    state: Any,
    batch: Rows,
    tokens_pt: jax.Array,
    lengths_p: jax.Array,
    slots_p: jax.Array,
    left_p: jax.Array,
    sampling_p: Sampling,
    shared: Cache | None,
    shared_length: jax.Array,
    dtype: Any,
) -> Rows:
    """Put p prompts into rows `slots_p` of the batch.

    Args:
        tokens_pt: The prompts behind what is shared, padded on the right.
        lengths_p: How many of the tokens are real.
        slots_p: Row of each; a number beyond the batch leaves the prompt out.
        left_p: Tokens to produce at most.
        shared, shared_length: Keys and values that all prompts begin with, and how many of the slots
            are real.
    """
    model = nnx.merge(graph, state)
    hidden_ptd, cache = _after(model, tokens_pt, shared, shared_length, dtype)
    last_pd = jnp.take_along_axis(hidden_ptd, (lengths_p - 1)[:, None, None], axis=1)[:, 0]
    width = min(cache_length(cache), cache_length(batch.cache))

    def put(whole: jax.Array, some: jax.Array) -> jax.Array:
        return whole.at[slots_p].set(some, mode="drop")

    return Rows(
        cache=[
            LayerCache(*(w.at[slots_p, :, :width].set(s[:, :, :width], mode="drop") for w, s in zip(b, a, strict=True)))
            for b, a in zip(batch.cache, cache, strict=True)
        ],
        hidden_bd=put(batch.hidden_bd, last_pd),
        position_b=put(batch.position_b, shared_length + lengths_p),
        count_b=put(batch.count_b, jnp.zeros_like(lengths_p)),
        left_b=put(batch.left_b, left_p),
        sampling=Sampling(*(put(w, s) for w, s in zip(batch.sampling, sampling_p, strict=True))),
    )


@partial(jax.jit, static_argnames=("graph", "mode", "most", "logprobs", "dtype", "part"), donate_argnames=("batch",))
def decode(
    graph: Any,
    state: Any,
    batch: Rows,
    ends_e: jax.Array,
    steps: jax.Array,
    keep_b: jax.Array,
    most: int,
    mode: Mode,
    logprobs: bool,
    dtype: Any,
    part: int = 0,
) -> tuple[Rows, jax.Array, jax.Array]:
    """Produce up to `steps` tokens for every row that isn't at its end.

    Args:
        ends_e: Tokens that end an output.
        steps: How many (at most `most`; a number, so that it compiles once).
        keep_b: False ends a row (a stop string was found in it).
        logprobs: Whether log-probabilities of the tokens are wanted.
        part: Greedy tokens without log-probabilities are looked for in so many of the vocabulary's logits at a time;
            0: all at once.

    Returns:
        The batch, the tokens `(b, most)` (-1 where a row produced none) and their log-probabilities.
    """
    model = nnx.merge(graph, state)
    b, c = batch.left_b.shape[0], cache_length(batch.cache)

    def go_on(carry: Any) -> jax.Array:
        step, rows, _, _ = carry
        return (step < steps) & jnp.any(rows.left_b > 0)

    def one(carry: Any) -> Any:
        step, rows, out_bm, scores_bm = carry
        active_b = rows.left_b > 0
        if mode == "greedy" and part and not logprobs:
            token_b = likeliest_in_parts(rows.hidden_bd, model.unembedding(), part)
        else:
            logits_bv = _logits(model, rows.hidden_bd)
            token_b = sample(logits_bv, rows.count_b, rows.sampling, mode).astype(jnp.int32)
        if logprobs:
            score_b = jnp.take_along_axis(jax.nn.log_softmax(logits_bv), token_b[:, None], axis=1)[:, 0]
            scores_bm = scores_bm.at[:, step].set(jnp.where(active_b, score_b, 0.0))
        out_bm = out_bm.at[:, step].set(jnp.where(active_b, token_b, -1))
        ended_b = jnp.any(token_b[:, None] == ends_e, axis=1)
        left_b = jnp.where(active_b & ~ended_b, rows.left_b - 1, 0)
        # Rows that are empty write behind the last slot, that is, nowhere.
        position_b1 = jnp.where(left_b > 0, rows.position_b, c)[:, None]
        hidden_b1d, cache = model.hidden(token_b[:, None], positions_bt=position_b1, cache=rows.cache, dtype=dtype)
        new = Rows(cache, hidden_b1d[:, 0], rows.position_b + 1, rows.count_b + 1, left_b, rows.sampling)
        return step + 1, new, out_bm, scores_bm

    batch = batch._replace(left_b=jnp.where(keep_b, batch.left_b, 0))
    start = (0, batch, jnp.full((b, most), -1, jnp.int32), jnp.zeros((b, most if logprobs else 0), jnp.float32))
    _, batch, out_bm, scores_bm = jax.lax.while_loop(go_on, one, start)
    return batch, out_bm, scores_bm


@partial(jax.jit, static_argnames=("graph", "dtype"))
def score(
    graph: Any,
    state: Any,
    tokens_pt: jax.Array,
    where_pm: jax.Array,
    targets_pmk: jax.Array,
    shared: Cache | None,
    shared_length: jax.Array,
    dtype: Any,
) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities of k alternative tokens after each of m places in p rows.

    Args:
        tokens_pt: The rows behind what is shared, padded on the right.
        where_pm: Places in them.
        targets_pmk: Tokens that may follow each place.

    Returns:
        Log-probabilities `(p, m, k)`, and whether each token is the likeliest of all.
    """
    model = nnx.merge(graph, state)
    if shared is None:
        hidden_ptd = model.hidden(tokens_pt, dtype=dtype)
    else:
        hidden_ptd, _ = _after(model, tokens_pt, shared, shared_length, dtype)
    logits_pmv = _logits(model, jnp.take_along_axis(hidden_ptd, where_pm[:, :, None], axis=1))
    normal_pm = jax.nn.logsumexp(logits_pmv, axis=-1)
    chosen_pmk = jnp.take_along_axis(logits_pmv, targets_pmk, axis=2)
    return chosen_pmk - normal_pm[:, :, None], targets_pmk == likeliest(logits_pmv)[:, :, None]


@partial(jax.jit, static_argnames=("graph", "k", "dtype"))
def score_text(graph: Any, state: Any, tokens_1t: jax.Array, next_t: jax.Array, k: int, dtype: Any) -> Any:
    """Log-probabilities of each next token of one text, `(t,)`, and the k likeliest in its place: theirs and their
    ids, `(t, k)`, falling.

    Args:
        tokens_1t: The text but for its last token, padded on the right.
        next_t: The token behind each.
    """
    model = nnx.merge(graph, state)

    def look(place: tuple[jax.Array, jax.Array]) -> Any:
        hidden_d, following = place
        scores_v = jax.nn.log_softmax(_logits(model, hidden_d))
        return scores_v[following], *jax.lax.top_k(scores_v, k)

    # Some places at a time: all logits of 8,192 tokens over Gemma's 262,144 would be 8.6 GB, and twice that to sort.
    return jax.lax.map(look, (model.hidden(tokens_1t, dtype=dtype)[0], next_t), batch_size=TEXT_PART)


def likeliest_in_parts(hidden_bd: jax.Array, unembedding_vd: jax.Array, part: int) -> jax.Array:
    """The likeliest token of each row, the first of equals, from `part` logits at a time: these stay in a CPU's cache,
    where `(b, v)` floats of a whole vocabulary are written to memory and read from it twice."""
    v = len(unembedding_vd)
    part = min(part, v)

    def look(best: tuple[jax.Array, jax.Array], number: jax.Array) -> tuple[Any, None]:
        first = jnp.minimum(number * part, v - part)  # the last one looks at some a second time
        logits_bp = _products(hidden_bd, jax.lax.dynamic_slice_in_dim(unembedding_vd, first, part))
        most_b = logits_bp.max(axis=1)
        found_b = first + likeliest(logits_bp)
        return (jnp.maximum(best[0], most_b), jnp.where(most_b > best[0], found_b, best[1])), None

    start = jnp.full(len(hidden_bd), -jnp.inf, jnp.float32), jnp.zeros(len(hidden_bd), jnp.int32)
    return jax.lax.scan(look, start, jnp.arange(-(-v // part)))[0][1]


def _logits(model: Any, hidden: jax.Array) -> jax.Array:
    return _products(hidden, model.unembedding())


def _products(hidden: jax.Array, unembedding_vd: jax.Array) -> jax.Array:
    weight_vd = unembedding_vd.astype(hidden.dtype)
    return jnp.einsum("...d,vd->...v", hidden, weight_vd, preferred_element_type=jnp.float32)
