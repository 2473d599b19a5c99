"""What a model thought before it answered, set aside."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAMES = r"(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|seed:think)"
_OPEN = re.compile(rf"<{_NAMES}>|\[THINK\]|<\|(?:begin_of_thought|START_THINKING)\|>|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_NAMES}>|\[/THINK\]|<\|(?:end_of_thought|END_THINKING)\|>|◁/think▷", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>(\w{1,20})[^<]{0,80}<\|message\|>")
_ANSWER_MARKS = re.compile(r"<\|(?:begin_of_solution|end_of_solution|START_RESPONSE|END_RESPONSE|end|return)\|>")


@dataclass(frozen=True)
class Said:
    """A reply in two.

    Attributes:
        answer: What is left without the thoughts.
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
    closings = list(_CLOSE.finditer(reply))
    after = closings[-1].end() if closings else 0
    opening = _OPEN.search(reply, after)
    if opening is not None and not reply[after : opening.start()].strip():
        return Said("", True, True)
    if opening is not None and opening.start() > after and _starts_line(reply, opening.start()):
        return Said(reply[after : opening.start()].lstrip("\n"), True, False)
    if not closings:
        return Said(reply)
    answer = reply[after:]
    return Said(_ANSWER_MARKS.sub("", answer).lstrip("\n"), True, False)


def _starts_line(text: str, place: int) -> bool:
    return text[:place].rstrip(" \t")[-1:] in ("\n", "")
