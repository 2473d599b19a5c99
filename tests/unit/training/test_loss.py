"""Cross-entropy: equal to its definition, however it is cut into chunks."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from falsepromise.training.loss import cross_entropy_sum
from falsepromise.training.program import operations


@pytest.mark.parametrize("chunk", [0, 1, 4, 7, 100])
def test_value_and_gradient_equal_the_definition(chunk: int) -> None:
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(size=(10, 6)), jnp.float32)
    table = jnp.asarray(rng.normal(size=(13, 6)), jnp.float32)
    targets = jnp.asarray(rng.integers(0, 13, 10))
    mask = jnp.asarray([1, 0, 1, 1, 0, 0, 1, 1, 1, 0], jnp.float32)

    def definition(h: jax.Array, w: jax.Array) -> jax.Array:
        logp = jax.nn.log_softmax(h @ w.T)
        return -(mask * logp[jnp.arange(10), targets]).sum()

    value, gradient = jax.value_and_grad(definition, argnums=(0, 1))(hidden, table)
    ours, ours_gradient = jax.value_and_grad(
        lambda h, w: cross_entropy_sum(h, w, targets, mask, chunk), argnums=(0, 1)
    )(hidden, table)
    assert float(ours) == pytest.approx(float(value), rel=1e-5)
    for a, b in zip(ours_gradient, gradient, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("chunk", [0, 4])
def test_rows_that_stand_for_no_token_change_nothing(chunk: int) -> None:
    rng = np.random.default_rng(1)
    hidden = jnp.asarray(rng.normal(size=(10, 6)), jnp.float32)
    table = jnp.asarray(rng.normal(size=(16, 6)), jnp.float32)
    targets, mask = jnp.asarray(rng.integers(0, 13, 10)), jnp.ones(10)
    plain, (d_hidden, d_table) = jax.value_and_grad(
        lambda h, w: cross_entropy_sum(h, w, targets, mask, chunk), argnums=(0, 1)
    )(hidden, table[:13])
    padded, (d_hidden_padded, d_table_padded) = jax.value_and_grad(
        lambda h, w: cross_entropy_sum(h, w, targets, mask, chunk, 16, 13), argnums=(0, 1)
    )(hidden, table)
    assert float(padded) == pytest.approx(float(plain), rel=1e-6)
    np.testing.assert_allclose(d_hidden_padded, d_hidden, atol=1e-6)
    np.testing.assert_allclose(d_table_padded[:13], d_table, atol=1e-6)
    assert not d_table_padded[13:].any()


@pytest.mark.parametrize("chunk", [0, 4])
def test_a_step_makes_three_products_of_the_vocabulary(chunk: int) -> None:
    """The logits once, whatever they are cut into, and the gradients of both operands."""
    hidden, table, targets, mask = jnp.ones((12, 8)), jnp.ones((32, 8)), jnp.zeros(12, jnp.int32), jnp.ones(12)

    def loss(hidden: jax.Array, table: jax.Array) -> jax.Array:
        return 0.5 * cross_entropy_sum(hidden, table, targets, mask, chunk)

    traced = jax.make_jaxpr(jax.value_and_grad(loss, argnums=(0, 1)))(hidden, table)
    assert operations(traced) == 3 * (2 * 12 * 8 * 32)
    assert operations(jax.make_jaxpr(loss)(hidden, table)) == 2 * 12 * 8 * 32  # without a gradient none is made


def test_a_cpu_sums_no_wide_product_over_both_operands_rows() -> None:
    """Which XLA for CPUs makes at half the rate where the width is a power of two."""
    hidden, table, targets, mask = jnp.ones((64, 32)), jnp.ones((128, 32)), jnp.zeros(64, jnp.int32), jnp.ones(64)
    gradient = jax.jit(jax.grad(lambda h, w: cross_entropy_sum(h, w, targets, mask), argnums=(0, 1)))
    products = re.findall(r" dot\(.*", gradient.lower(hidden, table).compile().as_text())
    assert len(products) == 3
    assert not [line for line in products if "lhs_contracting_dims={0}, rhs_contracting_dims={0}" in line]
