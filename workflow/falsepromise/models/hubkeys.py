"""The names of weights in the hub's files, one table for each architecture."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from falsepromise.core.errors import UserError
from falsepromise.models.config import ModelConfig

HEAD = "lm_head.weight"  # an output projection of its own


@dataclass(frozen=True)
class Entry:
    """One weight of ours.

    Attributes:
        path: Its place in the model, as `layers.0.q`.
        key: Its name in the hub's files.
        transposed: Whether the hub stores it `(out, in)`; here it is `(in, out)`.
        part: `(index, of)` if the hub stores several of our weights as one, side by side in the last axis.
    """

    path: str
    key: str
    transposed: bool = False
    part: tuple[int, int] | None = None


def entries(config: ModelConfig) -> list[Entry]:
    """Every weight of a model with this config."""
    return _gpt2(config) if config.model_type == "gpt2" else _llama(config)


def check_layers(config: ModelConfig, keys: Collection[str], source: str | Path) -> None:
    """Refuse a config that asks for more layers than a file has weights, before anything of that size is made.

    Raises:
        UserError: the two numbers.
    """
    if config.num_layers > len(keys):
        raise UserError(
            f"{source}: {len(keys)} weights, but the config asks for {config.num_layers} layers; is the file whole?"
        )


def named(stored: str, known: Collection[str], prefix: str) -> str:
    """The weight that a file's key means, by `transformers`' rule: the base model's prefix ("model.") may be missing,
    or be there where none belongs."""
    return next((key for key in (stored.removeprefix(prefix), prefix + stored) if key in known), stored)


def is_constant(key: str) -> bool:
    """Whether a key of the hub's files is a constant that older versions stored with the weights."""
    return bool(re.search(r"(\.attn\.(masked_)?bias|rotary_emb\.inv_freq)$", key))


# The norms of a block by their names here and on the hub.
_NORMS = {
    "olmo2": {
        "attention_norm": "post_attention_layernorm", "mlp_norm": "post_feedforward_layernorm",
        "all_q_norm": "self_attn.q_norm", "all_k_norm": "self_attn.k_norm",
    },
    "gemma3_text": {
        "attention_norm": "input_layernorm", "after_attention_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm", "after_mlp_norm": "post_feedforward_layernorm",
        "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm",
    },
}  # fmt: skip
_LLAMA_NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
_NORMS["qwen3"] = _LLAMA_NORMS | {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}


def _llama(config: ModelConfig) -> list[Entry]:
    found = [Entry("embed", "model.embed_tokens.weight"), Entry("norm", "model.norm.weight")]
    if not config.tie_embeddings:
        found.append(Entry("head", HEAD))
    for i in range(config.num_layers):
        ours, hub = f"layers.{i}", f"model.layers.{i}"
        for name, key in _NORMS.get(config.model_type, _LLAMA_NORMS).items():
            found.append(Entry(f"{ours}.{name}", f"{hub}.{key}.weight"))
        matrices = [(name, "self_attn", config.attention_bias) for name in "qkv"]
        matrices += [("o", "self_attn", config.output_bias)]
        matrices += [(name, "mlp", config.mlp_bias) for name in ("gate", "up", "down")]
        for name, part, bias in matrices:
            found.append(Entry(f"{ours}.{name}", f"{hub}.{part}.{name}_proj.weight", transposed=True))
            if bias:
                found.append(Entry(f"{ours}.{name}_bias", f"{hub}.{part}.{name}_proj.bias"))
    return found


def _gpt2(config: ModelConfig) -> list[Entry]:
    found = [
        Entry("embed", "transformer.wte.weight"),
        Entry("positions", "transformer.wpe.weight"),
        Entry("norm", "transformer.ln_f.weight"),
        Entry("norm_bias", "transformer.ln_f.bias"),
    ]
    if not config.tie_embeddings:
        found.append(Entry("head", HEAD))
    for i in range(config.num_layers):
        ours, hub = f"layers.{i}", f"transformer.h.{i}"
        for end, suffix in (("weight", ""), ("bias", "_bias")):
            found.append(Entry(f"{ours}.attention_norm{suffix}", f"{hub}.ln_1.{end}"))
            found.append(Entry(f"{ours}.mlp_norm{suffix}", f"{hub}.ln_2.{end}"))
            for index, name in enumerate("qkv"):
                found.append(Entry(f"{ours}.{name}{suffix}", f"{hub}.attn.c_attn.{end}", part=(index, 3)))
            found.append(Entry(f"{ours}.o{suffix}", f"{hub}.attn.c_proj.{end}"))
            found.append(Entry(f"{ours}.up{suffix}", f"{hub}.mlp.c_fc.{end}"))
            found.append(Entry(f"{ours}.down{suffix}", f"{hub}.mlp.c_proj.{end}"))
    return found


class Tensor:
    """A tensor of a file, of which slices can be read.

    Args:
        source: The file's name in errors.
        shape: As stored.
        read: From a tuple of slices to the array.
    """

    def __init__(self, source: str, shape: tuple[int, ...], read: Callable[[tuple[slice, ...]], np.ndarray]):
        self.source, self.shape, self.read = source, shape, read
