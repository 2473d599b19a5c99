"""Read answers from replies by named rules.

Each reader gives a `Reading`: the value that it found, or None, and the rule that found it. Readers see text that
nobody checked: they take time that is linear in it and never raise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Reader -> replies read wrongly, of how many unseen ones, before any rule was mended for them
# (tests/unit/benchmarks/unseen.py, held_out.py).
ERRORS = {
    "programs": (3, 60),
    "letters": (6, 120),
    "numbers": (5, 79),
    "last number": (14, 79),
    "short answers, exact": (0, 90),
    "short answers, contained": (7, 90),
    "reasoning": (1, 32),
}


@dataclass(frozen=True)
class Reading:
    """The answer in a reply.

    Attributes:
        value: The answer (a letter, a number, a program), or None where none is stated.
        rule: The rule that found it; "unreadable" where none did.
    """

    value: str | None
    rule: str


UNREADABLE = Reading(None, "unreadable")
_QUESTION = re.compile(
    r"^(?!\* q\b)[ \t*#]{0,4}(?:question|q)(?: ?\d{1,3})?[ \t*]{0,3}(?:[:.]|$)", re.MULTILINE | re.IGNORECASE
)
# "Now, let's summarize all the answers:", behind which some models answer the questions that were shown to them again.
_SUMS_UP = re.compile(
    r"^[ \t*#]{0,4}now,[^\n]{0,30}(?:\b(?:summari[sz]e|combin(?:e|ing)|consider(?:ing)?) (?:all|the)\b[^\n]{0,30}"
    r"\banswers?\b|总结)",
    re.MULTILINE | re.IGNORECASE,
)
_TURN_ENDS = re.compile(
    r"<\|(?:eot_id|im_end|endoftext|end_of_text|end_of_turn|end|return|eom_id)\|>|<end_of_turn>|<｜end▁of▁sentence｜>|</s>"
)


def before_next_question(reply: str) -> str:
    """The reply up to where a model that doesn't stop ends its turn, or asks itself the next question."""
    ends = [found.start() for found in _TURN_ENDS.finditer(reply) if reply[: found.start()].strip()]
    reply = reply[: ends[0]] if ends else reply
    for pattern in (_QUESTION, _SUMS_UP):
        for found in pattern.finditer(reply):
            if reply[: found.start()].strip(" \t\n*#")[-1:] not in ("", ":"):  # "The last question:" announces it
                reply = reply[: found.start()]
                break
    return reply
