"""The plan of a run adds up, and is what known models and recipes need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from falsepromise.core.errors import UserError
from falsepromise.study import planning
from falsepromise.study.planning import HARDWARE, Shape, fewest_devices, mesh_sizes, plan

LLAMA_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "tie_word_embeddings": False,
}
PAPER = {"dtype": "bfloat16", "attention": "cudnn", "remat": "dots", "loss_chunk": 4096}


def llama_7b() -> Shape:
    return Shape.of_architecture(LLAMA_7B, 32_000)


def test_llama_7b_has_the_known_size_and_operations() -> None:
    assert llama_7b().parameters == 6_738_415_616
    assert llama_7b().flops_per_token(2048) == pytest.approx(42.9e9, rel=0.005)


def test_a_guess_from_the_size_alone_is_near() -> None:
    guess = Shape.of_size(6_738_415_616)
    assert (guess.layers, guess.hidden) == (32, 4096)
    assert guess.flops_per_token(2048) == pytest.approx(llama_7b().flops_per_token(2048), rel=0.01)


def test_the_papers_largest_budget_is_2289_steps() -> None:
    found = plan(llama_7b(), 150_000_000, PAPER, 2048, {"fsdp": 8}, HARDWARE["a100"])
    assert found.steps == 2289
    assert found.flops == pytest.approx(2289 * 32 * 2048 * 42.9e9, rel=0.005)
    assert found.hours == pytest.approx(found.flops / (8 * 312e12 * 0.4) / 3600)
    assert found.fits


def test_memory_is_shared_by_the_axes_that_share_it() -> None:
    one, data, fsdp = (
        planning.memory_by_part(llama_7b(), {**PAPER, "layers": "scan"}, 2048, mesh)
        for mesh in ({}, {"data": 8}, {"fsdp": 8})
    )
    assert one["weights"] == data["weights"] == 8 * fsdp["weights"] == 4 * 6_738_415_616
    assert one["activations"] == 8 * data["activations"] == 8 * fsdp["activations"]
    # What is gathered is a layer and the next one, on each device.
    assert fsdp["the layer that is worked on"] > data["the layer that is worked on"]


def test_what_saves_memory_does() -> None:
    def size(**change: object) -> float:
        return sum(planning.memory_by_part(llama_7b(), {**PAPER, **change}, 2048, {"fsdp": 8}).values())

    assert size(remat="full") < size() < size(remat="none")
    assert size(accumulate=4) < size()
    assert size(loss_chunk=1024) <= size() <= size(loss_chunk=0)  # logits are gone before layers have gradients
    wide = Shape.of_architecture({**LLAMA_7B, "hidden_size": 512, "num_hidden_layers": 2}, 32_000)
    few, all_at_once = (
        sum(planning.memory_by_part(wide, {**PAPER, "loss_chunk": chunk}, 2048, {}).values()) for chunk in (4096, 0)
    )
    assert few < 0.9 * all_at_once
    assert size(decay_to_base=0.1) > size()


def test_a_state_counts_what_its_optimizer_keeps() -> None:
    jax = pytest.importorskip("jax")
    from falsepromise.models.config import ModelConfig
    from falsepromise.training import optimizer
    from falsepromise.training.recipe import Recipe
    from falsepromise.training.sharding import make_mesh
    from falsepromise.training.state import shapes

    config = ModelConfig("llama", 300, 64, 128, 3, 4, 4, 16, 64)
    for keys in ({}, {"optimizer": "easylm"}, {"optimizer": "adamw", "decay_to_base": 0.1}, {"optimizer": "muon"}):
        recipe = Recipe(**keys)
        state = shapes(config, make_mesh("data=1"), optimizer.make(recipe, 10))
        real = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
        assert planning.state_size(config.shape, recipe.model_dump()) == pytest.approx(real, rel=0.01), keys


@pytest.mark.parametrize(
    ("compiled", "mesh", "recipe", "platform"),
    [
        (80.0, "fsdp=4", {"batch_size": 32, "accumulate": 2}, "tpu"),
        (40.6, "fsdp=8", {"batch_size": 32, "accumulate": 2}, "tpu"),
        (133.1, "fsdp=1", {"batch_size": 4, "loss_chunk": 4096}, "cuda"),  # an H200; ran on one at 133.8
        (115.1, "fsdp=1", {"batch_size": 8, "loss_chunk": 4096, "remat": "full"}, "cuda"),  # ran on one at 115.1
        (108.1, "fsdp=1", {"batch_size": 1, "loss_chunk": 4096, "remat": "full"}, "cuda"),
        (21.2, "fsdp=8", {"batch_size": 32, "accumulate": 2, "remat": "full"}, "cuda"),
    ],
)
def test_the_plan_is_within_a_tenth_of_the_compilers_peak(
    compiled: float, mesh: str, recipe: dict[str, object], platform: str
) -> None:
    """GB a device of LLaMA 7B's step by XLA's word, from benchmarks/training_compile_results.md."""
    change = {"dtype": "bfloat16", "layers": "scan", "remat": "dots", **recipe}
    parts = planning.memory_by_part(llama_7b(), change, 2048, mesh_sizes(mesh), platform)
    assert sum(parts.values()) / 1e9 == pytest.approx(compiled, rel=0.1)


def test_a_wide_vocabularys_loss_in_chunks_is_within_a_tenth_too() -> None:
    """Gemma 3 1B's first six layers on two A100, 7.17 GB by XLA's word: its embedding is 1.2 GB in float32."""
    gemma = Shape(463_043_712, 0, 262_144, 1152, 6912, 6, 1024, 256, 4)
    recipe = {"dtype": "bfloat16", "remat": "dots", "batch_size": 4, "loss_chunk": 1024, "layers": "unrolled"}
    parts = planning.memory_by_part(gemma, recipe, 2048, {"fsdp": 2}, "cuda")
    assert sum(parts.values()) / 1e9 == pytest.approx(7.17, rel=0.1)


def test_fewest_devices() -> None:
    assert fewest_devices(llama_7b(), PAPER, 2048, HARDWARE["a100"]) == 8
    assert fewest_devices(Shape.of_size(1_000_000), {}, 256, HARDWARE["cpu-core"]) == 1
    assert fewest_devices(llama_7b(), PAPER, 2048, HARDWARE["a100"], most=4) == 4


def test_mesh_sizes() -> None:
    assert mesh_sizes("fsdp=4, tensor=2") == {"data": 1, "fsdp": 4, "tensor": 2}
    with pytest.raises(UserError, match="found 'fdsp=4', expected AXIS=SIZE with AXIS out of data, fsdp, tensor"):
        mesh_sizes("fdsp=4")
    with pytest.raises(UserError, match="'fsdp=2,fsdp=4': fsdp twice; give each axis once"):
        mesh_sizes("fsdp=2,fsdp=4")


def test_the_rules_can_ask_without_heavy_imports() -> None:
    code = "import sys, falsepromise.study.planning; print({'jax', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
