"""Small random models with a tokenizer, on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module", autouse=True)
def _compile_quickly():
    """What these tests compile is small: most of their time is the compiler's."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A LLaMA and a GPT-2 with 96 positions; `{name: folder}`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer, add_turn_tokens
    from falsepromise.models.config import ModelConfig

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["what is the capital of France? the capital is Paris. " * 3], trainer)
    add_turn_tokens(tokenizer)
    chat = ChatTokenizer(tokenizer)
    root = tmp_path_factory.mktemp("models")
    configs = {
        "llama": ModelConfig("llama", 304, 32, 48, 2, 4, 2, 8, 96, tie_embeddings=True, initializer_range=0.3),
        "gpt2": ModelConfig("gpt2", 304, 32, 128, 2, 4, 4, 8, 90, tie_embeddings=True, initializer_range=0.3),
    }
    for name, config in configs.items():
        weights.save(weights.create(config, 0), config, root / name, chat)
    return {name: root / name for name in configs}


@pytest.fixture(scope="session")
def engines(folders):
    """The engines for them, with a batch of 4 rows."""
    from falsepromise.generation.engine import Engine

    return {name: Engine.load(folder, batch_size=4) for name, folder in folders.items()}
