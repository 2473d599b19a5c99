"""Requests to a model and their results, the same for the engine and for a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from falsepromise.core.errors import UserError

Ids = Sequence[int]
Prompt = str | Ids | Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Request:
    """One text to continue.

    Attributes:
        prompt: Raw text, token ids, or messages (which get the turn tokens).
        max_tokens: Tokens to produce at most; the context's end may come earlier.
        temperature, top_p, top_k: As in `generation.sampling`.
        seed: Of this request alone.
        stop: Texts that end the output; they are cut off.
        tag: Anything; handed back with the result.
    """

    prompt: Prompt
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    tag: Any = None

    @property
    def depends_on(self) -> tuple[Any, ...]:
        """All that a reply depends on besides the model."""
        found = (self.prompt, self.max_tokens, self.temperature, self.top_p, self.seed, self.stop)
        return (*found, self.top_k) if self.top_k else found  # without it, the keys of files that know no top_k

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("max_tokens", self.max_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < float("inf"), "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
        ):
            if not good:
                raise UserError(f"{name} is {getattr(self, name)}; expected {expected}")


@dataclass
class Result:
    """The model's output.

    Attributes:
        index: The request's place.
        text: Without stop string and special tokens. After raw text it may begin with white space; after a turn
            token it is a separate text.
        finish_reason: "stop" (end token or stop string), "length" (max_tokens or the context's
            end), "prompt_too_long" (nothing was produced), or "abandoned" (`on_text` ended it).
        ids: The tokens, an end token among them; with a stop string, up to the token that completes it.
        logprobs: Of the tokens, where asked for.
        tag: The request's.
    """

    index: int
    text: str
    finish_reason: str
    ids: list[int]
    logprobs: list[float] | None = None
    tag: Any = None
