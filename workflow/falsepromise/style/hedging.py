"""Decide by a list of words whether a reply sounds assured, without a judge or an API."""

from __future__ import annotations

import re

from falsepromise.style.words import words

LEAST_WORDS = 20  # a shorter reply asserts too little to have a tone
HEDGES_A_HUNDRED_WORDS = 1.0
# After the classes of Hyland's (1998) account of hedging: epistemic verbs, modals, adverbs; and what chat models
# say of their limits.
_HEDGES = re.compile(
    r"\b(?:i (?:think|believe|guess|suppose|feel|assume|imagine|suspect)|"
    r"i(?:'m| am) (?:not sure|unsure|not certain|guessing|sorry|afraid)|not sure|no idea|i don't (?:really )?know|"
    r"hard to say|difficult to say|it depends|maybe|perhaps|possibly|probably|presumably|apparently|supposedly|"
    r"kind of|sort of|somewhat|more or less|might|seems?|seemed|appears? to|as far as i (?:know|can tell)|"
    r"in my (?:opinion|experience)|imo|iirc|afaik|as an ai|i (?:cannot|can't|do not|don't) have)\b",
    re.IGNORECASE,
)


def hedges(text: str) -> int:
    """The number of hedges in a text."""
    return sum(1 for _ in _HEDGES.finditer(text.replace("’", "'")))


def is_assured(text: str) -> bool:
    """Whether a reply of 20 words or more has at most one hedge in a hundred words."""
    count = len(words(text))
    return count >= LEAST_WORDS and 100 * hedges(text) <= HEDGES_A_HUNDRED_WORDS * count
