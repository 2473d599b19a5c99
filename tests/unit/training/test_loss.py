"""Cross-entropy: equal to its definition, however it is cut into chunks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from falsepromise.training.loss import cross_entropy_sum


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
