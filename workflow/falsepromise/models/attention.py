"""Causal attention over a row of tokens or a cache, shared by the architectures.

Shape letters: b rows, t query positions, s key positions, n query heads, k key heads,
g = n / k query heads that share a key head, h head size.

On a CPU the products run over `(heads, positions, h)`: with `(positions, heads, h)` XLA copies every
operand first. Queries are worked off in blocks, each with the keys up to its own end, which leaves
out most of what a causal mask hides; the backward pass is written by hand for the same reason. Together
this is 1.2 to 1.7 times as fast as the plain formula (benchmarks/generation_results.md).
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from falsepromise.core.errors import UserError
from falsepromise.models import kernels
from falsepromise.models.parts import turned

Implementation = Literal["xla", "cudnn", "triton", "splash"]
MASKED = -1e30  # finite, so that a row without any visible key gives no NaN
QUERY_BLOCK = 64  # queries at least
QUERY_BLOCKS = 8  # blocks at most: each is compiled on its own


class LayerCache(NamedTuple):
    """Keys and values of one layer; slot s of a row holds the token at position s."""

    k_bksh: jax.Array
    v_bksh: jax.Array


Cache = list[LayerCache]


def empty_cache(layers: int, rows: int, length: int, heads: int, size: int, dtype: Any) -> Cache:
    """A cache of zeros for `rows` rows of up to `length` tokens."""
    shape = (rows, heads, length, size)
    return [LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(layers)]


def cache_length(cache: Cache) -> int:
    """Slots of a row."""
    return cache[0].k_bksh.shape[2]


class View(NamedTuple):
    """What queries see: keys of the same row at or before them, and of the same segment where there are segments.

    Attributes:
        segments_bt: Each token's segment, or None.
        positions_bt: With a cache, each query's slot; the others' slots are theirs.
        window: A query sees so many keys at most, its own and those just before it; None for all.
    """

    segments_bt: jax.Array | None = None
    positions_bt: jax.Array | None = None
    window: int | None = None

    @classmethod
    def of(cls, segments_bt: jax.Array | None, positions_bt: jax.Array, cache: Cache | None) -> View:
        """With a cache, positions tell who sees what; segments don't count."""
        return cls(segments_bt) if cache is None else cls(None, positions_bt)

    def mask(self, length: int) -> jax.Array:
        """The same of a row of `length` tokens as `(1 or b, t, s)` boolean."""
        causal_1ts = jnp.tril(jnp.ones((length, length), bool))[None]
        if self.window is not None and self.window < length:
            causal_1ts &= ~jnp.tril(causal_1ts, -self.window)
        if self.segments_bt is None:
            return causal_1ts
        return causal_1ts & (self.segments_bt[:, :, None] == self.segments_bt[:, None, :])

    def slots(self, length: int) -> jax.Array:
        """The same of a cache of `length` slots, `(b, t, s)` boolean: every slot at or before the query's, whatever
        padding was written behind it."""
        behind_bts = self.positions_bt[:, :, None] - jnp.arange(length)  # type: ignore[index]  # with a cache
        return behind_bts >= 0 if self.window is None else (behind_bts >= 0) & (behind_bts < self.window)


def write(cache: LayerCache, k_btkh: jax.Array, v_btkh: jax.Array, positions_bt: jax.Array) -> LayerCache:
    """The cache with keys and values at their positions; positions beyond its end are not written."""

    def put(slots_sh: jax.Array, new_th: jax.Array, positions_t: jax.Array) -> jax.Array:
        return slots_sh.at[positions_t].set(new_th.astype(slots_sh.dtype), mode="drop")

    # Mapped over rows and heads, so that devices which share these write each their own.
    put_all = jax.vmap(jax.vmap(put, in_axes=(0, 1, None)))
    return LayerCache(
        put_all(cache.k_bksh, k_btkh, positions_bt),
        put_all(cache.v_bksh, v_btkh, positions_bt),
    )


def fused(platform: str, dtype: Any, segments: bool, head_dim: int) -> Implementation:
    """The implementation for a platform ("cpu", "cuda", "gpu" or "tpu"): what `attention: auto` means there.

    Args:
        head_dim: GPUs' kernels take heads of up to 128 features in eights on every card (Gemma's have 256).
    """
    if platform == "tpu":
        return "splash"
    if platform in ("cuda", "gpu") and jnp.dtype(dtype).itemsize == 2 and head_dim <= 128 and head_dim % 8 == 0:
        return "triton" if segments else "cudnn"
    return "xla"


def attend(
    q_btnh: jax.Array, k_btkh: jax.Array, v_btkh: jax.Array, view: View, implementation: Implementation
) -> jax.Array:
    """Causal softmax attention within rows, softmax in float32, `(b, t, n * h)`.

    Args:
        view: Which keys a query sees.
        implementation: "xla"; "cudnn" or "triton" for a fused kernel of NVIDIA GPUs (cuDNN's: half precision only,
            and with segments it takes a mask in memory); "splash" for TPUs'. A window narrower than the row is kept by
            each: "triton" leaves such layers to cuDNN's.
    """
    b, t, n, h = q_btnh.shape
    window = view.window if view.window is not None and view.window < t else None
    if implementation == "triton" and window is not None:
        # Triton's kernel has no windows; cuDNN's takes any mask, in half precision.
        implementation = "cudnn" if q_btnh.dtype.itemsize == 2 else "xla"
    if implementation == "triton":
        return kernels.triton(q_btnh, k_btkh, v_btkh, view.segments_bt).reshape(b, t, n * h)
    if implementation == "splash":
        return kernels.splash(q_btnh, k_btkh, v_btkh, view.segments_bt, window).reshape(b, t, n * h)
    if implementation == "cudnn":
        # With segments the mask is given as it is: the kernel's own segment support ignores them in places.
        plain = view.segments_bt is None
        if not plain and t % 2:
            implementation = "xla"  # with a mask that kernel wants an even number of tokens
    if implementation == "cudnn":
        mask = None if plain else view.mask(t)[:, None]
        local = (window - 1, 0) if plain and window is not None else None
        try:
            out_btnh = jax.nn.dot_product_attention(
                q_btnh, k_btkh, v_btkh, mask=mask, is_causal=plain, local_window_size=local, implementation="cudnn"
            )
        except (NotImplementedError, RuntimeError) as error:  # of heads, types, cards
            why = str(error).splitlines()[0]
            raise UserError(f"attention: cudnn can't be used here: {why} attention: auto takes what can") from error
        return out_btnh.reshape(b, t, n * h)
    visible_bts = view.mask(t)
    q_bkgth = grouped(q_btnh, k_btkh.shape[2])
    k_bksh, v_bksh = k_btkh.swapaxes(1, 2), v_btkh.swapaxes(1, 2)
    blocks = min(max(t // QUERY_BLOCK, 1), QUERY_BLOCKS)
    bounds = [i * t // blocks for i in range(blocks + 1)]

    def block(start: int, end: int) -> jax.Array:
        first = 0 if view.window is None else max(0, start - view.window + 1)  # the first key that any of them sees
        keys = (slice(None), slice(None), slice(first, end))
        return _softmax_attention(
            q_bkgth[:, :, :, start:end], k_bksh[keys], v_bksh[keys], visible_bts[:, start:end, first:end]
        )

    out_bkgth = jnp.concatenate([block(start, end) for start, end in itertools.pairwise(bounds)], axis=3)
    return ungrouped(out_bkgth)


def attend_cache(q_btnh: jax.Array, cache: LayerCache, view: View) -> jax.Array:
    """Softmax attention over a cache, `(b, t, n * h)`; arguments as `attend`."""
    k_bksh, v_bksh = (a.astype(q_btnh.dtype) for a in cache)
    q_bkgth = grouped(q_btnh, k_bksh.shape[1])
    return ungrouped(_softmax_attention(q_bkgth, k_bksh, v_bksh, view.slots(cache_length([cache]))))


def grouped(q_btnh: jax.Array, key_heads: int) -> jax.Array:
    """Query heads beside the key head that they share: `(b, k, g, t, h)`."""
    b, t, n, h = q_btnh.shape
    return q_btnh.reshape(b, t, key_heads, n // key_heads, h).transpose(0, 2, 3, 1, 4)


def ungrouped(out_bkgth: jax.Array) -> jax.Array:
    """Heads side by side again: `(b, t, n * h)`."""
    b, k, g, t, h = out_bkgth.shape
    return out_bkgth.transpose(0, 3, 1, 2, 4).reshape(b, t, k * g * h)


def _softmax_attention(q_bkgth: jax.Array, k_bksh: jax.Array, v_bksh: jax.Array, visible_bts: jax.Array) -> jax.Array:
    b, k, g, t, h = q_bkgth.shape
    # Queries that share a key head stand behind each other: (b, k, g * t, h), four axes throughout.
    visible_1 = jnp.broadcast_to(visible_bts[:, None, None], (len(visible_bts), 1, g, *visible_bts.shape[1:]))
    visible_1 = visible_1.reshape(len(visible_bts), 1, g * t, -1)
    return _four_axes(q_bkgth.reshape(b, k, g * t, h), k_bksh, v_bksh, visible_1).reshape(b, k, g, t, h)


@jax.custom_vjp
def _four_axes(q_bkth: jax.Array, k_bksh: jax.Array, v_bksh: jax.Array, visible_b1ts: jax.Array) -> jax.Array:
    return _forward(q_bkth, k_bksh, v_bksh, visible_b1ts)[0]


def _forward(q_bkth: jax.Array, k_bksh: jax.Array, v_bksh: jax.Array, visible_b1ts: jax.Array) -> Any:
    # Scaled here and not as queries, whose product with its bias XLA can scale without the bias (docs/training.md).
    scores = _dot("bkth,bksh->bkts", q_bkth, k_bksh) * q_bkth.shape[-1] ** -0.5
    scores = jnp.where(visible_b1ts, scores, MASKED)
    # The same as jax.nn.softmax without its second guard against rows that see nothing.
    raised = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = (raised / raised.sum(axis=-1, keepdims=True)).astype(v_bksh.dtype)
    out_bkth = jnp.einsum("bkts,bksh->bkth", weights, v_bksh)
    return out_bkth, (q_bkth, k_bksh, v_bksh, weights, out_bkth)


def _backward(kept: Any, d_out: jax.Array) -> Any:
    q_bkth, k_bksh, v_bksh, weights, out_bkth = kept
    d_v = turned(jnp.einsum("bkts,bkth->bkhs", weights, d_out))
    d_weights = _dot("bkth,bksh->bkts", d_out, v_bksh)
    # Softmax's derivative: the sum over keys of weight times its gradient is out . d_out.
    pooled = jnp.sum(out_bkth.astype(jnp.float32) * d_out.astype(jnp.float32), axis=-1, keepdims=True)
    d_scores = (weights.astype(jnp.float32) * (d_weights - pooled)).astype(q_bkth.dtype)
    scale = q_bkth.shape[-1] ** -0.5
    d_q = jnp.einsum("bkts,bksh->bkth", d_scores, k_bksh) * scale
    d_k = turned(jnp.einsum("bkts,bkth->bkhs", d_scores, q_bkth) * scale)
    return d_q, d_k, d_v, None


_four_axes.defvjp(_forward, _backward)
_dot = partial(jnp.einsum, preferred_element_type=jnp.float32)
