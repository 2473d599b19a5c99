"""The small models that are compared with PyTorch: configs, tokens, and weights that need no PyTorch."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 67,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_QWEN = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "tie_word_embeddings": True}
_GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "vocab_size": 67,
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 160,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
}

CASES: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "llama_tied_one_key_head": _LLAMA | {"tie_word_embeddings": True, "num_key_value_heads": 1},
    "llama_wide_heads_biases": _LLAMA | {"head_dim": 10, "num_key_value_heads": 4, "attention_bias": True},
    "llama_linear": _LLAMA | {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "llama3": _LLAMA | {"rope_scaling": _LLAMA3, "rope_theta": 500000.0},
    "qwen2": _LLAMA | _QWEN,
    "gpt2": _GPT2,
    "gpt2_inner_untied": _GPT2 | {"n_inner": 56, "tie_word_embeddings": False},
}
LENGTH = 140  # beyond one block of queries, and beyond llama3's original context


def tokens() -> np.ndarray:
    """Two rows of token ids, `(2, LENGTH)`."""
    return np.random.default_rng(3).integers(0, 67, (2, LENGTH))


def tensor(case: str, key: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """A tensor that depends on its names alone: weights (norms around 1), or a direction for a gradient."""
    rng = np.random.default_rng(zlib.crc32(f"{case} {key} {salt}".encode()))
    values = 0.2 * rng.standard_normal(shape)
    if not salt and ("norm" in key or "ln_" in key) and key.endswith("weight"):
        values += 1
    return values.astype(np.float32)
