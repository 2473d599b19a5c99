"""OLMo 2 (OLMo team 2025, "2 OLMo 2 Furious"): LLaMA with norms after attention and feed-forward, not before them,
and norms of all queries and all keys of a token.

Reference: `transformers`' modeling_olmo2.py, whose logits the tests compare with.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from falsepromise.models.attention import Implementation, LayerCache, View
from falsepromise.models.config import ModelConfig
from falsepromise.models.llama import Layer, Llama, rms_norm_once_rounded
from falsepromise.models.parallel import devices, enter, leave
from falsepromise.models.rotary import Rope


class Olmo2(Llama):
    """A decoder of OLMo 2's blocks."""

    def layer(self, rngs: nnx.Rngs, param_dtype: Any, index: int) -> nnx.Module:
        return Olmo2Layer(self.config, rngs, param_dtype, index)

    def last_norm(self, x_btd: jax.Array) -> jax.Array:
        return rms_norm_once_rounded(x_btd, self.norm[...], self.config.norm_eps)


class Olmo2Layer(Layer):
    """One block; `attention_norm` and `mlp_norm` come after attention and feed-forward."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, param_dtype: Any, index: int):
        super().__init__(config, rngs, param_dtype, index)
        self.all_q_norm = nnx.Param(jnp.ones(config.num_heads * config.head_dim, param_dtype))
        self.all_k_norm = nnx.Param(jnp.ones(config.num_kv_heads * config.head_dim, param_dtype))

    def __call__(
        self,
        x_btd: jax.Array,
        rope: Rope,
        view: View,
        implementation: Implementation,
        cache: LayerCache | None = None,
        positions_bt: jax.Array | None = None,
    ) -> Any:
        eps = self.config.norm_eps
        y_btd, cache = self.attention(x_btd, rope, view, implementation, cache, positions_bt)
        x_btd = x_btd + rms_norm_once_rounded(y_btd, self.attention_norm[...], eps)
        x_btd = x_btd + rms_norm_once_rounded(self.feed_forward(x_btd), self.mlp_norm[...], eps)
        return x_btd if cache is None else (x_btd, cache)

    def normed(self, q_btx: jax.Array, k_btx: jax.Array) -> tuple[jax.Array, jax.Array]:
        return super().normed(self._norm(q_btx, self.all_q_norm[...]), self._norm(k_btx, self.all_k_norm[...]))

    def _norm(self, x_btx: jax.Array, weight_x: jax.Array) -> jax.Array:
        """RMSNorm over all heads, of which each device of `tensor` has some."""
        x32 = x_btx.astype(jnp.float32)
        # A sum over devices each way: every device's heads count in the mean, and its gradient comes from all.
        squares = enter(leave(jnp.sum(jnp.square(x32), axis=-1, keepdims=True)))
        mean = squares / (x_btx.shape[-1] * devices("tensor"))
        scaled = x32 * jax.lax.rsqrt(mean + self.config.norm_eps)
        return (scaled * weight_x.astype(jnp.float32)).astype(x_btx.dtype)
