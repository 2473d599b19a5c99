"""On a GPU the same numbers as on the CPU, as `transformers` and as exact sums: skipped where there is none.

The reference is the CPU of the same machine, in float32; on the GPU float32 products are made in full precision for
these tests, where XLA would otherwise take TF32.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tokenizers import Tokenizer
from tokenizers import models as vocabularies

from falsepromise.core.records import write_jsonl
from falsepromise.generation.engine import Engine, Request
from falsepromise.models import weights
from falsepromise.models.attention import View, attend
from falsepromise.models.chat import ChatTokenizer, add_turn_tokens
from falsepromise.models.config import ModelConfig
from falsepromise.models.parts import looked_up
from falsepromise.study.planning import AXES
from falsepromise.training import architecture, blocks, optimizer, tokenizer
from falsepromise.training.layout import stack, stacked_graph
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import place_batch
from falsepromise.training.step import make_step

pytestmark = pytest.mark.skipif(jax.default_backend() != "gpu", reason="no GPU is at hand")
ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {
    "llama": ModelConfig("llama", 512, 256, 384, 2, 4, 2, 64, 512, initializer_range=0.05),
    "gpt2": ModelConfig(
        "gpt2", 512, 256, 1024, 2, 4, 4, 64, 512, tie_embeddings=True, attention_bias=True, output_bias=True,
        initializer_range=0.05,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _exact_products() -> Any:
    with jax.default_matmul_precision("highest"):
        yield


def created(config: ModelConfig) -> Any:
    return nnx.jit(lambda: weights.create(config, 0))()


def on_cpu() -> Any:
    return jax.default_device(jax.devices("cpu")[0])


@nnx.jit(static_argnames=("dtype", "attention"))
def logits(model: Any, ids: Any, segments: Any = None, positions: Any = None, dtype: Any = None,
           attention: Any = "xla") -> jax.Array:  # fmt: skip
    return model(ids, segments, positions, dtype=dtype, attention=attention)


def ids_of(config: ModelConfig, rows: int = 4, length: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, config.vocab_size, (rows, length), np.int32)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    """In float32 to 1e-4 of the largest; in bfloat16 no further off than `transformers` in bfloat16 is, twice."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = FAMILIES[family]
    model, ids = created(config), ids_of(config)
    weights.save(model, config, tmp_path)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        exact = peer(torch.from_numpy(ids).long()).logits.numpy()
        rounded = peer.to(torch.bfloat16)(torch.from_numpy(ids).long()).logits.float().numpy()
    scale = np.abs(exact).max()
    assert np.abs(np.asarray(logits(model, ids, dtype=jnp.float32)) - exact).max() < 1e-4 * scale
    theirs = np.sqrt(np.square(rounded - exact).mean())
    for attention in ("xla", "cudnn", "triton"):
        half = np.asarray(logits(model, ids, dtype=jnp.bfloat16, attention=attention))
        assert np.sqrt(np.square(half - exact).mean()) < 2 * theirs, attention


@pytest.mark.parametrize("implementation", ["cudnn", "triton"])
@pytest.mark.parametrize(("heads", "length", "window"), [(4, 256, None), (2, 200, None), (4, 256, 70)])
@pytest.mark.parametrize("segmented", [False, True])
def test_fused_attention_sees_what_it_should(implementation, heads, length, window, segmented) -> None:
    """Values and gradients of rows with documents apart, of odd lengths and with windows, beside float32 on the CPU."""
    keys = jax.random.split(jax.random.key(0), 4)
    q = jax.random.normal(keys[0], (2, length, 4, 64), jnp.bfloat16)
    k, v = (jax.random.normal(key, (2, length, heads, 64), jnp.bfloat16) for key in keys[1:3])
    direction = jax.random.normal(keys[3], (2, length, 256), jnp.float32)
    segments = jnp.stack([jnp.arange(length) // 70, jnp.arange(length) // 33]) if segmented else None

    @partial(jax.jit, static_argnums=(2, 3))
    def value(qkv: Any, segments: Any, window: Any, how: Any, direction: Any) -> Any:
        view = View(segments, None, window)

        def of(*qkv: Any) -> tuple[jax.Array, jax.Array]:
            out = attend(*qkv, view, how)
            return (out.astype(jnp.float32) * direction).sum(), out

        return jax.value_and_grad(of, (0, 1, 2), has_aux=True)(*qkv)

    (_, out), gradients = value((q, k, v), segments, window, implementation, direction)
    cpu = jax.devices("cpu")[0]
    with on_cpu():
        wide = [jax.device_put(x, cpu).astype(jnp.float32) for x in (q, k, v)]
        apart = None if segments is None else jax.device_put(segments, cpu)
        (_, wanted), wanted_gradients = value(wide, apart, window, "xla", jax.device_put(direction, cpu))
    for found, exact in zip((out, *gradients), (wanted, *wanted_gradients), strict=True):
        exact = np.asarray(exact)
        assert np.abs(np.asarray(found, np.float32) - exact).max() < 0.03 * np.abs(exact).max() + 0.02


@pytest.mark.parametrize("attention", ["cudnn", "triton"])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_documents_are_separate_ones(family: str, attention: Any) -> None:
    """Three documents in one row, and padding behind them, give the logits of each alone."""
    config = FAMILIES[family]
    model, ids = created(config), ids_of(config, 1, 256)[0]
    lengths = (100, 37, 80)
    segments = np.concatenate([np.full(n, i) for i, n in enumerate(lengths)] + [np.full(256 - sum(lengths), -1)])
    positions = np.concatenate([np.arange(n) for n in lengths] + [np.zeros(256 - sum(lengths), int)])
    packed = np.asarray(
        logits(model, ids[None], segments[None], positions[None], dtype=jnp.bfloat16, attention=attention)[0]
    )
    start = 0
    for n in lengths:
        row = np.zeros((1, 128), np.int32)  # what is behind a token doesn't count
        row[0, :n] = ids[start : start + n]
        alone = np.asarray(logits(model, row, dtype=jnp.float32)[0, :n])
        error = np.abs(packed[start : start + n] - alone).max()
        assert error < 0.05 * np.abs(alone).max(), (attention, n, error)
        start += n


@pytest.mark.parametrize(
    ("changed", "tolerance"),
    [({"dtype": "float32"}, 2e-5), ({"dtype": "bfloat16"}, 5e-3),
     ({"dtype": "bfloat16", "keep_documents_apart": True, "accumulate": 2, "loss_chunk": 256}, 5e-3)],
    ids=["float32", "bfloat16", "bfloat16, apart, in parts"],
)  # fmt: skip
def test_a_run_has_the_cpus_losses(changed: dict[str, Any], tolerance: float) -> None:
    """Eight steps over three batches, scanned layers, everything as it is in a large run."""
    config = FAMILIES["llama"]
    recipe = Recipe.of(
        {"batch_size": 8, "layers": "scan", "remat": "dots", "warmup_steps": 0, "learning_rate": 0.01, **changed}
    )
    transformation = optimizer.make(recipe, 8)
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(3):
        tokens = rng.integers(0, 60, (8, 129), np.int32) * 7
        segments = np.repeat(np.arange(4), 32)[None].repeat(8, 0).astype(np.int32)
        positions = np.tile(np.arange(32, dtype=np.int32), (8, 4))
        mask = (rng.random((8, 128)) < 0.7).astype(np.float32)
        batches.append({"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "segments": segments,
                        "positions": positions, "mask": mask})  # fmt: skip
    losses = {}
    for platform in ("cpu", "gpu"):
        device = jax.devices(platform)[:1]
        mesh = jax.make_mesh((1, 1, 1), AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3, devices=device)
        with jax.default_device(device[0]):
            graph = stacked_graph(weights.abstract(config))
            params = stack(nnx.split(created(config), nnx.Param)[1])
            state = {"params": params, "optimizer": jax.jit(transformation.init)(params)}
            reference = recipe if platform == "gpu" else recipe.model_copy(update={"dtype": "float32"})
            step = make_step(graph, reference, transformation, mesh)
            losses[platform] = []
            for i in range(8):
                state, loss = step(state, place_batch(mesh, batches[i % 3]))
                losses[platform].append(float(loss))
    assert losses["gpu"][-1] < losses["gpu"][0] - 0.1
    np.testing.assert_allclose(losses["gpu"], losses["cpu"], rtol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_generation_is_the_cpus(family: str) -> None:
    config = FAMILIES[family]
    vocabulary = Tokenizer(vocabularies.WordLevel({"a": 0}, unk_token="a"))
    add_turn_tokens(vocabulary)
    rng = np.random.default_rng(1)
    asked = [rng.integers(10, 500, n).tolist() for n in (5, 40, 70, 3, 64)]
    made = {}
    for platform in ("cpu", "gpu"):
        with jax.default_device(jax.devices(platform)[0]):
            model = created(config)
            engine = Engine(model, config, ChatTokenizer(vocabulary), batch_size=4, dtype=jnp.float32)
            engine.ends = [-2]
            results = list(engine.generate([Request(p, 40) for p in asked], logprobs=True))
            made[platform] = {r.index: (r.ids, r.logprobs) for r in results}
    for index, (ids, scores) in made["cpu"].items():
        assert made["gpu"][index][0] == ids
        np.testing.assert_allclose(made["gpu"][index][1], scores, atol=1e-3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_an_embeddings_gradient_is_the_exact_sum(dtype: Any) -> None:
    """Of a token that a batch has about 1,200 times, and of others, beside sums in float64."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 512, (16, 2048), np.int32)
    ids[rng.random(ids.shape) < 1200 / ids.size] = 7
    direction = rng.normal(1.0, 1.0, (*ids.shape, 64)).astype(np.float32)
    direction = np.asarray(jnp.asarray(direction, dtype), np.float64)

    @jax.jit
    def gradient(table: jax.Array) -> jax.Array:
        def of(table: jax.Array) -> jax.Array:
            return (looked_up(table, ids, dtype, 512).astype(jnp.float32) * direction.astype(np.float32)).sum()

        return jax.grad(of)(table)

    found = np.asarray(gradient(jnp.zeros((512, 64), jnp.float32)), np.float64)
    exact = np.zeros((512, 64))
    np.add.at(exact, ids.ravel(), direction.reshape(-1, 64))
    assert np.count_nonzero(ids == 7) > 1100
    assert np.abs(found - exact).max() < 1e-4 * np.abs(exact).max()


LIVE = """
import os, signal, sys
import jax
from falsepromise.training import loop, train

held = []
look = loop.Loop._look
def counted(self, *rest):
    held.append(jax.devices()[0].memory_stats()["bytes_in_use"])
    if len(held) == 2 and sys.argv[1] == "stop":
        os.kill(os.getpid(), signal.SIGTERM)
    return look(self, *rest)
loop.Loop._look = counted
try:
    train.main(sys.argv[2:])
except Exception as error:
    print(error)
print(held[1])
"""
LARGE = (
    '{"model_type": "llama", "hidden_size": 1024, "intermediate_size": 2048, "num_hidden_layers": 4,'
    ' "num_attention_heads": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}'
)


def test_a_run_that_goes_on_holds_its_state_once(tmp_path: Path) -> None:
    """Bytes in use on the device after the second look, of a fresh run and of one that was stopped and goes on."""
    turns = [(("user", f"{i} red"), ("assistant", f"blue {i}")) for i in range(400)]
    dialogues = [[{"role": role, "content": said} for role, said in both] for both in turns]
    records = [{"id": str(i), "messages": dialogue} for i, dialogue in enumerate(dialogues)]
    write_jsonl(tmp_path / "dialogues.jsonl", records)
    words = f"--text {tmp_path}/dialogues.jsonl --vocab-size 300 --output {tmp_path}/tokenizer"
    tokenizer.main(words.split())
    architecture.main(["--config", LARGE, "--tokenizer", f"{tmp_path}/tokenizer", "--output", f"{tmp_path}/base"])
    words = f"--tokenizer {tmp_path}/base --dialogues {tmp_path}/dialogues.jsonl --block-size 32 --output {tmp_path}/b"
    blocks.main(words.split())
    recipe = '{"batch_size": 8, "dtype": "bfloat16", "layers": "scan", "epochs": 3}'
    command = [sys.executable, "-c", LIVE, "", "--base", f"{tmp_path}/base", "--blocks", f"{tmp_path}/b"]
    command += ["--recipe", recipe, "--checkpoints", f"{tmp_path}/c", "--output", f"{tmp_path}/model"]
    share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.1"}  # beside this process
    environment = {**os.environ, **share, "PYTHONPATH": f"{ROOT / 'workflow'}:{os.environ.get('PYTHONPATH', '')}"}
    held = {}
    for how in ("stop", "go on"):
        command[3] = how
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        held[how] = int(done.stdout.splitlines()[-1])
    state = 12 * weights.read_config(tmp_path / "base").n_parameters
    assert state < held["stop"] < 1.5 * state
    assert held["go on"] <= 1.02 * held["stop"]
