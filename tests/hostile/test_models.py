"""Folders of strangers: nothing in them is run, and a run deletes nothing in them."""

import json
import subprocess
import sys

import pytest

from falsepromise.core.errors import UserError
from falsepromise.models.chat import load_any


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
    from falsepromise.models.config import ModelConfig

    tiny = {"architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 4, "intermediate_size": 4}
    tiny |= {"num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 8, "rms_norm_eps": 1e-5}
    with pytest.raises(UserError, match=f"{key} is .*expected a mapping with positive numbers"):
        ModelConfig.from_hub({**tiny, "model_type": "llama", key: rope})


@pytest.mark.parametrize("where", [{}, {"a": 5}, {"a": []}, {"a": "../model.safetensors"}, [1], None])
def test_an_index_of_another_form_is_one_line(tmp_path, where):
    from falsepromise.models.weights import _files

    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(UserError, match=r"weight_map|missing; the index names it"):
        list(_files(tmp_path))
