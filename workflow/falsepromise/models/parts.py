"""Parts of all architectures besides attention: a linear map and the look-up of tokens."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from falsepromise.models import parallel


def linear(x: jax.Array, weight: nnx.Param, bias: nnx.Param | None = None, summed: bool = False) -> jax.Array:
    """`x @ weight + bias`, in x's type.

    Args:
        summed: x is what this device's own heads or units gave: the products are summed over the devices of `tensor`.
    """
    # Over two axes: of three, XLA turns the gradient's operand first and makes the weight's gradient at half the rate.
    y = (x.reshape(-1, x.shape[-1]) @ weight[...].astype(x.dtype)).reshape(*x.shape[:-1], -1)
    y = parallel.leave(y) if summed else y
    if bias is None:
        return y
    return kept(_with_bias(y, bias[...]))


def kept(x: jax.Array) -> jax.Array:
    """x, which `remat: dots` keeps for the backward pass beside what products of matrices give."""
    return checkpoint_name(x, parallel.KEPT)


@jax.custom_vjp
def _with_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """`y + bias`, in y's type: a GPU adds it within the product, before that is rounded."""
    return y + bias.astype(y.dtype)


def _bias_gradient(bias: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    # In float32, because it is a sum over all tokens: bfloat16 loses 4 to 12 %. The barrier keeps XLA from making d,
    # which is in memory for the other gradients, once more for this one.
    tokens = jax.lax.optimization_barrier(d).reshape(-1, d.shape[-1])
    return d, tokens.astype(jnp.float32).sum(0).astype(bias.dtype)


_with_bias.defvjp(lambda y, bias: (_with_bias(y, bias), bias), _bias_gradient)


def made_once(x: jax.Array) -> jax.Array:
    """x, which costs much to make and little to read.

    XLA on a CPU makes such an array anew wherever one of its numbers is used: a rotary table's sines in every layer,
    head and pass, a twentieth of a step. It doesn't move what it has to look up.
    """

    def looked_up(x: jax.Array) -> jax.Array:
        return x[..., jax.lax.optimization_barrier(jnp.arange(x.shape[-1]))]

    return jax.lax.platform_dependent(x, cpu=looked_up, default=lambda x: x)


def over_rows(x_nd: jax.Array, y_nv: jax.Array) -> jax.Array:
    """`x.T @ y` in float32, (d, v): the gradient of a wide matrix, a sum over rows."""
    # XLA on a CPU hands a product that sums over both operands' first axes to Eigen, which packs matrices whose width
    # is a power of two at half the rate. With the left one turned in memory YNNPACK takes it.
    x_dn = jax.lax.platform_dependent(
        x_nd, cpu=lambda x_nd: jax.lax.optimization_barrier(x_nd.T), default=lambda x_nd: x_nd.T
    )
    return jnp.einsum("dn,nv->dv", x_dn, y_nv, preferred_element_type=jnp.float32)


def turned(x: jax.Array) -> jax.Array:
    """x with its last two axes exchanged, after it was computed.

    XLA makes one product of a product and its transposition, which on a CPU turns the larger operand instead
    of the result. Rounding to the type that x already has changes nothing and stands in between.
    """
    kind = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, kind.nexp, kind.nmant).swapaxes(-1, -2)


def looked_up(table_vd: jax.Array, ids_bt: jax.Array, dtype: Any, rows: int) -> jax.Array:
    """Rows of a table, `(b, t, d)` in `dtype`; the table's gradient is summed in float32.

    Args:
        table_vd: The table, or this device's share of it.
        rows: Of the whole table.
    """
    return _looked_up(table_vd, ids_bt, dtype, len(table_vd), len(table_vd) < rows)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _looked_up(table_vd: jax.Array, ids_bt: jax.Array, dtype: Any, rows: int, cut: bool) -> jax.Array:
    whole_vd = parallel.gathered(table_vd, 1, dtype)
    if not cut:
        return whole_vd[ids_bt]
    own_bt, inside_bt = parallel.own_rows(ids_bt, rows)
    return parallel.leave(jnp.where(inside_bt[..., None], whole_vd[own_bt], 0))


def _look_up(table_vd: jax.Array, ids_bt: jax.Array, dtype: Any, rows: int, cut: bool) -> Any:
    return _looked_up(table_vd, ids_bt, dtype, rows, cut), ids_bt


def _add_up(dtype: Any, rows: int, cut: bool, ids_bt: jax.Array, d_btd: jax.Array) -> Any:
    d_btd = d_btd.astype(jnp.float32)
    if cut:
        ids_bt, inside_bt = parallel.own_rows(ids_bt, rows)
        d_btd = jnp.where(inside_bt[..., None], d_btd, 0)
    return parallel.scattered(jnp.zeros((rows, d_btd.shape[-1]), jnp.float32).at[ids_bt].add(d_btd), 1), None


_looked_up.defvjp(_look_up, _add_up)
