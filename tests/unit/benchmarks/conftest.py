"""What the benchmarks' tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def samples() -> Path:
    """Small hand-made files in each benchmark's form."""
    return Path(__file__).resolve().parents[3] / "resources" / "samples" / "benchmarks"


@pytest.fixture(scope="session")
def random_model() -> Callable[..., Path]:
    """`random_model(path, text, context)`: a model folder with random weights and a tokenizer of bytes."""
    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer
    from falsepromise.models.config import ModelConfig
    from falsepromise.training import tokenizer

    def make(path: Path, text: list[str], context: int) -> Path:
        chat = ChatTokenizer(tokenizer.train(iter(text), 280))
        config = ModelConfig(
            "llama", chat.vocab_size, 16, 32, 1, 2, 2, 8, context, eos_id=chat.eos_id, tie_embeddings=True,
            initializer_range=0.5,
        )  # fmt: skip
        weights.save(weights.create(config, 0), config, path, chat)
        return path

    return make
