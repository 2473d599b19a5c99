"""LLaMA (Touvron et al. 2023) in Flax NNX: LLaMA 1/2/3, SmolLM2, Mistral, Qwen2, Qwen3; base class of related families.

Reference: `transformers`' modeling_llama.py and similar; tests compare with their logits. Shape letters: b rows,
t tokens, d hidden size, f feed-forward size, n query heads, k key heads, h head size, v vocabulary.
Matrices are stored `(in, out)`, the transpose of the hub's.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
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
from falsepromise.models.rotary import Rope, rotary_table, rotate


class Llama(nnx.Module):
    """A decoder of `config.num_layers` blocks, written out one by one (no scan over layers).

    Other families override the block, and what differs before and after the blocks.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs, param_dtype: Any = jnp.float32):
        """Random weights: normal with `initializer_range`; the two matrices of a block that write
        to the residual stream (o, down) are smaller by 1/sqrt(2 L), as GPT-2 does."""
        self.config = config
        init = nnx.initializers.normal(config.initializer_range)
        self.embed = nnx.Param(init(rngs.params(), (config.vocab_size, config.hidden_size), param_dtype))
        self.layers = nnx.List([self.layer(rngs, param_dtype, i) for i in range(config.num_layers)])
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
            remat: What the backward pass recomputes: nothing (None), all but the outputs of
                matrix products and fused attention ("dots"), or everything in a block ("full").

        Returns:
            `hidden_btd`, or `(hidden_btd, new cache)` where a cache was given.
        """
        t = tokens_bt.shape[1]
        if positions_bt is None:
            positions_bt = jnp.arange(t)[None]
        rope = self.rope(positions_bt, dtype, cache is None)
        positions_bt = jnp.broadcast_to(positions_bt, tokens_bt.shape)
        view = View.of(segments_bt, positions_bt, cache)
        x_btd = self.scaled(looked_up(self.embed[...], tokens_bt, dtype, self.config.vocab_size))
        x_btd, new = through(self.layers, x_btd, rope, view, attention, remat, cache, positions_bt)
        x_btd = self.last_norm(x_btd)
        return x_btd if cache is None else (x_btd, new)

    def layer(self, rngs: nnx.Rngs, param_dtype: Any, index: int) -> nnx.Module:
        """Block `index` with random weights."""
        return Layer(self.config, rngs, param_dtype, index)

    def last_norm(self, x_btd: jax.Array) -> jax.Array:
        """The norm after the last block."""
        return rms_norm(x_btd, self.norm[...], self.config.norm_eps)

    def rope(self, positions_bt: jax.Array, dtype: Any, whole_rows: bool) -> Any:
        """What the blocks need of positions."""
        return rotary_table(self.config, positions_bt, dtype, whole_rows=whole_rows)

    def scaled(self, x_btd: jax.Array) -> jax.Array:
        """The embedded tokens as the first block gets them."""
        return x_btd

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
    """One block: attention and feed-forward, each after a norm and added to the stream."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, param_dtype: Any, index: int):
        self.config = config
        self.window = config.windows[index] if config.windows else 0
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
        if config.model_type in ("qwen3", "gemma3_text"):  # norms of each head's features
            self.q_norm = nnx.Param(jnp.ones(config.head_dim, param_dtype))
            self.k_norm = nnx.Param(jnp.ones(config.head_dim, param_dtype))
        self.mlp_norm = nnx.Param(jnp.ones(d, param_dtype))
        self.gate, self.up = matrix(d, f), matrix(d, f)
        self.down = matrix(f, d, residual)
        self.gate_bias, self.up_bias, self.down_bias = (bias(n, config.mlp_bias) for n in (f, f, d))

    def __call__(
        self,
        x_btd: jax.Array,
        rope: Any,
        view: View,
        implementation: Implementation,
        cache: LayerCache | None = None,
        positions_bt: jax.Array | None = None,
    ) -> Any:
        y_btd = rms_norm(x_btd, self.attention_norm[...], self.config.norm_eps)
        y_btd, cache = self.attention(y_btd, rope, view, implementation, cache, positions_bt)
        x_btd = x_btd + y_btd
        x_btd = x_btd + self.feed_forward(rms_norm(x_btd, self.mlp_norm[...], self.config.norm_eps))
        return x_btd if cache is None else (x_btd, cache)

    def attention(
        self,
        y_btd: jax.Array,
        rope: Rope,
        view: View,
        implementation: Implementation,
        cache: LayerCache | None,
        positions_bt: jax.Array | None,
    ) -> tuple[jax.Array, LayerCache | None]:
        """What attention adds to the stream, and the cache with these tokens."""
        b, t, _ = y_btd.shape
        y_btd = enter(y_btd)
        q_btnh, k_btkh = self.normed(linear(y_btd, self.q, self.q_bias), linear(y_btd, self.k, self.k_bias))
        v_btkh = linear(y_btd, self.v, self.v_bias).reshape(b, t, -1, self.config.head_dim)
        q_btnh, k_btkh = rotate(q_btnh, rope), rotate(k_btkh, rope)
        view = view._replace(window=self.window or None)
        if cache is not None:
            cache = write(cache, k_btkh, v_btkh, positions_bt)  # type: ignore[arg-type]  # given with a cache
            y_btd = attend_cache(q_btnh, cache, view)
        else:
            y_btd = attend(q_btnh, k_btkh, v_btkh, view, implementation)
        return linear(y_btd, self.o, self.o_bias, summed=True), cache

    def normed(self, q_btx: jax.Array, k_btx: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Queries and keys by heads, `(b, t, n, h)` and `(b, t, k, h)`, normed where the family norms them."""
        q_btnh, k_btkh = (x.reshape(*x.shape[:2], -1, self.config.head_dim) for x in (q_btx, k_btx))
        if self.config.model_type == "qwen3":
            eps = self.config.norm_eps
            return rms_norm(q_btnh, enter(self.q_norm[...]), eps), rms_norm(k_btkh, enter(self.k_norm[...]), eps)
        return q_btnh, k_btkh

    def feed_forward(self, y_btd: jax.Array) -> jax.Array:
        """What the feed-forward part adds to the stream."""
        y_btd = enter(y_btd)
        gate_btf = self.activation(linear(y_btd, self.gate, self.gate_bias))
        return linear(gate_btf * linear(y_btd, self.up, self.up_bias), self.down, self.down_bias, summed=True)

    def activation(self, x_btf: jax.Array) -> jax.Array:
        """Of the gate."""
        return jax.nn.silu(x_btf)


def rms_norm(x_btd: jax.Array, weight_d: jax.Array, eps: float) -> jax.Array:
    """x over its root mean square, in float32, times the weight."""
    x32 = x_btd.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(x32), axis=-1, keepdims=True) + eps)
    # Rounded as the peers do, and multiplied in float32: the weight's gradient is a sum over all tokens.
    normed = (x32 * scale).astype(x_btd.dtype).astype(jnp.float32)
    return (normed * weight_d.astype(jnp.float32)).astype(x_btd.dtype)


def rms_norm_once_rounded(x_btd: jax.Array, weight_d: jax.Array, eps: float) -> jax.Array:
    """The same where the product with the weight is in float32 too (OLMo 2, Gemma)."""
    return rms_norm(x_btd.astype(jnp.float32), weight_d.astype(jnp.float32), eps).astype(x_btd.dtype)
