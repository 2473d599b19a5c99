"""Compile prefill and decoding without a model's weights, for devices that need not be there."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from falsepromise.generation import steps
from falsepromise.generation.placing import decoding_sharding, placed
from falsepromise.generation.sampling import Sampling
from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
from falsepromise.models.parallel import name
from falsepromise.training.sharding import check_mesh

CHUNK = 32  # tokens between two looks of the host, as the engine's


def decoding(
    config: ModelConfig, mesh: Mesh, *, rows: int, prompt: int, slots: int, dtype: Any = jnp.float32
) -> dict[str, jax.stages.Lowered]:
    """The engine's prefill of `rows` prompts and its greedy decoding, to be compiled: shapes only.

    Args:
        rows: Of the batch, and of a prefill.
        prompt: Tokens of each prompt.
        slots: Tokens that each row has room for.
        dtype: Of weights, cache and computation.
    """
    check_mesh(config, mesh.shape)
    graph, state = nnx.split(nnx.eval_shape(lambda: weights.create(config, 0, dtype)))
    state = jax.tree_util.tree_map_with_path(
        lambda path, x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=decoding_sharding(mesh, name(path), x.shape)
        ),
        state,
    )
    batch = jax.eval_shape(partial(steps.empty, graph, rows=rows, length=slots, dtype=dtype), state)
    batch = jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), batch, placed(mesh, batch)
    )

    def each(kind: Any, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, kind)

    i, f, u = jnp.int32, jnp.float32, jnp.uint32
    sampling = Sampling(each(f, rows), each(f, rows), each(i, rows), each(u, rows))
    lengths = each(i, rows)
    return {
        "prefill": steps.prefill.lower(
            graph, state, batch, each(i, rows, prompt), lengths, lengths, lengths, sampling, None, each(i), dtype
        ),
        "decode": steps.decode.lower(
            graph, state, batch, each(i, 1), each(i), each(bool, rows), CHUNK, "greedy", False, dtype
        ),
    }
