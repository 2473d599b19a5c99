"""What the models promise beyond parity: documents kept apart, remat, initialisation, types."""

from __future__ import annotations

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from falsepromise.models import gpt2, weights
from falsepromise.models.config import ModelConfig

LLAMA = ModelConfig("llama", 67, 24, 40, 2, 4, 2, 6, 256, tie_embeddings=True)
GPT2 = ModelConfig("gpt2", 67, 24, 96, 2, 4, 4, 6, 160, tie_embeddings=True, attention_bias=True, output_bias=True)


def tokens(rows: int = 2, length: int = 140) -> jax.Array:
    return jax.random.randint(jax.random.key(1), (rows, length), 0, 67)


@nnx.jit
def forward(model, *arguments):
    return model(*arguments)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_documents_in_a_row_do_not_see_each_other(config):
    model = weights.create(config, 0)
    ids, cut = tokens(), 70
    segments = jnp.broadcast_to((jnp.arange(140) >= cut).astype(jnp.int32), ids.shape)
    positions = jnp.broadcast_to(jnp.arange(140) % cut, ids.shape)
    packed = forward(model, ids, segments, positions)
    alone = forward(model, jnp.concatenate([ids[:, :cut], ids[:, cut:]]))
    np.testing.assert_allclose(packed[:, :cut], alone[:2], atol=1e-5)
    np.testing.assert_allclose(packed[:, cut:], alone[2:], atol=1e-5)
    assert np.abs(np.asarray(packed - forward(model, ids))[:, cut:]).max() > 1e-3  # else the test shows nothing


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("remat", ["full", pytest.param("dots", marks=pytest.mark.slow)])
def test_remat_changes_no_gradient(config, remat):
    graph, state = nnx.split(weights.create(config, 0))
    ids = tokens(length=20)

    def gradient(remat):
        return jax.jit(jax.grad(lambda s: (nnx.merge(graph, s)(ids, remat=remat) ** 2).mean()))(state)

    for a, b in zip(jax.tree.leaves(gradient(None)), jax.tree.leaves(gradient(remat)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_attention_gradient_equals_automatic_differentiation():
    from falsepromise.models.attention import View, attend

    keys = jax.random.split(jax.random.key(0), 4)
    q = jax.random.normal(keys[0], (2, 150, 4, 6))
    k, v = (jax.random.normal(key, (2, 150, 2, 6)) for key in keys[1:3])
    direction = jax.random.normal(keys[3], (2, 150, 24))
    segments = jnp.broadcast_to(jnp.arange(150) // 40, (2, 150))
    view = View(segments)
    mask = view.mask(150)

    def plain(q, k, v):
        k, v = jnp.repeat(k, 2, axis=2), jnp.repeat(v, 2, axis=2)
        scores = jnp.einsum("btnh,bsnh->bnts", q, k) / math.sqrt(6)
        p = jax.nn.softmax(jnp.where(mask[:, None], scores, -jnp.inf), axis=-1)
        return (jnp.einsum("bnts,bsnh->btnh", p, v).reshape(2, 150, 24) * direction).sum()

    def ours(q, k, v):
        return (attend(q, k, v, view, "xla") * direction).sum()

    pair = [jax.jit(jax.grad(function, (0, 1, 2)))(q, k, v) for function in (ours, plain)]
    for a, b in zip(*pair, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_initialisation(config):
    leaves = weights.flatten(weights.create(config, 0))
    assert float(leaves["layers.0.q"].std()) == pytest.approx(0.02, rel=0.1)
    assert float(leaves["layers.1.o"].std()) == pytest.approx(0.02 / math.sqrt(2 * config.num_layers), rel=0.1)
    assert float(leaves["layers.1.down"].std()) == pytest.approx(0.02 / math.sqrt(2 * config.num_layers), rel=0.1)
    assert sum(leaf.size for leaf in leaves.values()) == config.n_parameters
    again = weights.flatten(weights.create(config, 0))
    other = weights.flatten(weights.create(config, 1))
    assert all(bool((leaves[key] == again[key]).all()) for key in leaves)
    assert not bool((leaves["embed"] == other["embed"]).all())


def test_bfloat16_computation_stays_near_float32():
    model = weights.create(LLAMA, 0)
    half = nnx.jit(lambda m, ids: m(ids, dtype=jnp.bfloat16))(model, tokens())
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, forward(model, tokens()), atol=0.02)


def test_gpt2_refuses_rows_beyond_its_positions():
    with pytest.raises(ValueError, match="160 positions"):
        weights.create(GPT2, 0)(tokens(length=161))


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig("llama", 64, 32, 64, 2, 4, 2, 8, 256, attention_bias=True, output_bias=True, mlp_bias=True),
        ModelConfig("gpt2", 64, 32, 64, 2, 4, 4, 8, 256, tie_embeddings=True, attention_bias=True, output_bias=True),
    ],
    ids=["llama", "gpt2"],
)
def test_gradients_in_bfloat16_are_sums_in_float32(config):
    """Of embeddings, biases and norms too, which are sums over all tokens: here 8 tokens occur 256 times each."""
    model = weights.create(config, 0)
    graph, state = nnx.split(model)
    ids = jax.random.randint(jax.random.key(0), (16, 128), 0, 8)

    def gradients(dtype):
        def loss(state):
            logits = nnx.merge(graph, state)(ids, dtype=dtype)
            return -jnp.take_along_axis(jax.nn.log_softmax(logits[:, :-1]), ids[:, 1:, None], axis=2).sum()

        return weights.flatten(nnx.merge(graph, jax.jit(jax.grad(loss))(state)))

    exact, rounded = gradients(jnp.float32), gradients(jnp.bfloat16)
    for path, gradient in exact.items():
        if path.endswith("k_bias"):
            continue  # softmax takes it away, all of GPT-2's
        off = float(jnp.linalg.norm(rounded[path].astype(jnp.float32) - gradient) / jnp.linalg.norm(gradient))
        assert off < 0.015, path


def test_derivatives_of_norm_and_gelu_are_differences_of_their_formulas():
    """Written by hand, against central differences in float64; rows far from mean 0, and inputs where GELU is flat."""
    random = np.random.default_rng(0)
    x, direction = random.normal([[0], [30], [-2]], [[1], [5], [0.1]], (3, 16)), random.normal(size=(3, 16))
    weight, bias = random.normal(1, 0.5, 16), random.normal(size=16)

    def norm(x, weight, bias):
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * weight + bias

    def smooth(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    cases = [(norm, lambda x, w, b: gpt2.layer_norm(x, nnx.Param(w), nnx.Param(b), 1e-5), (x, weight, bias))]
    cases += [(smooth, gpt2.gelu, (np.linspace(-9, 9, 48).reshape(3, 16),))]
    for exact, ours, inputs in cases:
        rounded = [jnp.asarray(array, jnp.float32) for array in inputs]
        np.testing.assert_allclose(ours(*rounded), exact(*inputs), atol=2e-6, rtol=2e-5)
        found = jax.grad(lambda *a: (ours(*a) * direction).sum(), argnums=tuple(range(len(inputs))))(*rounded)  # noqa: B023
        for index, gradient in enumerate(found):
            wanted = np.empty(gradient.shape)
            for place in np.ndindex(gradient.shape):
                step = np.zeros(gradient.shape)
                step[place] = 1e-5
                up, down = (exact(*(a + sign * step * (i == index) for i, a in enumerate(inputs))) for sign in (1, -1))
                wanted[place] = ((up - down) * direction).sum() / 2e-5
            np.testing.assert_allclose(gradient, wanted, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("cached", [False, True])
def test_queries_with_their_bias_are_not_multiplied_by_a_constant(cached):
    """XLA for GPUs can make a (x w + b) into a x w + b: see docs/training.md."""
    config = ModelConfig(
        "gpt2", 64, 48, 64, 2, 4, 4, 12, 64, tie_embeddings=True, attention_bias=True, output_bias=True
    )
    model = weights.create(config, 0)
    cache = model.new_cache(2, 32) if cached else None
    text = str(jax.make_jaxpr(lambda ids: model.hidden(ids, cache=cache))(tokens(2, 16)))
    assert "[2,16,4,12]" in text  # queries, with heads
    scaled = re.findall(r"\w+:f32\[([\d,]+)\] = mul \w+ (?:0\.28|\w+:f32)", text)
    assert scaled  # the scores, by 1 / sqrt(12)
    assert not [shape for shape in scaled if shape.endswith("12")]


@pytest.mark.parametrize("length", [16, 1, 0], ids=["prefill", "decode", "train"])
def test_a_cpu_works_out_each_sine_once(length):
    """XLA makes cheap arrays anew wherever they are read; a rotary table is read by every layer, head and pass."""
    graph, params = nnx.split(weights.create(LLAMA, 0))

    def generate(params, positions):
        model = nnx.merge(graph, params)
        return model.hidden(tokens(2, length), None, positions, model.new_cache(2, 32))

    def gradient(params, _):
        return jax.grad(lambda params: nnx.merge(graph, params).hidden(tokens()).sum())(params)

    text = jax.jit(generate if length else gradient).lower(params, jnp.arange(length)[None]).compile().as_text()
    assert len(re.findall(r" sine\(", text)) == len(re.findall(r" cosine\(", text)) == 1
