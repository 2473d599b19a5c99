"""What the compiled step does between devices: weights and their gradients travel, activations don't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flax import nnx

from falsepromise.core.errors import UserError
from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
from falsepromise.training.program import collectives
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import check_mesh, check_rows, make_mesh, use_gpu_memory
from falsepromise.training.step import loss_function

ROOT = Path(__file__).resolve().parents[3]
LAYERS, HIDDEN, INNER, VOCABULARY, ROWS, LENGTH = 2, 256, 688, 2047, 16, 96
CONFIG = ModelConfig("llama", VOCABULARY, HIDDEN, INNER, LAYERS, 8, 8, 32, 1024, tie_embeddings=False)
MESHES = ("data=8", "fsdp=8", "fsdp=4,tensor=2", "data=2,fsdp=2,tensor=2")
RECIPES = {
    "plain": {},
    "accumulated": {"accumulate": 2, "remat": "dots", "loss_chunk": 64},
}
PROGRAM = """
import json, sys
from dataclasses import astuple
sys.path.insert(0, sys.argv[1])
from test_sharding import CONFIG, LENGTH, MESHES, RECIPES, ROWS
from falsepromise.training.compile import traced
from falsepromise.training.program import collectives
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import make_mesh
for name, change in RECIPES.items():
    for mesh in MESHES:
        done = traced(CONFIG, Recipe(batch_size=ROWS, **change), LENGTH, make_mesh(mesh)).lower().compile()
        memory = done.memory_analysis()
        print(json.dumps({
            "mesh": mesh, "recipe": name,
            "state": memory.argument_size_in_bytes, "temporary": memory.temp_size_in_bytes,
            "collectives": [astuple(c) for c in collectives(done.as_text())],
        }))
"""


@pytest.fixture(scope="module")
def programs() -> dict[tuple[str, str], dict]:  # type: ignore[type-arg]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "PYTHONPATH": str(ROOT / "workflow"),
        "JAX_PLATFORMS": "cpu",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "rematerialization" not in done.stderr
    found = map(json.loads, done.stdout.splitlines())
    return {(line["recipe"], line["mesh"]): line for line in found}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("mesh", MESHES)
def test_only_weights_and_gradients_travel(
    programs: dict[tuple[str, str], dict], recipe: str, mesh: str  # type: ignore[type-arg]
) -> None:  # fmt: skip
    sizes = {"data": 1, "fsdp": 1, "tensor": 1} | {k: int(v) for k, v in (p.split("=") for p in mesh.split(","))}
    parts = RECIPES[recipe].get("accumulate", 1)
    fsdp, tensor = sizes["fsdp"], sizes["tensor"]
    rows = ROWS // (sizes["data"] * fsdp * parts)
    vocabulary = VOCABULARY + VOCABULARY % tensor  # filled up, so that `tensor` divides it
    # What a device has of each matrix in a layer's arithmetic: all but tensor's share.
    whole = {
        (vocabulary // tensor, HIDDEN), (HIDDEN, HIDDEN // tensor), (HIDDEN // tensor, HIDDEN),
        (HIDDEN, INNER // tensor), (INNER // tensor, HIDDEN),
    }  # fmt: skip
    shares = {(a // fsdp, b) for a, b in whole} | {(a, b // fsdp) for a, b in whole}
    activations = 0
    for operation, _, shape, _, count in programs[recipe, mesh]["collectives"]:
        shape = tuple(shape)
        if shape in {(rows, LENGTH, HIDDEN), (rows * LENGTH, HIDDEN)}:
            assert operation == "all-reduce"
            activations += count
        elif operation == "all-gather":
            assert fsdp > 1
            assert shape in whole
        elif operation == "reduce-scatter":
            assert fsdp > 1
            assert shape in shares
        else:  # gradients over `data`, norms' gradients, the numbers of the loss and of the optimizer
            assert operation == "all-reduce"
            assert len(shape) < 2 or (shape in shares and sizes["data"] > 1), shape
    # Tensor parallelism's own: two a layer each way, one for the embedding, one for the loss.
    assert activations == (parts * (4 * LAYERS + 2) if tensor > 1 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_memory_is_shared(programs: dict[tuple[str, str], dict], recipe: str) -> None:  # type: ignore[type-arg]
    plain = programs[recipe, "data=8"]
    for mesh, share in (("fsdp=8", 8), ("fsdp=4,tensor=2", 8), ("data=2,fsdp=2,tensor=2", 4)):
        found = programs[recipe, mesh]
        assert found["state"] == pytest.approx(plain["state"] / share, rel=0.02), mesh
        # On CPUs XLA gathers a weight once for both ways, so that it stays: the rest is less than plain parallelism's.
        assert found["temporary"] < 1.5 * plain["temporary"], mesh
        assert found["state"] + found["temporary"] < 0.7 * (plain["state"] + plain["temporary"]), mesh


def test_a_mesh_that_does_not_divide_is_one_line_that_says_what_would() -> None:
    sizes = {"data": 1, "fsdp": 1, "tensor": 1}
    with pytest.raises(UserError, match=r"tensor=3 doesn't divide the model's 8 heads.*tensor can be 1, 2, 4 or 8"):
        check_mesh(CONFIG, sizes | {"tensor": 3})
    with pytest.raises(UserError, match="fsdp=3 doesn't divide the model's hidden size 256; fsdp can be 1, 2"):
        check_mesh(CONFIG, sizes | {"fsdp": 3})
    with pytest.raises(UserError, match=r"in 8 parts \(accumulate\) can't be spread over 8 .*accumulate can be 1 or 2"):
        check_rows(Recipe(batch_size=16, accumulate=8), sizes | {"fsdp": 8})
    with pytest.raises(UserError, match=r"can't be spread over 5 devices .*batch_size 20 could"):
        check_rows(Recipe(batch_size=16), sizes | {"data": 5})


@pytest.mark.parametrize(
    ("attention", "made_for"), [("triton", "NVIDIA GPUs"), ("cudnn", "NVIDIA GPUs"), ("splash", "TPUs")]
)
def test_attention_of_another_platform_is_one_line(attention: str, made_for: str) -> None:
    with pytest.raises(
        UserError, match=f"attention: {attention} is for {made_for}, here is a cpu; use attention: auto"
    ):
        loss_function(nnx.graphdef(weights.abstract(CONFIG)), Recipe(attention=attention), make_mesh("data=1"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"])
def test_a_users_share_of_the_gpus_memory_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from jaxlib.xla_client import generate_pjrt_gpu_plugin_options

    monkeypatch.delenv("XLA_CLIENT_MEM_FRACTION", raising=False)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "")  # undone at the end, whatever is set meanwhile
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION")
    monkeypatch.setenv(name, "0.5")
    use_gpu_memory()
    assert generate_pjrt_gpu_plugin_options()["memory_fraction"] == 0.5


def test_exchanges_are_counted_with_the_rounds_of_their_loops() -> None:
    text = """HloModule jit_step, num_partitions=8

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %g = bf16[64,8]{1,0} all-gather(%x), channel_id=1, replica_groups=[2,4]<=[8], dimensions={0}
}

%counted (p: (s32[])) -> pred[] {
  %n = s32[]{:T(128)} constant(5)
  ROOT %lt = pred[] compare(%i, %n), direction=LT
}

%other (p: (s32[])) -> (s32[]) {
  %h = f32[3]{0} all-reduce(%x), replica_groups={{0,1}}, to_apply=%add
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %w = (s32[], f32[4]) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %v = (s32[]) while(%t), condition=%counted, body=%other
  %r = (f32[4]{0}, f32[2,2]{1,0}) all-reduce(%a, %b), replica_groups={{0,1},{2,3}}, to_apply=%add
  %s = f32[2]{0} reduce-scatter(%y), replica_groups={}, dimensions={0}, to_apply=%add
  %o = f32[16]{0} all-reduce(%y), replica_groups={{0},{1}}, to_apply=%add
  %m = f32[9]{0} all-reduce(%y), replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'b'}, to_apply=%add
}
"""
    found = {(c.operation, c.type, c.shape, c.group, c.count, c.bytes) for c in collectives(text)}
    assert found == {
        ("all-gather", "bf16", (64, 8), 4, 3, 1024),
        ("all-reduce", "f32", (4,), 2, 1, 16),
        ("all-reduce", "f32", (2, 2), 2, 1, 16),
        ("reduce-scatter", "f32", (2,), 8, 1, 64),
        ("all-reduce", "f32", (9,), 4, 1, 36),
        ("all-reduce", "f32", (3,), 2, 5, 12),
    }
