"""Compile a training step without its weights, for devices that need not be there."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
from falsepromise.models.parallel import ROWS
from falsepromise.training import optimizer
from falsepromise.training.layout import stacked_graph
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import check_mesh, check_rows
from falsepromise.training.state import shapes
from falsepromise.training.step import make_step

STEPS = 1000  # of the run whose step is compiled: a number in its schedule


def lowered(config: ModelConfig, recipe: Recipe, block_size: int, mesh: Mesh) -> jax.stages.Lowered:
    """The training step of a model on a mesh, to be compiled: shapes only, nothing is computed.

    Raises:
        UserError: the mesh can't share the model or the batch.
    """
    check_mesh(config, mesh.shape)
    check_rows(recipe, mesh.shape)
    transformation = optimizer.make(recipe, STEPS)
    scan, model = recipe.layers == "scan", weights.abstract(config)
    graph = stacked_graph(model) if scan else nnx.split(model, nnx.Param)[0]
    state = shapes(config, mesh, transformation, scan)
    rows = NamedSharding(mesh, P(ROWS))
    batch = {
        key: jax.ShapeDtypeStruct(
            (recipe.batch_size, block_size), jnp.float32 if key == "mask" else jnp.int32, sharding=rows
        )
        for key in ("inputs", "targets", "segments", "positions", "mask")
    }
    return make_step(graph, recipe, transformation, mesh).lower(state, batch)
