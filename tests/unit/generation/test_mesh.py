"""The engine on eight simulated devices gives what one device gives."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import json, sys, jax
from falsepromise.generation.engine import Engine, Request
texts = ["what", "is the capital", "of France? the capital is Paris. what is", "Paris the the", "a", "capital?"]
found = {}
for mesh in sys.argv[2:]:
    engine = Engine.load(sys.argv[1], mesh, batch_size=4)
    spread = {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(engine.state)}
    requests = [Request(t, 8, temperature=float(i % 2), seed=i, stop=("zz",)) for i, t in enumerate(texts)]
    ids = {r.index: r.ids for r in engine.generate(requests)}
    scores = engine.loglikelihood([(t, " Paris") for t in texts])
    found[mesh] = {"devices": max(spread), "ids": [ids[i] for i in range(len(texts))], "scores": [s for s, _ in scores]}
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_mesh_changes_nothing(folders: dict[str, Path], engines: dict) -> None:  # type: ignore[type-arg]
    from falsepromise.generation.engine import Request

    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "PYTHONPATH": str(ROOT / "workflow"),
        "JAX_PLATFORMS": "cpu",
    }  # fmt: skip
    meshes = ["data=8", "data=2,fsdp=2,tensor=2", "data=4,tensor=2"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folders["llama"]), *meshes], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    engine = engines["llama"]
    texts = ["what", "is the capital", "of France? the capital is Paris. what is", "Paris the the", "a", "capital?"]
    requests = [Request(t, 8, temperature=float(i % 2), seed=i, stop=("zz",)) for i, t in enumerate(texts)]
    ids = {r.index: r.ids for r in engine.generate(requests)}
    scores = [value for value, _ in engine.loglikelihood([(t, " Paris") for t in texts])]
    for mesh in meshes:
        assert found[mesh]["devices"] == 8
        assert found[mesh]["ids"] == [ids[i] for i in range(len(texts))]
        assert found[mesh]["scores"] == pytest.approx(scores, abs=1e-4)


DECODING = """
import json
from dataclasses import astuple
from falsepromise.generation.compile import decoding
from falsepromise.models.config import ModelConfig
from falsepromise.training.program import collectives
from falsepromise.training.sharding import make_mesh
config = ModelConfig("llama", 2048, 256, 688, 2, 8, 8, 32, 1024, tie_embeddings=False)
for mesh in ("tensor=8", "data=4,tensor=2"):
    for part in decoding(config, make_mesh(mesh), rows=8, prompt=32, slots=128).values():
        print(json.dumps([astuple(c) for c in collectives(part.compile().as_text())]))
"""


@pytest.mark.slow
def test_decoding_gathers_nothing() -> None:
    """The compiled prefill and decoding step: two sums of [rows, hidden] a layer and one for the embedding."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "PYTHONPATH": str(ROOT / "workflow"),
        "JAX_PLATFORMS": "cpu",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", DECODING], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    shapes = [(256, 256), (8, 256), (256, 256), (2, 256)]  # a prefill's rows come from the host as they are
    programs = list(map(json.loads, done.stdout.splitlines()))
    assert len(programs) == len(shapes)
    for program, shape in zip(programs, shapes, strict=True):
        # Products run over rows and tokens as one axis, the embedding over two.
        flat = [(o, (math.prod(s[:-1]), s[-1]) if len(s) > 1 else tuple(s), count) for o, _, s, _, count in program]
        assert sum(count for o, s, count in flat if (o, s) == ("all-reduce", shape)) == 2 * 2 + 1
        assert all(o == "all-reduce" and len(s) < 2 for o, s, _ in flat if s != shape)
