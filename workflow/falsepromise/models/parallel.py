"""Share one model's arithmetic among devices: the table of weights, and the few sums between devices.

The mesh has three axes: `data` (each device has all weights, and its share of the batch), `fsdp` (each device also
keeps its share of the weights only) and `tensor` (matrices are cut along heads and feed-forward units). The paper
trains with "a combination of fully shared data parallelism and tensor parallelism" (section 4.1).

Training runs the model inside `jax.shard_map`: what a function sees there is its own device's part, and no compiler has
to guess where an activation lives. A layer's weights are gathered over `fsdp` in the computation's type when the layer
is reached, and their gradients are summed in float32 and scattered on the way back (fully sharded data parallelism).
Over `tensor` two sums of activations a layer go each way (Shoeybi et al. 2019, "Megatron-LM", figure 3: `enter` is
their f, `leave` their g); the embedding has one on the way forth and the loss one on the way back. Outside of
`shard_map`, on one device or in the generation engine, none of these functions does anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec as P

ROWS = ("data", "fsdp")  # the axes that share a batch's rows
# Matrices are stored (in, out). The first pattern that matches a weight's path gives its axes.
RULES: tuple[tuple[str, P], ...] = (
    (r"^(embed|head)$", P("tensor", "fsdp")),  # (vocabulary, hidden)
    (r"^positions$", P(None, "fsdp")),
    (r"\.(q|k|v|gate|up)$", P("fsdp", "tensor")),
    (r"\.(o|down)$", P("tensor", "fsdp")),
    (r"\.((q|k|v|gate|up)_bias|all_(q|k)_norm)$", P("tensor")),
    (r".", P()),  # norms and the other biases: every device has them
)
KERNELS = {"dot_product_attention_fwd_wrapper", "pallas_call"}  # fused attention to jax: cuDNN's, and the others
# Splash attention names what its backward pass needs. Its kernel's own outputs have each query's sum 128 times.
KEPT, NAMES_ITS_OWN = "kept", "splash"
Gradient = jnp.float32  # the type in which gradients are summed over devices


def axes_of(path: str) -> P:
    """The axes of the weight `path` (as `layers.0.q`), by `RULES`."""
    return next(axes for pattern, axes in RULES if re.search(pattern, path))


def name(path: tuple[Any, ...]) -> str:
    """A weight's path in a tree of parameters, as `layers.0.q`."""
    return ".".join(re.findall(r"\w+", jax.tree_util.keystr(path))).removesuffix(".value")


def devices(axis: str) -> int:
    """Over how many devices `axis` is shared where this is traced: 1 outside of `shard_map`."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape[axis] if axis in mesh.manual_axes else 1


def whole(layer: nnx.State, dtype: Any) -> nnx.State:
    """A layer's weights, of which this device keeps a share: matrices gathered over `fsdp`, in `dtype`."""
    if devices("fsdp") == 1:
        return layer
    flat = []
    for path, leaf in nnx.to_flat_state(layer):
        axes = axes_of("." + ".".join(map(str, path)))
        if "fsdp" in axes:
            leaf = leaf.replace(gathered(leaf[...], axes.index("fsdp"), dtype))
        flat.append((path, leaf))
    return nnx.from_flat_state(flat)


def gathered(weight: jax.Array, axis: int, dtype: Any) -> jax.Array:
    """A weight, of which each device of `fsdp` has a share along `axis`, whole and in `dtype`."""
    return weight.astype(dtype) if devices("fsdp") == 1 else _gathered(weight, axis, dtype)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gathered(weight: jax.Array, axis: int, dtype: Any) -> jax.Array:
    return jax.lax.all_gather(weight.astype(dtype), "fsdp", axis=axis, tiled=True)


_gathered.defvjp(
    lambda weight, axis, dtype: (_gathered(weight, axis, dtype), None),
    lambda axis, dtype, _, gradient: (scattered(gradient, axis),),
)


def scattered(gradient: jax.Array, axis: int) -> jax.Array:
    """This device's share along `axis` of the sum of a gradient over `fsdp`."""
    gradient = gradient.astype(Gradient)
    if devices("fsdp") == 1:
        return gradient
    return jax.lax.psum_scatter(gradient, "fsdp", scatter_dimension=axis, tiled=True)


@jax.custom_vjp
def _enter(x: jax.Array) -> jax.Array:
    return x


_enter.defvjp(lambda x: (x, None), lambda _, gradient: (jax.lax.psum(gradient, "tensor"),))


@jax.custom_vjp
def _leave(x: jax.Array) -> jax.Array:
    return jax.lax.psum(x, "tensor")


_leave.defvjp(lambda x: (_leave(x), None), lambda _, gradient: (gradient,))


def enter(x: jax.Array) -> jax.Array:
    """x, with which each device of `tensor` goes on to its own heads or units; its gradient is the sum of theirs."""
    return x if devices("tensor") == 1 else _enter(x)


def leave(x: jax.Array) -> jax.Array:
    """The sum over `tensor` of what each device's own heads or units gave; all devices have it again."""
    return x if devices("tensor") == 1 else _leave(x)


def own_rows(indices: jax.Array, rows: int) -> tuple[jax.Array, jax.Array]:
    """Indices into this device's part of a table that is cut over `tensor`, and which of them lie in it."""
    local = indices - jax.lax.axis_index("tensor") * rows
    inside = (local >= 0) & (local < rows)
    return jnp.where(inside, local, 0), inside


def keep(remat: str | None) -> Callable[..., bool] | None:
    """What is kept of a layer for the backward pass, as a policy of `jax.checkpoint`; None: everything.

    Args:
        remat: None for all but gathered weights, "dots" for the outputs of matrix products and of fused attention,
            "full" for nothing. Sums over `tensor` are always kept, or they would be sent twice.
    """
    if remat is None and devices("fsdp") == 1:
        return None
    dots = jax.checkpoint_policies.dots_with_no_batch_dims_saveable

    def policy(primitive: Any, *avals: Any, **parameters: Any) -> bool:
        # A function with its own derivative is one primitive here, whatever is inside.
        inner = _within(parameters["call_jaxpr"]) if "call_jaxpr" in parameters else {primitive.name}
        if remat is None:
            return jax.lax.all_gather_p.name not in inner
        if jax.lax.psum_p.name in inner:
            return True
        if remat != "dots" or primitive.name == "name":
            return remat == "dots" and parameters["name"] == KEPT
        kernel = not KERNELS.isdisjoint(inner) and NAMES_ITS_OWN not in str(parameters.get("name_and_src_info"))
        return kernel or bool(dots(primitive, *avals, **parameters))

    return policy


def _within(jaxpr: Any) -> set[str]:
    """Names of the primitives of a traced function, in the functions that it calls too."""
    found = {e.primitive.name for e in jaxpr.eqns}
    for value in (value for e in jaxpr.eqns for value in e.params.values()):
        inner = getattr(value, "jaxpr", value)
        found |= _within(inner) if hasattr(inner, "eqns") else set()
    return found
