"""Run through a model's layers, and choose what the backward pass keeps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
from flax import nnx

from falsepromise.models import parallel
from falsepromise.models.attention import Cache, Implementation, LayerCache, View

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
    if cache is None and layers[0].attention_norm[...].ndim > 1:  # they are stacked: see training.layout
        graph, stacked = nnx.split(layers[0])
        call = _checkpointed(graph, remat, in_loop=True)
        x_btd, _ = jax.lax.scan(lambda x, state: (call(state, x, rope, view, attention), None), x_btd, stacked)
        return x_btd, new
    for index, layer in enumerate(layers):
        if cache is None:
            graph, state = nnx.split(layer)
            x_btd = _checkpointed(graph, remat)(state, x_btd, rope, view, attention)
        else:
            x_btd, kept = _with_cache(*nnx.split(layer), x_btd, rope, view, cache[index], positions_bt)
            new.append(kept)
    return x_btd, new


@partial(jax.jit, static_argnums=0)
def _with_cache(
    graph: nnx.GraphDef, state: Any, x: jax.Array, rope: Any, view: View, cache: LayerCache, positions: jax.Array
) -> tuple[jax.Array, LayerCache]:
    """A layer's call with a cache: a function of its own, so that layers of one form are traced once."""
    return nnx.merge(graph, state)(x, rope, view, "xla", cache, positions)


def _checkpointed(graph: nnx.GraphDef, remat: Remat | None, in_loop: bool = False) -> Any:
    """A layer's call with its weights gathered; `remat` sets what the backward pass keeps."""

    def call(state: Any, x: jax.Array, rope: Any, view: Any, implementation: Any) -> jax.Array:
        return nnx.merge(graph, parallel.whole(state, x.dtype))(x, rope, view, implementation)

    policy = parallel.keep(remat)
    if policy is None:
        return call
    # Within a loop nothing else of the program can take the place of what is computed again.
    return jax.checkpoint(call, policy=policy, static_argnums=4, prevent_cse=not in_loop)
