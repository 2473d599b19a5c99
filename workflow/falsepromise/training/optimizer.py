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

from falsepromise.training.recipe import Recipe

RMS_FLOOR = 1e-3


def scale_by_parameter_rms(floor: float = RMS_FLOOR, stacked: bool = False) -> optax.GradientTransformation:
    """Multiply each array's update by the root mean square of the array.

    Args:
        floor: The least factor, so that an array of zeros can move at all.
        stacked: The first axis counts layers: the scale is then each layer's own. (Pooled over the
            stack, a layer with small weights would move as far as one with large weights.)
    """

    def factor(parameter: jax.Array) -> jax.Array:
        axes = tuple(range(1, parameter.ndim)) if stacked else None
        mean_square = jnp.mean(jnp.square(parameter.astype(jnp.float32)), axis=axes, keepdims=True)
        return jnp.maximum(jnp.sqrt(mean_square), floor).astype(parameter.dtype)

    def update(updates: Any, state: optax.EmptyState, params: Any = None) -> tuple[Any, optax.EmptyState]:
        if params is None:
            raise ValueError(optax.NO_PARAMS_MSG)
        return jax.tree.map(lambda u, p: u * factor(p), updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def add_decay_to_base(rate: float, base: Any) -> optax.GradientTransformation:
    """Add `rate * (p - base)`: decoupled decay towards the base model's weights (L2-SP, Li et al., 2018)."""

    def update(updates: Any, state: optax.EmptyState, params: Any = None) -> tuple[Any, optax.EmptyState]:
        return jax.tree.map(lambda u, p, b: u + rate * (p - b), updates, params, base), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def schedule(recipe: Recipe, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up from 0, then constant, linear or cosine decay to 0."""
    warmup = recipe.warmup(steps)
    rest = max(steps - warmup, 1)
    after = {
        "constant": optax.constant_schedule(recipe.learning_rate),
        "linear": optax.linear_schedule(recipe.learning_rate, 0.0, rest),
        "cosine": optax.cosine_decay_schedule(recipe.learning_rate, rest),
    }[recipe.decay]
    return optax.join_schedules([optax.linear_schedule(0.0, recipe.learning_rate, max(warmup, 1)), after], [warmup])


def make(recipe: Recipe, steps: int, base: Any = None) -> optax.GradientTransformation:
    """The whole transformation of a run.

    Args:
        recipe: The recipe.
        steps: Optimizer steps of the run.
        base: The base model's parameters, for `decay_to_base`.
    """
    parts = [optax.clip_by_global_norm(recipe.clip_norm)] if recipe.clip_norm else []
    rate = schedule(recipe, steps)
    if recipe.optimizer == "muon":
        # Matrices by Muon (Jordan et al., 2024), embeddings and vectors by AdamW.
        muon = optax.contrib.muon(
            rate,
            beta=0.95,
            adam_b1=recipe.beta1,
            adam_b2=recipe.beta2,
            weight_decay=recipe.weight_decay,
            consistent_rms=0.2,  # Adam-sized updates (Liu et al., 2025), so that one learning rate fits both
            muon_weight_dimension_numbers=_muon_dimensions,
        )
        return optax.chain(*parts, muon)
    parts.append(optax.scale_by_adam(recipe.beta1, recipe.beta2, recipe.epsilon))
    if recipe.optimizer == "scaled_adamw":
        parts.append(scale_by_parameter_rms())
    if recipe.weight_decay:
        parts.append(optax.add_decayed_weights(recipe.weight_decay, mask=_matrices))
    if recipe.decay_to_base:
        parts.append(add_decay_to_base(recipe.decay_to_base, base))
    parts.append(optax.scale_by_learning_rate(rate))
    return optax.chain(*parts)


def _matrices(params: Any) -> Any:
    """Which arrays decay: matrices, not norms and biases."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def _muon_dimensions(params: Any) -> Any:
    """Which arrays Muon updates: matrices between hidden layers, not the embeddings."""

    def choose(path: tuple[Any, ...], parameter: jax.Array) -> Any:
        name = jax.tree_util.keystr(path).lower()
        hidden = parameter.ndim == 2 and "embed" not in name and "head" not in name
        return optax.contrib.MuonDimensionNumbers() if hidden else None

    return jax.tree_util.tree_map_with_path(choose, params)
