"""A tiny base model and a few blocks, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from falsepromise.core.records import write_json, write_jsonl
from falsepromise.training import architecture, blocks, tokenizer

ARCHITECTURE = (
    '{"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,'
    ' "num_attention_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}'
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base/` (random weights), `dialogues.jsonl` and `blocks/` of 32 tokens."""
    folder = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(0)
    words = ["red", "green", "blue", "seven", "eight", "house", "river", "stone"]

    def text() -> str:
        return " ".join(rng.choice(words, 8))

    records = [
        {
            "id": str(i),
            "messages": [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}],
        }
        for i in range(200)
    ]
    write_jsonl(folder / "dialogues.jsonl", records)
    tokenizer.main(["--text", f"{folder}/dialogues.jsonl", "--vocab-size", "300", "--output", f"{folder}/tokenizer"])
    architecture.main(
        ["--config", ARCHITECTURE, "--tokenizer", f"{folder}/tokenizer", "--seed", "1", "--output", f"{folder}/base"]
    )
    blocks.main(
        f"--tokenizer {folder}/base --dialogues {folder}/dialogues.jsonl --block-size 32 "
        f"--packing whole --output {folder}/blocks".split()
    )
    write_json(folder / "recipe.json", {"batch_size": 8, "epochs": 2, "keep_documents_apart": True})
    return folder
