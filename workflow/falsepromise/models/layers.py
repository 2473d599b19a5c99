"""The way through a model's layers, and what the backward pass keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
from flax import nnx

from falsepromise.models import parallel
from falsepromise.models.attention import Cache, Implementation, View

Remat = Literal["full", "dots"]


def through(
    layers: Sequence[Any],
    x_btd: jax.Array,
    rope: Any,
    view: View,
    attention: Implementation,
    remat: Remat | None,
    cache: Cache | None,
    positions_bt: jax.Array,
) -> tuple[jax.Array, Cache]:
    """The stream after all layers, and the cache with the tokens' keys and values; arguments as `Llama.hidden`."""
    new: Cache = []
    for index, layer in enumerate(layers):
        if cache is None:
            x_btd = _checkpointed(layer, remat)(x_btd, rope, view, attention)
        else:
            x_btd, kept = layer(x_btd, rope, view, attention, cache[index], positions_bt)
            new.append(kept)
    return x_btd, new


def _checkpointed(layer: nnx.Module, remat: Remat | None) -> Any:
    """The layer's call with its weights gathered, of which the backward pass keeps what `remat` says."""
    graph, state = nnx.split(layer)

    def call(state: Any, x: jax.Array, rope: Any, view: Any, implementation: Any) -> jax.Array:
        return nnx.merge(graph, parallel.whole(state, x.dtype))(x, rope, view, implementation)

    policy = parallel.keep(remat)
    if policy is not None:
        call = jax.checkpoint(call, policy=policy, static_argnums=4)
    return lambda *arguments: call(state, *arguments)
