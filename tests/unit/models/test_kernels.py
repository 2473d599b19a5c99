"""Fused attention that JAX ships, run by Pallas' interpreter: the same numbers as ours, documents apart."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from falsepromise.core.errors import UserError
from falsepromise.models import kernels, weights
from falsepromise.models.attention import View, attend, fused
from falsepromise.models.config import ModelConfig


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [kernels.splash, kernels.triton], ids=["splash", "triton"])
@pytest.mark.parametrize(("heads", "length", "segmented"), [(4, 256, False), (2, 200, True), (4, 200, True)])
def test_a_fused_kernel_is_attention_that_honours_segments(kernel, heads, length, segmented):
    keys = jax.random.split(jax.random.key(0), 4)
    q = jax.random.normal(keys[0], (2, length, 4, 64))
    k, v = (jax.random.normal(key, (2, length, heads, 64)) for key in keys[1:3])
    direction = jax.random.normal(keys[3], (2, length, 256))
    segments = jnp.stack([jnp.arange(length) // 70, jnp.arange(length) // 33]) if segmented else None

    def value(function):
        return jax.value_and_grad(lambda *qkv: (function(*qkv) * direction).sum(), (0, 1, 2))(q, k, v)

    ours = value(lambda *qkv: attend(*qkv, View(segments), "xla"))
    theirs = value(lambda *qkv: kernel(*qkv, segments, interpret=True).reshape(2, length, 256))
    assert float(theirs[0]) == pytest.approx(float(ours[0]), rel=1e-4, abs=1e-3)
    for a, b in zip(theirs[1], ours[1], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("heads", [2, 4])
def test_splash_attention_keeps_windows(heads):
    keys = jax.random.split(jax.random.key(0), 3)
    q = jax.random.normal(keys[0], (2, 200, 4, 64))
    k, v = (jax.random.normal(key, (2, 200, heads, 64)) for key in keys[1:])
    segments = jnp.stack([jnp.arange(200) // 70, jnp.arange(200) // 150])
    ours = attend(q, k, v, View(segments, window=33), "xla")
    theirs = kernels.splash(q, k, v, segments, 33, interpret=True).reshape(2, 200, 256)
    np.testing.assert_allclose(theirs, ours, atol=2e-5)
    assert np.abs(ours - attend(q, k, v, View(segments), "xla")).max() > 0.1


@pytest.mark.parametrize("implementation", ["cudnn", "triton"])
@pytest.mark.parametrize("segmented", [False, True])
def test_a_window_is_kept_on_gpus(implementation, segmented, monkeypatch):
    """What is asked of cuDNN, worked out by JAX's own attention; Triton's kernel has no windows, and isn't taken."""
    real = jax.nn.dot_product_attention
    monkeypatch.setattr(jax.nn, "dot_product_attention", lambda *a, **b: real(*a, **(b | {"implementation": "xla"})))
    q, k, v = (jax.random.normal(jax.random.key(i), (2, 96, 4, 32), jnp.bfloat16) for i in range(3))
    segments = jnp.stack([jnp.arange(96) // 40, jnp.arange(96) // 70]) if segmented else None
    ours, theirs = (attend(q, k, v, View(segments, window=21), kind) for kind in ("xla", implementation))
    np.testing.assert_allclose(theirs.astype(np.float32), ours.astype(np.float32), atol=0.03)
    assert np.abs(ours - attend(q, k, v, View(segments), "xla")).max() > 0.2


@pytest.mark.parametrize("attention", ["triton", "splash"])
def test_what_is_kept_by_dots_includes_a_kernels_output(attention):
    """The backward pass runs the forward kernel again with `full` alone."""
    config = ModelConfig("llama", 67, 64, 96, 2, 2, 2, 32, 256)
    graph, state = nnx.split(weights.abstract(config))
    ids = jnp.zeros((1, 256), jnp.int32)

    def kernel_calls(remat):
        def loss(state):
            return nnx.merge(graph, state)(ids, attention=attention, remat=remat).sum()

        return count(jax.make_jaxpr(jax.grad(loss))(state).jaxpr)

    def count(jaxpr):
        total = 0
        for e in jaxpr.eqns:
            if e.primitive.name == "pallas_call":
                total += 1
                continue
            for value in e.params.values():
                inner = getattr(value, "jaxpr", value)
                total += count(inner) if hasattr(inner, "eqns") else 0
        return total

    plain = kernel_calls(None)
    assert (kernel_calls("dots"), kernel_calls("full")) == (plain, plain + config.num_layers)


@pytest.mark.parametrize("shared", [1, 2])
def test_splash_keeps_one_sum_a_query_and_not_one_a_lane(shared):
    """What the forward pass hands to the backward pass; the kernel itself writes each sum 128 times."""
    config = ModelConfig("llama", 67, 64, 96, 2, 2, 2 // shared, 32, 256)
    graph, state = nnx.split(weights.abstract(config))
    ids = jnp.zeros((3, 256), jnp.int32)

    def kept(remat):
        def loss(state):
            return nnx.merge(graph, state)(ids, attention="splash", remat=remat).sum()

        return [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(lambda s: jax.vjp(loss, s)[1], state))]

    sums = (3, 2, 256) if shared == 1 else (3, 1, 2, 256)
    assert kept("dots").count(sums) == config.num_layers
    assert sums not in kept("full")
    assert not [shape for shape in kept("dots") if shape[-2:] == (256, kernels.LANES)]


def test_what_cudnn_can_not_do_is_one_line(monkeypatch):
    def refused(*_, **__):
        raise NotImplementedError("The head dim must be <= 128 and a multiple of 8, but got 256.")

    monkeypatch.setattr(jax.nn, "dot_product_attention", refused)
    x = jnp.zeros((1, 8, 2, 256), jnp.bfloat16)
    with pytest.raises(UserError, match=r"cudnn can't be used here: The head dim must be <= 128 .*attention: auto"):
        attend(x, x, x, View(), "cudnn")


def test_the_platform_chooses():
    assert fused("cpu", jnp.float32, False, 64) == "xla"
    assert fused("tpu", jnp.float32, True, 64) == "splash"
    assert fused("gpu", jnp.bfloat16, False, 128) == "cudnn"
    assert fused("gpu", jnp.bfloat16, True, 128) == "triton"
    assert fused("gpu", jnp.float32, False, 64) == "xla"
    assert fused("gpu", jnp.bfloat16, False, 256) == "xla"  # Gemma's; before Hopper cuDNN takes 128
    assert fused("gpu", jnp.bfloat16, True, 36) == "xla"
