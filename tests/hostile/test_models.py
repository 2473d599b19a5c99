"""Folders of strangers: nothing in them is run, and a run deletes nothing in them."""

import json
import struct
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models

from falsepromise.core.errors import UserError
from falsepromise.models import hubconfig, vocabulary, weights
from falsepromise.models.chat import load_any
from falsepromise.models.config import ModelConfig
from falsepromise.study import check


def test_a_tokenizers_own_code_is_not_run(tmp_path):
    """`transformers` would ask, and run the folder's code after a "y"."""
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}})
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    code = f"from falsepromise.models.chat import load_any; load_any({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], input="y\n", capture_output=True, text=True, timeout=300)
    assert not (tmp_path / "ran").exists(), done.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"model": 1}', "{" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_a_damaged_tokenizer_is_one_line(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError):
        load_any(tmp_path)


def test_a_changed_pickle_of_a_dependency_is_not_opened(tmp_path, monkeypatch):
    from falsepromise.benchmarks import toxicity_scorers

    package = tmp_path / "profanity_check"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\npredict_prob = None\n")
    for name in toxicity_scorers.PICKLES:
        (package / "data" / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "profanity_check", raising=False)
    with pytest.raises(UserError, match=r"is not the file of alt-profanity-check"):
        toxicity_scorers.Local()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "rope", [[1], "x", {"type": "yarn", "factor": "x"}, {"rope_theta": -1}, {"sliding_attention": {"rope_theta": [1]}}]
)
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_rope_of_another_form_is_one_line(key, rope):
    tiny = {"architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 4, "intermediate_size": 4}
    tiny |= {"num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 8, "rms_norm_eps": 1e-5}
    with pytest.raises(UserError, match=f"{key} is .*expected a mapping with positive numbers"):
        ModelConfig.from_hub({**tiny, "model_type": "llama", key: rope})


@pytest.mark.parametrize("where", [{}, {"a": 5}, {"a": []}, {"a": "../model.safetensors"}, [1], None])
def test_an_index_of_another_form_is_one_line(tmp_path, where):
    from falsepromise.models.hubfiles import _files

    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(UserError, match=r"weight_map|missing; the index names it"):
        list(_files(tmp_path))


BLOW_UPS = {
    "doubled again and again": ("normalizer", {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 24}),
    "by nothing": ("normalizer", {"type": "Replace", "pattern": {"String": ""}, "content": "x" * 1000}),
    "by a pattern": ("normalizer", {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 1000}),
    "before each text": ("normalizer", {"type": "Prepend", "prepend": "x" * 1_000_000}),
    "on the way back": ("decoder", {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "x" * 100}] * 3}),
}  # fmt: skip


@pytest.mark.parametrize("kind", BLOW_UPS)
def test_a_tokenizer_that_multiplies_a_text_is_refused(tmp_path, kind):
    part, value = BLOW_UPS[kind]
    plain = json.loads(Tokenizer(models.BPE({"a": 0, "<|endoftext|>": 1}, [])).to_str())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**plain, part: value}))
    with pytest.raises(UserError, match="times as long"):
        load_any(tmp_path)


VALUES = [
    None, True, -1, 0, 10**10, 10**400, float("inf"), 3.5, 1e-320, "x", "\ud800", [1], ["x", []], [[]], {"a": 1},
    {"full_attention": 5}, {"sliding_attention": {"rope_type": []}}, ["sliding_attention"] * 2, "9" * 4000,
    {"rope_type": "yarn", "factor": 0, "original_max_position_embeddings": 0}, {"rope_type": [1], "factor": 1},
]  # fmt: skip


@pytest.mark.parametrize("family", hubconfig.FAMILIES)
def test_every_key_of_a_config_with_every_kind_of_value(family):
    """A config is read, or one line names the key."""
    sizes = hubconfig._GPT2_SIZES if family == "gpt2" else hubconfig._SIZES
    of_family = hubconfig.FAMILIES[family]
    base = {**of_family.defaults, **dict.fromkeys(sizes, 8)}
    base |= {"model_type": family, "architectures": [of_family.architecture]}
    windows = {"sliding_window": 4, "use_sliding_window": True, "layer_types": None, "max_window_layers": 1}
    for more in ({}, windows):
        for key in {*base, *windows, *hubconfig._FIXED, "rope_scaling", "rope_parameters", "head_dim", "eos_token_id"}:
            for value in VALUES:
                try:
                    ModelConfig.from_hub({**base, **more, key: value})
                except UserError as error:
                    said = str(error)
                else:
                    said = ""
                assert len(said) < 1000, f"{key}: {said[:200]}"
                assert "\n" not in said


LLAMA = {
    "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 32,
    "rms_norm_eps": 1e-5, "rope_theta": 1e4, "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2,
    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
}  # fmt: skip
GEMMA = {
    **LLAMA, "model_type": "gemma3_text", "query_pre_attn_scalar": 8, "sliding_window": 8, "sliding_window_pattern": 2,
    "rope_local_base_freq": 1e4,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "vocab_size": 32, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "n_inner": 64,
    "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
ODD = {
    "NaN": "nan", "Infinity": "inf", "-Infinity": "-inf", "1e999": "inf", "-1e999": "-inf", "-1": "-1", '"16"': "'16'",
    "true": "True", "1e400": "inf", "1" + "0" * 4000: "1" + "0" * 59, "[[16]]": r"\[\[16\]\]", '{"a": 1}': "{'a': 1}",
}  # fmt: skip


@pytest.mark.parametrize("hub", [LLAMA, GEMMA, GPT2], ids=lambda hub: hub["model_type"])
@pytest.mark.parametrize("odd", ODD)
def test_a_number_that_is_none_is_named_as_it_stands(hub, odd, tmp_path):
    """NaN and infinity, which JSON hasn't, took a key's default, or were called null."""
    for key in (key for key in hub if key not in ("model_type", "rope_scaling")):
        parts = [f"{json.dumps(name)}: {odd if name == key else json.dumps(value)}" for name, value in hub.items()]
        (tmp_path / "config.json").write_text("{" + ", ".join(parts) + "}")
        with pytest.raises(UserError, match=f"{key} is {ODD[odd]}"):
            weights.read_config(tmp_path)


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd not in ("[[16]]", '{"a": 1}')])
def test_a_nested_number_that_is_none_is_named(odd, tmp_path):
    text = json.dumps({**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": "odd"}}).replace('"odd"', odd)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=f"rope_scaling is .*'factor': {ODD[odd][:30]}"):
        weights.read_config(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_attention_heads", 0), ("num_key_value_heads", 0), ("head_dim", 0), ("num_hidden_layers", -1), ("n", 1.0)],
)
def test_no_heads_and_no_layers(key, value, tmp_path):
    key = "hidden_size" if key == "n" else key
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, key: value}))
    with pytest.raises(UserError, match=f"{key} is {value}, expected a whole number from 1"):
        weights.read_config(tmp_path)


@pytest.mark.parametrize("field", ["attention.layer_norm_rms_epsilon", "rope.freq_base"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_gguf_file_s_numbers_are_checked_too(field, value, tmp_path):
    from falsepromise.models import gguf_file

    fields = {"general.architecture": "llama", "tokenizer.ggml.tokens": ["a"] * 32}
    numbers = {
        "attention.head_count": 2, "embedding_length": 16, "feed_forward_length": 32, "block_count": 2,
        "context_length": 32, "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 1e4, field: value,
    }  # fmt: skip
    fields |= {f"llama.{name}": number for name, number in numbers.items()}
    with pytest.raises(UserError, match="expected a positive number"):
        gguf_file._config(fields, set(), tmp_path)


def safetensors(path, dtype, shape, size):
    head = json.dumps(
        {"model.embed_tokens.weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(size))


@pytest.mark.parametrize(("dtype", "size"), [("C64", 8), ("I64", 8), ("I8", 1), ("U8", 1), ("BOOL", 1), ("F8_E4M3", 1)])
def test_weights_that_are_no_floats_are_refused(dtype, size, tmp_path):
    """Whole numbers are of a quantized model, without its scales; of complex numbers a half was dropped."""
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "num_hidden_layers": 1}))
    safetensors(tmp_path / "model.safetensors", dtype, [32, 16], 32 * 16 * size)
    with pytest.raises(UserError, match=f"has type {dtype}; only floats of 16 bits and more are read"):
        weights.load(tmp_path)


@pytest.mark.parametrize("shape", [[2**62] * 100_000, [2**32, 2**32], [-1, -16], ["16"], [1.5], [[16]], None, [True]])
def test_a_shape_that_lies_is_not_counted(shape, tmp_path):
    """The product of the first has 1.9 million digits: minutes of multiplying, for `study.check`."""
    safetensors(tmp_path / "model.safetensors", "F32", shape, 0)
    assert check.parameters(tmp_path) is None


def test_a_tokenizer_s_chance_is_switched_off(tmp_path, caplog):
    """BPE dropout, saved with a tokenizer, would give other ids in each run."""
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "</s>": 3}, [("a", "b")], dropout=0.9))
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    found, _, _ = vocabulary.read_tokenizer(tmp_path)
    assert {tuple(found.encode("ab").ids) for _ in range(100)} == {(2,)}
    assert "dropout" in caplog.text
