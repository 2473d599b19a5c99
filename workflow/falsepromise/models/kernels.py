"""Fused attention that JAX ships as Pallas kernels, with segments: splash attention on TPUs, Triton's on NVIDIA GPUs.

Neither makes a (t, t) mask or holds scores in memory. `interpret` runs a kernel on any platform, slowly, for tests.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from falsepromise.models.parallel import KEPT

LANES = 128  # rows of a block at least; what a TPU's vector unit is wide


def splash(
    q_btnh: jax.Array,
    k_btkh: jax.Array,
    v_btkh: jax.Array,
    segments_bt: jax.Array | None,
    window: int | None = None,
    interpret: bool = False,
) -> jax.Array:
    """Causal attention, `(b, t, n, h)`; rows are filled up to whole blocks of `LANES` tokens.

    Args:
        window: A query sees so many keys at most, its own included; None for all.
    """
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    length, heads, shared = q_btnh.shape[1], q_btnh.shape[2], q_btnh.shape[2] // k_btkh.shape[2]
    q_btnh, k_btkh, v_btkh, segments_bt = _filled(q_btnh * q_btnh.shape[3] ** -0.5, k_btkh, v_btkh, segments_bt)
    t = q_btnh.shape[1]
    block = math.gcd(t, 512)
    sizes = kernels.BlockSizes(
        block_q=block, block_kv=block, block_kv_compute=block, block_q_dkv=block, block_kv_dkv=block,
        block_kv_dkv_compute=block, block_q_dq=block, block_kv_dq=block,
    )  # fmt: skip
    visible = masks.CausalMask((t, t)) if window is None else masks.LocalMask((t, t), (window - 1, 0), 0)
    mask = masks.MultiHeadMask([visible] * (heads if shared == 1 else shared))
    make = kernels.make_splash_mha if shared == 1 else kernels.make_splash_mqa
    kernel = make(
        mask, block_sizes=sizes, head_shards=1, q_seq_shards=1, residual_checkpoint_name=KEPT, interpret=interpret
    )

    def row(q_tnh: jax.Array, k_tkh: jax.Array, v_tkh: jax.Array, segments_t: jax.Array | None) -> jax.Array:
        segments = None if segments_t is None else kernels.SegmentIds(segments_t, segments_t)
        q_nth, k_kth, v_kth = (x.swapaxes(0, 1) for x in (q_tnh, k_tkh, v_tkh))
        if shared == 1:
            return kernel(q_nth, k_kth, v_kth, segments)
        q_kgth = q_nth.reshape(-1, shared, *q_nth.shape[1:])  # queries beside the key head that they share
        return jax.vmap(kernel, (0, 0, 0, None))(q_kgth, k_kth, v_kth, segments).reshape(q_nth.shape)

    out_bnth = jax.vmap(row)(q_btnh, k_btkh, v_btkh, segments_bt)
    return out_bnth.swapaxes(1, 2)[:, :length]


def triton(
    q_btnh: jax.Array, k_btkh: jax.Array, v_btkh: jax.Array, segments_bt: jax.Array | None, interpret: bool = False
) -> jax.Array:
    """Causal attention, `(b, t, n, h)`; rows are filled up to whole blocks of `LANES` tokens."""
    from jax.experimental.pallas.ops.gpu.attention import mha

    length, shared = q_btnh.shape[1], q_btnh.shape[2] // k_btkh.shape[2]
    k_btnh, v_btnh = jnp.repeat(k_btkh, shared, axis=2), jnp.repeat(v_btkh, shared, axis=2)
    q_btnh, k_btnh, v_btnh, segments_bt = _filled(q_btnh, k_btnh, v_btnh, segments_bt)
    out = mha(q_btnh, k_btnh, v_btnh, segments_bt, q_btnh.shape[3] ** -0.5, True, interpret=interpret)
    return out[:, :length]


def _filled(
    q: jax.Array, k: jax.Array, v: jax.Array, segments_bt: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """The same with rows of a multiple of `LANES` tokens: no real token sees what is behind it."""
    more = -q.shape[1] % LANES
    if not more:
        return q, k, v, segments_bt
    q, k, v = (jnp.pad(x, ((0, 0), (0, more), (0, 0), (0, 0))) for x in (q, k, v))
    return q, k, v, None if segments_bt is None else jnp.pad(segments_bt, ((0, 0), (0, more)), mode="edge")
