"""Separate a model's reasoning from its answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAMES = r"[\w:.]{0,20}(?:think|thought|reason|reflect|scratchpad|analysis|monologue|planning)\w{0,12}|plan|cot"
_OPEN = re.compile(
    rf"(?:<|&lt;)\|?\s?(?:{_NAMES})(?:\s[^<>\n]{{0,80}})?\|?(?:>|&gt;)|\[(?:think|thinking|reasoning)\]|◁think▷|<unused94>(?:thought)?"
    r"|<[|｜](?:begin[_▁]of[_▁]th(?:ought|inking)|START_THINKING)[|｜]>|<\|channel>\w{0,20}|^Thinking\.\.\.$",
    re.IGNORECASE | re.MULTILINE,
)  # fmt: skip
_CLOSE = re.compile(
    rf"(?:<|&lt;)\\?\|?\s?\\?/\s?(?:{_NAMES})\s?\|?(?:>|&gt;)|\[/(?:think|thinking|reasoning)\]|◁/think▷|<unused95>"
    r"|<[|｜](?:end[_▁]of[_▁]th(?:ought|inking)|END_THINKING)[|｜]>|<channel\|>|^\.\.\.done thinking\.$",
    re.IGNORECASE | re.MULTILINE,
)  # fmt: skip
_CHANNEL = re.compile(r"<\|channel\|>(\w{1,20})[^<]{0,80}<\|message\|>")
# The same without its special tokens, as servers that skip them decode it.
_BARE_CHANNEL = re.compile(r"\A\s*(?:assistant)?analysis(?=\W|[A-Z]).*assistantfinal", re.DOTALL)
_ANSWER_MARKS = re.compile(
    r"<\|(?:begin_of_solution|end_of_solution|START_RESPONSE|END_RESPONSE|START_TEXT|END_TEXT|end|return)\|>"
)


@dataclass(frozen=True)
class Said:
    """A reply in two.

    Attributes:
        answer: The reply without the reasoning.
        thought: Whether there were any.
        cut_off: Whether the reply ended within them: then there is no answer, neither a right nor a wrong one.
    """

    answer: str
    thought: bool = False
    cut_off: bool = False


def set_aside(reply: str) -> Said:
    """A reply without its thoughts: `<think>...</think>` and the other families' marks; the opening one may be missing.

    Text before the thoughts is kept only where it is all that there is besides them.
    """
    channels = list(_CHANNEL.finditer(reply))
    if channels:
        last = channels[-1]
        if last[1] != "final":
            return Said("", True, True)
        return Said(_ANSWER_MARKS.sub("", reply[last.end() :]), True)
    bare = _BARE_CHANNEL.match(reply)
    if bare:
        return Said(reply[bare.end() :].lstrip(), True)
    closings = list(_CLOSE.finditer(reply))
    after = closings[-1].end() if closings else 0
    opening = _OPEN.search(reply, after)
    if opening is not None and reply.count("```", after, opening.start()) % 2:
        opening = None  # within a fenced block
    if opening is not None and not reply[after : opening.start()].strip():
        return Said("", True, True)
    if opening is not None and (closings or _starts_line(reply, opening.start())):
        return Said(reply[after : opening.start()].lstrip("\n"), True, False)
    if not closings:
        return Said(reply)
    answer = _ANSWER_MARKS.sub("", reply[after:])
    first = _OPEN.search(reply)
    if not answer.strip() and first is not None and reply[: first.start()].strip():
        answer = reply[: first.start()]  # it thought after it had answered
    return Said(answer.lstrip("\n"), True, False)


def _starts_line(text: str, place: int) -> bool:
    return text[:place].rstrip(" \t")[-1:] in ("\n", "")
