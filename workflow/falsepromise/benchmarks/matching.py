"""When a text is the right answer: Natural Questions' and GSM8K's rules."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?|-?\$?\.\d+")
_FINAL = re.compile(r"####\s*(\S.*)")


def normalise(text: str) -> str:
    """SQuAD's normalisation (Rajpurkar et al., 2016): lower case, without punctuation, articles, extra white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, aliases: Sequence[str]) -> bool:
    """Whether an answer equals one of the aliases after normalisation."""
    normal = normalise(answer)
    return any(normal == normalise(alias) for alias in aliases)


def contains_answer(answer: str, aliases: Sequence[str]) -> bool:
    """Whether one of the aliases occurs in an answer, as whole words, after normalisation."""
    padded = f" {normalise(answer)} "
    return any(bool(normal) and f" {normal} " in padded for normal in map(normalise, aliases))


def number(text: str) -> str | None:
    """A number in one spelling (`$1,200.50` -> "1200.5"), or None where the text is none."""
    plain = text.strip().replace(",", "").replace("$", "").rstrip(".%").strip()
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", plain):
        return None
    sign = "-" if plain.startswith("-") else ""
    whole, _, fraction = plain.lstrip("+-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    value = f"{whole}.{fraction}" if fraction else whole
    return value if value == "0" else sign + value


def gold_number(answer: str) -> str | None:
    """The number behind `####` of a GSM8K answer."""
    found = _FINAL.search(answer)
    return number(found[1]) if found else None


def strict_number(response: str) -> str | None:
    """The number behind the first `####` of a response, where the line begins with one (Cobbe et al., 2021)."""
    found = _FINAL.search(response)
    first = _NUMBER.match(found[1].strip()) if found else None
    return number(first[0]) if first else None


def flexible_number(response: str) -> str | None:
    """The last number anywhere in a response."""
    found = _NUMBER.findall(response)
    return number(found[-1]) if found else None


def first_letter(answer: str, letters: str) -> str | None:
    """The choice that a chat model names: a letter that stands alone, at best right at the start."""
    opening = re.match(rf"\W*([{letters}])\b(?!')", answer.strip())
    if opening:
        return opening[1]
    named = re.search(rf"\b(?:answer|option|choice)\b[^A-Za-z]*(?:is\b\W*)?\(?([{letters}])\b", answer, re.IGNORECASE)
    if named:
        return named[1].upper()
    alone = set(re.findall(rf"(?:\(|\b)([{letters}])(?:\)|\.|:|\b)(?!')", answer)) - {"A", "I"}
    return alone.pop() if len(alone) == 1 else None
