"""A model under test that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from falsepromise.benchmarks.model import Prompt, Reply, cut


class FakeModel:
    """Answers by a function of the prompt's text.

    Args:
        answer: From a prompt's text to a reply (text, or a Reply).
        context: Its words at most, for prompt and answer together; None: no limit known.
    """

    name = "fake"
    likelihoods = False

    def __init__(self, answer: Callable[[str], str | Reply], context: int | None = None, chat_only: bool = False):
        self.answer, self.context, self.chat_only = answer, context, chat_only
        self.prompts: list[Prompt] = []
        self.sampling: dict[str, Any] = {}

    def forget(self) -> None:
        """Nothing is kept."""

    def asked(self) -> None:
        """Nothing: the replies are there."""

    def generate(
        self, prompts: Sequence[Prompt], max_tokens: int, stop: Sequence[str] = (), **sampling: Any
    ) -> list[Reply]:
        self.prompts = list(prompts)
        self.sampling = {"max_tokens": max_tokens, "stop": stop, **sampling}
        replies = []
        for prompt in prompts:
            room = self.room(prompt)
            if room is not None and room < 1:
                replies.append(Reply("", "prompt_too_long"))
                continue
            said = self.answer(text_of(prompt))
            replies.append(said if isinstance(said, Reply) else Reply(cut(said, stop)))
        return replies

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def room(self, prompt: Prompt) -> int | None:
        return None if self.context is None else self.context - len(text_of(prompt).split())

    def facts(self) -> dict[str, Any]:
        return {}


def text_of(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]
