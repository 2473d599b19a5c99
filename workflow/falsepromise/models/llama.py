"""LLaMA (Touvron et al. 2023) in Flax NNX: LLaMA 1/2/3, SmolLM2, Mistral without window, Qwen2.

Reference: `transformers`' modeling_llama.py, whose logits the tests compare with. Shape letters: b rows,
t tokens, d hidden size, f feed-forward size, n query heads, k key heads, h head size, v vocabulary.
Matrices are stored `(in, out)`, the transpose of the hub's.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from falsepromise.models.attention import (
    Cache,
    Implementation,
    LayerCache,
    View,
    attend,
    attend_cache,
    empty_cache,
    write,
)
from falsepromise.models.config import ModelConfig
from falsepromise.models.layers import Remat, through
from falsepromise.models.parallel import enter
from falsepromise.models.parts import linear, looked_up


class Llama(nnx.Module):
    """A decoder of `config.num_layers` blocks, written out one by one (no scan over layers)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs, param_dtype: Any = jnp.float32):
        """Random weights: normal with `initializer_range`; the two matrices of a block that write
        to the residual stream (o, down) are smaller by 1/sqrt(2 L), as GPT-2 does."""
        self.config = config
        init = nnx.initializers.normal(config.initializer_range)
        self.embed = nnx.Param(init(rngs.params(), (config.vocab_size, config.hidden_size), param_dtype))
        self.layers = nnx.List([Layer(config, rngs, param_dtype) for _ in range(config.num_layers)])
        self.norm = nnx.Param(jnp.ones(config.hidden_size, param_dtype))
        self.head = (
            None
            if config.tie_embeddings
            else nnx.Param(init(rngs.params(), (config.vocab_size, config.hidden_size), param_dtype))
        )

    def hidden(
        self,
        tokens_bt: jax.Array,
        segments_bt: jax.Array | None = None,
        positions_bt: jax.Array | None = None,
        cache: Cache | None = None,
        dtype: Any = jnp.float32,
        attention: Implementation = "xla",
        remat: Remat | None = None,
    ) -> Any:
        """The residual stream after the final norm.

        Args:
            tokens_bt: Token ids.
            segments_bt: A token sees only tokens of its own segment number at or before it, so that
                documents in one row stay apart. None: all tokens at or before it.
            positions_bt: Each token's position in its document; default 0, 1, 2...
            cache: Keys and values of earlier tokens (`new_cache`), one slot a position; then
                `segments_bt` is not used.
            dtype: Of the computation; norms and softmax stay float32.
            attention: "xla" or "cudnn".
            remat: What the backward pass computes again: nothing (None), all but the outputs of
                matrix products ("dots"), or everything in a block ("full").

        Returns:
            `hidden_btd`, or `(hidden_btd, new cache)` where a cache was given.
        """
        t = tokens_bt.shape[1]
        if positions_bt is None:
            positions_bt = jnp.arange(t)[None]
        rope = rotary_table(self.config, positions_bt, dtype)
        positions_bt = jnp.broadcast_to(positions_bt, tokens_bt.shape)
        view = View.of(segments_bt, positions_bt, cache)
        x_btd = looked_up(self.embed[...], tokens_bt, dtype, self.config.vocab_size)
        x_btd, new = through(self.layers, x_btd, rope, view, attention, remat, cache, positions_bt)
        x_btd = rms_norm(x_btd, self.norm[...], self.config.norm_eps)
        return x_btd if cache is None else (x_btd, new)

    def unembedding(self) -> jax.Array:
        """The output projection, `(v, d)`: the embedding table where the two are tied."""
        return (self.embed if self.head is None else self.head)[...]

    def __call__(self, tokens_bt: jax.Array, *args: Any, **options: Any) -> Any:
        """Logits `(b, t, v)` in float32; arguments as `hidden`. With a cache: `(logits, new cache)`."""
        out = self.hidden(tokens_bt, *args, **options)
        hidden_btd, *rest = out if isinstance(out, tuple) else (out,)
        weight_vd = self.unembedding().astype(hidden_btd.dtype)
        logits_btv = jnp.einsum("btd,vd->btv", hidden_btd, weight_vd, preferred_element_type=jnp.float32)
        return (logits_btv, *rest) if rest else logits_btv

    def new_cache(self, rows: int, length: int, dtype: Any = jnp.float32) -> Cache:
        """An empty cache for `rows` rows of up to `length` tokens."""
        c = self.config
        return empty_cache(c.num_layers, rows, length, c.num_kv_heads, c.head_dim, dtype)


class Layer(nnx.Module):
    """One block: attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, param_dtype: Any):
        self.config = config
        d, f = config.hidden_size, config.intermediate_size
        q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim

        def matrix(rows: int, columns: int, scale: float = 1.0) -> nnx.Param:
            init = nnx.initializers.normal(config.initializer_range * scale)
            return nnx.Param(init(rngs.params(), (rows, columns), param_dtype))

        def bias(size: int, wanted: bool) -> nnx.Param | None:
            return nnx.Param(jnp.zeros(size, param_dtype)) if wanted else None

        residual = 1 / math.sqrt(2 * config.num_layers)
        self.attention_norm = nnx.Param(jnp.ones(d, param_dtype))
        self.q, self.k, self.v = matrix(d, q), matrix(d, kv), matrix(d, kv)
        self.o = matrix(q, d, residual)
        self.q_bias, self.k_bias, self.v_bias = (bias(n, config.attention_bias) for n in (q, kv, kv))
        self.o_bias = bias(d, config.output_bias)
        self.mlp_norm = nnx.Param(jnp.ones(d, param_dtype))
        self.gate, self.up = matrix(d, f), matrix(d, f)
        self.down = matrix(f, d, residual)

    def __call__(
        self,
        x_btd: jax.Array,
        rope: tuple[jax.Array, jax.Array],
        view: View,
        implementation: Implementation,
        cache: LayerCache | None = None,
        positions_bt: jax.Array | None = None,
    ) -> Any:
        b, t, _ = x_btd.shape
        c = self.config

        y_btd = enter(rms_norm(x_btd, self.attention_norm[...], c.norm_eps))
        q_btnh = linear(y_btd, self.q, self.q_bias).reshape(b, t, -1, c.head_dim)  # columns into heads
        k_btkh = linear(y_btd, self.k, self.k_bias).reshape(b, t, -1, c.head_dim)
        v_btkh = linear(y_btd, self.v, self.v_bias).reshape(b, t, -1, c.head_dim)
        q_btnh, k_btkh = rotate(q_btnh, rope), rotate(k_btkh, rope)
        if cache is not None:
            cache = write(cache, k_btkh, v_btkh, positions_bt)  # type: ignore[arg-type]  # given with a cache
            y_btd = attend_cache(q_btnh, cache, view)
        else:
            y_btd = attend(q_btnh, k_btkh, v_btkh, view, implementation)
        x_btd = x_btd + linear(y_btd, self.o, self.o_bias, summed=True)

        y_btd = enter(rms_norm(x_btd, self.mlp_norm[...], c.norm_eps))
        y_btf = jax.nn.silu(linear(y_btd, self.gate)) * linear(y_btd, self.up)
        x_btd = x_btd + linear(y_btf, self.down, summed=True)
        return x_btd if cache is None else (x_btd, cache)


def rms_norm(x_btd: jax.Array, weight_d: jax.Array, eps: float) -> jax.Array:
    """x over its root mean square, in float32, times the weight."""
    x32 = x_btd.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(x32), axis=-1, keepdims=True) + eps)
    return (x32 * scale).astype(x_btd.dtype) * weight_d.astype(x_btd.dtype)


def rotary_table(config: ModelConfig, positions_bt: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of the rotary embedding, each `(b, t, 1, h / 2)`."""
    angles = positions_bt[..., None].astype(jnp.float32) * rotary_frequencies(config)
    return jnp.cos(angles)[:, :, None].astype(dtype), jnp.sin(angles)[:, :, None].astype(dtype)


def rotary_frequencies(config: ModelConfig) -> np.ndarray:
    """Radians a position for each pair of a head's features, `(h / 2,)` float32.

    With "linear" scaling all are divided by the factor; with "llama3" the slow ones are, the fast
    ones aren't, and those between are blended (reference: transformers, modeling_rope_utils.py).
    """
    half = config.head_dim // 2
    frequencies = 1.0 / config.rope_theta ** (np.arange(half) / half)
    scaling = config.rope_scaling
    if scaling and scaling.rope_type == "linear":
        frequencies = frequencies / scaling.factor
    elif scaling and scaling.rope_type == "llama3":
        low, high = scaling.low_freq_factor, scaling.high_freq_factor  # config.py has checked that they are there
        turns = scaling.original_max_position_embeddings * frequencies / (2 * np.pi)  # type: ignore[operator]
        blend = np.clip((turns - low) / (high - low), 0.0, 1.0)  # type: ignore[operator]
        frequencies = frequencies * (blend + (1 - blend) / scaling.factor)
    return frequencies.astype(np.float32)


def rotate(x_btnh: jax.Array, rope: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Turn feature i of each head with feature i + h/2 by the position's angle (the hub's layout)."""
    cos, sin = rope
    first, second = jnp.split(x_btnh, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
