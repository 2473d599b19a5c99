"""What a model is made of: one typed description that reads and writes the hub's config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.study.planning import Shape

ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",  # LLaMA where the sliding window is not in use
    "Qwen2ForCausalLM": "llama",  # LLaMA with biases on q, k and v
    "GPT2LMHeadModel": "gpt2",
}
ROPE_TYPES = ("linear", "llama3")


@dataclass(frozen=True)
class RopeScaling:
    """Rotary frequencies stretched beyond the length of pre-training.

    "linear" divides all of them by `factor`; "llama3" the slow ones only, with the three further
    values as bounds (see `models.llama.rotary_frequencies`).
    """

    rope_type: str
    factor: float
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None

    def to_hub(self) -> dict[str, Any]:
        """The hub's `rope_scaling`."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class ModelConfig:
    """The sizes and choices of a GPT-2 or LLaMA model.

    Attributes:
        model_type: "llama" or "gpt2".
        vocab_size: Rows of the embedding table (V).
        hidden_size: Width of the residual stream (D).
        intermediate_size: Width inside the feed-forward part (F).
        num_layers: Transformer blocks (L).
        num_heads: Query heads (N).
        num_kv_heads: Key and value heads (K); N is a multiple of K. GPT-2: K = N.
        head_dim: Width of one head (H).
        max_positions: Longest sequence, in tokens. A hard limit for GPT-2 (rows of a table).
        rope_theta: Base of the rotary frequencies; LLaMA only.
        rope_scaling: How the frequencies are stretched, or None.
        norm_eps: Epsilon of RMSNorm or LayerNorm.
        tie_embeddings: Whether the output projection is the embedding table.
        attention_bias: Whether q, k and v have biases (Qwen2).
        output_bias: Whether the attention's output projection has a bias too (LLaMA's `attention_bias`).
        bos_id, eos_id: The tokens that open and end a text, or None.
        more_eos_ids: Further tokens that end an output.
        initializer_range: Standard deviation of random weights.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tie_embeddings: bool = False
    attention_bias: bool = False
    output_bias: bool = False
    bos_id: int | None = None
    eos_id: int | None = None
    more_eos_ids: tuple[int, ...] = ()
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.model_type not in ("llama", "gpt2"):
            raise UserError(f"model_type is {self.model_type!r}; expected 'llama' or 'gpt2'")
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads",
                     "head_dim", "max_positions"):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"model config: {name} is {value!r}; expected a positive whole number")
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                f"model config: num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.model_type == "llama" and self.head_dim % 2:
            raise UserError(f"model config: head_dim {self.head_dim} is odd; rotary embedding turns pairs")

    @classmethod
    def from_hub(cls, hub: Mapping[str, Any], name: str = "config.json") -> ModelConfig:
        """Read the hub's config.json.

        Args:
            hub: Its keys and values.
            name: What an error calls it.

        Raises:
            UserError: an architecture or feature that is not built here, or a missing key; it is named.
        """
        kind = _kind(hub, name)
        return _gpt2_from_hub(hub, name) if kind == "gpt2" else _llama_from_hub(hub, name)

    def to_hub(self) -> dict[str, Any]:
        """The hub's config.json, which `transformers` and vLLM read."""
        eos: Any = [self.eos_id, *self.more_eos_ids] if self.more_eos_ids else self.eos_id
        common = {
            "vocab_size": self.vocab_size,
            "bos_token_id": self.bos_id,
            "eos_token_id": eos,
            "tie_word_embeddings": self.tie_embeddings,
            "initializer_range": self.initializer_range,
            "torch_dtype": "float32",
            "use_cache": True,
        }
        if self.model_type == "gpt2":
            return {
                "architectures": ["GPT2LMHeadModel"],
                "model_type": "gpt2",
                **common,
                "n_embd": self.hidden_size,
                "n_inner": None if self.intermediate_size == 4 * self.hidden_size else self.intermediate_size,
                "n_layer": self.num_layers,
                "n_head": self.num_heads,
                "n_positions": self.max_positions,
                "n_ctx": self.max_positions,
                "layer_norm_epsilon": self.norm_eps,
                "activation_function": "gelu_new",
                # The paper fine-tunes without dropout; it is never applied here.
                "attn_pdrop": 0.0,
                "embd_pdrop": 0.0,
                "resid_pdrop": 0.0,
            }
        qwen = self.attention_bias and not self.output_bias
        llama = {
            "architectures": ["Qwen2ForCausalLM" if qwen else "LlamaForCausalLM"],
            "model_type": "qwen2" if qwen else "llama",
            **common,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_positions,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling.to_hub() if self.rope_scaling else None,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "attention_dropout": 0.0,
        }
        if qwen:
            llama["use_sliding_window"] = False
        else:
            llama |= {"attention_bias": self.attention_bias, "mlp_bias": False}
        return llama

    @property
    def n_parameters(self) -> int:
        """How many weights the model has; a tied table counts once."""
        d, f, v = self.hidden_size, self.intermediate_size, self.vocab_size
        q, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        table = v * d * (1 if self.tie_embeddings else 2)
        if self.model_type == "gpt2":
            block = 4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d
            return table + self.max_positions * d + self.num_layers * block + 2 * d
        block = 2 * d * q + 2 * d * kv + 3 * d * f + 2 * d
        block += (q + 2 * kv) * self.attention_bias + d * self.output_bias
        return table + self.num_layers * block + d

    @property
    def shape(self) -> Shape:
        """The sizes that planning needs."""
        looked_up = 0 if self.tie_embeddings else self.vocab_size * self.hidden_size
        if self.model_type == "gpt2":
            looked_up += self.max_positions * self.hidden_size
        return Shape(
            parameters=self.n_parameters,
            looked_up=looked_up,
            vocab_size=self.vocab_size,
            hidden=self.hidden_size,
            intermediate=self.intermediate_size,
            layers=self.num_layers,
            query=self.num_heads * self.head_dim,
            key=self.num_kv_heads * self.head_dim,
            heads=self.num_heads,
            gated=self.model_type == "llama",
        )


def _kind(hub: Mapping[str, Any], name: str) -> str:
    architecture = (hub.get("architectures") or [None])[0]
    by_type = {"llama": "llama", "mistral": "llama", "qwen2": "llama", "gpt2": "gpt2"}
    kind = ARCHITECTURES.get(architecture) if architecture else by_type.get(hub.get("model_type", ""))
    if kind is None:
        found = architecture or hub.get("model_type")
        raise UserError(f"{name}: architecture {found!r} is not built here; expected one of {', '.join(ARCHITECTURES)}")
    return kind


def _need(hub: Mapping[str, Any], keys: tuple[str, ...], name: str) -> None:
    missing = [key for key in keys if hub.get(key) is None]
    if missing:
        raise UserError(f"{name}: missing {', '.join(missing)}; is this the config.json of a language model?")


def _ends(hub: Mapping[str, Any]) -> dict[str, Any]:
    eos = hub.get("eos_token_id")
    ends = list(eos) if isinstance(eos, list | tuple) else [eos]
    bos = hub.get("bos_token_id")
    return {"bos_id": bos, "eos_id": ends[0] if ends else None, "more_eos_ids": tuple(ends[1:])}


def _gpt2_from_hub(hub: Mapping[str, Any], name: str) -> ModelConfig:
    _need(hub, ("vocab_size", "n_embd", "n_layer", "n_head", "n_positions"), name)
    if hub.get("activation_function", "gelu_new") not in ("gelu_new", "gelu_pytorch_tanh"):
        raise UserError(f"{name}: activation_function {hub['activation_function']!r}; expected 'gelu_new'")
    for key, usual in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("add_cross_attention", False),
    ):
        if hub.get(key, usual) != usual:
            raise UserError(f"{name}: {key} is {hub[key]!r}; only {usual!r} is built here")
    if hub["n_embd"] % hub["n_head"]:
        raise UserError(f"{name}: n_embd {hub['n_embd']} is not a multiple of n_head {hub['n_head']}")
    return ModelConfig(
        model_type="gpt2",
        vocab_size=hub["vocab_size"],
        hidden_size=hub["n_embd"],
        intermediate_size=hub.get("n_inner") or 4 * hub["n_embd"],
        num_layers=hub["n_layer"],
        num_heads=hub["n_head"],
        num_kv_heads=hub["n_head"],
        head_dim=hub["n_embd"] // hub["n_head"],
        max_positions=hub["n_positions"],
        norm_eps=hub.get("layer_norm_epsilon", 1e-5),
        tie_embeddings=hub.get("tie_word_embeddings", True),
        attention_bias=True,
        output_bias=True,
        initializer_range=hub.get("initializer_range", 0.02),
        **_ends(hub),
    )


def _llama_from_hub(hub: Mapping[str, Any], name: str) -> ModelConfig:
    needed = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
              "max_position_embeddings", "rms_norm_eps")  # fmt: skip
    _need(hub, needed, name)
    if hub.get("hidden_act", "silu") != "silu":
        raise UserError(f"{name}: hidden_act {hub['hidden_act']!r}; expected 'silu'")
    if hub.get("mlp_bias"):
        raise UserError(f"{name}: mlp_bias is not built here")
    positions = hub["max_position_embeddings"]
    window = hub.get("sliding_window") if hub.get("use_sliding_window", True) else None
    if window is not None and window < positions:
        raise UserError(f"{name}: a sliding window of {window} is not built here (max_position_embeddings {positions})")
    # transformers 5 writes rope_parameters; before it, rope_theta and rope_scaling.
    rope = dict(hub.get("rope_parameters") or hub.get("rope_scaling") or {})
    theta = rope.pop("rope_theta", None) or hub.get("rope_theta") or 10000.0
    rope_type = rope.pop("rope_type", None) or rope.pop("type", None) or "default"
    rope.pop("type", None)
    if rope_type not in ("default", *ROPE_TYPES):
        raise UserError(f"{name}: rope_type {rope_type!r} is not built here; expected default, {', '.join(ROPE_TYPES)}")
    scaling = None
    if rope_type != "default":
        keys = ["factor"]
        if rope_type == "llama3":
            keys += ["low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
        _need(rope, tuple(keys), f"{name}, rope_scaling")
        scaling = RopeScaling(rope_type, **{key: rope[key] for key in keys})
    qwen = (hub.get("architectures") or [""])[0] == "Qwen2ForCausalLM" or hub.get("model_type") == "qwen2"
    heads = hub["num_attention_heads"]
    if hub.get("head_dim") is None and hub["hidden_size"] % heads:
        raise UserError(f"{name}: hidden_size {hub['hidden_size']} is not a multiple of num_attention_heads {heads}")
    return ModelConfig(
        model_type="llama",
        vocab_size=hub["vocab_size"],
        hidden_size=hub["hidden_size"],
        intermediate_size=hub["intermediate_size"],
        num_layers=hub["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=hub.get("num_key_value_heads") or heads,
        head_dim=hub.get("head_dim") or hub["hidden_size"] // heads,
        max_positions=positions,
        rope_theta=float(theta),
        rope_scaling=scaling,
        norm_eps=hub["rms_norm_eps"],
        tie_embeddings=bool(hub.get("tie_word_embeddings", False)),
        attention_bias=qwen or bool(hub.get("attention_bias", False)),
        output_bias=not qwen and bool(hub.get("attention_bias", False)),
        initializer_range=hub.get("initializer_range", 0.02),
        **_ends(hub),
    )
