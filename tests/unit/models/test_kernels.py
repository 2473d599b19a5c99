"""Fused attention that JAX ships, run by Pallas' interpreter: the same numbers as ours, documents apart."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from falsepromise.models import kernels
from falsepromise.models.attention import View, attend, fused


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


def test_the_platform_chooses():
    assert fused("cpu", jnp.float32, False) == "xla"
    assert fused("tpu", jnp.float32, True) == "splash"
    assert fused("gpu", jnp.bfloat16, False) == "cudnn"
    assert fused("gpu", jnp.bfloat16, True) == "triton"
    assert fused("gpu", jnp.float32, False) == "xla"
