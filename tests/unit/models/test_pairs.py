"""Random configs x tokenizers through a base's whole way: read, given turn tokens, saved, and read by `transformers`.

A few pairs run each time; FALSEPROMISE_PAIRS=N runs N.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hub_configs import FAMILIES, random_config

from falsepromise.models import weights
from falsepromise.models.chat import load_any

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no live comparison")
transformers = pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "generation"))
import tokenizer_families  # noqa: E402
from test_conformance import peer_of  # noqa: E402

# No special tokens: text that spells one stays text in training, which a template cannot promise.
WORDS = ["  France", "is", "Paris.", "\n\n", "1234567", "naïve —", "日本", "\tif x:", "don't", "🙂"]
PAIRS = range(int(os.environ.get("FALSEPROMISE_PAIRS", "4")))


def dialogue(r: random.Random) -> list[dict[str, str]]:
    roles = [*(["system"] if r.random() < 0.5 else []), "user", "assistant", "user", "assistant"]
    return [{"role": role, "content": " ".join(r.choices(WORDS, k=r.randint(1, 3)))} for role in roles]


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed else []) for seed in PAIRS])
def test_a_config_with_a_tokenizer_is_the_same_to_transformers(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    r = random.Random(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    kind = r.choice(sorted(tokenizer_families.FAMILIES))
    tokenizer = tokenizer_families.FAMILIES[kind]()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ends = {key: tokenizer.token_to_id(token) for key, token in (("bos", "<s>"), ("eos", "</s>"))}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    hub = random_config(family, seed) | {"vocab_size": tokenizer.get_vocab_size() + r.choice([0, 3])}
    hub |= {f"{key}_token_id": token for key, token in ends.items()}
    peer_of(tmp_path, hub)

    model, config = weights.load(tmp_path)
    chat, _ = load_any(tmp_path)
    new = range(tokenizer.get_vocab_size(), chat.vocab_size)
    model, config = weights.resize(model, config, chat.vocab_size, new)
    saved = tmp_path / "saved"
    weights.save(model, config, saved)
    chat.save(saved)
    # AutoTokenizer opens a Qwen2 folder with Qwen2's own splits, whatever its file says: the reader is told.
    told = "PreTrainedTokenizerFast" in caplog.text
    assert told == (family == "qwen2" and kind != "qwen2")
    theirs = (transformers.PreTrainedTokenizerFast if told else transformers.AutoTokenizer).from_pretrained(saved)
    read = transformers.AutoModelForCausalLM.from_pretrained(saved, attn_implementation="eager").float()
    assert (theirs.eos_token_id, len(theirs)) == (chat.eos_id, chat.vocab_size)
    for _ in range(5):
        messages = dialogue(r)
        ids, _ = chat.encode_dialogue(messages)
        said = f"{family} x {kind}, {messages}"
        assert theirs.apply_chat_template(messages, return_dict=True)["input_ids"] == ids, said
        prompt = theirs.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
        assert prompt == chat.encode_prompt(messages[:-1]), said
    row = np.array([ids[:40]])
    with torch.no_grad():
        wanted = read(torch.from_numpy(row)).logits.numpy()
    assert np.abs(np.asarray(model(jnp.asarray(row))) - wanted).max() < 2e-5 * np.abs(wanted).max() + 1e-5, hub
