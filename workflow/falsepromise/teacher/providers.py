"""Providers' habits: how their requests and replies differ from OpenAI's.

`habits(provider, model, changes)` is a provider's row of the table, changed by the model's family and then by the
study. All code that talks to a server uses it:

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

# Finish reasons of truncated answers, of any provider: such an answer is a failure, but its beginning may be useful.
CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"})
_SET_BY_US = frozenset({"model", "messages", "stream", "n"})
# Headers and query parameters that never hold a key.
_PUBLIC = frozenset({"accept", "anthropic-beta", "anthropic-version", "api-version", "content-type", "openai-beta"})


@dataclass(frozen=True)
class Habits:
    """The form of a server's requests and replies.

    Attributes:
        path: The API's path, if the base URL has none; `{model}` is filled in.
        headers: Sent with each request; `{key}` is filled in, and without a key such headers are left out.
        query: Added to each URL, in the same way.
        drop: Parameters that are never sent.
        rename: Parameters' other names, such as `max_completion_tokens` for `max_tokens`.
        force: Values that replace ours; null: not sent.
        system: The role of a system message: `system`, `developer`, or `user` (put before the next user's message).
        finish: The meaning of a finish reason: `stop` (the answer is complete), `length`, or another name to count
            it under. Case is ignored; the key `null` is for a missing reason.
        think: Whether to remove `<think>` at the beginning of an answer.
        batch: The batch API: `openai`, `azure`, or empty for none.
        batch_price: A batch's price as a share of the full price.
        batch_requests, batch_bytes: The limits of one batch.
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
        """The messages and parameters of a request in this provider's form."""
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
        """`stop` for a complete answer, `length` for a truncated one, else the name to count it under."""
        word = "null" if reason is None else reason.strip().lower()
        mapped = self.finish.get(word)
        if mapped is not None:
            return mapped
        return "length" if word in CUT else {"null": "no finish_reason", "": "no finish_reason"}.get(word, word)


# Only differences from `Habits()`, which describes any server of the protocol.
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
# By the last part of the model's name, for any provider; all matching rows apply, in this order.
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
    """The provider behind an address; `openai` for an unknown one (but see `habits` on batches)."""
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    if host.endswith((".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")):
        return "azure"
    if host in _HOSTS:
        return _HOSTS[host]
    return "ollama" if base_url and parts.netloc.endswith(":11434") else "openai"


def address(base_url: str, habits: Habits, model: str) -> str:
    """The base URL of the API's endpoints, in any of the user's spellings; without a query or a final slash."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or habits.path.format(model=model)}"


def known(base_url: str) -> bool:
    """Whether an address belongs to a known provider."""
    return guess(base_url) != "openai" or (urlsplit(base_url).hostname or "").lower() in _HOSTS


def habits(provider: str, model: str, changes: Mapping[str, Any] | None = None) -> Habits:
    """The habits of a provider for a model.

    Args:
        provider: A key of `PROVIDERS`.
        model: Its name, with or without the maker's before a slash.
        changes: The study's changes, by the names of `Habits`' fields.

    Raises:
        UserError: unknown provider or field, or a value of the wrong type.
    """
    if provider not in PROVIDERS:
        raise UserError(f"provider {provider!r}: unknown; expected one of {', '.join(PROVIDERS)}")
    found = _changed(Habits(), PROVIDERS[provider])
    name = model.rsplit("/", 1)[-1].lower()
    for pattern, row in MODELS:
        if re.fullmatch(pattern, name):
            found = replace(found, **row) if row.get("force") == {} else _changed(found, row)
    return _changed(found, _checked(changes or {}))


def batch_price(base_url: str, model: str, provider: str | None, changes: Mapping[str, Any] | None) -> float | None:
    """A batch's price as a share of the full price; None where no batch API is known: of an unknown address, the study
    must say that it has one, by its provider or by a habit.

    Raises:
        UserError: as `habits`.
    """
    found = habits(provider or guess(base_url), model, changes)
    return found.batch_price if found.batch and (provider or changes or known(base_url)) else None


def public(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A study's changes for a manifest: values of headers and of the query may be keys, under any name."""
    return dict(changes) | {
        name: {k: v if v == "" or "{key}" in v or k.lower() in _PUBLIC else "***" for k, v in changes[name].items()}
        for name in ("headers", "query")
        if name in changes
    }


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
            raise UserError(f"habit {name!r}: unknown; expected one of {', '.join(known)}")
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
