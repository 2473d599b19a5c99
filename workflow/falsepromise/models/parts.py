"""What the architectures share beside attention: a linear map, and what the backward pass keeps."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

Remat = Literal["full", "dots"]


def linear(x: jax.Array, weight: nnx.Param, bias: nnx.Param | None = None) -> jax.Array:
    """`x @ weight + bias`, in x's type."""
    y = x @ weight[...].astype(x.dtype)
    return y if bias is None else y + bias[...].astype(x.dtype)


def turned(x: jax.Array) -> jax.Array:
    """x with its last two axes exchanged, after it was computed.

    XLA makes one product of a product and its transposition, which on a CPU turns the larger operand instead
    of the result. Rounding to the type that x already has changes nothing and stands in between.
    """
    kind = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, kind.nexp, kind.nmant).swapaxes(-1, -2)


def checkpointed(layer: nnx.Module, remat: Remat | None) -> Any:
    """The layer's call, of which the backward pass keeps what `remat` says."""
    if remat is None:
        return layer
    graph, state = nnx.split(layer)
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None

    def call(state: Any, x: jax.Array, rope: Any, mask: jax.Array, plain: bool, implementation: Any) -> jax.Array:
        return nnx.merge(graph, state)(x, rope, mask, plain, implementation)

    call = jax.checkpoint(call, policy=policy, static_argnums=(4, 5))
    return lambda *arguments: call(state, *arguments)
