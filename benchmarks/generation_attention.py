"""Attention's forward and backward pass on this machine: models.attention beside the plain formula.

    PYTHONPATH=workflow python benchmarks/generation_attention.py

Interleaved, the best of `--rounds`, milliseconds for a batch of rows at the quickstart's shapes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import sides

from falsepromise.models.attention import View, attend


def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """softmax(q k / sqrt(h)) v with a causal mask, differentiated automatically; `(b, t, n, h)` each."""
    b, t, n, h = q.shape
    scores = jnp.einsum("btnh,bsnh->bnts", q, k) / h**0.5
    weights = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -1e30), axis=-1)
    return jnp.einsum("bnts,bsnh->btnh", weights, v).reshape(b, t, n * h)


def ours(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """The same by models.attention."""
    return attend(q, k, v, View(), "xla")


def step(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Forward and backward pass, compiled."""
    return jax.jit(jax.grad(lambda *qkv: (function(*qkv) ** 2).sum(), argnums=(0, 1, 2)))


def main() -> None:
    """Print one line for each shape."""
    parser = sides.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    sides.machine(options)
    rounds = options.rounds
    print("rows tokens heads size | plain ms | ours ms | ratio")
    for b, t, n, h in ((16, 128, 3, 32), (16, 256, 4, 32), (8, 512, 6, 32)):
        q, k, v = (jax.random.normal(key, (b, t, n, h)) for key in jax.random.split(jax.random.key(0), 3))

        steps = {"plain": step(plain), "ours": step(ours)}
        best = dict.fromkeys(steps, float("inf"))
        for function in steps.values():
            jax.block_until_ready(function(q, k, v))
        for _ in range(rounds):
            for name, function in steps.items():
                start = time.perf_counter()
                jax.block_until_ready(function(q, k, v))
                best[name] = min(best[name], time.perf_counter() - start)
        a, c = best["plain"] * 1e3, best["ours"] * 1e3
        print(f"{b:4} {t:6} {n:5} {h:4} | {a:8.1f} | {c:7.1f} | {a / c:.2f}")


if __name__ == "__main__":
    main()
