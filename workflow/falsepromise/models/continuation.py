"""Decode a growing output in time linear in its length.

A decoder's text of a token depends on its neighbours: SentencePiece-like ones drop the space before a text's first
word, and a character may be several tokens. So an output is decoded together with the text before it, and its text is
what that adds. Neighbours matter only as far back as the last *anchor*: an ordinary token that is whole characters
by itself. What comes before it is settled, and never decoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from falsepromise.models.chat import ChatTokenizer

_LONG = 64  # tokens without an anchor: from here on, their text is made again at each quarter more
_HALF = "\ufffd"  # what decoders make of an incomplete character


def anchor(tokenizer: ChatTokenizer, ids: Sequence[int]) -> int:
    """The place of the last anchor; behind the last special token, where that is later."""
    start = len(ids)
    openings = tokenizer.special_ids - {tokenizer.unknown_id}
    while start and ids[start - 1] not in openings:
        start -= 1
        if tokenizer.stands_alone(ids[start]):
            break
    return start


class Continuation:
    """The text of one output.

    Args:
        tokenizer: The model's.
        prompt: Ids that the output follows. Where the last is a special token (a turn token, the opening token),
            the output is a text of its own; else it goes on with theirs, and its text is what
            `decode(prompt + output)` has beyond `decode(prompt)`. Half a character at the prompt's end belongs
            to the output that completes it.
    """

    def __init__(self, tokenizer: ChatTokenizer, prompt: Sequence[int] = ()):
        self._tokenizer = tokenizer
        start = anchor(tokenizer, prompt)
        self._settled: list[str] = []
        self._length = 0  # characters that are settled
        self._ids = list(prompt[start:])  # from the last anchor on
        self._before = tokenizer.decode(self._ids)  # the part of their text that isn't new
        self._tail, self._made_at = "", 0

    def push(self, ids: Sequence[int], end: bool = False) -> None:
        """Add tokens; `end`: no more will come, so that `text` has to be whole."""
        self._ids += ids
        places = range(len(self._ids) - 1, max(len(self._ids) - len(ids), 1) - 1, -1)
        last = next((i for i in places if self._tokenizer.stands_alone(self._ids[i])), None)
        if last is not None:
            settled = self._added(self._ids[: last + 1])
            self._settled.append(settled)
            self._length += len(settled)
            self._ids = self._ids[last:]
            self._before = self._tokenizer.decode(self._ids[:1])
        elif not end and _LONG < len(self._ids) < self._made_at * 1.25:
            return
        self._tail, self._made_at = self._added(self._ids), len(self._ids)

    @property
    def text(self) -> str:
        """All of it; its end may still change while a character is incomplete."""
        return "".join(self._settled) + self._tail

    def find(self, texts: Sequence[str], mark: Any) -> int | None:
        """Where the first of some texts begins; only what came since the mark is searched."""
        before = mark[1]
        start = max(before - max(map(len, texts), default=0), 0)
        parts, left = [self._tail], self._length
        for part in reversed(self._settled):
            if left <= start:
                break
            parts.append(part)
            left -= len(part)
        recent = "".join(reversed(parts))
        places = [at for text in texts if (at := recent.find(text)) >= 0]
        return left + min(places) if places else None

    def mark(self) -> Any:
        """The state now, for `find` and `back`."""
        return len(self._settled), self._length, self._ids.copy(), self._before, self._tail, self._made_at

    def back(self, mark: Any) -> None:
        """Forget what was pushed since."""
        kept, self._length, ids, self._before, self._tail, self._made_at = mark
        self._ids = ids.copy()
        del self._settled[kept:]

    def _added(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(ids)
        if text.startswith(self._before):
            return text[len(self._before) :]
        return text[len(self._before.rstrip(_HALF)) :]
