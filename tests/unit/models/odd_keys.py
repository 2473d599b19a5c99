"""Unusual values for the keys of config.json: nulls, other types, features of other families, old and new spellings."""

from __future__ import annotations

import random
from typing import Any

LAYERS = ("full_attention", "sliding_attention", "chunked_attention")
ROPE: list[Any] = [
    None, {}, [], "linear", {"factor": 2.0}, {"rope_theta": 500.0}, {"type": "default"}, {"rope_type": None},
    {"type": "linear", "factor": 2.0}, {"type": "linear", "rope_type": "yarn", "factor": 4.0},
    {"rope_type": "linear", "factor": 2.0, "rope_theta": 300.0}, {"rope_type": "linear", "factor": 0},
    {"rope_type": "linear", "factor": "2.0"}, {"rope_type": "linear"}, {"type": "dynamic", "factor": 2.0},
    {"rope_type": "dynamic", "factor": 3.0, "original_max_position_embeddings": 16},
    {"rope_type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 1.0},
    {"rope_type": "yarn", "factor": 4.0, "beta_fast": 1, "beta_slow": 32}, {"rope_type": "yarn", "factor": 0.5},
    {"rope_type": "yarn", "factor": 4.0, "attention_factor": 0.7, "original_max_position_embeddings": 8},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0},
    {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}, {"rope_type": "longrope", "factor": 2.0},
    {"full_attention": {"rope_type": "linear", "factor": 2.0}, "sliding_attention": {"rope_theta": 100.0}},
]  # fmt: skip
ODD: dict[str, list[Any]] = {
    "rope_scaling": ROPE, "rope_parameters": ROPE, "rope_theta": [None, 1, 0, "10000", -1],
    "rope_local_base_freq": [100, 0], "sliding_window": [None, 0, 1, 3, "12", True],
    "use_sliding_window": [True, False, None, "true"],
    "layer_types": [None, [], "full_attention", *([kind] * 2 for kind in LAYERS), list(LAYERS[:2]), [LAYERS[0]] * 3],
    "max_window_layers": [None, 0, 1, 100, "1"], "sliding_window_pattern": [0, 1, 2, "LLG"],
    "attention_bias": [True, None, 1, "true"], "mlp_bias": [True, None, "x"], "qkv_bias": [False],
    "lm_head_bias": [True], "head_dim": [None, 0, 6, 7, "8"], "num_key_value_heads": [None, 0, 1, 3, 1.0],
    "num_attention_heads": [1, 3], "partial_rotary_factor": [0.5, 1.0, "0.5"],
    "tie_word_embeddings": [True, False, None, 0, "false"], "hidden_act": ["swish", "gelu", "relu", None],
    "hidden_activation": ["gelu", None, "silu"], "activation_function": ["gelu", "relu", "gelu_pytorch_tanh", None],
    "attn_logit_softcapping": [50.0, 0], "final_logit_softcapping": [1.0, None],
    "query_pre_attn_scalar": [1, None, "4"], "scale_attn_weights": [False, None],
    "scale_attn_by_inverse_layer_idx": [True, 1], "reorder_and_upcast_attn": [True], "n_inner": [0, 17, "20"],
    "logit_scale": [0.5], "residual_multiplier": [0.5], "embedding_multiplier": [12.0], "hidden_size": [16, 17],
    "quantization_config": [{"quant_method": "fp8"}, {}], "torch_dtype": ["float8_e4m3fn", None], "clip_qkv": [0.5],
    "rms_norm_eps": [0, 1.0, None, "1e-5"], "layer_norm_epsilon": [1e-3, None],
    "initializer_range": [0, None, "0.02"], "max_position_embeddings": [8, 41, 0, "64"],
    "original_max_position_embeddings": [8], "n_positions": [41, 39], "eos_token_id": [[], [None], "</s>"],
    "bos_token_id": [[1], "<s>"], "pad_token_id": [0, -1],
    "architectures": [None, [], ["LlamaModel"], "LlamaForCausalLM"], "use_bidirectional_attention": [True],
    "is_decoder": [True], "pruned_heads": [{}, {"0": [1]}], "pretraining_tp": [2], "attention_dropout": [0.9],
}  # fmt: skip
REMOVED = object()


def changed(config: dict[str, Any], r: random.Random) -> dict[str, Any]:
    """A config with one or two unusual keys."""
    config = dict(config)
    for key in r.sample(sorted(ODD), r.choice([1, 1, 2])):
        value = r.choice([*ODD[key], REMOVED])
        if value is REMOVED:
            config.pop(key, None)
        else:
            config[key] = value
    return config
