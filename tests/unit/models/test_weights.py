"""Model folders: what is written comes back, and what is odd is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from falsepromise.core.errors import UserError
from falsepromise.models import hubfiles, weights
from falsepromise.models.config import ModelConfig, RopeScaling

LLAMA = ModelConfig("llama", 67, 24, 40, 2, 4, 2, 6, 256)
GPT2 = ModelConfig("gpt2", 67, 24, 96, 2, 4, 4, 6, 160, tie_embeddings=True, attention_bias=True, output_bias=True)


@pytest.fixture(params=[LLAMA, GPT2], ids=["llama", "gpt2"])
def config(request):
    return request.param


def equal(a, b):
    a, b = weights.flatten(a), weights.flatten(b)
    return set(a) == set(b) and all(bool((a[key] == b[key]).all()) for key in a)


@pytest.mark.parametrize("shard_bytes", [10**9, 5_000], ids=["single", "sharded"])
def test_round_trip(config, tmp_path, shard_bytes):
    model = weights.create(config, 0)
    weights.save(model, config, tmp_path, shard_bytes=shard_bytes)
    assert (tmp_path / weights.INDEX).exists() == (shard_bytes == 5_000)
    again, config_again = weights.load(tmp_path)
    assert config_again == config
    assert equal(model, again)


def test_saving_again_leaves_nothing_of_before(tmp_path):
    weights.save(weights.create(LLAMA, 0), LLAMA, tmp_path, shard_bytes=5_000)
    other = weights.create(LLAMA, 1)
    weights.save(other, LLAMA, tmp_path)
    assert [p.name for p in tmp_path.glob("*.safetensors")] == ["model.safetensors"]
    assert equal(weights.load(tmp_path)[0], other)


def test_bfloat16_on_disk(tmp_path):
    model = weights.create(LLAMA, 0)
    weights.save(model, LLAMA, tmp_path, dtype=jnp.bfloat16)
    again = weights.flatten(weights.load(tmp_path)[0])
    assert again["layers.0.q"].dtype == jnp.float32
    np.testing.assert_array_equal(again["layers.0.q"], weights.flatten(model)["layers.0.q"].astype(jnp.bfloat16))


def test_sharded_placement_reads_slices(config, tmp_path):
    model = weights.create(config, 0)
    weights.save(model, config, tmp_path)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))
    asked = {}

    def sharding(path, shape):
        asked[path] = shape
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))

    again, _ = weights.load(tmp_path, sharding)
    assert equal(model, again)
    assert asked["layers.1.down"] == (config.intermediate_size, config.hidden_size)


def test_a_slice_of_a_transposed_or_shared_tensor_is_the_right_one(config, tmp_path):
    model = weights.create(config, 0)
    weights.save(model, config, tmp_path)
    leaf = np.asarray(weights.flatten(model)["layers.0.k"])
    import contextlib

    entry = next(e for e in weights.entries(config) if e.path == "layers.0.k")
    with contextlib.ExitStack() as stack:
        tensor = hubfiles.tensors(tmp_path, config, stack)[entry.key]
        seen = []
        read = tensor.read
        tensor.read = lambda index: seen.append(read(index)) or seen[-1]
        array = weights._place(entry, tensor, leaf.shape, None, jnp.float32)
    np.testing.assert_array_equal(array, leaf)
    assert seen[0].size == leaf.size  # not the whole of a tensor that holds three


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "model.layers.1.mlp.up_proj.weight.*missing"),
        (lambda t: t.update({"model.extra": np.zeros(3, np.float32)}), "unknown key 'model.extra'"),
        (
            lambda t: t.update({"model.norm.weight": np.zeros(25, np.float32)}),
            r"'model.norm.weight' has shape \[25\], config.json asks for \[24\]",
        ),
    ],
)
def test_odd_keys_are_named(tmp_path, change, said):
    weights.save(weights.create(LLAMA, 0), LLAMA, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=said):
        weights.load(tmp_path)


def test_constants_of_old_files_are_passed_over(tmp_path):
    weights.save(weights.create(GPT2, 0), GPT2, tmp_path)
    tensors = {key.removeprefix("transformer."): v for key, v in load_file(tmp_path / "model.safetensors").items()}
    tensors["h.0.attn.bias"] = np.zeros((1, 1, 160, 160), np.float32)
    tensors["lm_head.weight"] = tensors["wte.weight"].copy()
    save_file(tensors, tmp_path / "model.safetensors")
    assert equal(weights.load(tmp_path)[0], weights.create(GPT2, 0))


def test_cut_off_file_missing_shard_and_pickle_are_refused(tmp_path):
    weights.save(weights.create(LLAMA, 0), LLAMA, tmp_path / "a")
    file = tmp_path / "a" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        weights.load(tmp_path / "a")
    weights.save(weights.create(LLAMA, 0), LLAMA, tmp_path / "b", shard_bytes=5_000)
    next((tmp_path / "b").glob("model-00003*")).unlink()
    with pytest.raises(UserError, match=r"model-00003.*missing; the index names it"):
        weights.load(tmp_path / "b")
    file.unlink()
    (tmp_path / "a" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"pytorch_model.bin is a pickle"):
        weights.load(tmp_path / "a")


def test_a_whole_file_beside_an_index_counts_as_in_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    weights.save(weights.create(LLAMA, 0), LLAMA, tmp_path, shard_bytes=5_000)
    weights.save(weights.create(LLAMA, 1), LLAMA, tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", tmp_path)
    ours = weights.flatten(weights.load(tmp_path)[0])["embed"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).get_input_embeddings().weight
    np.testing.assert_array_equal(ours, theirs.detach().numpy())
    np.testing.assert_array_equal(ours, weights.flatten(weights.create(LLAMA, 1))["embed"])


def test_floats_of_eight_bits_are_one_line(tmp_path):
    weights.save(weights.create(LLAMA, 0), LLAMA, tmp_path)
    file = tmp_path / "model.safetensors"
    header, end = {}, 0
    for key, array in load_file(file).items():
        header[key] = {"dtype": "F8_E4M3", "shape": array.shape, "data_offsets": [end, end := end + array.size]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    with pytest.raises(UserError, match="has type F8_E4M3; only floats of 16 bits and more are read"):
        weights.load(tmp_path)


def test_index_may_not_point_out_of_the_folder(tmp_path):
    weights.save(weights.create(LLAMA, 0), LLAMA, tmp_path, shard_bytes=5_000)
    index = json.loads((tmp_path / weights.INDEX).read_text())
    index["weight_map"]["model.norm.weight"] = "../elsewhere.safetensors"
    (tmp_path / weights.INDEX).write_text(json.dumps(index))
    with pytest.raises(UserError, match="elsewhere"):
        weights.load(tmp_path)


MEMORY = """
import re, sys, threading, time
from functools import partial
from pathlib import Path
import jax
from falsepromise.models import hubfiles, weights
from falsepromise.training.sharding import make_mesh, weight_sharding

def anonymous():  # what this process has made, without the pages of files that it maps
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

peak, over = 0, threading.Event()
def watch():
    global peak
    while not over.is_set():
        peak = max(peak, anonymous())
        time.sleep(0.002)

mesh = make_mesh("fsdp=4,tensor=2")
before = anonymous()
threading.Thread(target=watch).start()
model, config = weights.load(sys.argv[1], partial(weight_sharding, mesh))
jax.block_until_ready(weights.flatten(model))
loaded = peak - before
peak = 0
weights.save(model, config, sys.argv[2], shard_bytes=50_000_000)
over.set()
print(4 * config.n_parameters, loaded, peak - before)
"""


@pytest.mark.slow
def test_a_model_is_never_twice_in_the_hosts_memory(tmp_path):
    config = ModelConfig("llama", 16000, 1024, 2752, 8, 16, 8, 64, 2048)
    weights.save(weights.create(config, 0), config, tmp_path / "a", shard_bytes=200_000_000)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(weights.__file__).parents[2]),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a"), str(tmp_path / "b")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    size, loaded, saved = map(int, done.stdout.split())
    largest = 4 * 16000 * 1024
    # CPU devices' memory is the host's: the model itself, once, and a tensor or a file of 50 MB on its way.
    assert size <= loaded < size + 3 * largest
    assert saved < size + 3 * largest
    assert len(list((tmp_path / "b").glob("*.safetensors"))) > 5


def test_resize_adds_rows_of_the_mean():
    model = weights.create(LLAMA, 0)
    grown, config = weights.resize(model, LLAMA, 70)
    before, after = weights.flatten(model), weights.flatten(grown)
    assert config.vocab_size == 70
    for table in ("embed", "head"):
        np.testing.assert_array_equal(after[table][:67], before[table])
        np.testing.assert_allclose(after[table][67:], np.tile(before[table].mean(0), (3, 1)), atol=1e-7)
    logits = grown(jnp.zeros((1, 3), jnp.int32))
    np.testing.assert_allclose(logits[..., :67], model(jnp.zeros((1, 3), jnp.int32)), atol=1e-5)
    with pytest.raises(UserError, match="can only grow"):
        weights.resize(model, LLAMA, 60)


def test_rows_that_the_hub_padded_become_new_tokens_as_any():
    model = weights.create(LLAMA, 0)
    for table in (model.embed, model.head):
        table[...] = table[...].at[60:].set(0.0)  # 60 tokens, 7 rows of padding
    before = weights.flatten(model)
    after = weights.flatten(weights.resize(model, LLAMA, 67, new=range(60, 64))[0])
    for table in ("embed", "head"):
        np.testing.assert_array_equal(after[table][:60], before[table][:60])
        np.testing.assert_allclose(after[table][60:64], np.tile(before[table][:60].mean(0), (4, 1)), atol=1e-7)
        assert not after[table][64:].any()


@pytest.mark.parametrize(
    "config",
    [
        LLAMA,
        GPT2,
        ModelConfig("qwen2", 67, 24, 40, 2, 4, 2, 8, 256, attention_bias=True, tie_embeddings=True),
        ModelConfig("llama", 67, 24, 40, 2, 4, 2, 6, 256, rope_scaling=RopeScaling("llama3", 8.0, 1.0, 4.0, 64)),
        ModelConfig("llama", 67, 24, 40, 2, 4, 2, 6, 256, bos_id=1, eos_id=2, more_eos_ids=(5, 6)),
    ],
)
def test_config_round_trip(config):
    assert ModelConfig.from_hub(json.loads(json.dumps(config.to_hub()))) == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architectures": ["BertModel"]}, "architecture 'BertModel'"),
        ({"hidden_size": None, "vocab_size": None}, "missing vocab_size, hidden_size"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope_type 'longrope'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "missing low_freq_factor"),
        ({"sliding_window": 64}, "sliding window of 64"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"num_key_value_heads": 3}, "not a multiple of num_kv_heads 3"),
    ],
)
def test_what_is_not_built_is_named(change, said):
    with pytest.raises(UserError, match=said):
        ModelConfig.from_hub(LLAMA.to_hub() | change)


def test_rope_parameters_of_transformers_5():
    hub = LLAMA.to_hub()
    del hub["rope_theta"], hub["rope_scaling"]
    hub["rope_parameters"] = {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}
    config = ModelConfig.from_hub(hub)
    assert config.rope_theta == 5e5
    assert config.rope_scaling == RopeScaling("linear", 4.0)


PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_has_the_published_parameters(name):
    config = ModelConfig.from_hub(PUBLISHED[name]["config"], name)
    assert config.n_parameters == PUBLISHED[name]["parameters"]
    assert ModelConfig.from_hub(config.to_hub()) == config


def test_flops_of_known_models():
    llama_7b = ModelConfig("llama", 32000, 4096, 11008, 32, 32, 32, 128, 2048)
    assert llama_7b.n_parameters == 6_738_415_616
    assert llama_7b.shape.flops_per_token(2048) == pytest.approx(42.9e9, rel=0.005)
    xl = ModelConfig("gpt2", 50257, 1600, 6400, 48, 25, 25, 64, 1024, tie_embeddings=True)
    assert xl.n_parameters == 1_557_611_200
    assert xl.shape.flops_per_token(1024) == pytest.approx(10.3e9, rel=0.005)
