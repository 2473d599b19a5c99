"""Providers' habits: what each wants sent otherwise than OpenAI does, and what it calls things in its replies.

`habits(provider, model, changes)` is the row of the table for a provider, with what a family of models adds
and what the study changes on top. Everything that speaks to a server asks it:

    habits = providers.habits(providers.guess(url), "o3-mini", {"headers": {"x-team": "a"}})
    habits.sent(messages, parameters)  # what goes into the request's body

A change names a field of `Habits`; mappings are merged key by key, everything else is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from falsepromise.core.errors import UserError

# What ends an answer that was cut off, whoever says it: a cut answer is no answer, but its head may be of use.
CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"})
_SET_BY_US = frozenset({"model", "messages", "stream", "n"})


@dataclass(frozen=True)
class Habits:
    """How a server is spoken to, and how it speaks.

    Attributes:
        path: Of the API, where the base URL names none; `{model}` is put in.
        headers: Sent with each request; `{key}` is put in, and a header with it is left out without a key.
        query: Added to each URL.
        drop: Parameters that are never sent.
        rename: Parameters' other names, as `max_completion_tokens` for `max_tokens`.
        force: Values that replace ours; null sends nothing.
        system: Whose words a system message is sent as: `system`, `developer`, or `user`: then it is
            put before the next user's message.
        finish: What a finish reason means: `stop` (the answer is whole), `length`, or another name to count
            it under. Compared without case; the key `null` is a missing one.
        think: Whether `<think>` at the head of an answer is set aside.
        batch: The batch API: `openai`, `azure`, or empty for none.
        batch_price: What a batch costs, as a share of the price.
        batch_requests, batch_bytes: The most that one batch may hold.
    """

    path: str = "/v1"
    headers: Mapping[str, str] = field(default_factory=lambda: {"authorization": "Bearer {key}"})
    query: Mapping[str, str] = field(default_factory=dict)
    drop: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    force: Mapping[str, Any] = field(default_factory=dict)
    system: str = "system"
    finish: Mapping[str, str] = field(default_factory=lambda: {"stop": "stop"})
    think: bool = True
    batch: str = ""
    batch_price: float = 0.5
    batch_requests: int = 50_000
    batch_bytes: int = 100_000_000

    def sent(
        self, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]
    ) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """The messages and parameters of a request as this provider wants them."""
        found: dict[str, Any] = {}
        for name, value in parameters.items():
            if name not in self.drop:
                found.setdefault(self.rename.get(name, name), value)
        for name, value in self.force.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        return self._turns(messages), found

    def _turns(self, messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        turns: list[dict[str, str]] = []
        folded: list[str] = []
        for message in messages:
            turn = dict(message)
            if turn["role"] == "system" and self.system == "user":
                folded.append(turn["content"])
                continue
            if turn["role"] == "system":
                turn["role"] = self.system
            elif turn["role"] == "user" and folded:
                turn["content"] = "\n\n".join([*folded, turn["content"]])
                folded = []
            turns.append(turn)
        return turns + [{"role": "user", "content": text} for text in folded]

    def finished(self, reason: str | None) -> str:
        """`stop` for a whole answer, `length` for a cut one, else the name to count it under."""
        word = "null" if reason is None else reason.strip().lower()
        mapped = self.finish.get(word)
        if mapped is not None:
            return mapped
        return "length" if word in CUT else {"null": "no finish_reason", "": "no finish_reason"}.get(word, word)


# Only what differs from `Habits()`, which is any server of the protocol.
PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {"batch": "openai"},
    "azure": {
        "path": "/openai/deployments/{model}",
        "headers": {"authorization": "", "api-key": "{key}"},
        "query": {"api-version": "2024-10-21"},
        "batch": "azure",
        "batch_requests": 100_000,
    },
    "openrouter": {"path": "/api/v1"},
    "vllm": {},
    "ollama": {},
    "llama.cpp": {"finish": {"eos": "stop"}},
    "gemini": {"path": "/v1beta/openai", "drop": ("seed",), "finish": {"end_turn": "stop"}},
    "anthropic-compatible": {
        "headers": {"x-api-key": "{key}", "anthropic-version": "2023-06-01"},
        "drop": ("seed",),
        "finish": {"end_turn": "stop", "stop_sequence": "stop"},
    },
}
_REASONS_FIRST = {"rename": {"max_tokens": "max_completion_tokens"}, "force": {"temperature": None, "top_p": None}}
# By the last part of the model's name, whatever the provider; every row that fits is applied, in this order.
MODELS: list[tuple[str, dict[str, Any]]] = [
    (r"o[134](?:-.*)?|gpt-[5-9](?:[.-].*)?", _REASONS_FIRST),
    (r"o1-(?:mini|preview).*", {"system": "user"}),
    (r"gpt-5.*-chat.*", {"rename": {"max_tokens": "max_completion_tokens"}, "force": {}}),
    (r"deepseek-reasoner|deepseek-r1.*", {"force": {"temperature": None, "top_p": None}}),
    (r"gemma-?[12]?-.*|gemma[12]?(?::.*)?", {"system": "user"}),
]
_HOSTS = {
    "api.openai.com": "openai",
    "openrouter.ai": "openrouter",
    "generativelanguage.googleapis.com": "gemini",
    "api.anthropic.com": "anthropic-compatible",
}


def guess(base_url: str) -> str:
    """The provider behind an address; `openai` for any that is not known (but see `habits` on batches)."""
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    if host.endswith((".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")):
        return "azure"
    if host in _HOSTS:
        return _HOSTS[host]
    return "ollama" if base_url and parts.netloc.endswith(":11434") else "openai"


def address(base_url: str, habits: Habits, model: str) -> str:
    """The URL below which the API's endpoints lie, however the user wrote it; without a query or a final slash."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or habits.path.format(model=model)}"


def known(base_url: str) -> bool:
    """Whether an address tells its provider, and is not only taken for `openai`'s like."""
    return guess(base_url) != "openai" or (urlsplit(base_url).hostname or "").lower() in _HOSTS


def habits(provider: str, model: str, changes: Mapping[str, Any] | None = None) -> Habits:
    """The habits of a provider for a model.

    Args:
        provider: A key of `PROVIDERS`.
        model: Its name, with or without the maker's before a slash.
        changes: Of the study, by the names of `Habits`' fields.

    Raises:
        UserError: there is no such provider, field or type of value.
    """
    if provider not in PROVIDERS:
        raise UserError(f"provider {provider!r}: not known; expected one of {', '.join(PROVIDERS)}")
    found = _changed(Habits(), PROVIDERS[provider])
    name = model.rsplit("/", 1)[-1].lower()
    for pattern, row in MODELS:
        if re.fullmatch(pattern, name):
            found = replace(found, **row) if row.get("force") == {} else _changed(found, row)
    return _changed(found, _checked(changes or {}))


def _changed(found: Habits, changes: Mapping[str, Any]) -> Habits:
    merged: dict[str, Any] = {
        name: {**getattr(found, name), **value} if isinstance(value, Mapping) else value
        for name, value in changes.items()
    }
    return replace(found, **merged)


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    plain = Habits()
    known = [entry.name for entry in fields(Habits)]
    found = dict(changes)
    for name, value in changes.items():
        if name not in known:
            raise UserError(f"habit {name!r}: there is none of that name; expected one of {', '.join(known)}")
        default = getattr(plain, name)
        if isinstance(default, Mapping):
            fits = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
            fits = fits and (name == "force" or all(isinstance(text, str) for text in value.values()))
            wanted = "names and values, as {name: value}"
        elif name == "drop":
            fits = isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)
            wanted = "a list of parameters' names"
        elif isinstance(default, bool):
            fits, wanted = isinstance(value, bool), "true or false"
        elif isinstance(default, (int, float)):
            fits, wanted = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0, "a number"
        else:
            fits, wanted = isinstance(value, str), "text"
        if not fits:
            raise UserError(f"habit {name}: {value!r:.80} given, expected {wanted}")
        if name == "finish":
            found[name] = {word.strip().lower(): meaning for word, meaning in value.items()}
    if found.get("system", "system") not in ("system", "developer", "user"):
        raise UserError(f"habit system: {found['system']!r:.40} given, expected system, developer or user")
    if found.get("batch", "") not in ("", "openai", "azure"):
        raise UserError(f"habit batch: {found['batch']!r:.40} given, expected openai, azure or nothing")
    ours = _SET_BY_US & {*found.get("force", {}), *found.get("rename", {}).values()}
    if ours:
        raise UserError(f"habit: {', '.join(sorted(ours))} is set by the verb itself")
    return found
