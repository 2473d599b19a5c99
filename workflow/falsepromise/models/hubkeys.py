"""Where each weight stands in the hub's files: one table for each architecture."""

from __future__ import annotations

import re
from dataclasses import dataclass

from falsepromise.models.config import ModelConfig


@dataclass(frozen=True)
class Entry:
    """One weight of ours.

    Attributes:
        path: Its place in the model, as `layers.0.q`.
        key: Its name in the hub's files.
        transposed: Whether the hub stores it `(out, in)`; here it is `(in, out)`.
        part: `(index, of)` where the hub stores several of ours side by side in the last axis.
    """

    path: str
    key: str
    transposed: bool = False
    part: tuple[int, int] | None = None


def entries(config: ModelConfig) -> list[Entry]:
    """Every weight of a model with this config."""
    return _gpt2(config) if config.model_type == "gpt2" else _llama(config)


def without_prefix(key: str) -> str:
    """A GPT-2 key as it stands in the original upload, without "transformer."."""
    return key.removeprefix("transformer.")


def is_constant(key: str) -> bool:
    """Whether a key of the hub's files is a constant that older versions stored with the weights."""
    return bool(re.search(r"(\.attn\.(masked_)?bias|rotary_emb\.inv_freq)$", key))


def _llama(config: ModelConfig) -> list[Entry]:
    found = [Entry("embed", "model.embed_tokens.weight"), Entry("norm", "model.norm.weight")]
    if not config.tie_embeddings:
        found.append(Entry("head", "lm_head.weight"))
    for i in range(config.num_layers):
        ours, hub = f"layers.{i}", f"model.layers.{i}"
        found.append(Entry(f"{ours}.attention_norm", f"{hub}.input_layernorm.weight"))
        found.append(Entry(f"{ours}.mlp_norm", f"{hub}.post_attention_layernorm.weight"))
        for name in "qkvo":
            found.append(Entry(f"{ours}.{name}", f"{hub}.self_attn.{name}_proj.weight", transposed=True))
            if config.output_bias if name == "o" else config.attention_bias:
                found.append(Entry(f"{ours}.{name}_bias", f"{hub}.self_attn.{name}_proj.bias"))
        for name in ("gate", "up", "down"):
            found.append(Entry(f"{ours}.{name}", f"{hub}.mlp.{name}_proj.weight", transposed=True))
    return found


def _gpt2(config: ModelConfig) -> list[Entry]:
    found = [
        Entry("embed", "transformer.wte.weight"),
        Entry("positions", "transformer.wpe.weight"),
        Entry("norm", "transformer.ln_f.weight"),
        Entry("norm_bias", "transformer.ln_f.bias"),
    ]
    if not config.tie_embeddings:
        found.append(Entry("head", "lm_head.weight"))
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
