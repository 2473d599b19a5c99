"""Describe devices to XLA's compilers, which compile for them without having them.

GPUs and TPUs are compiled for through `jax.experimental.topologies`: the extra `gpu` (CUDA, cuDNN), or the package
libtpu that jax names, has the compiler; no device or driver is needed. `cpu:8` simulates devices on this machine.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from falsepromise.core.errors import UserError
from falsepromise.study.planning import AXES, HARDWARE, Device, mesh_sizes

GPUS_PER_HOST = 8


@dataclass(frozen=True)
class Link:
    """The limits of a step besides arithmetic, in bytes a second.

    Attributes:
        memory: Of one device's memory.
        near: That one device sends to those of its host, or of its slice.
        far: That a host of GPUs, or a TPU's chip, sends to others: rings of a host's GPUs share its adapters.
    """

    memory: float
    near: float
    far: float


# Makers' figures: memory; NVLink one way (RTX 4090: PCIe), and eight adapters of 400 (A100: 200) Gbit/s a host; a TPU
# chip's links one way.
LINKS = {
    "a100": Link(2.039e12, 300e9, 200e9),
    "a100-40": Link(1.555e12, 300e9, 200e9),
    "h100": Link(3.352e12, 450e9, 400e9),
    "h200": Link(4.8e12, 450e9, 400e9),
    "rtx-4090": Link(1.008e12, 32e9, 32e9),
    "tpu-v4": Link(1.228e12, 300e9, 300e9),
    "tpu-v5e": Link(0.819e12, 200e9, 200e9),
    "tpu-v5p": Link(2.765e12, 600e9, 600e9),
    "tpu-v6e": Link(1.64e12, 448e9, 448e9),
    "cpu": Link(20e9, 10e9, 1e9),
}
_AMPERE = {
    "compute": (8, 0), "cores": 108, "fpus": 64, "clock": 1.41, "l2": 41943040, "shared": (49152, 166912, 167936),
}  # fmt: skip
_HOPPER = {
    "compute": (9, 0), "cores": 132, "fpus": 128, "clock": 1.98, "l2": 52428800, "shared": (49152, 232448, 233472),
}  # fmt: skip
_ADA = {
    "compute": (8, 9), "cores": 128, "fpus": 128, "clock": 2.52, "l2": 75497472, "shared": (49152, 101376, 102400),
}  # fmt: skip
_GPUS: dict[str, tuple[str, int, dict[str, Any]]] = {  # bytes of memory as the driver reports them
    "a100": ("NVIDIA A100-SXM4-80GB", 85_094_825_984, _AMPERE),
    "a100-40": ("NVIDIA A100-SXM4-40GB", 42_298_834_944, _AMPERE),
    "h100": ("NVIDIA H100 80GB HBM3", 84_929_347_584, _HOPPER),
    "h200": ("NVIDIA H200", 150_109_880_320, _HOPPER),
    "rtx-4090": ("NVIDIA GeForce RTX 4090", 25_757_220_864, _ADA),
}
_TPUS = {"tpu-v4": "v4", "tpu-v5e": "v5e", "tpu-v5p": "v5p", "tpu-v6e": "v6e"}
# Tuning would run on the device; the last flag is training.train's.
_XLA_FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false --xla_gpu_ftz=true"


@dataclass(frozen=True)
class Target:
    """Devices to compile for.

    Attributes:
        name: As it was given.
        kind: A name of `LINKS`.
        count: How many.
        platform: "cuda", "tpu" or "cpu".
    """

    name: str
    kind: str
    count: int
    platform: str

    @classmethod
    def of(cls, text: str) -> Target:
        """From "h100:8", "tpu-v5p:2x2x2" or "cpu:8".

        Raises:
            UserError: naming the targets that are known.
        """
        kind, _, size = text.partition(":")
        known = {**dict.fromkeys(_GPUS, "cuda"), **dict.fromkeys(_TPUS, "tpu"), "cpu": "cpu"}
        more = {"tpu-v4": "{1,2}", "tpu-v5p": "{1,2}", "tpu-v5e": "", "tpu-v6e": ""}.get(kind, "{0}")  # sides
        if kind not in known or not re.fullmatch(rf"[1-9]\d{{,4}}(x[1-9]\d{{,4}}){more}", size):
            raise UserError(
                f"--target {text!r}: expected {', '.join(f'{k}:8' for k in _GPUS)}, cpu:8, or a TPU's shape, as "
                "tpu-v4:2x2x1, tpu-v5e:2x2, tpu-v5p:2x2x2, tpu-v6e:2x2"
            )
        count = math.prod(map(int, size.split("x")))
        if kind in _GPUS and count % (hosts := -(-count // GPUS_PER_HOST)):
            raise UserError(
                f"--target {text!r}: hosts have up to {GPUS_PER_HOST} GPUs, each as many; "
                f"expected {kind}:{count // hosts * hosts} or {kind}:{-(-count // hosts) * hosts}"
            )
        return cls(text, kind, count, known[kind])

    @property
    def device(self) -> Device:
        """What one of them has."""
        return HARDWARE["cpu-core" if self.kind == "cpu" else self.kind]

    @property
    def link(self) -> Link:
        return LINKS[self.kind]

    def prepare(self) -> None:
        """Set what the compilers read from the environment; before jax looks for devices."""
        jax.config.update("jax_platforms", "cpu")
        if self.platform == "cuda":
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAGS}".strip()
        elif self.platform == "tpu":
            os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_LOG_DIR": "disabled"}
        else:
            flag = f"--xla_force_host_platform_device_count={self.count}"
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()

    def devices(self) -> list[Any]:
        """The devices, as jax describes them.

        Raises:
            UserError: the compiler isn't installed, or knows no such shape.
        """
        from jax.experimental import topologies

        if self.platform == "cpu":
            return jax.devices("cpu")[: self.count]
        try:
            if self.platform == "cuda":
                hosts = -(-self.count // GPUS_PER_HOST)
                shape = f"1x{hosts}x{self.count // hosts}"
                topology = topologies.get_topology_desc(
                    platform="cuda", target_config=self._gpu_config(), topology=shape
                )
            else:
                # One device a chip: a v4's two cores work as one.
                extra = {"chip_config_name": "megacore"} if self.kind == "tpu-v4" else {}
                name = f"{_TPUS[self.kind]}:{self.name.partition(':')[2]}"
                topology = topologies.get_topology_desc(name, "tpu", **extra)
        except Exception as error:
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            if self.platform == "cuda":
                why = "no such devices, or jax[cuda12] isn't installed here"
            elif importlib.util.find_spec("libtpu") is None:
                why = "libtpu isn't installed here"
            else:
                why = "no such devices; a host has 2x2 chips, so the first two sides are even, as in 2x2x1 or 4x4"
            raise UserError(f"--target {self.name}: {why}: {line}") from error
        return list(topology.devices)

    def _gpu_config(self) -> str:
        """The card's facts, as XLA's text form of its target config."""
        description, memory, f = _GPUS[self.kind]
        block, optin, core = f["shared"]
        return f"""
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: {block} shared_memory_per_block_optin: {optin} shared_memory_per_core: {core}
  core_count: {f["cores"]} fpus_per_core: {f["fpus"]} clock_rate_ghz: {f["clock"]}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {int(self.link.memory)} l2_cache_size: {f["l2"]} device_memory_size: {memory}
  cuda_compute_capability {{ major: {f["compute"][0]} minor: {f["compute"][1]} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 12 minor: 8 patch: 0 }}
device_description_str: "{description}"
"""

    def mesh(self, setting: str) -> Mesh:
        """A mesh of these devices.

        Raises:
            UserError: it is for another number of devices.
        """
        sizes, devices = mesh_sizes(setting), self.devices()
        if math.prod(sizes.values()) != len(devices):
            wanted = math.prod(sizes.values())
            raise UserError(f"--mesh {setting!r} is for {wanted} devices, --target {self.name} has {len(devices)}")
        return jax.make_mesh(tuple(sizes.values()), AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3, devices=devices)
