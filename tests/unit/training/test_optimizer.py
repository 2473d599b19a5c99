"""The paper's optimizer against its formula in NumPy, step by step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
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


def test_easylm_follows_its_formula_and_meets_ours_after_a_thousand_steps() -> None:
    """Adafactor, unfactored: the second moment's decay is 1 - t^-0.95, momentum is an undebiased average of steps that
    have their rate and scale, and 1e-4 of every array decays."""
    rng = np.random.default_rng(0)
    recipe = Recipe(optimizer="easylm", warmup_steps=4, weight_decay=1e-4, clip_norm=1.0)
    weight = (rng.normal(size=(5, 7)) * 0.02).astype(np.float32)
    params, ours = {"w": jnp.asarray(weight)}, {"w": jnp.asarray(weight)}
    as_written = recipe.model_copy(update={"optimizer": "scaled_adamw"})
    theirs, adam = optimizer.make(recipe, 20), optimizer.make(as_written, 20)
    update = jax.jit(theirs.update)
    state, adam_state = theirs.init(params), adam.init(ours)
    exact, second, momentum = weight.astype(np.float64), np.zeros((5, 7)), np.zeros((5, 7))
    ratio = {}
    for t in range(1, 1002):
        gradient = rng.normal(size=(5, 7))
        got = {"w": jnp.asarray(gradient, jnp.float32)}
        gradient *= min(1.0, 1.0 / np.sqrt((gradient**2).sum()))
        decay = 1 - t**-0.95
        second = decay * second + (1 - decay) * (gradient**2 + 1e-30)
        rate = 2e-3 * min(1.0, (t - 1) / recipe.warmup(20))
        scaled = rate * max(np.sqrt((exact**2).mean()), 1e-3) * gradient / np.sqrt(second)
        momentum = 0.9 * momentum + 0.1 * scaled
        before = exact
        exact = exact - momentum - rate * 1e-4 * exact
        updates, state = update(got, state, params)
        params = optax.apply_updates(params, updates)
        if t <= 100:
            np.testing.assert_allclose(params["w"], exact, rtol=1e-4, atol=1e-7)
        by_adam, adam_state = adam.update(got, adam_state, {"w": jnp.asarray(before, jnp.float32)})
        ratio[t] = float(jnp.abs(by_adam["w"]).mean() / np.abs(before - exact).mean()) if rate else None
    # Slower at first, the same in the end.
    assert ratio[3] > 2
    assert 1.2 < ratio[10] < 3
    assert np.mean([ratio[t] for t in range(900, 1001)]) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ["scaled_adamw", "easylm", "adamw", "muon"])
def test_every_optimizer_is_pulled_to_the_base(name: str) -> None:
    recipe = Recipe(optimizer=name, decay_to_base=0.5, learning_rate=0.1, warmup_steps=0)
    params = {"layers": {"0": {"q": jnp.ones((4, 4))}}}
    transformation = optimizer.make(recipe, 10)
    state = transformation.init(params)
    moved = jax.tree.map(lambda x: x + 1.0, params)
    updates, _ = transformation.update(jax.tree.map(jnp.zeros_like, params), state, moved)
    np.testing.assert_allclose(updates["layers"]["0"]["q"], -0.1 * 0.5 * 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["scaled_adamw", "easylm", "adamw", "muon"])
def test_every_matrix_decays_with_every_optimizer(name: str) -> None:
    """By rate times decay times the weight, embeddings and output projection too; norms with EasyLM's alone."""
    recipe = Recipe(optimizer=name, weight_decay=0.5, learning_rate=0.1, warmup_steps=0)
    config = ModelConfig("llama", 67, 32, 64, 2, 4, 2, 8, 256)
    params = nnx.split(weights.create(config, 0), nnx.Param)[1]
    transformation = optimizer.make(recipe, 10)
    updates, _ = transformation.update(jax.tree.map(jnp.zeros_like, params), transformation.init(params), params)
    moved, were = (dict(nnx.to_flat_state(tree)) for tree in (updates, params))
    assert ("head",) in were
    for path, weight in were.items():
        decay = 0.1 * 0.5 if weight[...].ndim == 2 or name == "easylm" else 0.0
        np.testing.assert_allclose(moved[path][...], -decay * weight[...], atol=1e-7, err_msg=str(path))


def test_decay_to_base_pulls_towards_the_base() -> None:
    pull = optimizer.add_decay_to_base(0.5)
    state = pull.init({"w": jnp.zeros(3)})
    updates, _ = pull.update({"w": jnp.zeros(3)}, state, {"w": jnp.ones(3)})
    np.testing.assert_allclose(updates["w"], 0.5)


@pytest.mark.parametrize("decay", ["constant", "linear", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (5, 2), (652, 40), (2289, 1000)])
def test_the_rate_is_optaxs_also_where_a_program_gets_the_runs_length(decay: str, steps: int, warmup: int) -> None:
    recipe = Recipe(learning_rate=0.006, decay=decay, warmup_steps=warmup)
    assert recipe.warmup(steps) == warmup
    after = {
        "constant": optax.constant_schedule(0.006),
        "linear": optax.linear_schedule(0.006, 0, steps - warmup),
        "cosine": optax.cosine_decay_schedule(0.006, steps - warmup),
    }[decay]
    wanted = optax.join_schedules([optax.linear_schedule(0, 0.006, max(warmup, 1)), after], [warmup])
    counts = jnp.arange(steps + 3)
    expected = jax.vmap(wanted)(counts)
    program = jax.jit(lambda counts, *length: optimizer.schedule(recipe, *length)(counts))
    np.testing.assert_allclose(program(counts, steps, warmup), expected, rtol=2e-6, atol=1e-9)
    np.testing.assert_allclose(optimizer.schedule(recipe, steps)(counts), expected, rtol=2e-6, atol=1e-9)


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
