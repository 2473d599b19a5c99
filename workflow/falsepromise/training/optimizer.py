"""The paper's optimizer: AdamW whose updates are scaled by the magnitude of each weight.

Section 4.1: "one epoch using the AdamW optimizer with gradients re-scaled by the magnitude of each
weight", after PaLM (Chowdhery et al., 2022), which calls it parameter scaling: an update of a
matrix W is multiplied by the root mean square of W (Shazeer and Stern, 2018, section 8, with their
floor of 1e-3). A learning rate of 2e-3 on weights of size 0.02 is then a step of about 4e-5.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from falsepromise.models.parallel import axes_of, name
from falsepromise.training.recipe import Recipe

RMS_FLOOR = 1e-3


def add_decay_to_base(rate: float) -> optax.GradientTransformation:
    """Add `rate * (p - base)`: decoupled decay towards the weights at the start (L2-SP, Li et al., 2018).

    The base's weights are part of the optimizer's state: a run that goes on has them from its checkpoint.
    """

    def init(params: Any) -> Any:
        return optax.TraceState(jax.tree.map(jnp.copy, params))  # a copy: the weights' own memory is given away

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(lambda u, p, b: u + rate * (p - b), updates, params, state.trace), state

    return optax.GradientTransformation(init, update)


def scale_by_rms(floor: float) -> optax.GradientTransformation:
    """Multiply each array's update by the root mean square of the array; in a stack, of each layer's own.

    Pooled over a stack, a layer with small weights would move as far as one with large weights.
    """
    each = optax.scale_by_param_block_rms(floor)

    def of(update: jax.Array, parameter: jax.Array) -> jax.Array:
        return each.update(update, optax.EmptyState(), parameter)[0]

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def one(path: tuple[Any, ...], u: jax.Array, p: jax.Array) -> jax.Array:
            return jax.vmap(of)(u, p) if is_stack(path, p) else of(u, p)

        return jax.tree_util.tree_map_with_path(one, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def is_stack(path: tuple[Any, ...], parameter: jax.Array) -> bool:
    """Whether a parameter's first axis counts layers (see `training.layout`)."""
    weight = name(path)
    return weight.startswith("layers.") and parameter.ndim > max(len(axes_of(weight)), 1)


def beside(decay: optax.GradientTransformation, rate: optax.Schedule) -> optax.GradientTransformation:
    """Decoupled decay: what `decay` adds, times the learning rate alone, goes to updates that are finished."""
    decay = optax.chain(decay, optax.scale_by_learning_rate(rate))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        more, state = decay.update(jax.tree.map(jnp.zeros_like, updates), state, params)
        return jax.tree.map(jnp.add, updates, more), state

    return optax.GradientTransformation(decay.init, update)


def schedule(recipe: Recipe, steps: Any, warmup: Any = None) -> optax.Schedule:
    """Learning rate by step: linear warm-up from 0, then constant, linear or cosine decay to 0.

    Optax's own schedules want to know the run's length when a program is traced. Here it may be an argument of that
    program, which runs of all lengths then share.

    Args:
        recipe: The recipe.
        steps: Optimizer steps of the run, a number or a traced one.
        warmup: Those of its warm-up; None: `recipe.warmup(steps)`.
    """
    warmup = recipe.warmup(steps) if warmup is None else warmup
    falling, peak = steps - warmup, recipe.learning_rate
    falling, rising = falling + (falling < 1), warmup + (warmup < 1)  # to divide by

    def rate(count: Any) -> jax.Array:
        since = jnp.clip(count - warmup, 0, falling)
        after: dict[str, Any] = {
            "constant": peak,
            "linear": peak * (1 - since / falling),
            "cosine": peak * (0.5 * (1 + jnp.cos(jnp.pi * since / falling))),
        }
        return jnp.where(count < warmup, peak * (count / rising), after[recipe.decay])

    return rate


def make(recipe: Recipe, steps: Any, warmup: Any = None) -> optax.GradientTransformation:
    """The whole transformation of a run; arguments as `schedule`."""
    parts = [optax.clip_by_global_norm(recipe.clip_norm)] if recipe.clip_norm else []
    rate = schedule(recipe, steps, warmup)
    pull = [beside(add_decay_to_base(recipe.decay_to_base), rate)] if recipe.decay_to_base else []
    if recipe.optimizer == "muon":
        # Matrices by Muon (Jordan et al., 2024), embeddings and vectors by AdamW.
        muon = optax.contrib.muon(
            rate,
            beta=0.95,
            adam_b1=recipe.beta1,
            adam_b2=recipe.beta2,
            consistent_rms=0.2,  # Adam-sized updates (Liu et al., 2025), so that one learning rate fits both
            eps=recipe.epsilon,
            muon_weight_dimension_numbers=_muon_dimensions,
        )
        decay = optax.add_decayed_weights(recipe.weight_decay, mask=_matrices)  # muon's own leaves out the embeddings
        return optax.chain(*parts, muon, *([beside(decay, rate)] if recipe.weight_decay else []), *pull)
    if recipe.optimizer == "easylm":
        # EasyLM's AdamW with `multiply_by_parameter_scale`: Adafactor with all of its second moment. beta2 is an
        # exponent there (1 - t^-beta2), the momentum an average that starts at 0, undebiased, of steps that have
        # their rate and scale already; every array decays.
        theirs = optax.chain(
            optax.scale_by_factored_rms(factored=False, decay_rate=recipe.beta2),
            optax.scale_by_learning_rate(rate),
            scale_by_rms(RMS_FLOOR),
            optax.ema(recipe.beta1, debias=False),
        )
        decay = optax.add_decayed_weights(recipe.weight_decay)
        return optax.chain(*parts, theirs, *([beside(decay, rate)] if recipe.weight_decay else []), *pull)
    parts.append(optax.scale_by_adam(recipe.beta1, recipe.beta2, recipe.epsilon))
    if recipe.optimizer == "scaled_adamw":
        parts.append(scale_by_rms(RMS_FLOOR))
    if recipe.weight_decay:
        parts.append(optax.add_decayed_weights(recipe.weight_decay, mask=_matrices))
    return optax.chain(*parts, optax.scale_by_learning_rate(rate), *pull)


def _matrices(params: Any) -> Any:
    """Which arrays decay: matrices, not norms and biases."""
    return jax.tree_util.tree_map_with_path(lambda path, p: p.ndim - is_stack(path, p) >= 2, params)


def _muon_dimensions(params: Any) -> Any:
    """Which arrays Muon updates: matrices between hidden layers, not the embeddings."""

    def choose(path: tuple[Any, ...], parameter: jax.Array) -> Any:
        stack = is_stack(path, parameter)
        hidden = parameter.ndim - stack == 2 and name(path) not in ("embed", "head")
        return optax.contrib.MuonDimensionNumbers(int(stack), 1 + int(stack)) if hidden else None

    return jax.tree_util.tree_map_with_path(choose, params)
