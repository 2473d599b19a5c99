"""A model's architecture as one typed description, read from and written to config.json by `models.hubconfig`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.models import hubconfig
from falsepromise.models.hubrope import RopeScaling
from falsepromise.study.planning import Shape

MODEL_TYPES = tuple(hubconfig.FAMILIES)


@dataclass(frozen=True)
class ModelConfig:
    """The sizes and choices of a model.

    Attributes:
        model_type: The family, one of `MODEL_TYPES`.
        vocab_size: Rows of the embedding table (V).
        hidden_size: Width of the residual stream (D).
        intermediate_size: Width inside the feed-forward part (F).
        num_layers: Transformer blocks (L).
        num_heads: Query heads (N).
        num_kv_heads: Key and value heads (K); N is a multiple of K. GPT-2: K = N.
        head_dim: Width of one head (H).
        max_positions: Longest sequence, in tokens. A hard limit for GPT-2 (rows of a table).
        rope_theta: Base of the rotary frequencies; not of GPT-2.
        rope_scaling: How the frequencies are stretched, or None.
        local_theta: Base in layers with a window, where it is another (Gemma 3); these are not stretched.
        windows: For each layer, how many tokens a token sees, itself included; 0 for all before it. Empty: all 0.
        query_scale: Queries are divided by its root; None: `head_dim`.
        norm_eps: Epsilon of RMSNorm or LayerNorm.
        tie_embeddings: Whether the output projection is the embedding table.
        attention_bias: Whether q, k and v have biases.
        output_bias: Whether the attention's output projection has a bias too (all families but Qwen2).
        mlp_bias: Whether the feed-forward part has biases.
        bos_id, eos_id: The tokens that open and end a text, or None.
        more_eos_ids: Further tokens that end an output.
        initializer_range: Standard deviation of random weights.
        padding: How many rows of the embedding table, the last ones, belong to no token. While a model is trained over
            a mesh they make the table divisible; no file has them.
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
    local_theta: float | None = None
    windows: tuple[int, ...] = ()
    query_scale: float | None = None
    norm_eps: float = 1e-5
    tie_embeddings: bool = False
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    bos_id: int | None = None
    eos_id: int | None = None
    more_eos_ids: tuple[int, ...] = ()
    initializer_range: float = 0.02
    padding: int = 0

    def __post_init__(self) -> None:
        if self.model_type not in MODEL_TYPES:
            raise UserError(f"model_type is {self.model_type!r}; expected one of {', '.join(MODEL_TYPES)}")
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads",
                     "head_dim", "max_positions"):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"model config: {name} is {value!r}; expected a positive whole number")
        for name in ("norm_eps", "rope_theta", "local_theta", "query_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"model config: {name} is {value!r}; expected a positive number")
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                f"model config: num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.model_type != "gpt2" and self.head_dim % 2:
            raise UserError(f"model config: head_dim {self.head_dim} is odd; rotary embedding turns pairs")
        if len(self.windows) not in (0, self.num_layers):
            raise UserError(f"model config: {len(self.windows)} windows for {self.num_layers} layers")

    @classmethod
    def from_hub(cls, hub: Mapping[str, Any], name: str = "config.json") -> ModelConfig:
        """Read the hub's config.json.

        Args:
            hub: Its keys and values.
            name: Its name in errors.

        Raises:
            UserError: an architecture or feature that is not built here, or a missing key; it is named.
        """
        return cls(**hubconfig.read_config(hub, name))

    def to_hub(self) -> dict[str, Any]:
        """The hub's config.json, which `transformers` and vLLM read."""
        return hubconfig.write(self)

    @property
    def n_parameters(self) -> int:
        """How many weights the model has; a tied table counts once."""
        d, f, v = self.hidden_size, self.intermediate_size, self.vocab_size
        q, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        table = v * d * (1 if self.tie_embeddings else 2)
        if self.model_type == "gpt2":
            block = 4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d
            return table + self.max_positions * d + self.num_layers * block + 2 * d
        sizes = {"hidden": d, "head": self.head_dim, "queries": q, "keys": kv}
        norms = sum(sizes[size] for size in hubconfig.FAMILIES[self.model_type].norms)
        block = 2 * d * q + 2 * d * kv + 3 * d * f + norms
        block += (q + 2 * kv) * self.attention_bias + d * self.output_bias + (2 * f + d) * self.mlp_bias
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
            gated=self.model_type != "gpt2",
        )
