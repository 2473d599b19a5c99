"""Cross-entropy over masked tokens, without holding all logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp


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
        logits_nv = jnp.einsum("nd,vd->nv", hidden, unembedding_vd, preferred_element_type=jnp.float32)
        # The target's logit as a dot product: a gather from the logits costs a scatter in the gradient.
        target_n = jnp.sum(hidden * unembedding_vd[targets], axis=-1, dtype=jnp.float32)
        return jnp.sum(mask * (jax.nn.logsumexp(logits_nv, axis=-1) - target_n))

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
