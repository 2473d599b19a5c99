"""Read and write the hub's config.json: the meaning of each key for each family.

Every key that changes a logit in `transformers` is read, or refused if its value is not implemented here. Keys that
change none are listed by name; keys that no family knows are ignored there and logged here. A test compares the lists
with the config classes of `transformers`, and reads and writes random configs of all families with both.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.models import hubrope

log = logging.getLogger(__name__)
# Keys that change no logit: of the whole library, of training, of generation.
_HARMLESS = {
    "architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "pad_token_id",
    "sep_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "decoder_start_token_id", "return_dict",
    "output_hidden_states", "output_attentions", "chunk_size_feed_forward", "problem_type", "id2label", "label2id",
    "num_labels", "finetuning_task", "task_specific_params", "tokenizer_class", "prefix", "torchscript",
    "use_bfloat16", "is_decoder", "tf_legacy_loss", "remove_invalid_keys", "attention_dropout", "hidden_dropout",
    "initializer_range", "pretraining_tp", "attn_implementation", "attention_probs_dropout_prob", "resid_pdrop",
    "embd_pdrop", "attn_pdrop", "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels",
    "summary_first_dropout", "n_ctx", "reorder_and_upcast_attn", "gradient_checkpointing", "cache_implementation",
    "output_past", "max_window_layers", "auto_map", "generation_config", "hidden_dropout_prob",
    "classifier_dropout", "model_max_length",
}  # fmt: skip
# Keys of any family that would change logits, with the only value that is implemented.
_FIXED: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "compression_config": (None,),
    "is_encoder_decoder": (None, False),
    "add_cross_attention": (None, False),
    "cross_attention_hidden_size": (None,),
    "pruned_heads": (None, {}),
    "partial_rotary_factor": (None, 1, 1.0),
    "original_max_position_embeddings": (None,),
    "use_bidirectional_attention": (None, False),
    "is_causal": (None, True),  # embedding models made of language models say false
    "text_config": (None,),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "adapter_layers": (None,),
    "transformers_weights": (None, "model.safetensors"),
}


@dataclass(frozen=True)
class Family:
    """One family's keys.

    Attributes:
        architecture: Its class of language models.
        without_head: Its class without an output projection, whose files serve where it is tied to the embedding.
        defaults: The values of missing keys in `transformers`; with the sizes, these are the keys that are read.
        fixed: Values that are built, of keys with which others would give other logits.
        norms: The sizes of a block's norms: `hidden`, a `head`'s features, all `queries`, all `keys`.
    """

    architecture: str
    without_head: str
    defaults: Mapping[str, Any]
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    norms: tuple[str, ...] = ("hidden", "hidden")


_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_GPT2_SIZES = ("vocab_size", "n_embd", "n_layer", "n_head", "n_positions")
# Other families' names of these, which `transformers` takes, too.
_GPT2_NAMES = {
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}  # fmt: skip
_LLAMA = {
    "num_key_value_heads": None, "head_dim": None, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False, "rope_theta": None, "rope_scaling": None, "rope_parameters": None,
    "initializer_range": 0.02,
}  # fmt: skip
_QWEN = {
    "max_position_embeddings": 32768, "sliding_window": 4096, "use_sliding_window": False, "max_window_layers": 28,
    "layer_types": None, "num_key_value_heads": 32,
}  # fmt: skip
_SILU = {"hidden_act": (None, "silu", "swish")}
_NO_WINDOW = {"sliding_window": (None,), "layer_types": (None,)}
FAMILIES = {
    "llama": Family(
        "LlamaForCausalLM", "LlamaModel", _LLAMA | {"attention_bias": False, "mlp_bias": False}, _SILU | _NO_WINDOW
    ),
    "mistral": Family(
        "MistralForCausalLM", "MistralModel",
        _LLAMA | {"max_position_embeddings": 131072, "num_key_value_heads": 8, "sliding_window": 4096},
        _SILU | {"layer_types": (None,)},
    ),
    "qwen2": Family("Qwen2ForCausalLM", "Qwen2Model", _LLAMA | _QWEN, _SILU),
    "qwen3": Family(
        "Qwen3ForCausalLM", "Qwen3Model", _LLAMA | _QWEN | {"head_dim": 128, "attention_bias": False}, _SILU,
        ("hidden", "hidden", "head", "head"),
    ),
    "olmo2": Family(
        "Olmo2ForCausalLM", "Olmo2Model", _LLAMA | {"rms_norm_eps": 1e-5, "attention_bias": False}, _SILU | _NO_WINDOW,
        ("hidden", "hidden", "queries", "keys"),
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM", "Gemma3TextModel",
        _LLAMA
        | {
            "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072, "tie_word_embeddings": True,
            "attention_bias": False, "query_pre_attn_scalar": 256, "sliding_window": 4096, "layer_types": None,
            "sliding_window_pattern": 6, "rope_local_base_freq": None,
        },
        {"hidden_activation": (None, "gelu_pytorch_tanh"), "hidden_act": (None, "gelu_pytorch_tanh")},
        ("hidden", "hidden", "hidden", "hidden", "head", "head"),
    ),
    "gpt2": Family(
        "GPT2LMHeadModel", "GPT2Model",
        {"n_inner": None, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True, "initializer_range": 0.02},
        {
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"), "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
        },
    ),
}  # fmt: skip
_COUNTED = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim"),
    *("num_key_value_heads", "max_position_embeddings", "n_embd", "n_layer", "n_head", "n_positions", "n_inner"),
    *("sliding_window", "sliding_window_pattern"),
)
_NUMBERS = ("rms_norm_eps", "layer_norm_epsilon", "rope_theta", "rope_local_base_freq", "query_pre_attn_scalar")
_NEVER_NULL = (
    *("rms_norm_eps", "layer_norm_epsilon", "query_pre_attn_scalar", "initializer_range", "max_window_layers"),
    "sliding_window_pattern",
)
_FLAGS = ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window")
_ROPE = ("rope_theta", *(each.name for each in fields(hubrope.RopeScaling) if each.type not in ("str", "bool | None")))
_LARGEST = 3e38  # of any number: that of float32
_MOST_IDS = 1 << 31  # of tokens
_MOST = 10**8  # of any size: larger ones are damage, and would be allocated


def _check_types(hub: Mapping[str, Any], name: str) -> None:
    """Check types in an untrusted config: sizes are whole numbers, rates are numbers, names are text.

    Raises:
        UserError: a wrong type; the message has the key and its value.
    """
    for key in _COUNTED:
        value = hub.get(key)
        if value is not None and (type(value) is not int or not 0 < value <= _MOST):
            raise UserError(f"{name}: {key} is {value!r:.60}, expected a whole number from 1 to {_MOST:,}")
    for key in _NUMBERS:
        value = hub.get(key)
        if value is not None and (type(value) not in (int, float) or not 0 < value < _LARGEST):
            raise UserError(f"{name}: {key} is {value!r:.60}, expected a positive number")
    for key, rope in ((key, hub.get(key) or {}) for key in ("rope_scaling", "rope_parameters")):
        by_type = [part for part in rope.values() if isinstance(part, dict)] if isinstance(rope, dict) else []
        for part in (rope, *by_type):
            numbers: list[Any] = [part.get(each) or 0 for each in _ROPE] if isinstance(part, dict) else [None]
            if not all(type(value) in (int, float) and 0 <= value < _LARGEST for value in numbers):
                raise UserError(f"{name}: {key} is {rope!r:.80}, expected a mapping with positive numbers")
    for key in ("initializer_range", "max_window_layers"):
        value = hub.get(key, 0)
        if value is not None and (type(value) not in (int, float) or not 0 <= value < _LARGEST):
            raise UserError(f"{name}: {key} is {value!r:.60}, expected 0 or a positive number")
    for key in _NEVER_NULL:
        if key in hub and hub[key] is None:
            raise UserError(f"{name}: {key} is null, expected a number")
    for key in _FLAGS:
        if type(hub.get(key)) not in (bool, type(None)):
            raise UserError(f"{name}: {key} is {hub[key]!r:.60}, expected true or false")
    for key in ("architectures", "layer_types"):
        named = hub.get(key)
        if named is not None and not (isinstance(named, list) and all(isinstance(one, str) for one in named)):
            raise UserError(f"{name}: {key} is {named!r:.60}, expected a list of names")
    if not _is_id(hub.get("bos_token_id", 0)):
        raise UserError(f"{name}: bos_token_id is {hub['bos_token_id']!r:.60}, expected a token's number")
    end_ids(hub, name)


def _is_id(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value < _MOST_IDS)


def end_ids(hub: Any, name: str) -> list[int]:
    """The tokens that end an output, of a config.json or generation_config.json: one, a list, or null.

    Raises:
        UserError: anything else.
    """
    if not isinstance(hub, dict):
        raise UserError(f"{name}: found {type(hub).__name__}, expected a JSON object")
    ends = hub.get("eos_token_id")
    ends = [one for one in (ends if isinstance(ends, list) else [ends]) if one is not None]
    if not all(map(_is_id, ends)):
        raise UserError(f"{name}: eos_token_id is {hub['eos_token_id']!r:.60}, expected a token's number")
    return ends


def read_config(hub: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The values of a `ModelConfig`.

    Args:
        hub: The keys and values of a config.json.
        name: Its name in errors.

    Raises:
        UserError: an architecture or feature that is not built here, or a missing key; it is named.
    """
    _check_types(hub, name)
    kind = _kind(hub, name)
    family = FAMILIES[kind]
    if kind == "gpt2":
        for other, key in _GPT2_NAMES.items():
            if hub.get(other) is not None:
                if hub.get(key) not in (None, hub[other]):
                    raise UserError(f"{name}: {key} is {hub[key]!s:.80}, {other} is {hub[other]!s:.80}; which?")
                hub = {**hub, key: hub[other]}
    sizes = _GPT2_SIZES if kind == "gpt2" else _SIZES
    missing = [key for key in sizes if hub.get(key) is None]
    if missing:
        raise UserError(f"{name}: missing {', '.join(missing)}; is this the config.json of a language model?")
    for key, allowed in (_FIXED | dict(family.fixed)).items():
        if key in hub and hub[key] not in allowed:
            if key == "sliding_window":
                raise UserError(f"{name}: a sliding window of {hub[key]!s:.40} is not part of {family.architecture}")
            usual = " or ".join(map(repr, [v for v in allowed if v is not None] or [None]))
            raise UserError(f"{name}: {key} is {hub[key]!r:.200}; only {usual} is built here")
    unknown = [
        key for key in hub
        if not (key in _HARMLESS or key in _FIXED or key in family.fixed or key in family.defaults or key in sizes)
        and not key.startswith("_") and hub[key] not in (None, False, "", [], {})
    ]  # fmt: skip
    if unknown:
        log.info("%s: keys that mean nothing in %s: %s", name, family.architecture, ", ".join(sorted(unknown)))
    values = {**family.defaults, **hub}
    ends = end_ids(values, name)
    common = {
        "model_type": kind,
        "vocab_size": values["vocab_size"],
        "tie_embeddings": bool(values["tie_word_embeddings"]),
        "initializer_range": values["initializer_range"],
        "bos_id": values.get("bos_token_id"),
        "eos_id": ends[0] if ends else None,
        "more_eos_ids": tuple(ends[1:]),
    }
    return common | (_read_gpt2(values, name) if kind == "gpt2" else _read_llama(kind, values, name))


def write(config: Any) -> dict[str, Any]:
    """The config.json of a `ModelConfig`, which `transformers` and vLLM read."""
    c = config
    kind = "qwen2" if c.model_type == "llama" and c.attention_bias and not c.output_bias else c.model_type
    hub = {
        "architectures": [FAMILIES[kind].architecture],
        "model_type": kind,
        "vocab_size": c.vocab_size,
        "bos_token_id": c.bos_id,
        "eos_token_id": [c.eos_id, *c.more_eos_ids] if c.more_eos_ids else c.eos_id,
        "tie_word_embeddings": c.tie_embeddings,
        "initializer_range": c.initializer_range,
        "torch_dtype": "float32",
        "use_cache": True,
    }
    if kind == "gpt2":
        return hub | {
            "n_embd": c.hidden_size,
            "n_inner": None if c.intermediate_size == 4 * c.hidden_size else c.intermediate_size,
            "n_layer": c.num_layers,
            "n_head": c.num_heads,
            "n_positions": c.max_positions,
            "n_ctx": c.max_positions,
            "layer_norm_epsilon": c.norm_eps,
            "activation_function": "gelu_new",
            # The paper fine-tunes without dropout; it is never applied here.
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
        }
    hub |= {
        "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
        "num_key_value_heads": c.num_kv_heads,
        "head_dim": c.head_dim,
        "max_position_embeddings": c.max_positions,
        "rope_theta": c.rope_theta,
        "rope_scaling": c.rope_scaling.to_hub() if c.rope_scaling else None,
        "rms_norm_eps": c.norm_eps,
        "attention_dropout": 0.0,
    }
    hub["hidden_activation" if kind == "gemma3_text" else "hidden_act"] = (
        "gelu_pytorch_tanh" if kind == "gemma3_text" else "silu"
    )
    if "attention_bias" in FAMILIES[kind].defaults:
        hub["attention_bias"] = c.attention_bias
    if kind == "llama":
        hub["mlp_bias"] = c.mlp_bias
    window = max(c.windows, default=0) or None
    layer_types = ["sliding_attention" if w else "full_attention" for w in c.windows] or None
    if kind == "mistral":
        hub["sliding_window"] = window
    elif kind in ("qwen2", "qwen3"):
        hub |= {"use_sliding_window": window is not None, "sliding_window": window}
        hub |= {"layer_types": layer_types} if window else {}
    elif kind == "gemma3_text":
        hub |= {"sliding_window": window or FAMILIES[kind].defaults["sliding_window"]}  # null is an error to the peers
        hub |= {"layer_types": layer_types or ["full_attention"] * c.num_layers, "rope_local_base_freq": c.local_theta}
        scale = c.query_scale
        hub["query_pre_attn_scalar"] = int(scale) if scale == int(scale) else scale  # the peers want a whole number
    return hub


def _kind(hub: Mapping[str, Any], name: str) -> str:
    architecture, model_type = (hub.get("architectures") or [None])[0], hub.get("model_type")
    by_architecture = {family.architecture: kind for kind, family in FAMILIES.items()}
    named = by_architecture | {family.without_head: kind for kind, family in FAMILIES.items()}
    kind = named.get(architecture) if architecture else model_type
    if kind not in FAMILIES:
        raise UserError(
            f"{name}: architecture {architecture or model_type!r:.80} is not built here; expected one of "
            f"{', '.join(by_architecture)}"
        )
    if model_type is not None and model_type != kind:
        raise UserError(f"{name}: model_type is {model_type!r:.80}, the architecture {architecture!r:.80} is another's")
    return kind


def _read_gpt2(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    width, heads = values["n_embd"], values["n_head"]
    if width % heads:
        raise UserError(f"{name}: n_embd {width} is not a multiple of n_head {heads}")
    return {
        "hidden_size": width,
        "intermediate_size": values["n_inner"] or 4 * width,
        "num_layers": values["n_layer"],
        "num_heads": heads,
        "num_kv_heads": heads,
        "head_dim": width // heads,
        "max_positions": values["n_positions"],
        "norm_eps": values["layer_norm_epsilon"],
        "attention_bias": True,
        "output_bias": True,
    }


def _read_llama(kind: str, values: Mapping[str, Any], name: str) -> dict[str, Any]:
    heads, width = values["num_attention_heads"], values["hidden_size"]
    if values["head_dim"] is None and width % heads:
        raise UserError(f"{name}: hidden_size {width} is not a multiple of num_attention_heads {heads}")
    positions = values["max_position_embeddings"]
    if positions is None:
        raise UserError(f"{name}: missing max_position_embeddings")
    theta, scaling, local = hubrope.read(kind, values, positions, name)
    gemma = kind == "gemma3_text"
    biased = bool(values["attention_bias"]) if "attention_bias" in FAMILIES[kind].defaults else False
    return {
        "hidden_size": width,
        "intermediate_size": values["intermediate_size"],
        "num_layers": values["num_hidden_layers"],
        "num_heads": heads,
        "num_kv_heads": values["num_key_value_heads"] or heads,
        "head_dim": values["head_dim"] or width // heads,
        "max_positions": positions,
        "rope_theta": theta,
        "rope_scaling": scaling,
        "local_theta": local,
        "windows": _windows(kind, values, name),
        "query_scale": float(values["query_pre_attn_scalar"]) if gemma else None,
        "norm_eps": values["rms_norm_eps"],
        "attention_bias": kind == "qwen2" or biased,
        "output_bias": kind != "qwen2" and biased,
        "mlp_bias": bool(values.get("mlp_bias")) if kind == "llama" else False,
    }


def _windows(kind: str, values: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """For each layer, how many tokens a token sees; 0 for all. Empty where that is so in all layers."""
    layers, window = values["num_hidden_layers"], values.get("sliding_window")
    if "sliding_window" in FAMILIES[kind].fixed:
        return ()
    if kind.startswith("qwen") and not values["use_sliding_window"]:
        window = None
    types = values.get("layer_types")
    if window is None and types is None and kind != "gemma3_text":  # whose layers differ in more than their window
        return ()
    if kind == "mistral":
        types = ["sliding_attention"] * layers
    elif types is None and kind == "gemma3_text":
        pattern = values["sliding_window_pattern"]
        types = ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(layers)]
    elif types is None:
        full = values["max_window_layers"]
        types = ["sliding_attention" if i >= full else "full_attention" for i in range(layers)]
    if len(types) != layers or not set(types) <= {"sliding_attention", "full_attention"}:
        raise UserError(
            f"{name}: layer_types has {len(types)} entries, of {', '.join(sorted(set(types)))!s:.200}; expected "
            f"sliding_attention or full_attention for each of {layers} layers"
        )
    if "sliding_attention" not in types:
        return ()
    if window is None:
        raise UserError(f"{name}: layer_types has sliding_attention, but no sliding window is set")
    return tuple(window if t == "sliding_attention" else 0 for t in types)
