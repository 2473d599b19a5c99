"""Choose how many rows fit into a device's memory: each keeps keys and values of all its tokens.

A LLaMA 13B in bfloat16 leaves 47 GB of an H100's 80 to its rows; with 2,048 slots each takes 1.7 GB, so that 16 fit
where 64 were asked for. While texts are read, their attention's scores take as much again. The formulas are held
against compiled programs in `tests/unit/training/test_compile.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from falsepromise.models.config import ModelConfig
from falsepromise.study.planning import cpu_room

SPARE = 1.1  # what else the compiler lays out, for each byte that is counted
SCORE_BYTES_TPU = 10  # of each pair of query and key: scores, weights and their layouts
SCORE_BYTES_HALF = 6  # scores in float32, and the weights that they become beside them
SCORE_BYTES = 4  # the weights take the scores' place


@dataclass(frozen=True)
class Room:
    """The memory of each device that is left beside the weights, and what rows take of it.

    Attributes:
        config: The model's.
        itemsize: Bytes of a number of the computation.
        platform: "cpu", "gpu" (or "cuda") or "tpu".
        free: Bytes for a batch and what is read into it; infinite where the device doesn't say.
        row_shares, head_shares: Devices that share rows, and heads.
    """

    config: ModelConfig
    itemsize: int
    platform: str = "cpu"
    free: float = math.inf
    row_shares: int = 1
    head_shares: int = 1

    @classmethod
    def of(cls, config: ModelConfig, dtype: Any, mesh: Mesh | None, platform: str, free: float) -> Self:
        """For a model in a type on a mesh (None: one device)."""
        shares = (1, 1) if mesh is None else (mesh.shape["data"] * mesh.shape["fsdp"], mesh.shape["tensor"])
        return cls(config, jnp.dtype(dtype).itemsize, platform, free, *shares)

    @classmethod
    def here(cls, config: ModelConfig, state: Any, dtype: Any, mesh: Mesh | None) -> Self:
        """What the devices at hand leave beside a model's weights."""
        device = jax.local_devices()[0]
        held = _held(state)
        if device.platform == "cpu":
            free = cpu_room(held)
        else:
            free = (device.memory_stats() or {}).get("bytes_limit", math.inf) - held
        return cls.of(config, dtype, mesh, device.platform, free)

    def beside(self, state: Any) -> Self:
        """What is left with another model's weights on the same devices; on a CPU, as much as before."""
        return self if self.platform == "cpu" else replace(self, free=self.free - _held(state))

    def decoding(self, rows: int, slots: int) -> float:
        """Bytes of a batch on each device: keys and values, of which a TPU makes up to two copies for a loop."""
        return self._cache(rows, slots) * (3 if self.platform == "tpu" else 1)

    def reading(self, rows: int, tokens: int, before: int = 0, scored: int = 0) -> float:
        """Bytes beside the batch while `rows` texts of `tokens` tokens are read behind `before` others.

        Args:
            scored: Places of each text whose logits are computed.
        """
        c, here = self.config, self._here(rows)
        units = 2 * c.hidden_size + 2 * c.intermediate_size // self.head_shares
        each = SCORE_BYTES_HALF if self.itemsize == 2 else SCORE_BYTES
        each = SCORE_BYTES_TPU if self.platform == "tpu" else each
        parts = units * self.itemsize, c.num_heads // self.head_shares * (before + tokens) * each
        # Accelerators' programs use the place of one for the other.
        layer = tokens * (sum(parts) if self.platform == "cpu" else max(parts))
        return self._cache(rows, before + tokens) + here * (layer + 8 * scored * c.vocab_size)

    def merged(self) -> float:
        """Bytes of the copies that XLA makes for a decoding loop on one device: matrices that it multiplies as one."""
        c = self.config
        table = c.vocab_size * c.hidden_size if c.tie_embeddings else 0
        heads = (c.num_heads + 2 * c.num_kv_heads) * c.head_dim
        return float(self.itemsize) * (c.num_layers * c.hidden_size * heads + table) / self.head_shares

    def batch(self, most: int, slots: int, most_read: int, tokens: int, before: int) -> tuple[int, int]:
        """Rows that are decoded together and texts that are read together, both halved until they fit.

        Args:
            most, slots: Rows at most, and tokens of each.
            most_read, tokens, before: Texts at most, tokens of each, and shared ones before them.
        """

        def fits(b: int, p: int) -> bool:
            return self._fits(self.decoding(b, slots) + max(self.reading(p, tokens, before), self.merged()))

        b = most
        while b > self.row_shares and not fits(b, min(b, max(4, self.row_shares))):
            b //= 2
        p = min(b, most_read)
        while p > self.row_shares and not fits(b, p):
            p //= 2
        return b, p

    def texts(self, most: int, tokens: int, before: int, scored: int) -> int:
        """Texts that are scored together, halved until they fit."""
        p = most
        while p > self.row_shares and not self._fits(self.reading(p, tokens, before, scored)):
            p //= 2
        return p

    def _fits(self, size: float) -> bool:
        return SPARE * size <= self.free

    def _cache(self, rows: int, slots: int) -> float:
        c = self.config
        shared = self.head_shares if c.num_kv_heads % self.head_shares == 0 else 1
        return 2.0 * c.num_layers * c.num_kv_heads * c.head_dim * self.itemsize * slots * self._here(rows) / shared

    def _here(self, rows: int) -> int:
        """Rows on each device."""
        return rows // self.row_shares if rows % self.row_shares == 0 else rows


def _held(state: Any) -> int:
    """Bytes of a model's weights on each device."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(state))
