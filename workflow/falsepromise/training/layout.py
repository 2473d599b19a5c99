"""Keep layers one by one, or stacked during training, so that one layer is compiled for all.

With `layers: scan` a run's state has, instead of each layer's `q`, one array of all of them with the layers as first
axis, and the step goes through it in a loop. Files and checkpoints of finished models know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from falsepromise.core.errors import UserError

Path = tuple[Any, ...]


def stacked_graph(model: nnx.Module) -> nnx.GraphDef:
    """The form of a model with its layers stacked.

    Raises:
        UserError: its layers differ.
    """
    graph, state = nnx.split(model)
    copy: Any = nnx.merge(graph, state)
    forms = [nnx.split(layer)[0] for layer in copy.layers]
    if any(form != forms[0] for form in forms):
        raise UserError("recipe: layers: scan needs a model whose layers have the same shape; use layers: unrolled")
    copy.layers = nnx.List(copy.layers[:1])
    return nnx.split(copy, nnx.Param)[0]


def stack(params: nnx.State, join: Callable[[str, list[Any]], Any] | None = None) -> nnx.State:
    """Parameters with their layers stacked; arrays are freed as they are joined.

    Args:
        join: From a weight's path (as `layers.0.q`) and its arrays in the order of the layers to their stack.
    """
    flat = dict(nnx.to_flat_state(params))
    layers = len({path[1] for path in flat if path[0] == "layers"})
    kinds = [path for path in flat if path[:2] == ("layers", 0)]
    for kind in kinds:
        leaves = [flat.pop(("layers", i, *kind[2:])) for i in range(layers)]
        arrays = [leaf.get_value() for leaf in leaves]
        name = ".".join(map(str, kind))
        flat[kind] = leaves[0].replace(join(name, arrays) if join else _joined(arrays))
    return nnx.from_flat_state(list(flat.items()))


def _joined(arrays: list[jax.Array]) -> jax.Array:
    stacked = jax.jit(lambda *layers: jnp.stack(layers))(*arrays)
    for array in arrays:
        array.delete()
    return stacked


def unstack(params: nnx.State, layers: int) -> nnx.State:
    """Parameters with separate arrays for each layer; a stack is freed after it is cut."""
    flat = dict(nnx.to_flat_state(params))
    for kind in [path for path in flat if path[0] == "layers"]:
        leaf = flat.pop(kind)
        stacked = leaf[...]
        for i in range(layers):
            flat["layers", i, *kind[2:]] = leaf.replace(stacked[i])
        stacked.delete()
    return nnx.from_flat_state(list(flat.items()))
