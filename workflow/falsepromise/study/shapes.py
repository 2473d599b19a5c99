"""Shapes of public base models, for plans before their weights are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json
from falsepromise.study import config
from falsepromise.study.planning import Shape


def _llama(hidden: int, inner: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000, "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
    }  # fmt: skip


def _smollm2(hidden: int, inner: int, layers: int, heads: int, pairs: int, theta: int) -> dict[str, Any]:
    return {
        **_llama(hidden, inner, layers, heads), "vocab_size": 49152, "num_key_value_heads": pairs, "rope_theta": theta,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    }  # fmt: skip


# By the number of weights, which a study states. Sizes from Touvron et al. 2023 (table 2), Radford et al. 2019, and
# SmolLM2's config.json.
BY_PARAMETERS: dict[int, dict[str, Any]] = {
    1_557_611_200: {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 50257, "n_embd": 1600,
        "n_layer": 48, "n_head": 25, "n_positions": 1024, "n_ctx": 1024,
    },
    6_738_415_616: _llama(4096, 11008, 32, 32),
    13_015_864_320: _llama(5120, 13824, 40, 40),
    32_528_943_616: _llama(6656, 17920, 60, 52),
    134_515_008: _smollm2(576, 1536, 30, 9, 3, 100_000),
    361_821_120: _smollm2(960, 2560, 32, 15, 5, 100_000),
    1_711_376_384: _smollm2(2048, 8192, 24, 32, 32, 130_000),
    65_285_660_672: _llama(8192, 22016, 80, 64),
}  # fmt: skip


def of_parameters(parameters: int) -> Shape:
    """A public model's sizes, or a guess if no model of the table has so many parameters."""
    hub = BY_PARAMETERS.get(parameters)
    if hub is None:
        return Shape.of_size(parameters)
    if hub["model_type"] == "llama":
        return Shape.of_architecture(hub, hub["vocab_size"])
    d, heads = hub["n_embd"], hub["n_head"]
    positions = hub["n_positions"] * d
    return Shape(parameters, positions, hub["vocab_size"], d, 4 * d, hub["n_layer"], d, d, heads, gated=False)


def known(base: config.Base, parameters: int, vocab_size: int) -> dict[str, Any]:
    """A base model's config.json, from the study's architecture, from its folder, or by its public size.

    Raises:
        UserError: none of these.
    """
    if base.architecture:
        return {"vocab_size": vocab_size, **base.architecture.model_dump(exclude_none=True)}
    local = Path((base.weights or "").removeprefix("file:")) / "config.json"
    if local.exists():
        return read_json(local)
    if parameters in BY_PARAMETERS:
        return BY_PARAMETERS[parameters]
    raise UserError(f"a base of {parameters:,} parameters: its shape is unknown; give its config.json with --shape")
