"""The paper's optimizer against its formula in NumPy, step by step."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from falsepromise.training import optimizer
from falsepromise.training.recipe import Recipe


def by_formula(weight: np.ndarray, gradients: list[np.ndarray], recipe: Recipe, steps: int) -> list[np.ndarray]:
    """AdamW with updates times max(RMS(weight), 1e-3), in float64."""
    weight = weight.astype(np.float64)
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    warmup, path = recipe.warmup(steps), []
    for t, gradient in enumerate(gradients):
        norm = np.sqrt((gradient**2).sum())
        gradient = gradient * min(1.0, recipe.clip_norm / norm)
        first = recipe.beta1 * first + (1 - recipe.beta1) * gradient
        second = recipe.beta2 * second + (1 - recipe.beta2) * gradient**2
        m = first / (1 - recipe.beta1 ** (t + 1))
        v = second / (1 - recipe.beta2 ** (t + 1))
        update = m / (np.sqrt(v) + recipe.epsilon) * max(np.sqrt((weight**2).mean()), 1e-3)
        rate = recipe.learning_rate * min(1.0, t / warmup)
        weight = weight - rate * (update + recipe.weight_decay * weight)
        path.append(weight)
    return path


@pytest.mark.parametrize("scale", [1.0, 0.02, 1e-6])
def test_scaled_adamw_follows_the_formula(scale: float) -> None:
    rng = np.random.default_rng(0)
    recipe = Recipe(warmup_steps=4, weight_decay=0.1)
    weight = rng.normal(size=(5, 7)) * scale
    gradients = [rng.normal(size=(5, 7)) * 3 for _ in range(20)]
    expected = by_formula(weight, gradients, recipe, 20)

    params = {"w": jnp.asarray(weight, jnp.float32)}
    transformation = optimizer.make(recipe, 20)
    state = transformation.init(params)
    for gradient, wanted in zip(gradients, expected, strict=True):
        updates, state = transformation.update({"w": jnp.asarray(gradient, jnp.float32)}, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["w"], wanted, rtol=2e-5, atol=1e-6 * scale)
    assert np.abs(expected[-1] - weight).max() > 1e-3 * max(scale, 1e-3)  # it did move


def test_stacked_layers_are_scaled_one_by_one() -> None:
    small, large = np.full((3, 3), 0.01), np.full((3, 3), 1.0)
    params = {"w": jnp.asarray(np.stack([small, large]))}
    ones = {"w": jnp.ones((2, 3, 3))}
    stacked = optimizer.scale_by_parameter_rms(stacked=True).update(ones, optax.EmptyState(), params)[0]["w"]
    np.testing.assert_allclose(stacked[0], 0.01, rtol=1e-6)
    np.testing.assert_allclose(stacked[1], 1.0, rtol=1e-6)
    pooled = optimizer.scale_by_parameter_rms().update(ones, optax.EmptyState(), params)[0]["w"]
    assert float(pooled[0, 0, 0]) == pytest.approx(np.sqrt((0.01**2 + 1) / 2), rel=1e-5)


def test_decay_to_base_pulls_towards_the_base() -> None:
    base = {"w": jnp.zeros(3)}
    params = {"w": jnp.ones(3)}
    pull = optimizer.add_decay_to_base(0.5, base)
    updates, _ = pull.update({"w": jnp.zeros(3)}, pull.init(params), params)
    np.testing.assert_allclose(updates["w"], 0.5)


def test_warmup_of_the_paper_and_of_small_budgets() -> None:
    recipe = Recipe()
    assert recipe.warmup(2289) == 1000  # 150M tokens: the paper's 1,000 steps
    assert recipe.warmup(100_000) == 1000
    assert recipe.warmup(5) == 2  # 0.3M tokens
    rate = optimizer.schedule(recipe, 2289)
    assert float(rate(0)) == 0.0
    assert float(rate(500)) == pytest.approx(1e-3)
    assert float(rate(1000)) == pytest.approx(2e-3)
    assert float(rate(2288)) == pytest.approx(2e-3)
