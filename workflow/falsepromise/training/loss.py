"""Cross-entropy over masked tokens, without all logits in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from falsepromise.models import parallel
from falsepromise.models.parts import over_rows, turned

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
        chunk: Make the logits of so many tokens at a time: (chunk, V) floats are held instead of (N, V). 0 for all
            at once. Within `shard_map` tokens are the device's own, so that a chunk lies on one device.
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
Part = tuple[jax.Array, jax.Array, jax.Array]  # hidden states, targets and mask of some tokens


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _summed(
    hidden_nd: jax.Array, unembedding_vd: jax.Array, targets_n: jax.Array, mask_n: jax.Array, cuts: Cuts
) -> jax.Array:
    """`cross_entropy_sum` of tokens that `chunks` divides.

    Its derivative is written by hand: a chunk's gradient is made beside its losses, while its logits are there, so
    that they are made once. The unembedding is gathered once for all chunks, and its gradient summed over them in
    float32 before devices exchange it. That gradient is made as (D, V) and turned afterwards: as (V, D) it costs XLA
    on a CPU more, since it turns the (N, V) matrix of probabilities first.
    """
    chunks, _, _ = cuts
    whole_vd = parallel.gathered(unembedding_vd, 1, hidden_nd.dtype)

    def add(total: jax.Array, part: Part) -> tuple[jax.Array, None]:
        return total + jnp.sum(part[2] * _losses(*part[:2], whole_vd, cuts)[0]), None

    return _over_chunks(add, jnp.float32(0), (hidden_nd, targets_n, mask_n), chunks)[0]


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


def _own(targets_n: jax.Array, whole_vd: jax.Array, cut: bool) -> tuple[jax.Array, Any]:
    """The targets as rows of this device's part of the vocabulary, and which of them lie in it."""
    return parallel.own_rows(targets_n, len(whole_vd)) if cut else (targets_n, True)


def _losses(
    hidden_nd: jax.Array, targets_n: jax.Array, whole_vd: jax.Array, cuts: Cuts
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Each token's loss, its logits and the logarithm of their exponentials' sum."""
    _, cut, _ = cuts
    logits_nv = _logits(hidden_nd, whole_vd, cuts)
    # The target's logit as a dot product: a comparison with all of the vocabulary costs a CPU more.
    own_n, inside_n = _own(targets_n, whole_vd, cut)
    target_n = jnp.sum(hidden_nd * whole_vd[own_n], axis=-1, dtype=jnp.float32)
    target_n = parallel.leave(jnp.where(inside_n, target_n, 0)) if cut else target_n
    normalizer_n = _normalizer(logits_nv, cut)
    return normalizer_n - target_n, logits_nv, normalizer_n


def _forward(
    hidden_nd: jax.Array, unembedding_vd: jax.Array, targets_n: jax.Array, mask_n: jax.Array, cuts: Cuts
) -> Any:
    chunks, cut, _ = cuts
    whole_vd = parallel.gathered(unembedding_vd, 1, hidden_nd.dtype)

    def add(so_far: tuple[jax.Array, jax.Array], part: Part) -> tuple[Any, Any]:
        (total, d_whole_dv), (hidden_nd, targets_n, mask_n) = so_far, part
        loss_n, logits_nv, normalizer_n = _losses(hidden_nd, targets_n, whole_vd, cuts)
        own_n, inside_n = _own(targets_n, whole_vd, cut)
        hit_nv = (jnp.arange(len(whole_vd)) == own_n[:, None]) & jnp.asarray(inside_n).reshape(-1, 1)
        d_logits_nv = (jnp.exp(logits_nv - normalizer_n[:, None]) - hit_nv) * mask_n[:, None]
        d_logits_nv = d_logits_nv.astype(hidden_nd.dtype)
        d_hidden_nd = jnp.einsum("nv,vd->nd", d_logits_nv, whole_vd)
        d_whole_dv += over_rows(hidden_nd, d_logits_nv)
        return (total + jnp.sum(mask_n * loss_n), d_whole_dv), (d_hidden_nd, loss_n)

    nothing = (jnp.float32(0), jnp.zeros(whole_vd.shape[::-1], jnp.float32))
    (total, d_whole_dv), (d_hidden_nd, loss_n) = _over_chunks(add, nothing, (hidden_nd, targets_n, mask_n), chunks)
    d_unembedding_vd = parallel.scattered(turned(d_whole_dv), 1).astype(unembedding_vd.dtype)
    return total, (d_hidden_nd, d_unembedding_vd, loss_n)


def _backward(cuts: Cuts, kept: Any, scale: jax.Array) -> Any:
    d_hidden_nd, d_unembedding_vd, loss_n = kept
    return (scale * d_hidden_nd).astype(d_hidden_nd.dtype), scale * d_unembedding_vd, None, scale * loss_n


def _over_chunks(add: Callable[[Any, Part], tuple[Any, Any]], start: Any, whole: Part, chunks: int) -> tuple[Any, Any]:
    """`jax.lax.scan` of `add` over `chunks` parts of (N, ...) arrays; what it gives for each, one behind the other."""
    if chunks == 1:
        return add(start, whole)
    parts = jax.tree.map(lambda x: x.reshape(chunks, -1, *x.shape[1:]), whole)  # (N, ...) into (C, N / C, ...)
    end, given = jax.lax.scan(add, start, parts)
    return end, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), given)


_summed.defvjp(_forward, _backward)
