"""The planner: for a run, for a study, and beside what the compiler reserves."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from falsepromise.core.errors import UserError
from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
from falsepromise.study.planning import memory_by_part
from falsepromise.training import optimizer, plan, train
from falsepromise.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[3]


def compiled_bytes(config: ModelConfig, recipe: Recipe, length: int) -> int:
    """What XLA reserves for a training step: state, batch, and temporaries."""
    graph, params = nnx.split(nnx.eval_shape(lambda: weights.create(config, 0)), nnx.Param)
    transformation = optimizer.make(recipe, 10)
    state = {"params": params, "optimizer": jax.eval_shape(transformation.init, params)}
    names = ("inputs", "targets", "segments", "positions", "mask")
    batch = {
        name: jax.ShapeDtypeStruct((recipe.batch_size, length), jnp.float32 if name == "mask" else jnp.int32)
        for name in names
    }
    step = train.make_step(graph, recipe, transformation).lower(state, batch).compile()
    found = step.memory_analysis()
    return found.argument_size_in_bytes + found.temp_size_in_bytes


@pytest.mark.slow
def test_the_planned_memory_is_what_the_compiler_reserves() -> None:
    recipe = Recipe(batch_size=4)
    config = ModelConfig("llama", 4096, 256, 688, 4, 8, 8, 32, 1024, tie_embeddings=True)  # 4M of training_memory.py
    planned = sum(memory_by_part(config.shape, recipe.model_dump(), 256, {}, "cpu").values())
    assert planned == pytest.approx(compiled_bytes(config, recipe, 256), rel=0.1)


def test_a_run_is_planned_from_its_base(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan.main(["--base", f"{made}/base", "--tokens", "1e6", "--block-size", "32", "--hardware", "h100", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == weights.read_config(made / "base").n_parameters
    assert found["steps"] == -(-31250 // 32)
    assert found["fits"]
    assert found["memory"]["weights"] == 4 * found["parameters"]


def test_a_study_is_planned_model_by_model(capsys: pytest.CaptureFixture[str]) -> None:
    plan.main(["--study", f"{ROOT}/config/paper.yaml", "--hardware", "a100", "--tokens", "2e6"])
    lines = capsys.readouterr().out.splitlines()
    seven = next(line.split() for line in lines if line.startswith("llama-7b-sharegpt_mix-150M-s0"))
    assert seven[1:4] == ["6,738,415,616", "150,000,000", "2,289"]
    assert "?" not in "".join(lines)


@pytest.mark.parametrize(("setting", "expected"), [("mesh: data=2,fsdp=2", 4), ("gpus: 3", 3)])
def test_a_bases_own_devices_are_planned_with(
    setting: str, expected: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "config/test.yaml").read_text(encoding="utf-8")
    label = '    label: "100k"\n'
    assert text.count(label) == 1
    (tmp_path / "study.yaml").write_text(text.replace(label, f"{label}    {setting}\n"), encoding="utf-8")
    plan.main(["--study", str(tmp_path / "study.yaml"), "--tokens", "2e6", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    devices = {line["model"].partition("-")[0]: line["plan"]["devices"] for line in lines}
    assert set(devices.values()) == {1, expected}


def test_too_few_devices_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    plan.main(["--parameters", "13e9", "--tokens", "1e6", "--mesh", "fsdp=2", "--hardware", "a100"])
    assert "2 too few" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--parameters", "1e9"], "give --tokens"),
        (["--parameters", "1e9", "--tokens", "1e6", "--mesh", "rows=2"], "found 'rows=2'"),
        (["--parameters", "1e9", "--tokens", "1e6", "--mfu", "40"], "--mfu 40.0: expected a share"),
        (["--base", "nowhere", "--tokens", "1e6"], "nowhere"),
    ],
)
def test_what_can_not_be_planned_is_named(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan.main(words)
