"""Cross-entropy over masked tokens, without holding all logits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from falsepromise.models.parts import turned


def cross_entropy_sum(
    hidden_nd: jax.Array, unembedding_vd: jax.Array, targets_n: jax.Array, mask_n: jax.Array, chunk: int = 0
) -> jax.Array:
    """Sum over tokens of `mask * -log p(target)`, in float32.

    Args:
        hidden_nd: Final hidden states, shape (N, D).
        unembedding_vd: Unembedding matrix, shape (V, D).
        targets_n: Target ids, shape (N,).
        mask_n: Weights, shape (N,): 1 where the token counts.
        chunk: Make the logits of so many tokens at a time, again in the backward pass: (chunk, V)
            floats are held instead of (N, V). 0 for all at once.

    Returns:
        A scalar. Divide by the number of tokens that count *in the whole batch*: a mean of the
        means of parts would weigh a token by the part that it fell into.
    """

    def of(hidden: jax.Array, targets: jax.Array, mask: jax.Array) -> jax.Array:
        # The target's logit as a dot product: a gather from the logits costs a scatter in the gradient.
        target_n = jnp.sum(hidden * unembedding_vd[targets], axis=-1, dtype=jnp.float32)
        return _masked_logsumexp(hidden, unembedding_vd, mask) - jnp.sum(mask * target_n)

    n = hidden_nd.shape[0]
    if not chunk or n <= chunk:
        return of(hidden_nd, targets_n, mask_n)
    padding = -n % chunk
    parts = (
        jnp.pad(hidden_nd, ((0, padding), (0, 0))).reshape(-1, chunk, hidden_nd.shape[1]),  # (C, chunk, D)
        jnp.pad(targets_n, (0, padding)).reshape(-1, chunk),  # (C, chunk)
        jnp.pad(mask_n, (0, padding)).reshape(-1, chunk),  # (C, chunk)
    )
    step = jax.checkpoint(lambda total, part: (total + of(*part), None))
    return jax.lax.scan(step, jnp.zeros((), jnp.float32), parts)[0]


@jax.custom_vjp
def _masked_logsumexp(hidden_nd: jax.Array, unembedding_vd: jax.Array, mask_n: jax.Array) -> jax.Array:
    """Sum over tokens of `mask * logsumexp(logits)`.

    Its derivative is written by hand for the order of one product: the gradient of the unembedding is made
    as (D, V) and turned afterwards. As (V, D) it costs XLA on a CPU three times as much, since it turns the
    (N, V) matrix of probabilities first.
    """
    return _forward(hidden_nd, unembedding_vd, mask_n)[0]


def _forward(hidden_nd: jax.Array, unembedding_vd: jax.Array, mask_n: jax.Array) -> Any:
    logits_nv = jnp.einsum("nd,vd->nv", hidden_nd, unembedding_vd, preferred_element_type=jnp.float32)
    normalizer_n = jax.nn.logsumexp(logits_nv, axis=-1)
    return jnp.sum(mask_n * normalizer_n), (hidden_nd, unembedding_vd, mask_n, logits_nv, normalizer_n)


def _backward(kept: Any, scale: jax.Array) -> Any:
    hidden_nd, unembedding_vd, mask_n, logits_nv, normalizer_n = kept
    d_logits_nv = jnp.exp(logits_nv - normalizer_n[:, None]) * mask_n[:, None]
    d_logits_nv = d_logits_nv.astype(hidden_nd.dtype)
    d_hidden_nd = jnp.einsum("nv,vd->nd", d_logits_nv, unembedding_vd) * scale.astype(hidden_nd.dtype)
    d_unembedding_dv = jnp.einsum("nd,nv->dv", hidden_nd, d_logits_nv) * scale.astype(hidden_nd.dtype)
    return d_hidden_nd, turned(d_unembedding_dv), scale * normalizer_n


_masked_logsumexp.defvjp(_forward, _backward)
