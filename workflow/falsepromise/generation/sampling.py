"""Choose a token from next-token logits, row by row.

Each row has its own parameters and its own random stream, addressed by the row's seed and the number
of tokens it has produced: what shares the batch changes nothing.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

Mode = Literal["greedy", "sample", "filter"]
BLOCK = 64  # probabilities that are summed together


class Sampling(NamedTuple):
    """One value a row, `(b,)` each.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_p: Keeps the smallest set of tokens whose probabilities add up to it (1: all).
        top_k: Keeps this many tokens (0: all).
        seed: Of the row's random stream.
    """

    temperature: jax.Array
    top_p: jax.Array
    top_k: jax.Array
    seed: jax.Array


def mode_of(temperatures: list[float], top_ps: list[float], top_ks: list[int]) -> Mode:
    """How much work the rows ask for: sorting the vocabulary only where a row filters."""
    if all(t == 0 for t in temperatures):
        return "greedy"
    hot = [(p, k) for t, p, k in zip(temperatures, top_ps, top_ks, strict=True) if t > 0]
    return "filter" if any(p < 1 or k > 0 for p, k in hot) else "sample"


def sample(logits_bv: jax.Array, count_b: jax.Array, sampling: Sampling, mode: Mode) -> jax.Array:
    """The next token of each row, `(b,)`.

    Args:
        logits_bv: float32.
        count_b: Tokens that the row has produced so far.
        mode: From `mode_of`; a row's token is the same in every mode that allows its parameters.
    """
    greedy_b = likeliest(logits_bv)
    if mode == "greedy":
        return greedy_b
    scaled_bv = logits_bv / jnp.maximum(sampling.temperature, 1e-6)[:, None]
    if mode == "filter":
        scaled_bv = keep_likeliest(scaled_bv, sampling.top_p, sampling.top_k)
    drawn_b = draw(scaled_bv, jax.vmap(_uniform)(sampling.seed, count_b))
    return jnp.where(sampling.temperature == 0, greedy_b, drawn_b)


def _uniform(seed: jax.Array, count: jax.Array) -> jax.Array:
    return jax.random.uniform(jax.random.fold_in(jax.random.key(seed), count))


def draw(logits_bv: jax.Array, uniform_b: jax.Array) -> jax.Array:
    """The token of each row at which the cumulative probability first exceeds the row's number from [0, 1), `(b,)`.

    One random number a row, where adding Gumbel noise takes one a token of the vocabulary: a tenth or more of a small
    model's step on a CPU. Sums are of blocks first, then within the block that is hit. Float32 resolves probabilities
    to about 1e-7; a token of probability 0 is never drawn.
    """
    raised_bv = jnp.exp(logits_bv - jnp.max(logits_bv, axis=-1, keepdims=True))
    b, v = raised_bv.shape
    blocks = -(-v // BLOCK)
    raised_bnc = jnp.pad(raised_bv, ((0, 0), (0, blocks * BLOCK - v))).reshape(b, blocks, BLOCK)
    until_bn = jnp.cumsum(raised_bnc.sum(axis=-1), axis=-1)
    wanted_b1 = (uniform_b * until_bn[:, -1])[:, None]
    hit_b1 = jnp.sum(until_bn <= wanted_b1, axis=-1, keepdims=True)
    before_b1 = jnp.where(hit_b1 > 0, jnp.take_along_axis(until_bn, jnp.maximum(hit_b1 - 1, 0), axis=-1), 0.0)
    own_bc = jnp.take_along_axis(raised_bnc, hit_b1[:, :, None], axis=1)[:, 0]
    beyond_bc = (jnp.cumsum(own_bc, axis=-1) > wanted_b1 - before_b1) & (own_bc > 0)
    # Rounding can leave none beyond: then it is the block's last that has a probability.
    last_b = BLOCK - 1 - jnp.argmax(own_bc[:, ::-1] > 0, axis=-1)
    place_b = jnp.where(beyond_bc.any(axis=-1), jnp.argmax(beyond_bc, axis=-1), last_b)
    return hit_b1[:, 0] * BLOCK + place_b


def likeliest(logits: jax.Array) -> jax.Array:
    """The first index of the largest value in the last axis.

    XLA's argmax carries index and value through one loop that a CPU can't vectorise; a maximum and
    then a minimum over indices take a third of the time.
    """
    v = logits.shape[-1]
    top = jnp.max(logits, axis=-1, keepdims=True)
    return jnp.min(jnp.where(logits == top, jnp.arange(v, dtype=jnp.int32), v - 1), axis=-1)


def keep_likeliest(logits_bv: jax.Array, top_p: jax.Array, top_k: jax.Array) -> jax.Array:
    """Logits with all but the top-k, and of these the nucleus of `top_p` (Holtzman et al. 2020), at -inf.

    The order (temperature, top-k, top-p) is that of `transformers`; the likeliest token always stays.
    """
    v = logits_bv.shape[-1]
    sorted_bv = -jnp.sort(-logits_bv, axis=-1)
    rank_v = jnp.arange(v)
    k_b = jnp.where(top_k <= 0, v, top_k)
    sorted_bv = jnp.where(rank_v[None] < k_b[:, None], sorted_bv, -jnp.inf)
    p_bv = jax.nn.softmax(sorted_bv, axis=-1)
    before_bv = jnp.cumsum(p_bv, axis=-1) - p_bv  # probability of all likelier tokens
    kept_bv = ((before_bv < top_p[:, None]) | (top_p[:, None] >= 1)) & (sorted_bv > -jnp.inf)
    kept_bv = kept_bv.at[:, 0].set(True)
    floor_b = jnp.min(jnp.where(kept_bv, sorted_bv, jnp.inf), axis=-1)
    return jnp.where(logits_bv >= floor_b[:, None], logits_bv, -jnp.inf)
