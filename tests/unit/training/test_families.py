"""Every family's training step over a mesh equals that of one device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FAMILIES = """
import jax, jax.numpy as jnp, numpy as np, optax
from flax import nnx
from jax.sharding import Mesh
from functools import partial
from falsepromise.models import weights
from falsepromise.models.config import MODEL_TYPES, ModelConfig
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import place_batch, weight_sharding
from falsepromise.training.step import make_step

SIZES = dict(vocab_size=64, hidden_size=16, intermediate_size=24, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=6,
             max_positions=64)
CASES = {
    "mistral": dict(windows=(5, 5)),
    "qwen2": dict(attention_bias=True, windows=(0, 5)),
    "qwen3": dict(tie_embeddings=True),
    "llama": dict(attention_bias=True, output_bias=True, mlp_bias=True),
    "olmo2": dict(),
    "gemma3_text": dict(tie_embeddings=True, windows=(5, 0), query_scale=10.0, local_theta=100.0),
}
assert {*CASES, "gpt2"} == {*MODEL_TYPES}, "each family is here; GPT-2 is in test_meshes"
rng = np.random.default_rng(0)
ids = rng.integers(0, 64, (8, 25))
batch = {"inputs": ids[:, :-1], "targets": ids[:, 1:], "mask": np.ones((8, 24), np.float32)}
batch = {k: v.astype(np.int32) if k != "mask" else v for k, v in batch.items()}
batch |= {"segments": np.ones((8, 24), np.int32), "positions": np.tile(np.arange(24, dtype=np.int32), (8, 1))}
axes = ("data", "fsdp", "tensor")
for kind, more in CASES.items():
    config = ModelConfig(kind, **SIZES, **more)
    found = []
    for devices, shape in ((1, (1, 1, 1)), (8, (2, 2, 2)), (8, (1, 4, 2))):
        mesh = Mesh(np.array(jax.devices()[:devices]).reshape(shape), axes)
        graph, params = nnx.split(weights.create(config, 0), nnx.Param)
        # Ones and zeros would hide what a device leaves out.
        noisy = [(p, l.replace(l[...] + 0.3 * np.random.default_rng(i).standard_normal(l.shape).astype(np.float32)))
                 for i, (p, l) in enumerate(nnx.to_flat_state(params))]
        placed = [(p, l.replace(jax.device_put(l[...], weight_sharding(mesh, ".".join(map(str, p)), l.shape))))
                  for p, l in noisy]
        params = nnx.from_flat_state(placed)
        sgd = optax.sgd(1.0)
        step = make_step(graph, Recipe(batch_size=8), sgd, mesh)
        state, loss = step({"params": params, "optimizer": sgd.init(params)}, place_batch(mesh, batch))
        found.append((float(loss), {jax.tree_util.keystr(p): np.asarray(x) for p, x in
                                    jax.tree_util.tree_leaves_with_path(state["params"])}))
    for loss, after in found[1:]:
        assert abs(loss - found[0][0]) < 1e-5, (kind, loss, found[0][0])
        for key, value in after.items():
            np.testing.assert_allclose(value, found[0][1][key], atol=2e-5, err_msg=f"{kind} {key}")
    print(kind)
"""


@pytest.mark.slow
def test_every_family_trains_over_a_mesh_as_on_one_device() -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "workflow"),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
    }
    command = [sys.executable, "-c", FAMILIES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == 6
