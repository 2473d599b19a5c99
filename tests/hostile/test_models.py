"""Folders of strangers: nothing in them is run, and a run deletes nothing in them."""

import json
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models

from falsepromise.core.errors import UserError
from falsepromise.models import hubconfig
from falsepromise.models.chat import load_any
from falsepromise.models.config import ModelConfig


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
