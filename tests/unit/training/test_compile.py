"""The verbs that compile for devices which aren't here: simulated ones, and GPUs and TPUs where their compilers are."""

from __future__ import annotations

import importlib.machinery
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from falsepromise.core.errors import UserError
from falsepromise.models.config import ModelConfig
from falsepromise.study.shapes import BY_PARAMETERS
from falsepromise.training import compile as verb
from falsepromise.training.targets import Target

ROOT = Path(__file__).resolve().parents[3]
SHAPE = json.dumps(
    {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048, "hidden_size": 256,
        "intermediate_size": 688, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
    }
)  # fmt: skip


# Compilers of GPUs and TPUs are 6 GB of packages that jax would look for devices with: a folder apart from the others.
COMPILERS = os.environ.get("FALSEPROMISE_COMPILERS", "")


def run(*words: str, module: str = "falsepromise.training.compile") -> subprocess.CompletedProcess[str]:
    return python("-m", module, *words)


def python(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/workflow{os.pathsep}{COMPILERS}", "XLA_FLAGS": ""}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "package", "recipe"),
    [
        ("cpu:8", "jax", {}),
        ("h100:8", "jax_cuda12_plugin", {"dtype": "bfloat16"}),
        ("a100:8", "jax_cuda12_plugin", {"dtype": "bfloat16", "keep_documents_apart": True}),
        ("tpu-v5p:2x2x2", "libtpu", {"dtype": "bfloat16"}),
    ],
)
def test_a_step_is_compiled_for_devices_that_are_not_here(
    target: str, package: str, recipe: dict[str, object], tmp_path: Path
) -> None:
    if importlib.machinery.PathFinder.find_spec(package, [*sys.path, COMPILERS]) is None:
        pytest.skip(f"{package} isn't installed or in FALSEPROMISE_COMPILERS: nothing compiles for {target} here")
    change = json.dumps({"batch_size": 16, "remat": "full", "layers": "scan", **recipe})
    done = run(
        "--shape", SHAPE, "--recipe", change, "--mesh", "fsdp=4,tensor=2", "--target", target, "--block-size", "128",
        "--layers", "2", "--output", f"{tmp_path}/out.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["layers"] == 2
    assert found["memory"]["fits"]
    assert found["memory"]["peak"] >= found["memory"]["arguments"] > 0
    # Six products a weight and token, and the forward pass of the layers again but for its last product.
    weights = 2 * (4 * 256**2 + 3 * 256 * 688)
    expected = 16 * 128 * (8 * weights - 2 * 2 * 256 * 688 + 6 * 2048 * 256) / 8
    assert expected < found["flops_per_device"] < 1.1 * expected  # and attention
    # Tensor parallelism's own: two sums of the activations a layer each way, and one each for the table and the head.
    activations = [c for c in found["collectives"] if math.prod(c["shape"]) == 4 * 128 * 256]
    assert {(c["operation"], c["group"]) for c in activations} == {("all-reduce", 2)}
    assert sum(c["count"] for c in activations) == 4 * 2 + 2
    assert found["bound"]["step_s"] > 0


SCATTER = """
import os, sys
from falsepromise.training.targets import Target
target = Target.of(sys.argv[1])
target.prepare()
os.environ["XLA_FLAGS"] += f" --xla_dump_to={sys.argv[2]}"
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
where = NamedSharding(target.mesh("fsdp=1"), PartitionSpec())
ids = jax.ShapeDtypeStruct((512,), jnp.int32, sharding=where)
rows = jax.ShapeDtypeStruct((512, 1600), jnp.float32, sharding=where)
jax.jit(lambda ids, rows: jnp.zeros((1000, 1600)).at[ids].add(rows)).lower(ids, rows).compile()
"""


@pytest.mark.slow
@pytest.mark.parametrize("target", ["a100:1", "h100:1", "rtx-4090:1"])
def test_rows_are_added_to_a_table_without_compare_and_swap(target: str, tmp_path: Path) -> None:
    """As in the embedding's gradient; see docs/training.md on jaxlib 0.10.2."""
    if importlib.machinery.PathFinder.find_spec("jax_cuda12_plugin", [*sys.path, COMPILERS]) is None:
        pytest.skip("jax_cuda12_plugin isn't installed or in FALSEPROMISE_COMPILERS")
    done = python("-c", SCATTER, target, str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    code = "".join(file.read_text() for file in tmp_path.glob("*.ptx"))
    assert re.search(r"\batom\.[\w.]*add", code)
    assert not re.search(r"\batom\.[\w.]*cas", code)


PASSES = """
from falsepromise.training.targets import Target
target = Target.of("h100:1")
target.prepare()
from falsepromise.models.config import ModelConfig
from falsepromise.training.compile import traced
from falsepromise.training.recipe import Recipe
config = ModelConfig(
    "gpt2", 512, 1600, 6400, 4, 25, 25, 64, 1024, tie_embeddings=True, attention_bias=True, output_bias=True
)
recipe = Recipe.of({"dtype": "bfloat16", "remat": "dots", "layers": "scan", "batch_size": 32, "optimizer": "adamw"})
print(traced(config, recipe, 1024, target.mesh("fsdp=1")).lower().compile().as_text())
"""


@pytest.mark.slow
def test_gpt2_xls_layers_pass_over_no_activation_in_float32() -> None:
    """Such a pass takes twice the memory's time: norms and GELU had five a layer on the way back, biases one each."""
    if importlib.machinery.PathFinder.find_spec("jax_cuda12_plugin", [*sys.path, COMPILERS]) is None:
        pytest.skip("jax_cuda12_plugin isn't installed or in FALSEPROMISE_COMPILERS")
    done = python("-c", PASSES)
    assert done.returncode == 0, done.stderr[-2000:]
    bodies = {
        name: text
        for name, text in re.findall(r"^(%\S+) [^\n]*\{\n(.*?)^\}", done.stdout, re.M | re.S)
        if f"body={name}," in done.stdout and "fmha" in text
    }
    assert len(bodies) == 2  # the layers on the way forth and back
    for text in bodies.values():
        made = re.findall(r" = \(?(.*?)\)? (?:fusion|copy)\(", text)
        assert made
        assert not re.search(r"f32\[(32,1024|32768|1,32,1024|1,32768),(1600|6400)\]", " ".join(made))
    epilogues = re.findall(r'"epilogue":"(\w+)"', min(bodies.values(), key=len))
    assert epilogues.count("BIAS") == 6  # q, k, v, o, up, down


@pytest.mark.slow
def test_decoding_is_compiled_too(tmp_path: Path) -> None:
    done = run(
        "--shape", SHAPE, "--target", "cpu:4", "--rows", "4", "--prompt", "16", "--slots", "32",
        "--output", f"{tmp_path}/out.json", module="falsepromise.generation.compile",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    prefill, decode = json.loads((tmp_path / "out.json").read_text())
    assert (prefill["part"], decode["part"], decode["mesh"]) == ("prefill", "decode", "data=1,tensor=4")
    assert decode["peak"] > decode["arguments"]


ROWS = """
import sys
import jax.numpy as jnp
from falsepromise.generation.compile import decoding
from falsepromise.generation.placing import default_mesh
from falsepromise.generation.room import Room
from falsepromise.models.config import ModelConfig
from falsepromise.training.program import memory_of
from falsepromise.training.targets import Target
target = Target.of(sys.argv[1])
target.prepare()
sizes = dict(max_positions=2048, vocab_size=32000, intermediate_size=13824, head_dim=128, num_layers=4)
wide = ModelConfig("llama", hidden_size=5120, num_heads=40, num_kv_heads=40, **sizes)
grouped = ModelConfig("llama", hidden_size=3584, num_heads=28, num_kv_heads=4, tie_embeddings=True, **sizes)
dtype = jnp.float32 if target.platform == "cpu" else jnp.bfloat16
for config in (wide, grouped):
    mesh = target.mesh(default_mesh(config, target.count))
    room = Room.of(config, dtype, mesh, target.platform, 1e12)
    weights = config.n_parameters * jnp.dtype(dtype).itemsize / mesh.shape["tensor"]
    for rows, read, prompt, slots in ((16, 4, 1536, 2048), (32, 8, 512, 1024)):
        parts = decoding(config, mesh, rows=rows, read=read, prompt=prompt, slots=slots, dtype=dtype)
        compiled = max(memory_of(part.compile())["peak"] for part in parts.values())
        ours = weights + room.decoding(rows, slots) + max(room.reading(read, prompt), room.merged())
        print(ours / compiled)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "package", "least", "most"),
    [
        ("cpu:1", "jax", 0.9, 1.1),
        ("h100:1", "jax_cuda12_plugin", 0.9, 1.1),
        ("a100:2", "jax_cuda12_plugin", 0.85, 1.25),  # over a mesh fewer matrices are merged
        ("tpu-v5e:2x2", "libtpu", 0.9, 1.5),  # a cache is laid out a second time, or not, as the compiler likes
    ],
)
def test_a_batch_of_answers_takes_the_memory_that_it_is_planned_with(
    target: str, package: str, least: float, most: float
) -> None:
    if importlib.machinery.PathFinder.find_spec(package, [*sys.path, COMPILERS]) is None:
        pytest.skip(f"{package} isn't installed or in FALSEPROMISE_COMPILERS: nothing compiles for {target} here")
    done = python("-c", ROWS, target)
    assert done.returncode == 0, done.stderr[-2000:]
    ratios = [float(line) for line in done.stdout.split()]
    assert len(ratios) == 4
    assert least < min(ratios), ratios
    assert max(ratios) < most, ratios


def test_the_papers_models_have_their_known_sizes() -> None:
    for parameters, hub in BY_PARAMETERS.items():
        assert ModelConfig.from_hub(hub).n_parameters == parameters


def test_a_slice_keeps_the_windows_of_its_layers() -> None:
    hub = json.loads(SHAPE) | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 64}
    hub["num_key_value_heads"] = 4
    assert verb.sliced(ModelConfig.from_hub(hub), 2).windows == (64, 64)


def test_gpus_and_tpus_are_counted() -> None:
    assert (Target.of("h100:8").count, Target.of("tpu-v5p:2x2x2").count, Target.of("cpu:2").platform) == (8, 8, "cpu")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "b200:8"], r"--target 'b200:8': expected a100:8, .*cpu:8"),
        (["--target", "h100:2x2"], "--target 'h100:2x2'"),
        (["--target", "h100:9"], "--target 'h100:9': hosts have up to 8 GPUs.* expected h100:8 or h100:10"),
        (["--target", "tpu-v5e:2x2x2"], "or a TPU's shape, as tpu-v4:2x2x1, tpu-v5e:2x2"),
        (["--target", "cpu:1"], "shape has 512 positions, the blocks have 2048 tokens; .* --block-size 512"),
        (["--target", "cpu:1", "--block-size", "0"], "--block-size 0: expected at least 1 token"),
        (["--target", "cpu:1", "--layers", "9"], "--layers 9: the model has 3; expected 1 to 3"),
        (["--target", "cpu:1", "--mesh", "fsdp=3"], "is for 3 devices, --target cpu:1 has 1"),
    ],
)
def test_what_can_not_be_compiled_is_one_line(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(Target, "prepare", lambda self: None)  # this process has its devices already
    with pytest.raises(UserError, match=message):
        verb.main(["--shape", SHAPE, *words])


def test_a_model_that_the_study_does_not_train_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "prepare", lambda self: None)
    with pytest.raises(UserError, match="--model llama-70b: the study trains no such model; expected one of"):
        verb.main(["--study", f"{ROOT}/config/paper.yaml", "--model", "llama-70b", "--target", "cpu:1"])


@pytest.mark.parametrize(
    ("said", "peak"),
    [
        (
            'Ran out of memory in memory space hbm. Used 84.04G of 30.75G hbm. Size: 5.77G\n Operator: op_name="a"',
            84.04,
        ),
        (
            "Ran out of memory on HBM, the total memory required for HLO temporaries (38.49G) exceeds available HBM",
            38.49,
        ),
    ],
)
def test_a_step_that_tpus_compiler_refuses_does_not_fit(said: str, peak: float) -> None:
    """As libtpu 0.0.42 words it; of the second the arguments are left out."""

    class Refused:
        def lower(self) -> Refused:
            return self

        def compile(self) -> None:
            raise jax.errors.JaxRuntimeError(f"RESOURCE_EXHAUSTED: {said}")

    assert verb.compiled_memory(Refused())[0] == {"peak": round(peak * 2**30)}  # type: ignore[arg-type]
