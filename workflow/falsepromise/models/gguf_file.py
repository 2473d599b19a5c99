"""Read GGUF files, llama.cpp's format: LLaMA weights, quantised or not, and the tokenizer inside.

Needs the package `gguf` (`pip install gguf`). Weights are dequantised tensor by tensor. llama.cpp turns
neighbouring features in its rotary embedding where the hub's LLaMA turns the two halves of a head; it
stores q and k reordered for that, and here they are put back.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from falsepromise.core.errors import UserError
from falsepromise.models.config import ModelConfig, RopeScaling
from falsepromise.models.gguf_head import PLAIN, GgufTensor, read_head
from falsepromise.models.hubkeys import Tensor, check_layers, entries
from falsepromise.models.splits import DIGITS, GPT2, OPENED, SPLITS

log = logging.getLogger(__name__)
_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK = {
    "attn_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
_CONSTANTS = ("rope_freqs.weight",)  # llama3's blend of frequencies, which the config gives
# Keys after "llama." that are read or change no logit, and those that change none at this value; others are refused.
_KNOWN = {
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.layer_norm_rms_epsilon",
    "block_count", "context_length", "embedding_length", "feed_forward_length", "rope.freq_base", "rope.scale_linear",
    "rope.scaling.factor", "rope.scaling.finetuned", "rope.scaling.original_context_length", "rope.scaling.type",
    "tensor_data_layout", "vocab_size",
}  # fmt: skip
_NEUTRAL = {
    "attention.causal": True, "attention.clamp_kqv": 0, "attention.sliding_window": 0, "embedding_scale": 1,
    "expert_count": 0, "expert_used_count": 0, "logit_scale": 1, "residual_scale": 1, "rope.scaling.attn_factor": 1,
}  # fmt: skip
_CONTROL, _USER_DEFINED = 3, 4  # types of tokens; the latter is matched in any text


def read_gguf(path: str | Path) -> tuple[ModelConfig, dict[str, Any]]:
    """The config and the tensors of a GGUF file, under the hub's keys.

    Returns:
        The config, and for each key a `Tensor`.

    Raises:
        UserError: not a whole GGUF file, another architecture, or an unknown tensor; it is named.
    """
    fields, tensors = _open(path)
    names = {tensor.name for tensor in tensors}
    with _as_expected(path):
        config = _config(fields, names, path)
    check_layers(config, names, path)
    heads = {"attn_q.weight": config.num_heads, "attn_k.weight": config.num_kv_heads}
    found: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in _CONSTANTS:
            continue
        block, _, short = tensor.name.removeprefix("blk.").partition(".")
        if tensor.name.startswith("blk.") and block.isdecimal() and short in _BLOCK:
            key = f"model.layers.{block}.{_BLOCK[short]}"
        else:
            key = _TOP.get(tensor.name, tensor.name)  # an unknown name is refused with all others' keys
        found[key] = Tensor(str(path), tensor.shape, _reader(tensor, heads.get(short), path))
    missing = {entry.key for entry in entries(config)} - set(found)
    if "lm_head.weight" in missing:
        raise UserError(f"{path}: no output.weight although the config asks for one; fetch the file again")
    return config, found


def tokenizer_json(path: str | Path) -> dict[str, Any]:
    """What `transformers` needs to rebuild the tokenizer inside: see `gguf.export`.

    Returns:
        tokenizer.json's content for a byte-level BPE (GPT-2's kind); other kinds are refused.
    """
    with _as_expected(path):
        return _tokenizer_json(_open(path)[0], path)


def _tokenizer_json(fields: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    if fields.get("tokenizer.ggml.model") != "gpt2":
        raise UserError(
            f"{path}: the tokenizer inside is of kind {fields.get('tokenizer.ggml.model')!r}, only byte-level BPE "
            "('gpt2') is rebuilt; put a tokenizer.json beside the weights"
        )
    pre = fields.get("tokenizer.ggml.pre")
    if pre in (None, "default"):
        log.warning("%s: doesn't say how its tokenizer splits text (tokenizer.ggml.pre); it is split as GPT-2's", path)
        pre = "gpt-2"
    if pre not in SPLITS:
        raise UserError(
            f"{path}: its tokenizer splits text as {pre!r}, which is not rebuilt from GGUF; use the model's safetensors"
        )
    pieces, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    added = [
        {"id": i, "content": piece, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": kind == _CONTROL}
        for i, (piece, kind) in enumerate(zip(pieces, kinds, strict=True))
        if kind in (_CONTROL, _USER_DEFINED)
    ]  # fmt: skip
    opening = None
    if fields.get("tokenizer.ggml.add_bos_token", pre in OPENED):
        bos = fields["tokenizer.ggml.bos_token_id"]
        opening = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": pieces[bos], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {pieces[bos]: {"id": pieces[bos], "ids": [bos], "tokens": [pieces[bos]]}},
        }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split, steps = SPLITS[pre], []
    if split == DIGITS:
        steps = [{"type": "Digits", "individual_digits": True}]
    elif split != GPT2:
        steps = [{"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}]
    last = {**byte_level, "use_regex": split in (GPT2, DIGITS)}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*steps, last]},
        "post_processor": opening,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
            "byte_fallback": False,
            "ignore_merges": pre in OPENED,
        },
    }


def _open(path: str | Path) -> tuple[dict[str, Any], list[GgufTensor]]:
    if importlib.util.find_spec("gguf") is None:
        raise UserError(f"{path}: reading GGUF needs the package gguf; run `pip install gguf`")
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        return read_head(path)
    except (ValueError, KeyError, IndexError, OSError, OverflowError, MemoryError, struct.error) as error:
        raise UserError(f"{path}: not a whole GGUF file ({error}); fetch it again") from error


@contextlib.contextmanager
def _as_expected(path: str | Path) -> Iterator[None]:
    """A field that is missing, or of another type or size than its name promises, is one line."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{path}: its fields are not as llama.cpp writes them ({type(error).__name__}: {error}); fetch it again"
        ) from error


def _reader(tensor: GgufTensor, heads: int | None, path: str | Path) -> Callable[[tuple[slice, ...]], np.ndarray]:
    from gguf.quants import dequantize

    shape, plain = tensor.shape, tensor.kind.name in PLAIN
    try:
        if not plain:
            dequantize(tensor.data[:1], tensor.kind)
            if tensor.order == ">":
                raise NotImplementedError("numbers within the blocks have the machine's order there")
    except NotImplementedError as error:
        raise UserError(
            f"{path}: {tensor.name} is {tensor.kind.name}{', big-endian' * (tensor.order == '>')}, which the package "
            "gguf doesn't read; take the model's file of another quantisation, such as Q8_0, or its safetensors"
        ) from error

    def read(index: tuple[slice, ...]) -> np.ndarray:
        array = (tensor.data if plain else dequantize(tensor.data, tensor.kind)).reshape(shape)
        if heads:
            # Rows of a head stand as (pair, half); the hub has (half, pair).
            array = array.reshape(heads, shape[0] // heads // 2, 2, shape[1]).swapaxes(1, 2).reshape(shape)
        return array[index]

    return read


def _config(fields: Mapping[str, Any], names: set[str], path: str | Path) -> ModelConfig:
    kind = fields.get("general.architecture")
    if kind != "llama":
        raise UserError(f"{path}: architecture {kind!r} is not read from GGUF; expected 'llama'")

    def need(name: str) -> Any:
        if f"llama.{name}" not in fields:
            raise UserError(f"{path}: the field llama.{name} is missing; fetch the file again")
        return fields[f"llama.{name}"]

    heads, width = int(need("attention.head_count")), int(need("embedding_length"))
    size = int(fields.get("llama.attention.key_length", width // heads))
    neutral = _NEUTRAL | {"rope.dimension_count": size, "attention.value_length": size, "attention.scale": size**-0.5}
    for key, value in fields.items():
        name = key.removeprefix("llama.")
        same = name in neutral and math.isclose(value, neutral[name], rel_tol=1e-6)
        if name != key and name not in _KNOWN and not same:
            raise UserError(f"{path}: {key} = {value!r:.60} is not read from GGUF; use the model's safetensors")
    scaling, kind = None, fields.get("llama.rope.scaling.type", "linear")
    if kind not in ("linear", "none"):
        raise UserError(f"{path}: rope scaling {kind!r} is not read from GGUF")
    factor = float(fields.get("llama.rope.scaling.factor", fields.get("llama.rope.scale_linear", 0)))
    if not 0 <= factor < math.inf:
        raise UserError(f"{path}: its rope scaling factor is {factor}; fetch the file again")
    if kind == "linear" and factor not in (0, 1):  # as llama.cpp: without a type it is linear, 0 is none
        scaling = RopeScaling("linear", factor)
    if "rope_freqs.weight" in names:
        raise UserError(f"{path}: LLaMA 3's rope scaling is not read from GGUF; use the safetensors of the model")

    def whole(name: str) -> int | None:
        return None if name not in fields else int(fields[name])

    return ModelConfig(
        model_type="llama",
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=width,
        intermediate_size=int(need("feed_forward_length")),
        num_layers=int(need("block_count")),
        num_heads=heads,
        num_kv_heads=int(fields.get("llama.attention.head_count_kv", heads)),
        head_dim=size,
        max_positions=int(need("context_length")),
        rope_theta=float(fields.get("llama.rope.freq_base", 10000.0)),
        rope_scaling=scaling,
        norm_eps=float(need("attention.layer_norm_rms_epsilon")),
        tie_embeddings="output.weight" not in names,
        bos_id=whole("tokenizer.ggml.bos_token_id"),
        eos_id=whole("tokenizer.ggml.eos_token_id"),
    )
