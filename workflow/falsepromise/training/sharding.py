"""Where weights and batches live: one mesh setting and one ordered table of patterns.

The mesh has three axes: `data` (each device has all weights, and its share of the batch), `fsdp`
(each device also has its share of the weights only) and `tensor` (matrices are cut along heads and
feed-forward units). The paper trains with "a combination of fully shared data parallelism and
tensor parallelism" (section 4.1).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from falsepromise.core.errors import UserError
from falsepromise.study.planning import AXES, mesh_sizes

# Matrices are stored (in, out). The first pattern that matches a weight's path gives its axes; an
# axis that does not divide a weight's length is left out for it.
RULES: tuple[tuple[str, P], ...] = (
    (r"^(embed|head)$", P("tensor", "fsdp")),  # (vocabulary, hidden)
    (r"^positions$", P(None, "fsdp")),
    (r"\.(q|k|v|gate|up)$", P("fsdp", "tensor")),
    (r"\.(o|down)$", P("tensor", "fsdp")),
    (r".", P()),  # norms and biases: every device has them
)


def make_mesh(setting: str | None) -> Mesh:
    """A mesh from a setting such as "data=1,fsdp=4,tensor=2".

    Args:
        setting: Sizes of the axes; an axis that isn't named has size 1. None: all devices on `fsdp`,
            or on `data` where the platform is a CPU.

    Raises:
        UserError: an unknown axis, or sizes that don't multiply to the number of devices.
    """
    devices = jax.devices()
    if not setting:
        setting = f"{'data' if devices[0].platform == 'cpu' else 'fsdp'}={len(devices)}"
    sizes = mesh_sizes(setting)
    if math.prod(sizes.values()) != len(devices):
        raise UserError(f"--mesh {setting!r} is for {math.prod(sizes.values())} devices, here are {len(devices)}")
    return jax.make_mesh(tuple(sizes.values()), AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3, devices=devices)


def weight_sharding(mesh: Mesh, path: str, shape: tuple[int, ...]) -> NamedSharding:
    """Where the weight `path` (as `layers.0.q`) of `shape` lives, by `RULES`."""
    spec = next(spec for pattern, spec in RULES if re.search(pattern, path))
    sizes: Mapping[str, int] = mesh.shape
    axes = [
        axis if axis is not None and length % sizes[axis] == 0 else None
        for axis, length in zip((*spec, *[None] * len(shape)), shape, strict=False)
    ]
    return NamedSharding(mesh, P(*axes))


def place_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """A batch, (B, T) each, with its rows spread over `data` and `fsdp`.

    Every process makes the same whole batch and gives its devices their rows.
    """
    rows = mesh.shape["data"] * mesh.shape["fsdp"]
    size = len(batch["inputs"])
    if size % rows:
        raise UserError(f"recipe: batch_size {size} can't be spread over {rows} devices (data x fsdp)")
    where = NamedSharding(mesh, P(("data", "fsdp")))
    return {name: jax.make_array_from_callback(a.shape, where, a.__getitem__) for name, a in batch.items()}


def on_every_device(mesh: Mesh, array: jax.Array | np.ndarray) -> jax.Array:
    """A small array with a copy on each device: what several processes share (and Orbax saves) is one array."""
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, NamedSharding(mesh, P()), lambda index: host[index])


def start_processes() -> None:
    """Join the processes of one job where a launcher started several (`srun`, SLURM detected)."""
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_STEP_NODELIST" in os.environ:
        if os.environ.get("JAX_PLATFORMS") == "cpu":
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize()
