"""Causal attention over a row of tokens or a cache, shared by the architectures.

Shape letters: b rows, t query positions, s key positions, n query heads, k key heads,
g = n / k query heads that share a key head, h head size.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

Implementation = Literal["xla", "cudnn"]
MASKED = -1e30  # finite, so that a row without any visible key gives no NaN


class LayerCache(NamedTuple):
    """Keys and values of one layer; slot s of a row holds the token at position s."""

    k_bskh: jax.Array
    v_bskh: jax.Array


Cache = list[LayerCache]


def visible(
    length: int,
    segments_bt: jax.Array | None,
    positions_bt: jax.Array | None,
    cache_length: int | None,
) -> jax.Array:
    """Which keys each query sees, `(1 or b, t, s)` boolean.

    Without a cache: keys at or before the query, of the same segment. With one: every slot at or
    before the query's position, whatever padding was written behind it.
    """
    if cache_length is not None:
        return jnp.arange(cache_length)[None, None, :] <= positions_bt[:, :, None]
    causal_1ts = jnp.tril(jnp.ones((length, length), bool))[None]
    if segments_bt is None:
        return causal_1ts
    return causal_1ts & (segments_bt[:, :, None] == segments_bt[:, None, :])


def write(cache: LayerCache, k_btkh: jax.Array, v_btkh: jax.Array, positions_bt: jax.Array) -> LayerCache:
    """The cache with keys and values at their positions; positions beyond its end are not written."""
    rows = jnp.arange(k_btkh.shape[0])[:, None]
    return LayerCache(
        cache.k_bskh.at[rows, positions_bt].set(k_btkh.astype(cache.k_bskh.dtype), mode="drop"),
        cache.v_bskh.at[rows, positions_bt].set(v_btkh.astype(cache.v_bskh.dtype), mode="drop"),
    )


def attend(
    q_btnh: jax.Array,
    k_bskh: jax.Array,
    v_bskh: jax.Array,
    visible_bts: jax.Array,
    plain_causal: bool,
    implementation: Implementation,
) -> jax.Array:
    """Softmax attention, softmax in float32, `(b, t, n * h)`.

    Args:
        visible_bts: Which keys a query sees.
        plain_causal: That mask is the causal one alone, so a fused kernel may make its own.
        implementation: "xla", or "cudnn" for the fused kernel of NVIDIA GPUs (half precision only).
    """
    b, t, n, h = q_btnh.shape
    k = k_bskh.shape[2]
    if implementation == "cudnn":
        # With segments the mask is given as it is: the kernel's own segment support ignores them in places.
        mask = None if plain_causal else visible_bts[:, None]
        out_btnh = jax.nn.dot_product_attention(
            q_btnh, k_bskh, v_bskh, mask=mask, is_causal=plain_causal, implementation="cudnn"
        )
        return out_btnh.reshape(b, t, n * h)
    if n == k:
        scores_bnts = jnp.einsum("btnh,bsnh->bnts", q_btnh * h**-0.5, k_bskh, preferred_element_type=jnp.float32)
        scores_bnts = jnp.where(visible_bts[:, None], scores_bnts, MASKED)
        weights_bnts = jax.nn.softmax(scores_bnts, axis=-1).astype(v_bskh.dtype)
        out_btnh = jnp.einsum("bnts,bsnh->btnh", weights_bnts, v_bskh)
        return out_btnh.reshape(b, t, n * h)
    q_btkgh = (q_btnh * h**-0.5).reshape(b, t, k, n // k, h)  # query heads grouped by their key head
    scores_bkgts = jnp.einsum("btkgh,bskh->bkgts", q_btkgh, k_bskh, preferred_element_type=jnp.float32)
    scores_bkgts = jnp.where(visible_bts[:, None, None], scores_bkgts, MASKED)
    weights_bkgts = jax.nn.softmax(scores_bkgts, axis=-1).astype(v_bskh.dtype)
    out_btkgh = jnp.einsum("bkgts,bskh->btkgh", weights_bkgts, v_bskh)
    return out_btkgh.reshape(b, t, n * h)
