"""Rotary positions (Su et al. 2021), and the methods that stretch them beyond the length of pre-training.

Reference: `transformers`, modeling_rope_utils.py, with whose logits the tests compare each of them.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from falsepromise.models.config import ModelConfig
from falsepromise.models.hubrope import RopeScaling
from falsepromise.models.parts import made_once

Rope = tuple[jax.Array, jax.Array]


def rotary_table(
    config: ModelConfig, positions_bt: jax.Array, dtype: Any, local: bool = False, whole_rows: bool = True
) -> Rope:
    """Cosines and sines of the rotary embedding, each `(b, t, 1, h / 2)`.

    Args:
        config: The model's.
        positions_bt: Each token's position.
        dtype: Of the result.
        local: For layers with a base of their own (`config.local_theta`), which is not stretched.
        whole_rows: The tokens are whole rows of text: "dynamic" scaling goes by the longest. With a cache it does
            nothing, since the cache ends at the model's positions.
    """
    scaling = None if local else config.rope_scaling
    theta = config.local_theta if local and config.local_theta else config.rope_theta
    half = config.head_dim // 2
    frequencies_h: jax.Array | np.ndarray
    if scaling and scaling.rope_type == "dynamic" and whole_rows and half > 1:
        length = jnp.maximum(positions_bt.max() + 1, config.max_positions).astype(jnp.float32)
        longer = scaling.factor * length / config.max_positions - (scaling.factor - 1)
        frequencies_h = (theta * longer ** (half / (half - 1))) ** (-jnp.arange(half) / half)
    else:
        frequencies_h = frequencies(theta, half, scaling)
    angles = positions_bt[..., None].astype(jnp.float32) * frequencies_h
    size = _yarn_size(scaling) if scaling and scaling.rope_type == "yarn" else 1.0
    cos, sin = (made_once((turn(angles) * size).astype(dtype))[:, :, None] for turn in (jnp.cos, jnp.sin))
    return cos, sin


def rotate(x_btnh: jax.Array, rope: Rope) -> jax.Array:
    """Turn feature i of each head with feature i + h/2 by the position's angle (the hub's layout)."""
    cos, sin = rope
    first, second = jnp.split(x_btnh, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def frequencies(theta: float, half: int, scaling: RopeScaling | None) -> np.ndarray:
    """Radians a position for each pair of a head's features, `(h / 2,)` float32.

    With "linear" scaling all are divided by the factor; with "llama3" and "yarn" the slow ones are, the fast ones
    aren't, and those between are blended.
    """
    plain = 1.0 / theta ** (np.arange(half) / half)
    if scaling is None or scaling.rope_type == "dynamic":
        return plain.astype(np.float32)
    if scaling.rope_type == "linear":
        return (plain / scaling.factor).astype(np.float32)
    if scaling.rope_type == "llama3":
        low, high = scaling.low_freq_factor, scaling.high_freq_factor  # hubrope has checked that they are there
        turns = scaling.original_max_position_embeddings * plain / (2 * np.pi)  # type: ignore[operator]
        kept = np.clip((turns - low) / (high - low), 0.0, 1.0)  # type: ignore[operator]
    else:
        kept = 1 - _yarn_ramp(theta, half, scaling)
    return (plain * (kept + (1 - kept) / scaling.factor)).astype(np.float32)


def _yarn_ramp(theta: float, half: int, scaling: RopeScaling) -> np.ndarray:
    """How much of each frequency is stretched: 0 for those that turn often in the original length, then up to 1."""

    def pair_that_turns(times: float) -> float:
        return half * math.log(scaling.original_max_position_embeddings / (times * 2 * math.pi)) / math.log(theta)  # type: ignore[operator]

    low, high = pair_that_turns(scaling.beta_fast or 32), pair_that_turns(scaling.beta_slow or 1)
    if scaling.truncate is not False:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * half - 1)
    return np.clip((np.arange(half) - low) / (high - low if high != low else 0.001), 0.0, 1.0)


def _yarn_size(scaling: RopeScaling) -> float:
    """What yarn multiplies queries and keys by, so that softmax is as sharp over the longer text."""

    def size(weight: float) -> float:
        return 1.0 if scaling.factor <= 1 else 0.1 * weight * math.log(scaling.factor) + 1.0

    if scaling.attention_factor is not None:
        return scaling.attention_factor
    if scaling.mscale and scaling.mscale_all_dim:
        return size(scaling.mscale) / size(scaling.mscale_all_dim)
    return size(1.0)
