"""Place the engine's weights and batch on a mesh: rows over `data` and `fsdp`, heads and units over `tensor`.

Decoding reads every weight for each token, so none is ever gathered: `fsdp` shares rows here, as `data` does. With
weights and caches in their places XLA's partitioner needs two sums of `[rows, hidden]` a layer and one for the
embedding, and gathers nothing (`tests/unit/generation/test_mesh.py` reads the compiled programs).
"""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from falsepromise.generation.steps import Rows
from falsepromise.models.config import ModelConfig
from falsepromise.models.parallel import ROWS
from falsepromise.training.sharding import weight_sharding


def decoding_sharding(mesh: Mesh, path: str, shape: tuple[int, ...]) -> NamedSharding:
    """Where the weight `path` of `shape` lives: its share of `tensor`, on all devices of the other axes."""
    spec = weight_sharding(mesh, path, shape).spec
    return NamedSharding(mesh, P(*(axis if axis == "tensor" else None for axis in spec)))


def sharding(mesh: Mesh, shape: tuple[int, ...], *axes: str | None) -> NamedSharding:
    """Of an array whose first axis is rows, and whose next ones are shared over `axes`, as far as they divide."""
    rows = ROWS if shape[0] % (mesh.shape["data"] * mesh.shape["fsdp"]) == 0 else None
    rest = (a if a and n % mesh.shape[a] == 0 else None for a, n in zip(axes, shape[1:], strict=False))
    return NamedSharding(mesh, P(rows, *rest))


def placed(mesh: Mesh, rows: Rows) -> Rows:
    """Where each array of a batch lives: the cache by key heads, all of them by rows."""
    return jax.tree.map(lambda a: sharding(mesh, a.shape, *("tensor",) * (a.ndim == 4)), rows)


def spread(mesh: Mesh, arrays: Any) -> Any:
    """Arrays whose first axis is rows, or a batch, on the mesh."""
    if isinstance(arrays, Rows):
        return jax.tree.map(jax.device_put, arrays, placed(mesh, arrays))
    return jax.tree.map(lambda a: jax.device_put(a, sharding(mesh, a.shape)), arrays)


def default_mesh(config: ModelConfig, devices: int) -> str:
    """`tensor` over all devices as far as that divides the model, `data` over the rest."""
    tensor = math.gcd(devices, config.num_heads, config.num_kv_heads, config.intermediate_size)
    return f"data={devices // tensor},tensor={tensor}"
