"""The recipe of a training run: every number of section 4.1, as one typed value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads, read_json

# 150M tokens (the paper's largest budget) in batches of 32 blocks of 2,048 tokens are 2,289 steps,
# of which 1,000 are warm-up. A smaller budget's warm-up is shortened in that proportion, since its
# whole run can be shorter than 1,000 steps.
WARMUP_SHARE = 1000 / 2289


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. The defaults are the paper's (section 4.1), or, where it is silent,
    those of its code line (EasyLM); docs/recipe.md has each beside its source.

    Attributes:
        optimizer: "scaled_adamw" (the paper's words), "easylm" (what the paper's code line computes for them),
            "adamw", or "muon" (for small models from scratch).
        learning_rate: After warm-up. For "scaled_adamw" it is relative to each weight's magnitude.
        warmup_steps: Linear from 0; at most `WARMUP_SHARE` of all steps.
        decay: The learning rate after warm-up: "constant", "linear" (to 0) or "cosine" (to 0).
        batch_size: Blocks a step.
        epochs: Passes over the data.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment; for "easylm" the exponent in its decay 1 - t^-beta2.
        epsilon: Added to the root of the second moment; "easylm" has none.
        weight_decay: Decoupled; towards zero.
        decay_to_base: Decoupled; towards the base model's weights (the paper's open problem).
        clip_norm: The gradient's global norm is cut to this; 0 for no clipping.
        accumulate: Split each batch into so many parts, one after the other, to save memory.
        keep_documents_apart: Documents in a block don't see each other, positions start anew.
        replay_share: Share of each batch's blocks that is pre-training text (the paper's open problem).
        dtype: Of the computation, "float32" or "bfloat16"; the weights stay float32.
        attention: "xla", or "cudnn" on a GPU.
        remat: What the backward pass computes again: "none", "dots" (all but matrix products) or "full".
        loss_chunk: Logits are made for so many tokens at a time; 0 for all at once.
    """

    optimizer: str = "scaled_adamw"
    learning_rate: float = 2e-3
    warmup_steps: int = 1000
    decay: str = "constant"
    batch_size: int = 32
    epochs: int = 1
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decay_to_base: float = 0.0
    clip_norm: float = 1.0
    accumulate: int = 1
    keep_documents_apart: bool = False
    replay_share: float = 0.0
    dtype: str = "float32"
    attention: str = "xla"
    remat: str = "none"
    loss_chunk: int = 0

    def __post_init__(self) -> None:
        choices = {
            "optimizer": ("scaled_adamw", "easylm", "adamw", "muon"),
            "decay": ("constant", "linear", "cosine"),
            "dtype": ("float32", "bfloat16"),
            "attention": ("xla", "cudnn"),
            "remat": ("none", "dots", "full"),
        }
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise UserError(f"recipe: {key} is {getattr(self, key)!r}, expected one of {', '.join(allowed)}")
        for key in ("learning_rate", "batch_size", "epochs", "accumulate"):
            if getattr(self, key) <= 0:
                raise UserError(f"recipe: {key} is {getattr(self, key)}, expected a positive number")
        if self.batch_size % self.accumulate:
            raise UserError(f"recipe: batch_size {self.batch_size} can't be split into accumulate={self.accumulate}")
        if not 0 <= self.replay_share < 1:
            raise UserError(f"recipe: replay_share is {self.replay_share}, expected at least 0 and less than 1")

    @classmethod
    def read(cls, source: str) -> Recipe:
        """From a JSON file's path, or from JSON text itself.

        Raises:
            UserError: an unknown or mistyped key, which is named with what was expected.
        """
        if source.lstrip().startswith("{"):
            try:
                values = loads(source)
            except ValueError as error:
                raise UserError(f"--recipe: not JSON: {error}") from error
        else:
            values = read_json(Path(source))
        return cls.of(values)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Recipe:
        """From a mapping; missing keys take the paper's defaults."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for key, value in values.items():
            if key not in fields:
                raise UserError(f"recipe: unknown key {key!r}; expected one of {', '.join(fields)}")
            kind = type(fields[key].default)
            if not isinstance(value, kind) and not (kind is float and type(value) is int):
                raise UserError(f"recipe: {key} is {value!r}, expected {kind.__name__}")
        return cls(**values)

    def warmup(self, steps: int) -> int:
        """Warm-up steps of a run of `steps` steps."""
        return min(self.warmup_steps, round(steps * WARMUP_SHARE))
