"""When a text is the right answer: Natural Questions' and GSM8K's rules."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
# A minus belongs to a number unless something is subtracted ("5-3"). Commas part thousands (or, as in
# India, thousands and then hundreds); "1,2,3" are three numbers.
_NUMBER = re.compile(
    r"(?:(?<![\w.)])-)?\$?(?:(?<=\$)-)?"
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
)
_STRICT = re.compile(
    r"####[ \t]*(?:\\(?:boxed|text|mathbf|textbf)\{|\\?\$(?=\D)|[*_`({\[=:~≈€£₹ \t]|\\[(\[])*(?=-?[ ]?\$?-?\.?\d)"
)
_SPACES = re.compile(r"(?<=\d)(?:[\u00a0\u2007\u2009\u202f]|\\[,!;: ]|\{,\}|\\,)(?=\d{3}(?!\d))")
_SIGNS = str.maketrans({"\u2212": "-", "\u2012": "-", "\u2013": "-", "\ufe63": "-", "\uff0d": "-", "\uff04": "$"})


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
    plain = re.sub(r"[,$\s]", "", plainly(text)).rstrip(".%")
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", plain):
        return None
    whole, _, fraction = plain.lstrip("+-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    value = f"{whole}.{fraction}" if fraction else whole
    return f"-{value}" if plain.startswith("-") and value != "0" else value


def plainly(text: str) -> str:
    """Text whose numbers are in ASCII: one minus sign, `\\$` and `{,}` of LaTeX as they look, no spaces in numbers."""
    digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text)
    return _SPACES.sub(",", digits.translate(_SIGNS).replace("\\$", "$").replace("\\%", "%"))


def gold_number(answer: str) -> str | None:
    """The number behind `####` of an answer in GSM8K's own form."""
    return strict_number(answer)


def strict_number(response: str) -> str | None:
    """The number right behind the first `####` that has one (Cobbe et al., 2021), whatever markup is around it."""
    text = plainly(response)
    found = _STRICT.search(text)
    first = _NUMBER.match(re.sub(r"^-[ ]", "-", text[found.end() :])) if found else None
    return number(first[0]) if first else None


def flexible_number(response: str) -> str | None:
    """The last number anywhere in a response."""
    found = _NUMBER.findall(plainly(response))
    return number(found[-1]) if found else None


def first_letter(answer: str, letters: str) -> str | None:
    """The choice that a chat model names: a letter that stands alone, at best right at the start."""
    opening = re.match(rf"\W*([{letters}])(?:\W*$|[.):,*\n])", answer.strip())
    if opening:
        return opening[1]
    named = re.search(rf"\b(?:answer|option|choice)\b[^A-Za-z]*(?:is\b\W*)?\(?([{letters}])\b", answer, re.IGNORECASE)
    if named:
        return named[1].upper()
    alone = set(re.findall(rf"(?:\(|\b)([{letters}])(?:\)|\.|:|\b)(?!')", answer)) - {"A", "I"}
    return alone.pop() if len(alone) == 1 else None
