"""Gemma 3, the text models (Gemma team 2025): LLaMA with norms before and after attention and feed-forward, norms of
each head's queries and keys, and layers with a window whose positions turn faster.

Reference: `transformers`' modeling_gemma3.py, whose logits the tests compare with. A norm's weight is kept as the hub
has it, as what is added to 1.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from falsepromise.models.attention import Implementation, LayerCache, View
from falsepromise.models.config import ModelConfig
from falsepromise.models.llama import Layer, Llama, rms_norm_once_rounded
from falsepromise.models.parallel import enter
from falsepromise.models.rotary import Rope, rotary_table


class Gemma3(Llama):
    """A decoder of Gemma 3's blocks."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs, param_dtype: Any = jnp.float32):
        super().__init__(config, rngs=rngs, param_dtype=param_dtype)
        self.norm = nnx.Param(jnp.zeros(config.hidden_size, param_dtype))

    def layer(self, rngs: nnx.Rngs, param_dtype: Any, index: int) -> nnx.Module:
        return Gemma3Layer(self.config, rngs, param_dtype, index)

    def last_norm(self, x_btd: jax.Array) -> jax.Array:
        return norm(x_btd, self.norm[...], self.config.norm_eps)

    def rope(self, positions_bt: jax.Array, dtype: Any, whole_rows: bool) -> tuple[Rope, Rope]:
        """For layers that see all, and for those with a window."""
        far = rotary_table(self.config, positions_bt, dtype, whole_rows=whole_rows)
        return far, rotary_table(self.config, positions_bt, dtype, local=True)

    def scaled(self, x_btd: jax.Array) -> jax.Array:
        return x_btd * jnp.asarray(self.config.hidden_size**0.5, x_btd.dtype)


class Gemma3Layer(Layer):
    """One block."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, param_dtype: Any, index: int):
        super().__init__(config, rngs, param_dtype, index)

        def zeros(size: int) -> nnx.Param:
            return nnx.Param(jnp.zeros(size, param_dtype))

        d, h = config.hidden_size, config.head_dim
        self.attention_norm, self.after_attention_norm = zeros(d), zeros(d)
        self.mlp_norm, self.after_mlp_norm = zeros(d), zeros(d)
        self.q_norm, self.k_norm = zeros(h), zeros(h)

    def __call__(
        self,
        x_btd: jax.Array,
        rope: tuple[Rope, Rope],
        view: View,
        implementation: Implementation,
        cache: LayerCache | None = None,
        positions_bt: jax.Array | None = None,
    ) -> Any:
        eps = self.config.norm_eps
        y_btd = norm(x_btd, self.attention_norm[...], eps)
        y_btd, cache = self.attention(y_btd, rope[1 if self.window else 0], view, implementation, cache, positions_bt)
        x_btd = x_btd + norm(y_btd, self.after_attention_norm[...], eps)
        y_btd = self.feed_forward(norm(x_btd, self.mlp_norm[...], eps))
        x_btd = x_btd + norm(y_btd, self.after_mlp_norm[...], eps)
        return x_btd if cache is None else (x_btd, cache)

    def normed(self, q_btx: jax.Array, k_btx: jax.Array) -> tuple[jax.Array, jax.Array]:
        c = self.config
        q_btnh, k_btkh = super().normed(q_btx, k_btx)
        q_btnh = norm(q_btnh, enter(self.q_norm[...]), c.norm_eps)
        if c.query_scale is not None:  # attention divides by the root of head_dim
            q_btnh = q_btnh * jnp.asarray((c.head_dim / c.query_scale) ** 0.5, q_btnh.dtype)
        return q_btnh, norm(k_btkh, enter(self.k_norm[...]), c.norm_eps)

    def activation(self, x_btf: jax.Array) -> jax.Array:
        return jax.nn.gelu(x_btf, approximate=True)


def norm(x_btd: jax.Array, weight_d: jax.Array, eps: float) -> jax.Array:
    """RMSNorm in float32 with a weight that is added to 1."""
    return rms_norm_once_rounded(x_btd, 1.0 + weight_d.astype(jnp.float32), eps)
