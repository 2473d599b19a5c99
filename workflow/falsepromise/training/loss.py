"""Cross-entropy over masked tokens, without all logits in memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from falsepromise.models import parallel
from falsepromise.models.parts import turned

NO_TOKEN = -1e30  # the logit of a row without a token; finite, so that no difference of two is NaN


def cross_entropy_sum(
    hidden_nd: jax.Array,
    unembedding_vd: jax.Array,
    targets_n: jax.Array,
    mask_n: jax.Array,
    chunk: int = 0,
    rows: int | None = None,
    vocabulary: int | None = None,
) -> jax.Array:
    """Sum over tokens of `mask * -log p(target)`, in float32.

    Args:
        hidden_nd: Final hidden states, shape (N, D), in the computation's type.
        unembedding_vd: Unembedding matrix, shape (V, D), as it is kept; or this device's share of it.
        targets_n: Target ids, shape (N,).
        mask_n: Weights, shape (N,): 1 where the token counts.
        chunk: Make the logits of so many tokens at a time, again in the backward pass: (chunk, V)
            floats are held instead of (N, V). 0 for all at once. Within `shard_map` tokens are the device's own,
            so that a chunk lies on one device.
        rows: Of the whole matrix, where the device may have a part of them.
        vocabulary: Rows that belong to tokens; the last ones only pad the table: no probability is
            given to these. None: all.

    Returns:
        A scalar. Divide by the number of tokens that count *in the whole batch*: a mean of the
        means of parts would weigh a token by the part that it fell into.
    """
    n = hidden_nd.shape[0]
    cut = rows is not None and len(unembedding_vd) < rows
    hidden_nd = parallel.enter(hidden_nd) if cut else hidden_nd
    chunks = -(-n // chunk) if chunk else 1
    size = -(-n // chunks)
    hidden_nd = jnp.pad(hidden_nd, ((0, chunks * size - n), (0, 0)))
    targets_n, mask_n = (jnp.pad(x, (0, chunks * size - n)) for x in (targets_n, mask_n))
    padded = rows is not None and vocabulary is not None and vocabulary < rows
    cuts = (chunks, cut, vocabulary if padded else None)
    return _summed(hidden_nd, unembedding_vd, targets_n, mask_n, cuts)


Cuts = tuple[int, bool, int | None]  # chunks of tokens, whether `tensor` cuts the vocabulary, its size where padded


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _summed(
    hidden_nd: jax.Array, unembedding_vd: jax.Array, targets_n: jax.Array, mask_n: jax.Array, cuts: Cuts
) -> jax.Array:
    """`cross_entropy_sum` of tokens that `chunks` divides.

    Its derivative is written by hand. The unembedding is gathered once for all chunks, and its gradient summed over
    them in float32 before devices exchange it. That gradient is made as (D, V) and turned afterwards: as (V, D) it
    costs XLA on a CPU three times as much, since it turns the (N, V) matrix of probabilities first.
    """
    return _forward(hidden_nd, unembedding_vd, targets_n, mask_n, cuts)[0]


def _logits(hidden_nd: jax.Array, whole_vd: jax.Array, cuts: Cuts) -> jax.Array:
    logits_nv = jnp.einsum("nd,vd->nv", hidden_nd, whole_vd, preferred_element_type=jnp.float32)
    _, cut, vocabulary = cuts
    if vocabulary is None:
        return logits_nv
    first = jax.lax.axis_index("tensor") * len(whole_vd) if cut else 0
    return jnp.where(first + jnp.arange(len(whole_vd)) < vocabulary, logits_nv, NO_TOKEN)


def _normalizer(logits_nv: jax.Array, cut: bool) -> jax.Array:
    """The logarithm of the sum over the vocabulary, of which each device of `tensor` may have a part."""
    if not cut:
        return jax.nn.logsumexp(logits_nv, axis=-1)
    most_n = jax.lax.pmax(logits_nv.max(axis=-1), "tensor")
    return most_n + jnp.log(jax.lax.psum(jnp.exp(logits_nv - most_n[:, None]).sum(axis=-1), "tensor"))


def _forward(
    hidden_nd: jax.Array, unembedding_vd: jax.Array, targets_n: jax.Array, mask_n: jax.Array, cuts: Cuts
) -> Any:
    chunks, cut, _ = cuts
    whole_vd = parallel.gathered(unembedding_vd, 1, hidden_nd.dtype)

    def of(hidden_nd: jax.Array, targets_n: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits_nv = _logits(hidden_nd, whole_vd, cuts)
        # The target's logit as a dot product: a comparison with all of the vocabulary costs a CPU more.
        own_n, inside_n = parallel.own_rows(targets_n, len(whole_vd)) if cut else (targets_n, True)
        target_n = jnp.sum(hidden_nd * whole_vd[own_n], axis=-1, dtype=jnp.float32)
        target_n = parallel.leave(jnp.where(inside_n, target_n, 0)) if cut else target_n
        return _normalizer(logits_nv, cut), target_n, logits_nv

    if chunks == 1:
        normalizer_n, target_n, logits_nv = of(hidden_nd, targets_n)
    else:
        logits_nv = None  # made again
        _, (normalizer_n, target_n) = jax.lax.scan(
            lambda _, part: (None, of(*part)[:2]), None, (_cut(hidden_nd, chunks), _cut(targets_n, chunks))
        )
        normalizer_n, target_n = normalizer_n.reshape(-1), target_n.reshape(-1)
    loss_n = normalizer_n - target_n
    return jnp.sum(mask_n * loss_n), (hidden_nd, unembedding_vd, targets_n, mask_n, logits_nv, normalizer_n, loss_n)


def _backward(cuts: Cuts, kept: Any, scale: jax.Array) -> Any:
    chunks, cut, _ = cuts
    hidden_nd, unembedding_vd, targets_n, mask_n, logits_nv, normalizer_n, loss_n = kept
    whole_vd = parallel.gathered(unembedding_vd, 1, hidden_nd.dtype)

    def of(hidden_nd: jax.Array, targets_n: jax.Array, mask_n: jax.Array, normalizer_n: jax.Array,
           logits_nv: jax.Array) -> tuple[jax.Array, jax.Array]:  # fmt: skip
        own_n, inside_n = parallel.own_rows(targets_n, len(whole_vd)) if cut else (targets_n, True)
        hit_nv = (jnp.arange(len(whole_vd)) == own_n[:, None]) & jnp.asarray(inside_n).reshape(-1, 1)
        d_logits_nv = (jnp.exp(logits_nv - normalizer_n[:, None]) - hit_nv) * (scale * mask_n)[:, None]
        d_logits_nv = d_logits_nv.astype(hidden_nd.dtype)
        d_hidden_nd = jnp.einsum("nv,vd->nd", d_logits_nv, whole_vd)
        return d_hidden_nd, jnp.einsum("nd,nv->dv", hidden_nd, d_logits_nv, preferred_element_type=jnp.float32)

    if chunks == 1:
        d_hidden_nd, d_whole_dv = of(hidden_nd, targets_n, mask_n, normalizer_n, logits_nv)
    else:

        def add(total_dv: jax.Array, part: Any) -> tuple[jax.Array, jax.Array]:
            hidden_nd, targets_n, mask_n, normalizer_n = part
            d_hidden_nd, d_whole_dv = of(hidden_nd, targets_n, mask_n, normalizer_n, _logits(hidden_nd, whole_vd, cuts))
            return total_dv + d_whole_dv, d_hidden_nd

        parts = tuple(_cut(x, chunks) for x in (hidden_nd, targets_n, mask_n, normalizer_n))
        d_whole_dv, d_hidden_nd = jax.lax.scan(add, jnp.zeros(whole_vd.shape[::-1], jnp.float32), parts)
        d_hidden_nd = d_hidden_nd.reshape(hidden_nd.shape)
    d_unembedding_vd = parallel.scattered(turned(d_whole_dv), 1).astype(unembedding_vd.dtype)
    return d_hidden_nd, d_unembedding_vd, None, scale * loss_n


def _cut(x: jax.Array, chunks: int) -> jax.Array:
    return x.reshape(chunks, -1, *x.shape[1:])  # (N, ...) into (C, N / C, ...)


_summed.defvjp(_forward, _backward)
