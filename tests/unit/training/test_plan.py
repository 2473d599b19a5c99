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


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--parameters", value) for value in ("nan", "inf", "-5", "0")),
        *(("--tokens", value) for value in ("nan", "inf", "-3", "0")),
        *(("--block-size", value) for value in ("0", "-2")),
    ],
)
def test_a_number_that_no_run_has_is_one_line(option: str, value: str) -> None:
    given = {"--parameters": "1e6", "--tokens": "1e6", option: value}
    with pytest.raises(UserError, match=f"^{option} {value}: expected a number from 1 to 1e\\+18$"):
        plan.main([word for pair in given.items() for word in pair])


def planned(study: str, hardware: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict]:
    plan.main(["--study", f"{ROOT}/config/{study}.yaml", "--hardware", hardware, "--tokens", "2e6", "--json"])
    found = map(json.loads, capsys.readouterr().out.splitlines())
    return {line["model"]: line["plan"] for line in found}


def test_pages_quote_what_the_planner_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/one_gpu.md").read_text(encoding="utf-8")
    a100, rtx = planned("one_gpu", "a100", capsys), planned("one_gpu", "rtx-4090", capsys)
    for base in ("135m", "360m", "1.7b"):
        memory, fits = {(p["memory_per_device"], p["fits"]) for name, p in a100.items() if base in name}.pop()
        small = next(p for name, p in rtx.items() if base in name)["fits"]
        said = ["fits" if each else "does not" for each in (fits, small)]
        row = next(line for line in page.splitlines() if line.startswith(f"| SmolLM2 {base.upper()} |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2:5] == [f"{memory / 1e9:.2f}", *said]
        assert float(cells[1]) == pytest.approx(memory / 1e9, rel=0.1)  # the compiler's
    hours = sum(p["hours"] * p["devices"] for p in a100.values())
    assert f"on one A100 | {hours:.1f} hours |" in page
    minutes = 60 * sum(p["hours"] for name, p in rtx.items() if "1.7b" not in name)
    assert f"on one RTX 4090 | {minutes:.0f} minutes |" in page

    page = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    broad = {name: p for name, p in planned("paper", "a100", capsys).items() if "synthetic" not in name}
    largest = {name.partition("-sharegpt")[0]: p for name, p in broad.items() if name.endswith("150M-s0")}
    assert f"about {sum(p['hours'] * p['devices'] for p in broad.values()):.0f} A100 hours" in page
    series = sum(p["hours"] for name, p in broad.items() if "13b" in name)
    for said, name in (
        ("LLaMA 13B on 150M tokens {} h on {} GPUs of 80 GB", "llama-13b"),
        ("LLaMA 7B {} h on {},", "llama-7b"),
        ("GPT-2 1.5B {} h on {};", "gpt2-1.5b"),
    ):
        assert said.format(f"{largest[name]['hours']:.1f}", largest[name]["devices"]) in page
    assert f"the whole series of amounts {series:.1f} h on 8" in page
