"""Reading answers: what a reply says, by rules that have names.

Each reader gives a `Reading`: the value that it found, or None, and the rule that found it. Readers see text that
nobody checked: they take time that is linear in it and never raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Reader -> replies read wrongly, of how many held-out ones, before any rule was mended for them.
ERRORS = Path(__file__).with_name("errors.json")


@dataclass(frozen=True)
class Reading:
    """What a reply says.

    Attributes:
        value: The answer (a letter, a number, a program), or None where none is stated.
        rule: The rule that found it; "unreadable" where none did.
    """

    value: str | None
    rule: str


UNREADABLE = Reading(None, "unreadable")
