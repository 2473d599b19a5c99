"""The training step, as one compiled function over the devices of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from falsepromise.core.errors import UserError
from falsepromise.models import parallel
from falsepromise.models.attention import fused
from falsepromise.training.loss import cross_entropy_sum
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import weight_sharding

Tree = Any


def loss_function(graph: nnx.GraphDef, recipe: Recipe, mesh: Mesh | None = None) -> Any:
    """`f(params, batch) -> (sum of the losses, number of tokens that count)`, of one device's rows."""
    dtype = jnp.dtype(recipe.dtype)
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    for names, made_for, wanted in (
        (("cudnn", "triton"), ("gpu", "cuda"), "NVIDIA GPUs"),
        (("splash",), ("tpu",), "TPUs"),
    ):
        if recipe.attention in names and platform not in made_for:
            raise UserError(
                f"recipe: attention: {recipe.attention} is for {wanted}, here is a {platform}; use attention: auto"
            )

    def of(params: Tree, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graph, params)
        apart = recipe.keep_documents_apart
        attention: Any = recipe.attention
        if attention == "auto":
            attention = fused(platform, dtype, apart, model.config.head_dim)
        hidden_btd = model.hidden(
            batch["inputs"],
            segments_bt=batch["segments"] if apart else None,
            positions_bt=batch["positions"] if apart else None,
            dtype=dtype,
            attention=attention,
            remat=None if recipe.remat == "none" else recipe.remat,
        )
        mask_n = batch["mask"].reshape(-1)
        total = cross_entropy_sum(
            hidden_btd.reshape(-1, hidden_btd.shape[-1]),  # (B * T, D)
            model.unembedding(),
            batch["targets"].reshape(-1),
            mask_n,
            recipe.loss_chunk,
            model.config.vocab_size,
            model.config.vocab_size - model.config.padding,
        )
        return total, mask_n.sum()

    return of


def make_loss(graph: nnx.GraphDef, recipe: Recipe, mesh: Mesh | None = None) -> Any:
    """`(params, batch) -> (sum of the losses, number of tokens that count)`, of rows that devices share."""
    return _summed(loss_function(graph, recipe, mesh), 1, mesh)


def make_step(
    graph: nnx.GraphDef,
    recipe: Recipe,
    transformation: optax.GradientTransformation | Callable[..., optax.GradientTransformation],
    mesh: Mesh | None = None,
) -> Any:
    """The jitted training step: `(state, batch, *length) -> (state, loss)`; the state's memory is used again.

    `transformation` may be a function of the step's further arguments, so that these are no constants of the program:
    `optimizer.make` of the run's steps and of its warm-up's.

    The gradient is that of the mean over all tokens that count in the batch, whatever `recipe.accumulate`
    splits it into and whatever devices share it: which rows are worked off together changes no sum, so a step's
    result stays a function of the seed and the step (but for the order of additions).
    """
    gradient_of = _summed(jax.value_and_grad(loss_function(graph, recipe, mesh), has_aux=True), recipe.accumulate, mesh)

    def step(state: dict[str, Tree], batch: dict[str, jax.Array], *length: jax.Array) -> tuple[dict[str, Tree], Any]:
        params, of_run = state["params"], transformation(*length) if callable(transformation) else transformation
        (total, count), gradient = gradient_of(params, batch)
        count = jnp.maximum(count, 1.0)  # a batch without any reply has no gradient
        gradient = jax.tree.map(lambda g: g / count, gradient)
        updates, optimizer_state = of_run.update(gradient, state["optimizer"], params)
        return {"params": optax.apply_updates(params, updates), "optimizer": optimizer_state}, total / count

    return jax.jit(step, donate_argnums=0)


def _summed(function: Callable[[Tree, Tree], Tree], parts: int, mesh: Mesh | None) -> Callable[[Tree, Tree], Tree]:
    """`function(params, batch)`, whose results are sums over rows, of a batch that devices share and work off in parts.

    Each device cuts its own rows into `parts`: none travels. What the function returns is either scalars, or scalars
    and a gradient of the parameters' form; both are summed over the devices that had other rows.
    """

    def of_own_rows(params: Tree, batch: Tree) -> Tree:
        if parts == 1:
            return function(params, batch)
        cut = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)  # (A, B / A, T)
        shapes = jax.eval_shape(function, params, jax.tree.map(lambda x: x[0], cut))
        zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        def add(so_far: Tree, part: Tree) -> tuple[Tree, None]:
            return jax.tree.map(jnp.add, so_far, function(params, part)), None

        return jax.lax.scan(add, zero, cut)[0]

    if mesh is None or mesh.size == 1:
        return of_own_rows

    def of_all(params: Tree, batch: Tree) -> Tree:
        axes = jax.tree_util.tree_map_with_path(
            lambda path, x: weight_sharding(mesh, parallel.name(path), x.shape).spec, params
        )
        scalars = (P(), P())
        with_gradient = len(jax.tree.leaves(jax.eval_shape(function, params, batch))) > len(scalars)

        def local(params: Tree, batch: Tree) -> Tree:
            found = of_own_rows(params, batch)
            if not with_gradient:
                return jax.lax.psum(found, parallel.ROWS)
            numbers, gradient = found
            # What lives in shares of `fsdp` was summed over it when it was scattered.
            return jax.lax.psum(numbers, parallel.ROWS), jax.tree.map(
                lambda g, spec: jax.lax.psum(g, "data" if "fsdp" in spec else parallel.ROWS), gradient, axes
            )

        return jax.shard_map(
            local, mesh=mesh, in_specs=(axes, P(parallel.ROWS)),
            out_specs=(scalars, axes) if with_gradient else scalars, check_vma=False,
        )(params, batch)  # fmt: skip

    return of_all
