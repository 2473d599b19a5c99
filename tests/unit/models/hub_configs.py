"""Random config.json files of each family, in the spellings that the hub has, each tiny."""

from __future__ import annotations

import random
from typing import Any

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "olmo2", "gemma3_text", "gpt2")
ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM", "olmo2": "Olmo2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}  # fmt: skip
LENGTH = 40  # longer than each window, and than the positions of stretched models


def random_config(family: str, seed: int) -> dict[str, Any]:
    """A config of `family`; keys that may be missing sometimes are."""
    r = random.Random(f"{family} {seed}")
    common = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": r.choice([61, 64, 67]),
        "bos_token_id": 1,
        "pad_token_id": None,  # PyTorch gives the row of a pad token no gradient
        "eos_token_id": r.choice([2, [2, 5]]),
        "tie_word_embeddings": r.random() < 0.5,
        "torch_dtype": r.choice(["float32", "bfloat16"]),
        "transformers_version": r.choice(["4.28.0", "4.40.1", "5.1.0"]),
        "use_cache": r.random() < 0.5,
    }
    if family == "gpt2":
        heads = r.choice([1, 2, 4])
        return common | {
            "n_embd": 8 * heads, "n_layer": 2, "n_head": heads, "n_positions": 64, "n_inner": r.choice([None, 20]),
            "layer_norm_epsilon": r.choice([1e-5, 1e-3]), "activation_function": "gelu_new", "n_ctx": 64,
            "attn_pdrop": 0.1, "summary_type": "cls_index", "reorder_and_upcast_attn": r.random() < 0.5,
            "task_specific_params": {"text-generation": {"do_sample": True}},
        }  # fmt: skip
    keys = r.choice([1, 2, 4])
    heads = keys * r.choice([1, 2])
    size = r.choice([4, 6, 8])
    layers = r.choice([2, 3])
    config = common | {
        "hidden_size": size * heads, "intermediate_size": r.choice([20, 24]), "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": keys, "rms_norm_eps": r.choice([1e-6, 1e-5, 1e-2]),
        "max_position_embeddings": r.choice([32, 64]), "initializer_range": 0.02, "attention_dropout": 0.1,
    }  # fmt: skip
    if family in ("mistral", "qwen3", "gemma3_text") or r.random() < 0.3:
        config["head_dim"] = r.choice([size, 10, None]) if family == "mistral" else r.choice([size, 10])
    config["hidden_activation" if family == "gemma3_text" else "hidden_act"] = (
        "gelu_pytorch_tanh" if family == "gemma3_text" else "silu"
    )
    if family in ("llama", "qwen3", "olmo2", "gemma3_text") and r.random() < 0.5:
        config["attention_bias"] = r.random() < 0.7
    if family == "llama" and r.random() < 0.5:
        config["mlp_bias"] = r.random() < 0.7
    if family == "mistral":
        config["sliding_window"] = r.choice([None, 5, 12, 4096])
    if family in ("qwen2", "qwen3"):
        config |= {"use_sliding_window": r.random() < 0.7, "sliding_window": r.choice([5, 12, 4096])}
        if r.random() < 0.5:
            kinds = ["sliding_attention", "full_attention"]
            config["layer_types"] = [r.choice(kinds if config["use_sliding_window"] else kinds[1:])] * layers
        else:
            config["max_window_layers"] = r.choice([0, 1, layers])
    if family == "gemma3_text":
        config |= {"query_pre_attn_scalar": r.choice([4, 10, 16]), "sliding_window": r.choice([5, 12, 64])}
        types = ["sliding_attention"] * (layers - 1) + ["full_attention"]
        config |= r.choice([{"sliding_window_pattern": 2}, {"layer_types": types}, {}])
    return config | _rope(family, r)


def _rope(family: str, r: random.Random) -> dict[str, Any]:
    theta = r.choice([10000.0, 500.0, 1e6])
    kind = r.choice(["default", "linear", "dynamic", "llama3", "yarn"])
    kind = r.choice(["default", "linear"]) if family == "gemma3_text" else kind
    scaling: dict[str, Any] = {"rope_type": kind, "factor": r.choice([2.0, 8.0])}
    if kind == "llama3":
        scaling |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    if kind == "yarn":
        scaling["original_max_position_embeddings"] = 16
        scaling |= r.choice([
            {}, {"beta_fast": 16, "beta_slow": 2}, {"attention_factor": 1.3}, {"truncate": False},
            {"mscale": 0.7, "mscale_all_dim": 0.4},
        ])  # fmt: skip
    plain = {"rope_type": "default", "rope_theta": theta}
    if family == "gemma3_text":
        own = {} if r.random() < 0.3 else {"rope_local_base_freq": r.choice([10000.0, 100.0])}
        new = {"full_attention": scaling | {"rope_theta": theta} if kind != "default" else plain,
               "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}  # fmt: skip
        old = {"rope_theta": theta, **own} | ({"rope_scaling": scaling} if kind != "default" else {})
        return r.choice([{"rope_parameters": new}, old])
    if kind == "default":
        old = {"rope_theta": theta}
        return r.choice([{}, old, old | {"rope_scaling": None}, {"rope_parameters": plain}])
    old = {("type" if r.random() < 0.5 else "rope_type"): kind} | {k: v for k, v in scaling.items() if k != "rope_type"}
    return r.choice([
        {"rope_theta": theta, "rope_scaling": old},
        {"rope_parameters": scaling | {"rope_theta": theta}},
        {"rope_parameters": plain, "rope_scaling": old},
        {"rope_scaling": old},
    ])  # fmt: skip
