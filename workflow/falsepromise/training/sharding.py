"""Place weights and batches on devices: a mesh's setting, and the table of weights of `models.parallel`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from falsepromise.core.errors import UserError
from falsepromise.models.config import ModelConfig
from falsepromise.models.parallel import ROWS, axes_of
from falsepromise.study.planning import AXES, USABLE, mesh_sizes

if TYPE_CHECKING:  # with it come the study's keys, which generation doesn't need
    from falsepromise.training.recipe import Recipe


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
    """Where the weight `path` (as `layers.0.q`) of `shape` lives, by `parallel.RULES`.

    A vocabulary that `tensor` doesn't divide is whole on each of its devices (training fills it up, see `padded`);
    `check_mesh` refuses the rest.
    """
    sizes: Mapping[str, int] = mesh.shape
    spec = axes_of(path)
    stacked = [None] * (len(shape) - len(spec) if spec else 0)  # layers are the first axis, see training.layout
    axes = [
        axis if axis is not None and length % sizes[axis] == 0 else None
        for axis, length in zip((*stacked, *spec, *[None] * len(shape)), shape, strict=False)
    ]
    return NamedSharding(mesh, P(*axes))


def check_mesh(config: ModelConfig, sizes: Mapping[str, int]) -> None:
    """Refuse a mesh that can't share a model evenly.

    Raises:
        UserError: what doesn't divide, and what would.
    """
    if config.hidden_size % sizes["fsdp"]:
        raise UserError(
            f"--mesh fsdp={sizes['fsdp']} doesn't divide the model's hidden size {config.hidden_size}; "
            f"fsdp can be {_listed(divisors(config.hidden_size))}"
        )
    if (inner := math.gcd(config.num_heads, config.num_kv_heads, config.intermediate_size)) % sizes["tensor"]:
        raise UserError(
            f"--mesh tensor={sizes['tensor']} doesn't divide the model's {config.num_heads} heads, "
            f"{config.num_kv_heads} key heads and {config.intermediate_size} feed-forward units; "
            f"tensor can be {_listed(divisors(inner))}"
        )


def padded(config: ModelConfig, rows: int, sizes: Mapping[str, int]) -> ModelConfig:
    """The config with an embedding table of `rows` tokens, and behind them as many empty rows as let `tensor` share it
    evenly."""
    padding = -rows % sizes["tensor"]
    return replace(config, vocab_size=rows + padding, padding=padding)


def check_rows(recipe: Recipe, sizes: Mapping[str, int]) -> None:
    """Refuse a batch of which devices can't have as many rows each.

    Raises:
        UserError: what doesn't divide, and what would.
    """
    rows, batch, parts = sizes["data"] * sizes["fsdp"], recipe.batch_size, recipe.accumulate
    if batch % (rows * parts):
        if others := [n for n in divisors(batch) if batch % (rows * n) == 0]:
            hint = f"accumulate can be {_listed(others)}"
        else:
            hint = f"batch_size {-(-batch // (rows * parts)) * rows * parts} could"
        raise UserError(
            f"recipe: batch_size {batch} in {parts} parts (accumulate) can't be spread over {rows} devices "
            f"(data x fsdp); {hint}"
        )


def divisors(n: int) -> list[int]:
    """Of n, in order."""
    return [d for d in range(1, n + 1) if n % d == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + (" or " if len(numbers) > 1 else "") + str(numbers[-1])


def place_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """A batch, (B, T) each, with its rows spread over `data` and `fsdp`.

    Every process makes the same whole batch and gives its devices their rows.
    """
    rows = mesh.shape["data"] * mesh.shape["fsdp"]
    size = len(batch["inputs"])
    if size % rows:
        raise UserError(f"recipe: batch_size {size} can't be spread over {rows} devices (data x fsdp)")
    where = NamedSharding(mesh, P(ROWS))
    return {name: jax.make_array_from_callback(a.shape, where, a.__getitem__) for name, a in batch.items()}


def on_every_device(mesh: Mesh, array: jax.Array | np.ndarray) -> jax.Array:
    """A small array with a copy on each device: what several processes share (and Orbax saves) is one array."""
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, NamedSharding(mesh, P()), lambda index: host[index])


def use_gpu_memory() -> None:
    """Let XLA take as much of a GPU as the planner and `training.compile` count on; by itself it takes three quarters.

    The user's own share stays, under either name: JAX refuses both at once.
    """
    if not os.environ.get("XLA_CLIENT_MEM_FRACTION"):
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", str(USABLE))


def start_processes() -> None:
    """Join the processes of one job where a launcher started several (`srun`, SLURM detected)."""
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_STEP_NODELIST" in os.environ:
        if os.environ.get("JAX_PLATFORMS") == "cpu":
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize()
