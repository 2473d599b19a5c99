"""The part of a model folder without weights: its tokenizer, its context, its end tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.generation.request import Prompt
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.config import ModelConfig


class Encoder:
    """Prompts as ids.

    Args:
        config, tokenizer: As `models.weights` and `models.chat` load them.
        max_length: Tokens of prompt and output together; None: the model's `max_positions`.
        name: The model's name in errors.
    """

    def __init__(
        self, config: ModelConfig, tokenizer: ChatTokenizer, max_length: int | None = None, name: str = "the model"
    ):
        if tokenizer.vocab_size > config.vocab_size:
            raise UserError(
                f"{name}: the tokenizer has {tokenizer.vocab_size} ids, the model {config.vocab_size}; "
                "the two don't belong together"
            )
        self.config, self.tokenizer, self.name = config, tokenizer, name
        self.max_length = min(max_length or config.max_positions, config.max_positions)
        ends = {tokenizer.eos_id, config.eos_id, *config.more_eos_ids}
        self.ends = sorted(end for end in ends if end is not None)

    @classmethod
    def of_folder(cls, folder: str | Path) -> Encoder:
        """The encoder of a model folder."""
        return Encoder(weights.read_config(folder), ChatTokenizer.load(folder, turns=False), name=str(folder))

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt: messages with turn tokens, or text after the tokenizer's opening token."""
        if isinstance(prompt, str):
            ids = self.tokenizer.encode_text(prompt, bos=True)
            return ids or [self.ends[0]]  # nothing at all: as at the start of a document
        if len(prompt) and isinstance(prompt[0], Mapping):
            return self.tokenizer.encode_prompt(prompt)  # type: ignore[arg-type]
        return [int(i) for i in prompt] or [self.ends[0]]  # type: ignore[arg-type]
