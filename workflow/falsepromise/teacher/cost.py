"""A request, and the expected cost of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BYTES_PER_TOKEN = 4  # about right for English in GPT's tokenizers


@dataclass(frozen=True)
class Request:
    """One chat request.

    Attributes:
        messages: `{"role", "content"}` each.
        parameters: All other fields of the request (`temperature`, `max_tokens`, `seed`, ...).
        sample: The number of one of several independent answers to the same request; not sent.
        whole: Whether a truncated answer is a failure (a verdict needs only its first line).
    """

    messages: Sequence[Mapping[str, str]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0
    whole: bool = True


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens, from the study."""

    input_usd_per_million: float = 0.0
    output_usd_per_million: float = 0.0

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """US dollars."""
        return (input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million) / 1e6

    @property
    def zero(self) -> bool:
        """Whether both prices are 0, so that a limit in money has no effect."""
        return self.input_usd_per_million == self.output_usd_per_million == 0

    def times(self, share: float) -> Prices:
        """A share of these prices, such as a batch's."""
        return Prices(self.input_usd_per_million * share, self.output_usd_per_million * share)


@dataclass(frozen=True)
class Estimate:
    """An estimate of requests: those that the store can't answer, tokens, US dollars."""

    requests: int
    stored: int
    input_tokens: int
    output_tokens: int
    usd: float

    def __str__(self) -> str:
        return (
            f"{self.requests:,} requests to pay for, {self.stored:,} in the store; about {self.input_tokens:,} "
            f"input and {self.output_tokens:,} output tokens, about ${self.usd:.2f}"
        )


def estimate_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    """Tokens of a chat by its UTF-8 bytes: one for every four, and four a message.

    Outside ASCII a token is shorter: one for every two bytes.
    """
    tokens = 4 * len(messages)
    for message in messages:
        text = message["content"]
        size = len(text.encode("utf-8", "replace"))
        wide = 0 if text.isascii() else size - sum(map(str.isascii, text))
        tokens += -(-(size - wide) // BYTES_PER_TOKEN) + -(-wide // 2)
    return tokens


def bound_of(request: Request) -> int | None:
    """The request's own limit on its answer's tokens, or None."""
    bounds = [request.parameters.get(name) for name in ("max_tokens", "max_completion_tokens")]
    return next((n for n in bounds if isinstance(n, int)), None)


def expected_tokens(request: Request, usual_output: int) -> tuple[int, int]:
    """The expected input and output tokens of a request.

    The output is the request's own bound where it has one, else `usual_output`.
    """
    bound = bound_of(request)
    return estimate_tokens(request.messages), usual_output if bound is None else bound
