"""Layers that are stacked and gone through in a loop are trained as those that are written out."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
from falsepromise.training import optimizer
from falsepromise.training.layout import stack, stacked_graph, unstack
from falsepromise.training.recipe import Recipe
from falsepromise.training.step import make_step

LLAMA = ModelConfig("llama", 67, 32, 64, 3, 4, 2, 8, 64, tie_embeddings=True, initializer_range=0.2)
GPT2 = ModelConfig("gpt2", 67, 32, 64, 3, 4, 4, 8, 64, tie_embeddings=True, initializer_range=0.2)


def trained(config: ModelConfig, recipe: Recipe) -> tuple[list[float], dict[str, np.ndarray]]:
    """Losses of four steps, and the weights after them."""
    model = weights.create(config, 0)
    for index, layer in enumerate(model.layers):  # so that a scale pooled over layers would show
        layer.q.set_value(layer.q[...] * 4.0**index)
    graph, params = nnx.split(model, nnx.Param)
    whole = graph
    if recipe.layers == "scan":
        graph, params = stacked_graph(model), stack(params)
    transformation = optimizer.make(recipe, 10)
    step, losses = make_step(graph, recipe, transformation), []
    state = {"params": params, "optimizer": transformation.init(params)}
    rng = np.random.default_rng(0)
    for _ in range(4):
        tokens = rng.integers(0, 67, (4, 25)).astype(np.int32)
        batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((4, 24), np.float32)}
        batch |= {key: np.zeros((4, 24), np.int32) for key in ("segments", "positions")}
        state, loss = step(state, batch)
        losses.append(float(loss))
    params = unstack(state["params"], config.num_layers) if recipe.layers == "scan" else state["params"]
    return losses, {k: np.asarray(v) for k, v in weights.flatten(nnx.merge(whole, params)).items()}


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (LLAMA, {}),
        pytest.param(replace(LLAMA, num_layers=1), {}, marks=pytest.mark.slow),  # a stack of one
        pytest.param(GPT2, {"weight_decay": 0.1, "remat": "dots"}, marks=pytest.mark.slow),
        pytest.param(LLAMA, {"optimizer": "easylm"}, marks=pytest.mark.slow),
        pytest.param(LLAMA, {"optimizer": "muon", "remat": "full", "learning_rate": 1e-2}, marks=pytest.mark.slow),
    ],
    ids=lambda x: x.model_type if isinstance(x, ModelConfig) else str(x),
)
def test_scanned_layers_are_trained_as_unrolled_ones(config: ModelConfig, change: dict) -> None:  # type: ignore[type-arg]
    recipe = Recipe(batch_size=4, warmup_steps=2, **change)
    losses, after = trained(config, recipe)
    scanned_losses, scanned = trained(config, recipe.model_copy(update={"layers": "scan"}))
    assert scanned_losses == pytest.approx(losses, rel=1e-5)
    assert after.keys() == scanned.keys()
    for key, value in after.items():
        np.testing.assert_allclose(scanned[key], value, atol=2e-5, rtol=2e-4, err_msg=key)


def test_stacking_gives_up_the_memory_of_what_it_joined() -> None:
    params = nnx.split(weights.create(LLAMA, 0), nnx.Param)[1]
    before = [leaf for leaf in jax.tree.leaves(params) if leaf.shape == (32, 64)]
    stacked = stack(params)
    assert before
    assert all(leaf.is_deleted() for leaf in before)
    leaves = jax.tree.leaves(stacked)
    unstack(stacked, 3)
    assert all(leaf.is_deleted() for leaf in leaves if leaf.shape[0] == 3)
