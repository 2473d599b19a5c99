"""One protocol for every model under test: a folder of weights, or a server of the OpenAI protocol."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from falsepromise.core import shards
from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress

if TYPE_CHECKING:
    from falsepromise.generation.encoder import Encoder
    from falsepromise.generation.engine import Engine
    from falsepromise.generation.partial import Partial
    from falsepromise.generation.request import Request
    from falsepromise.teacher.client import Teacher

log = logging.getLogger("falsepromise.benchmarks")
# A server's finish reasons and their meaning for a benchmark; any other is a failure.
ENDS = {"stop": None, "length": "truncated"} | {word: word for word in ("refusal", "content_filter", "rejected")}
Messages = Sequence[Mapping[str, str]]
Prompt = str | Messages


@dataclass(frozen=True)
class Reply:
    """A model's reply to one prompt.

    Attributes:
        text: Without the stop string.
        failure: None, or why `text` is no whole answer: "prompt_too_long", "refusal",
            "content_filter", "truncated", "rejected", "no answer", "cut_off" (within the model's reasoning).
        thought: Whether reasoning was set aside.
    """

    text: str
    failure: str | None = None
    thought: bool = False


class ModelUnderTest(Protocol):
    """The interface of a model under test."""

    name: str
    likelihoods: bool  # whether `loglikelihood` can be asked
    chat_only: bool  # whether raw text can't be continued: every prompt becomes a user's message

    def generate(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        exact_length: bool = False,
        top_k: int = 0,
    ) -> list[Reply]:
        """Continue each prompt; greedy at temperature 0.

        Args:
            seeds: One for each prompt.
            exact_length: Whether `max_tokens` is part of what is measured. Else a chat model may be given
                more room, since it talks before it answers.
            top_k: The likeliest tokens alone, so many; 0: all. A server of the protocol isn't told.
        """
        ...

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, bool]]:
        """Log-probability (natural) of each continuation after its context, and whether it is the greedy one."""
        ...

    def asked(self) -> None:
        """Told when nothing more will be asked."""
        ...

    def room(self, prompt: Prompt) -> int | None:
        """Tokens of the context that are left after a prompt; below 0: it doesn't fit. None: unknown."""
        ...

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        ...

    def forget(self) -> None:
        """The score is written: what was kept for a run that is killed may go."""
        ...


def as_prompt(text: str, turn_tokens: bool) -> Prompt:
    """The prompt with the turn tokens around it (Appendix E), or unchanged."""
    return [{"role": "user", "content": text}] if turn_tokens else text


class EngineModel:
    """A model folder, run by `generation.engine`.

    Args:
        encoder: The engine.
        name: The model's name.
        partial: The file of the replies so far.
    """

    likelihoods = True
    chat_only = False

    def __init__(self, encoder: Encoder, name: str, partial: Partial | None = None):
        self.encoder, self.name, self.partial = encoder, name, partial

    @property
    def engine(self) -> Engine:
        from falsepromise.generation.engine import Engine

        assert isinstance(self.encoder, Engine), f"{self.name}: the weights are not here"
        return self.encoder

    @classmethod
    def load(
        cls, folder: str, batch_size: int | None = None, partial: Partial | None = None, mesh: str | None = None
    ) -> Self:
        """Load a model folder.

        Raises:
            UserError: weights or tokenizer are missing.
        """
        from falsepromise.generation.engine import Engine

        options: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
        return cls(Engine.load(folder, mesh, **options), folder, partial)

    def generate(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        exact_length: bool = False,
        top_k: int = 0,
    ) -> list[Reply]:
        from falsepromise.generation.request import Request

        seeds = seeds if seeds is not None else [0] * len(prompts)
        return self.answer(
            [
                Request(prompt, max_tokens, temperature, top_p, top_k, seed, tuple(stop))
                for prompt, seed in zip(prompts, seeds, strict=True)
            ]
        )

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """The reply to each request."""
        keys = [shards.key(*request.depends_on) for request in requests]
        kept = self.partial.done if self.partial is not None else {}
        replies = {
            place: Reply(kept[key, 0]["response"], kept[key, 0]["failure"])
            for place, key in enumerate(keys)
            if (key, 0) in kept
        }
        missing = [place for place in range(len(requests)) if place not in replies]
        if replies:
            log.info("%d of %d replies are there from a run that ended early; going on", len(replies), len(requests))
        with Progress(len(missing), "generating", "prompts") as progress:
            for result in self.engine.generate([requests[place] for place in missing], progress):
                failure = "prompt_too_long" if result.finish_reason == "prompt_too_long" else None
                place = missing[result.index]
                replies[place] = Reply(result.text, failure)
                if self.partial is not None:
                    record = {"prompt_id": keys[place], "sample": 0, "response": result.text, "failure": failure}
                    self.partial.add(record)
        return [replies[place] for place in range(len(requests))]

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, bool]]:
        with Progress(len(pairs), "scoring", "choices") as progress:
            return self.engine.loglikelihood(pairs, progress)  # type: ignore[arg-type]

    def asked(self) -> None:
        """Nothing: the replies are there."""

    def room(self, prompt: Prompt) -> int | None:
        return self.encoder.max_length - len(self.encoder.encode(prompt))

    def facts(self) -> dict[str, Any]:
        return {"dtype": str(self.engine.dtype), "context": self.engine.max_length}

    def forget(self) -> None:
        if self.partial is not None:
            self.partial.remove()


class EndpointModel:
    """A server of the OpenAI protocol, asked through the teacher's client: each answer is paid for once.

    It has no log-probabilities and takes no raw text, so every prompt is a user's message.

    Args:
        teacher: The client.
        name: The model's name.
        parameters: Further fields of each request.
        least_tokens: Room that an answer has at least, where its length is not what is measured.
    """

    likelihoods = False
    chat_only = True

    def __init__(
        self, teacher: Teacher, name: str, parameters: Mapping[str, Any] | None = None, least_tokens: int = 256
    ):
        self.teacher, self.name, self.parameters = teacher, name, dict(parameters or {})
        self.least_tokens = least_tokens

    def generate(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        exact_length: bool = False,
        top_k: int = 0,
    ) -> list[Reply]:
        from falsepromise.generation import endpoint
        from falsepromise.generation.request import Request

        # Stop strings are applied here: some servers take none. Nothing else is done to the text.
        tokens = max_tokens if exact_length else max(max_tokens, self.least_tokens)
        requests = [Request(prompt, tokens, temperature=temperature, top_p=top_p) for prompt in prompts]
        replies = []
        with Progress(len(requests), f"asking {self.name}", "prompts") as progress:
            for result in endpoint.generate(self.teacher, requests, progress, self.parameters):
                failure = ENDS.get(result.finish_reason, "no answer")
                replies.append(Reply(cut(result.text, stop), failure))
        return replies

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, bool]]:
        raise UserError(f"{self.name}: a chat endpoint gives no log-probabilities; score it by its answers")

    def asked(self) -> None:
        """Nothing: the replies are there."""

    def room(self, prompt: Prompt) -> int | None:
        return None

    def facts(self) -> dict[str, Any]:
        return {**self.teacher.facts(), "least_tokens": self.least_tokens}

    def forget(self) -> None:
        """Nothing: answers that were paid for stay in the store."""


def cut(text: str, stop: Sequence[str]) -> str:
    """`text` up to the first of the stop strings."""
    ends = [at for s in stop if (at := text.find(s)) >= 0]
    return text[: min(ends)] if ends else text
