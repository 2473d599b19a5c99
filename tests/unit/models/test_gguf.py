"""GGUF files written by the `gguf` package, read back."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Regex, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

from falsepromise.core.errors import UserError
from falsepromise.models import gguf as verb
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.config import ModelConfig
from falsepromise.models.gguf_file import tokenizer_json
from falsepromise.models.gguf_head import read_head

sys.path.append(str(Path(__file__).parents[1] / "generation"))
from tokenizer_families import WORDS, WORDS_END, byte_level

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
CONFIG = ModelConfig("llama", 67, 32, 64, 2, 4, 2, 8, 256, bos_id=1, eos_id=2)


def write(path, tensors, arch="llama", pieces=None, merges=("a b",), kinds=None, more=lambda writer: None):
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(CONFIG.num_layers)
    writer.add_context_length(CONFIG.max_positions)
    writer.add_embedding_length(CONFIG.hidden_size)
    writer.add_feed_forward_length(CONFIG.intermediate_size)
    writer.add_head_count(CONFIG.num_heads)
    writer.add_head_count_kv(CONFIG.num_kv_heads)
    writer.add_layer_norm_rms_eps(CONFIG.norm_eps)
    writer.add_rope_freq_base(CONFIG.rope_theta)
    writer.add_token_list(pieces or [f"t{i}" for i in range(CONFIG.vocab_size)])
    if pieces:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_types(kinds or [3 if piece.startswith("<|") else 1 for piece in pieces])
        writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    more(writer)
    for name, array in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors_of(leaves):
    """llama.cpp's names and its order of rows in q and k: (pair, half) for our (half, pair)."""
    found = {
        "token_embd.weight": leaves["embed"],
        "output_norm.weight": leaves["norm"],
        "output.weight": leaves["head"],
    }
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up"}
    for i in range(CONFIG.num_layers):
        for ours, theirs in (names | {"down": "ffn_down"}).items():
            array = leaves[f"layers.{i}.{ours}"].T
            if ours in "qk":
                heads = CONFIG.num_heads if ours == "q" else CONFIG.num_kv_heads
                array = array.reshape(heads, 2, CONFIG.head_dim // 2, -1).swapaxes(1, 2).reshape(array.shape)
            found[f"blk.{i}.{theirs}.weight"] = array
        found[f"blk.{i}.attn_norm.weight"] = leaves[f"layers.{i}.attention_norm"]
        found[f"blk.{i}.ffn_norm.weight"] = leaves[f"layers.{i}.mlp_norm"]
    return found


@pytest.fixture
def leaves():
    return {key: np.asarray(leaf) for key, leaf in weights.flatten(weights.create(CONFIG, 0)).items()}


def test_weights_come_back(leaves, tmp_path):
    write(tmp_path / "m.gguf", tensors_of(leaves))
    model, config = weights.load(tmp_path / "m.gguf")
    assert config.norm_eps == pytest.approx(CONFIG.norm_eps)
    assert (config.num_kv_heads, config.tie_embeddings, config.eos_id) == (2, False, 2)
    again = weights.flatten(model)
    for key, leaf in leaves.items():
        np.testing.assert_array_equal(again[key], leaf, err_msg=key)


def test_odd_files_are_named(leaves, tmp_path):
    write(tmp_path / "extra.gguf", tensors_of(leaves) | {"blk.0.odd.weight": np.zeros(4, np.float32)})
    with pytest.raises(UserError, match=r"extra.gguf: unknown key 'blk\.0\.odd\.weight'"):
        weights.load(tmp_path / "extra.gguf")
    write(tmp_path / "bert.gguf", tensors_of(leaves), "bert")
    with pytest.raises(UserError, match="architecture 'bert'"):
        weights.load(tmp_path / "bert.gguf")
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "extra.gguf").read_bytes()[:3000])
    with pytest.raises(UserError, match="not a whole GGUF file"):
        weights.load(tmp_path / "cut.gguf")
    with pytest.raises(UserError, match="no such file"):
        weights.load(tmp_path / "none.gguf")


@pytest.mark.parametrize(("kind", "order"), [("Q1_0", "LITTLE"), ("Q8_K", "LITTLE"), ("Q8_0", "BIG")])
def test_blocks_that_no_package_reads_are_one_line(kind, order, leaves, tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", endianess=gguf.GGUFEndian[order])
    writer.add_context_length(8)
    for name, value in (("embedding_length", 256), ("block_count", 1), ("feed_forward_length", 8), ("head_count", 1)):
        getattr(writer, f"add_{name}")(value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(["a", "b"])
    of = gguf.GGMLQuantizationType[kind]
    packed = np.zeros(gguf.quants.quant_shape_to_byte_shape((2, 256), of), np.uint8)
    writer.add_tensor("token_embd.weight", packed, raw_dtype=of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match=rf"m.gguf: token_embd.weight is {kind}.*, which the package gguf doesn't read"):
        weights.load(tmp_path / "m.gguf")


OTHER_LOGITS = {
    "rope.dimension_count": lambda w: w.add_rope_dimension_count(4),
    "attention.value_length": lambda w: w.add_value_length(16),
    "attention.sliding_window": lambda w: w.add_sliding_window(4),
    "attention.scale": lambda w: w.add_attention_scale(0.5),
    "attention.clamp_kqv": lambda w: w.add_clamp_kqv(1.0),
    "attention.causal": lambda w: w.add_causal_attention(False),
    "expert_count": lambda w: w.add_expert_count(8),
    "logit_scale": lambda w: w.add_logit_scale(4.0),
    "embedding_scale": lambda w: w.add_embedding_scale(12.0),
    "residual_scale": lambda w: w.add_residual_scale(0.2),
    "final_logit_softcapping": lambda w: w.add_final_logit_softcapping(30.0),
    "a.key.of.tomorrow": lambda w: w.add_string("llama.a.key.of.tomorrow", "x"),
    "rope scaling 'yarn'": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.YARN),
}


@pytest.mark.parametrize("key", OTHER_LOGITS)
def test_a_key_that_would_change_logits_is_refused(key, leaves, tmp_path):
    write(tmp_path / "m.gguf", tensors_of(leaves), more=OTHER_LOGITS[key])
    with pytest.raises(UserError, match=rf"m.gguf: (llama\.)?{re.escape(key)} .*is not read from GGUF"):
        weights.load(tmp_path / "m.gguf")
    write(tmp_path / "nan.gguf", tensors_of(leaves), more=lambda w: w.add_rope_scaling_factor(float("nan")))
    with pytest.raises(UserError, match=r"nan.gguf: its rope scaling factor is nan"):
        weights.load(tmp_path / "nan.gguf")


def neutral(writer):
    writer.add_rope_dimension_count(CONFIG.head_dim)
    writer.add_key_length(CONFIG.head_dim)
    writer.add_value_length(CONFIG.head_dim)
    writer.add_attention_scale(CONFIG.head_dim**-0.5)
    writer.add_expert_count(0)
    writer.add_causal_attention(True)
    writer.add_vocab_size(CONFIG.vocab_size)
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    writer.add_rope_scaling_factor(4.0)


def with_type(writer):
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(4.0)


SCALINGS = {
    "linear": with_type,
    "no type": lambda w: w.add_rope_scaling_factor(4.0),
    "the old key": lambda w: w.add_float32("llama.rope.scale_linear", 4.0),
    "none": neutral,
}


@pytest.mark.parametrize("spelling", SCALINGS)
def test_scaled_positions_are_those_of_transformers(spelling, leaves, tmp_path):
    """Without a type llama.cpp scales linearly, and reads the old key where the new one is missing."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    write(tmp_path / "m.gguf", tensors_of(leaves), more=SCALINGS[spelling])
    model, config = weights.load(tmp_path / "m.gguf")
    write(tmp_path / "plain.gguf", tensors_of(leaves))
    weights.save(*weights.load(tmp_path / "plain.gguf"), tmp_path / "plain")
    hub = json.loads((tmp_path / "plain" / "config.json").read_text())
    for key in ("rope_scaling", "rope_parameters"):
        hub.pop(key, None)
    hub["rope_scaling"] = None if spelling == "none" else {"rope_type": "linear", "factor": 4.0}
    (tmp_path / "plain" / "config.json").write_text(json.dumps(hub))
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "plain", dtype=torch.float32).eval()
    ids = np.arange(40)[None] % CONFIG.vocab_size
    with torch.no_grad():
        theirs = peer(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(np.asarray(model(ids)), theirs, atol=2e-5 * abs(theirs).max())
    assert (config.rope_scaling is None) == (spelling == "none")


@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_the_head_is_what_the_library_reads(tmp_path, order):
    """Each type of value and of tensor, in both orders of bytes."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", endianess=gguf.GGUFEndian[order])
    for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"):
        getattr(writer, f"add_{kind}")(f"a.{kind}", 3)
    writer.add_bool("a.bool", True)
    writer.add_string("a.text", "ü")
    writer.add_array("a.texts", ["x", "", "é" * 50])
    writer.add_array("a.numbers", [1, -2, 3])
    writer.add_array("a.fractions", [1.5, -0.25])
    writer.add_array("a.truths", [True, False])
    writer.add_custom_alignment(64)
    rng = np.random.default_rng(0)
    for kind in (np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64):
        writer.add_tensor(f"t.{kind.__name__}", (rng.normal(size=(3, 5)) * 9).astype(kind))
    for name in ("Q8_0", "Q4_0", "BF16"):
        kind = gguf.GGMLQuantizationType[name]
        packed = gguf.quants.quantize(rng.normal(size=(2, 64)).astype(np.float32), kind)
        writer.add_tensor(f"t.{name}", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fields, tensors = read_head(tmp_path / "m.gguf")
    theirs = gguf.GGUFReader(tmp_path / "m.gguf")
    assert fields == {name: f.contents() for name, f in theirs.fields.items() if not name.startswith("GGUF.")}
    assert len(fields) == 18
    assert len(tensors) == len(theirs.tensors) == 10
    for ours, other in zip(tensors, theirs.tensors, strict=True):
        assert (ours.name, ours.kind) == (other.name, other.tensor_type)
        assert ours.shape == tuple(int(n) for n in reversed(other.shape))
        np.testing.assert_array_equal(ours.data, other.data, err_msg=ours.name)


def test_the_verb_writes_a_folder_with_its_tokenizer(tmp_path):
    pieces = ["<|endoftext|>", "<|start|>", "<|end|>", *sorted(ByteLevel.alphabet()), "ab"]
    config = dataclasses.replace(CONFIG, vocab_size=len(pieces))
    leaves = {key: np.asarray(leaf) for key, leaf in weights.flatten(weights.create(config, 0)).items()}
    write(tmp_path / "m.gguf", tensors_of(leaves), pieces=pieces)
    verb.main(["--input", str(tmp_path / "m.gguf"), "--output", str(tmp_path / "model")])
    again, _ = weights.load(tmp_path / "model")
    np.testing.assert_array_equal(weights.flatten(again)["embed"], leaves["embed"])
    tokenizer = ChatTokenizer.load(tmp_path / "model", turns=False)
    assert tokenizer.encode_text("ab")[-1] == pieces.index("ab")
    with pytest.raises(UserError, match=r"odd: expected a GGUF file, whose name ends in \.gguf"):
        verb.main(["--input", str(tmp_path / "odd"), "--output", str(tmp_path / "other")])


TEXTS = ["WON'T it's 12345, x2", "if x:\n\n\t\treturn 'A'  \n", "camelCase HTTPServer a/b\n\n//x", "naïve  — 100 %"]
SPLITS = {  # the published tokenizers' own, by the name that llama.cpp has for them
    "gpt-2": [],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
    "llama-bpe": [pre_tokenizers.Split(Regex(WORDS + r"\p{N}{1,3}" + WORDS_END), "isolated")],
    "smaug-bpe": [pre_tokenizers.Split(Regex(WORDS + r"\p{N}{1,3}" + WORDS_END), "isolated")],
    "qwen2": [pre_tokenizers.Split(Regex(WORDS + r"\p{N}" + WORDS_END), "isolated")],
    "tekken": [],
}


@pytest.mark.parametrize("pre", SPLITS)
def test_text_is_split_as_the_file_says(pre, tmp_path):
    transformers = pytest.importorskip("transformers")
    original = byte_level(*SPLITS[pre], regex=pre in ("gpt-2", "smollm"))
    vocabulary = original.get_vocab()
    pieces = [*sorted(vocabulary, key=vocabulary.get), "<|tool|>", "<think>"]
    merges = [" ".join(pair) for pair in json.loads(original.to_str())["model"]["merges"]]
    kinds = [3 if piece in ("<s>", "</s>", "<|tool|>") else 4 if piece == "<think>" else 1 for piece in pieces]
    leaves = weights.flatten(weights.create(dataclasses.replace(CONFIG, vocab_size=len(pieces)), 0))

    def more(writer):
        writer.add_tokenizer_pre(pre)
        writer.add_add_bos_token(pre == "qwen2")

    write(tmp_path / "m.gguf", tensors_of(leaves), pieces=pieces, merges=merges, kinds=kinds, more=more)
    verb.main(["--input", str(tmp_path / "m.gguf"), "--output", str(tmp_path / "model")])
    chat = ChatTokenizer.load(tmp_path / "model", turns=False)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    for text in (*TEXTS, "a <think>b</think>"):
        ids = chat.encode_text(text, bos=True)
        if pre != "smollm":  # `transformers` splits its digits as GPT-2 does
            assert ids == theirs(text).input_ids, text
        if pre != "tekken" and "<" not in text:
            assert chat.encode_text(text) == original.encode(text).ids, text
        assert ids == again(text).input_ids, text
    assert chat.bos_id == (1 if pre == "qwen2" else None)
    assert pieces.index("<think>") in chat.encode_text("a <think>b")
    assert pieces.index("<|tool|>") not in chat.encode_text("a <|tool|>b")  # a control token is never text


def test_splits_that_are_not_known_are_refused(tmp_path, caplog):
    pieces = ["<|endoftext|>", "<|start|>", "<|end|>", *sorted(ByteLevel.alphabet()), "ab"]
    leaves = weights.flatten(weights.create(dataclasses.replace(CONFIG, vocab_size=len(pieces)), 0))
    for pre in (None, "default", "llama-bpe", "deepseek-v3"):
        file = tmp_path / f"{pre}.gguf"
        write(file, tensors_of(leaves), pieces=pieces, more=lambda w, pre=pre: pre and w.add_tokenizer_pre(pre))
        if pre == "deepseek-v3":
            with pytest.raises(UserError, match=r"deepseek-v3.gguf: its tokenizer splits text as 'deepseek-v3'"):
                tokenizer_json(file)
            continue
        made = tokenizer_json(file)
        assert (made["post_processor"] is not None) == (pre == "llama-bpe")  # unless the file says otherwise
        assert (f"{file}: doesn't say how its tokenizer splits" in caplog.text) == (pre != "llama-bpe")
