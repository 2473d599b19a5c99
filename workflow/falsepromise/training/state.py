"""Make a run's state (weights, the optimizer's moments) from the base model or the last checkpoint.

Both give the same tree of arrays in the same places. Its shapes come from config.json alone: a run that goes on
restores straight into them and never reads the base model, so the state exists once.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from falsepromise.core.errors import UserError
from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
from falsepromise.training.checkpoint import Checkpoints
from falsepromise.training.layout import stack
from falsepromise.training.sharding import on_every_device, weight_sharding

Tree = Any


class Start(NamedTuple):
    """Where a run begins or goes on.

    Attributes:
        state: `{"params", "optimizer"}`.
        steps: Steps done.
        losses: Of these steps.
    """

    state: dict[str, Tree]
    steps: int
    losses: list[float]


def shapes(
    config: ModelConfig, mesh: Mesh, transformation: optax.GradientTransformation, scan: bool = False
) -> dict[str, Tree]:
    """The state's shapes, types and places; nothing is allocated."""
    params = nnx.split(weights.abstract(config, partial(weight_sharding, mesh)), nnx.Param)[1]
    if scan:

        def join(path: str, layers: list[jax.ShapeDtypeStruct]) -> jax.ShapeDtypeStruct:
            shape = (len(layers), *layers[0].shape)
            return jax.ShapeDtypeStruct(shape, layers[0].dtype, sharding=weight_sharding(mesh, path, shape))

        params = stack(params, join)
    optimizer = jax.eval_shape(transformation.init, params)
    everywhere = NamedSharding(mesh, P())
    # A moment lives where its weight does, a count of steps on every device.

    def place(leaf: Any, weight: jax.ShapeDtypeStruct) -> Any:
        if isinstance(leaf, optax.MaskedNode):
            return leaf  # an optimizer of several parts leaves it to another
        where = weight.sharding if leaf.shape == weight.shape else everywhere
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    # A moment lives where its weight does, a count of steps on every device.
    optimizer = optax.tree.map_params(
        transformation,
        place,
        optimizer,
        params,
        transform_non_params=lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere),
        is_leaf=lambda leaf: isinstance(leaf, optax.MaskedNode),
    )
    return {"params": params, "optimizer": optimizer}


def begin(
    base: Path,
    config: ModelConfig,
    new_tokens: range,
    transformation: optax.GradientTransformation,
    checkpoints: Checkpoints,
    mesh: Mesh,
    steps: int,
    scan: bool = False,
) -> Start:
    """The state to train from.

    Args:
        base: Folder of the base model.
        config: The model's, with all rows that its embedding table needs.
        new_tokens: Ids that the base model doesn't know.
        transformation: The optimizer.
        checkpoints: Where an unfinished run's state is.
        mesh: The devices.
        steps: Of the whole run.
        scan: Whether layers are stacked.
    """
    like = shapes(config, mesh, transformation, scan)
    curve = jax.ShapeDtypeStruct((steps,), jnp.float32, sharding=NamedSharding(mesh, P()))
    restored = checkpoints.restore({**like, "curve": curve})
    if restored:
        done, state = restored
        return Start(state, done, np.asarray(state.pop("curve"))[:done].tolist())
    sharding = partial(weight_sharding, mesh)
    model, found = weights.load(base, sharding)
    model, found = weights.resize(model, found, config.vocab_size - config.padding, new_tokens, sharding)
    model, _ = weights.with_padding(model, found, config.padding, sharding)
    params = nnx.split(model, nnx.Param)[1]
    del model
    params = stack(params) if scan else params
    places = jax.tree.map(lambda leaf: leaf.sharding, like["optimizer"])
    moments = jax.jit(transformation.init, out_shardings=places)(params)
    return Start({"params": params, "optimizer": moments}, 0, [])


def with_losses(state: dict[str, Tree], losses: list[float], steps: int, mesh: Mesh) -> dict[str, Tree]:
    """The state as it is saved: the losses so far are an array of fixed shape (steps,) in it."""
    padded = np.zeros(steps, np.float32)
    padded[: len(losses)] = losses
    return {**state, "curve": on_every_device(mesh, padded)}


def check_length(base: Path | str, config: ModelConfig, block_size: int) -> None:
    """Refuse blocks that are longer than the model's positions."""
    if block_size > config.max_positions:
        raise UserError(
            f"{base} has {config.max_positions} positions, the blocks have {block_size} tokens; "
            f"make the blocks with --block-size {config.max_positions}"
        )
