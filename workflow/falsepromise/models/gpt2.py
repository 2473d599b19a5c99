"""GPT-2 (Radford et al. 2019) in Flax NNX, with the interface of `models.llama.Llama`.

Reference: `transformers`' modeling_gpt2.py, whose logits the tests compare with. Positions come from a
learned table of 1024 rows, so rows of text are at most that long: the study trains GPT-2 on blocks
of 1024 tokens where LLaMA has 2048. Dropout is never applied: the paper fine-tunes for one epoch.
Shape letters as in models/llama.py (n query heads = k key heads). q, k and v are three matrices; the
hub stores them as one.
"""

from __future__ import annotations

import math
from functools import partial
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
from falsepromise.models.parts import kept, linear, looked_up

GELU_SCALE, GELU_CUBE = math.sqrt(2 / math.pi), 0.044715


class GPT2(nnx.Module):
    """A decoder of `config.num_layers` blocks with LayerNorm, GELU and learned positions."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs, param_dtype: Any = jnp.float32):
        """Random weights as GPT-2's: normal(0.02), the matrices that write to the residual stream
        smaller by 1/sqrt(2 L), biases 0."""
        self.config = config
        init = nnx.initializers.normal(config.initializer_range)
        d = config.hidden_size
        self.embed = nnx.Param(init(rngs.params(), (config.vocab_size, d), param_dtype))
        self.positions = nnx.Param(init(rngs.params(), (config.max_positions, d), param_dtype))
        self.layers = nnx.List([Layer(config, rngs, param_dtype) for _ in range(config.num_layers)])
        self.norm = nnx.Param(jnp.ones(d, param_dtype))
        self.norm_bias = nnx.Param(jnp.zeros(d, param_dtype))
        self.head = (
            None if config.tie_embeddings else nnx.Param(init(rngs.params(), (config.vocab_size, d), param_dtype))
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
        """The residual stream after the final norm; arguments and result as `Llama.hidden`.

        Raises:
            ValueError: a row is longer than the table of positions.
        """
        t = tokens_bt.shape[1]
        if t > self.config.max_positions:
            raise ValueError(f"rows of {t} tokens; GPT-2's table has {self.config.max_positions} positions")
        if positions_bt is None:
            positions_bt = jnp.arange(t)[None]
        # Padding may point beyond the table; NaN from there would spread through the cache.
        rows_bt = jnp.minimum(positions_bt, self.config.max_positions - 1)
        x_btd = looked_up(self.embed[...], tokens_bt, dtype, self.config.vocab_size)
        x_btd = x_btd + looked_up(self.positions[...], rows_bt, dtype, self.config.max_positions)
        positions_bt = jnp.broadcast_to(positions_bt, tokens_bt.shape)
        view = View.of(segments_bt, positions_bt, cache)
        x_btd, new = through(self.layers, x_btd, None, view, attention, remat, cache, positions_bt)
        x_btd = layer_norm(x_btd, self.norm, self.norm_bias, self.config.norm_eps)
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
        return empty_cache(c.num_layers, rows, length, c.num_heads, c.head_dim, dtype)


class Layer(nnx.Module):
    """One block: attention and feed-forward, each after a LayerNorm and added to the stream."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, param_dtype: Any):
        self.config = config
        d, f = config.hidden_size, config.intermediate_size

        def matrix(rows: int, columns: int, scale: float = 1.0) -> nnx.Param:
            init = nnx.initializers.normal(config.initializer_range * scale)
            return nnx.Param(init(rngs.params(), (rows, columns), param_dtype))

        def constant(size: int, value: float) -> nnx.Param:
            return nnx.Param(jnp.full(size, value, param_dtype))

        residual = 1 / math.sqrt(2 * config.num_layers)
        self.attention_norm, self.attention_norm_bias = constant(d, 1), constant(d, 0)
        self.q, self.k, self.v = matrix(d, d), matrix(d, d), matrix(d, d)
        self.q_bias, self.k_bias, self.v_bias = constant(d, 0), constant(d, 0), constant(d, 0)
        self.o, self.o_bias = matrix(d, d, residual), constant(d, 0)
        self.mlp_norm, self.mlp_norm_bias = constant(d, 1), constant(d, 0)
        self.up, self.up_bias = matrix(d, f), constant(f, 0)
        self.down, self.down_bias = matrix(f, d, residual), constant(d, 0)

    def __call__(
        self,
        x_btd: jax.Array,
        rope: None,
        view: View,
        implementation: Implementation,
        cache: LayerCache | None = None,
        positions_bt: jax.Array | None = None,
    ) -> Any:
        b, t, _ = x_btd.shape
        heads = (b, t, -1, self.config.head_dim)

        y_btd = enter(layer_norm(x_btd, self.attention_norm, self.attention_norm_bias, self.config.norm_eps))
        q_btnh = linear(y_btd, self.q, self.q_bias).reshape(heads)  # columns into heads
        k_btnh = linear(y_btd, self.k, self.k_bias).reshape(heads)
        v_btnh = linear(y_btd, self.v, self.v_bias).reshape(heads)
        if cache is not None:
            cache = write(cache, k_btnh, v_btnh, positions_bt)  # type: ignore[arg-type]  # given with a cache
            y_btd = attend_cache(q_btnh, cache, view)
        else:
            y_btd = attend(q_btnh, k_btnh, v_btnh, view, implementation)
        x_btd = x_btd + linear(y_btd, self.o, self.o_bias, summed=True)

        y_btd = enter(layer_norm(x_btd, self.mlp_norm, self.mlp_norm_bias, self.config.norm_eps))
        y_btf = gelu(linear(y_btd, self.up, self.up_bias))
        x_btd = x_btd + linear(y_btf, self.down, self.down_bias, summed=True)
        return x_btd if cache is None else (x_btd, cache)


def layer_norm(x_btd: jax.Array, weight: nnx.Param, bias: nnx.Param, eps: float) -> jax.Array:
    """x to mean 0 and variance 1 in float32, times the weight, plus the bias."""
    return _layer_norm(x_btd, weight[...], bias[...], eps)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _layer_norm(x_btd: jax.Array, weight_d: jax.Array, bias_d: jax.Array, eps: float) -> jax.Array:
    """The derivative is written by hand: XLA's puts float32 arrays of x's size into a GPU's memory to sum them up."""
    return _normed(x_btd, weight_d, bias_d, eps)[0]


def _normed(x_btd: jax.Array, weight_d: jax.Array, bias_d: jax.Array, eps: float) -> Any:
    x32 = x_btd.astype(jnp.float32)
    mean_bt1 = x32.mean(axis=-1, keepdims=True)
    scale_bt1 = jax.lax.rsqrt(jnp.mean(jnp.square(x32 - mean_bt1), axis=-1, keepdims=True) + eps)
    # Two numbers a token: with these kept, the norm is made again without sums.
    mean_bt1, scale_bt1 = (kept(number) for number in (mean_bt1, scale_bt1))
    normed_btd = (x32 - mean_bt1) * scale_bt1
    y_btd = (normed_btd * weight_d.astype(jnp.float32) + bias_d.astype(jnp.float32)).astype(x_btd.dtype)
    return y_btd, (x_btd, weight_d, bias_d, mean_bt1, scale_bt1)


def _norm_gradient(eps: float, residuals: Any, d_btd: jax.Array) -> Any:
    x_btd, weight_d, bias_d, mean_bt1, scale_bt1 = residuals
    d_btd = d_btd.astype(jnp.float32)
    normed_btd = (x_btd.astype(jnp.float32) - mean_bt1) * scale_bt1
    d_normed_btd = d_btd * weight_d.astype(jnp.float32)
    along_bt1 = jnp.mean(d_normed_btd * normed_btd, axis=-1, keepdims=True)
    d_x_btd = scale_bt1 * (d_normed_btd - d_normed_btd.mean(axis=-1, keepdims=True) - along_bt1 * normed_btd)
    tokens = tuple(range(x_btd.ndim - 1))
    d_weight_d, d_bias_d = (d_btd * normed_btd).sum(tokens), d_btd.sum(tokens)
    return d_x_btd.astype(x_btd.dtype), d_weight_d.astype(weight_d.dtype), d_bias_d.astype(bias_d.dtype)


_layer_norm.defvjp(_normed, _norm_gradient)


@jax.custom_vjp
def gelu(x: jax.Array) -> jax.Array:
    """GELU as GPT-2 approximates it, by tanh, in float32: 1/2 (1 + tanh(y)) is the logistic function of 2 y.

    The derivative is written by hand: in XLA's, a GPU keeps tanh beside x, in x's type.
    """
    return (x.astype(jnp.float32) * _share(x)).astype(x.dtype)


def _share(x: jax.Array) -> jax.Array:
    x32 = x.astype(jnp.float32)
    return jax.nn.sigmoid(2 * GELU_SCALE * (x32 + GELU_CUBE * x32**3))


def _gelu_gradient(x: jax.Array, d: jax.Array) -> tuple[jax.Array]:
    x32, share = x.astype(jnp.float32), _share(x)
    slope = 2 * GELU_SCALE * (1 + 3 * GELU_CUBE * x32**2)
    return ((d.astype(jnp.float32) * share * (1 + x32 * (1 - share) * slope)).astype(x.dtype),)


gelu.defvjp(lambda x: (gelu(x), x), _gelu_gradient)
