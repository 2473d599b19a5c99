"""Log-probabilities of a text's tokens, and the tokens as the protocol shows them: each as what it adds to the text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from falsepromise.generation import steps
from falsepromise.generation.engine import Engine
from falsepromise.generation.padding import quarter_steps
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.continuation import anchor

_HALF = "\ufffd"  # what decoders make of an incomplete character
_NEAR = 8  # tokens that an alternative is read behind: more than a character has bytes
_LONGEST = 512  # tokens without an anchor that are told apart


@dataclass
class Scored:
    """Tokens with their log-probabilities: `values[i]` and `tops[i]` are None for a text's first token."""

    ids: list[int]
    values: list[float | None]
    tops: list[list[tuple[int, float]] | None]


def score(engine: Engine, ids: list[int], top: int) -> Scored:
    """The model's own log-probabilities of a text's tokens, at any sampling temperature."""
    n = len(ids) - 1
    if n < 1:
        return Scored(ids, [None] * len(ids), [None] * len(ids))
    t = min(quarter_steps(n, 16), engine.max_length)
    tokens, following = np.zeros((1, t), np.int32), np.zeros(t, np.int32)
    tokens[0, :n], following[:n] = ids[:-1], ids[1:]
    k = min(max(top, 1), engine.config.vocab_size)
    found = steps.score_text(engine.graph, engine.state, tokens, following, k, engine.dtype)
    values, best, which = (np.asarray(array)[:n].tolist() for array in found)
    tops = [list(zip(i, v, strict=True))[:top] for i, v in zip(which, best, strict=True)]
    return Scored(ids, [None, *values], [None, *tops])


def of_completion(tokenizer: ChatTokenizer, scored: Scored, prompt: int, echo: bool) -> dict[str, Any]:
    """The protocol's `logprobs` of a completion whose first `prompt` tokens are the prompt."""
    start = 0 if echo else prompt
    added = pieces(tokenizer, [], scored.ids[:prompt]) if echo else []
    added += pieces(tokenizer, scored.ids[:prompt], scored.ids[prompt:])
    places = range(start, len(scored.ids))
    tokens = [_named(tokenizer, scored.ids[i], piece) for i, piece in zip(places, added, strict=True)]
    best = [
        None if scored.tops[i] is None else {name: value for name, _, value in _best(tokenizer, scored, i, token)}
        for i, token in zip(places, tokens, strict=True)
    ]
    offsets = list(itertools.accumulate(map(len, added), initial=0))[: len(added)]
    return {
        "tokens": tokens, "token_logprobs": scored.values[start:], "top_logprobs": best, "text_offset": offsets,
    }  # fmt: skip


def of_chat(tokenizer: ChatTokenizer, scored: Scored, prompt: int, ends: Sequence[int]) -> dict[str, Any]:
    """The protocol's `logprobs` of a chat's answer, without the token that ends it."""
    n = len(scored.ids) - (len(scored.ids) > prompt and scored.ids[-1] in ends)
    entries = []
    for i, piece in enumerate(pieces(tokenizer, scored.ids[:prompt], scored.ids[prompt:n]), prompt):
        token = _named(tokenizer, scored.ids[i], piece)
        best = [_entry(name, text, value) for name, text, value in _best(tokenizer, scored, i, token)]
        entries.append({**_entry(token, piece, scored.values[i] or 0.0), "top_logprobs": best})
    return {"content": entries, "refusal": None}


def _entry(name: str, text: str | None, value: float) -> dict[str, Any]:
    return {"token": name, "logprob": value, "bytes": None if text is None else list(text.encode())}


def pieces(tokenizer: ChatTokenizer, before: Sequence[int], ids: Sequence[int]) -> list[str]:
    """What each token adds to a text, as `Continuation` reads it: joined they are that text.

    A special token adds nothing, and a character of several tokens comes with the last of them.
    """
    special = tokenizer.special_ids - {tokenizer.unknown_id}
    context, run = list(before[anchor(tokenizer, before) :]), list[int]()
    last = max((i for i, token in enumerate(ids) if token not in special), default=-1)
    found: list[str] = []
    for i, token in enumerate(ids[: last + 1]):
        run.append(token)
        if i == last or tokenizer.stands_alone(token):
            found += _of_run(tokenizer, context, run)
            context, run = [token], []
    return found + [""] * (len(ids) - last - 1)


def _of_run(tokenizer: ChatTokenizer, context: list[int], run: list[int]) -> Iterator[str]:
    """The parts of the text of some tokens of which only the last is sure to end a character."""
    final, given = _added(tokenizer, context, run), 0
    for i in range(1, len(run)):
        so_far = _added(tokenizer, context, run[:i]).rstrip(_HALF) if len(run) <= _LONGEST else ""
        same = (n for n, (a, b) in enumerate(zip(so_far, final, strict=False)) if a != b)
        to = max(given, next(same, min(len(so_far), len(final))))
        yield final[given:to]
        given = to
    yield final[given:]


def _added(tokenizer: ChatTokenizer, context: list[int], ids: list[int]) -> str:
    before, text = tokenizer.decode(context), tokenizer.decode(context + ids)
    return text[len(before if text.startswith(before) else before.rstrip(_HALF)) :]


def _named(tokenizer: ChatTokenizer, token: int, piece: str) -> str:
    return piece if piece or token not in tokenizer.special_ids else _name(tokenizer, token)


def _name(tokenizer: ChatTokenizer, token: int) -> str:
    return tokenizer.tokenizer.id_to_token(token) or f"token_id:{token}"


def _best(tokenizer: ChatTokenizer, scored: Scored, place: int, token: str) -> list[tuple[str, str | None, float]]:
    """The likeliest tokens at a place: name, text (None for a part of a character), value.

    A name is the text; that of the vocabulary where another token at this place, or the text's own (`token`), has it.
    """
    near = scored.ids[max(place - _NEAR, 0) : place]
    context = near[anchor(tokenizer, near) :]
    found: dict[str, tuple[str, str | None, float]] = {}
    for i, value in scored.tops[place] or ():
        text: str | None = _added(tokenizer, context, [i])
        if not text or _HALF in text:
            text = "" if i in tokenizer.special_ids else None
        own = i == scored.ids[place]
        names = (token,) if own else (text, _name(tokenizer, i), f"token_id:{i}")
        name = next(name or "" for name in names if own or (name and name != token and name not in found))
        found[name] = (name, text, value)
    return list(found.values())
