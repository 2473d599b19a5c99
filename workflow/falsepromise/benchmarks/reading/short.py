"""Natural Questions' rules: when a short answer is the right one."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from falsepromise.benchmarks.reading import UNREADABLE, Reading

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_LABEL = re.compile(r"(?:the )?(?:final |short )?(?:answer|ans|a)\s{0,3}[:\-–—]\s{0,3}", re.IGNORECASE)
# Words that any sentence may have: a name that is one of them ("The Who", "It", "May") has to be seen as a name.
EVERYDAY = frozenset(
    """
    who what when where why how which whose whom it its he she they them him her his hers their theirs we us our
    ours i me my mine you your yours this that these those one ones some any all both each every few many more
    most much none no not yes now then there here up down in on at by to of for from with into onto out off over
    under again and or but if so as than too very just only also even ever never always can could may might must
    shall should will would do does did done has have had be been being am is are was were go goes going gone
    get got say said see seen make made come came take took know knew think time year years day days man men way
    thing things people first last new old good well back still own other another such same about after before
    between during through while because until against
    """.split()  # noqa: SIM905
)


def first_line(response: str) -> Reading:
    """The first line with content, without a label ("Answer:") before it."""
    line = response.partition("\nQ:")[0].strip().partition("\n")[0].strip().strip("*_# ")
    if not line or line.startswith("Q:"):
        return UNREADABLE
    rest = _LABEL.sub("", line, count=1) if _LABEL.match(line) else line
    return Reading(rest.strip(), "behind a label") if rest.strip() and rest != line else Reading(line, "first line")


def normalise(text: str) -> str:
    """SQuAD's normalisation (Rajpurkar et al., 2016): lower case, without punctuation, articles, extra white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, aliases: Sequence[str]) -> bool:
    """Whether an answer equals one of the aliases after normalisation; nothing equals what normalises to nothing."""
    normal = normalise(answer)
    return bool(normal) and any(normal == normalise(alias) for alias in aliases)


def contains_answer(answer: str, aliases: Sequence[str]) -> bool:
    """Whether one of the aliases occurs in an answer, as whole words, after normalisation.

    An alias of everyday words counts where it is the whole answer, or is spelt as a name within a sentence.
    """
    normal = normalise(answer)
    padded = f" {normal} "
    for alias in aliases:
        wanted = normalise(alias)
        if not wanted or f" {wanted} " not in padded:
            continue
        if wanted == normal or not EVERYDAY.issuperset(wanted.split()) or _as_name(alias, answer):
            return True
    return False


def _as_name(alias: str, answer: str) -> bool:
    """Whether a capitalised alias occurs as it is spelt, not at a sentence's beginning."""
    alias = alias.strip()
    if not any(word[:1].isupper() for word in alias.split()[-1:]):
        return False
    several = len(alias.split()) > 1
    pattern = rf"(?<!\w){re.escape(alias)}(?!\w)" if several else rf"(?<=[\w,;:\"'(] ){re.escape(alias)}(?!\w)"
    return re.search(pattern, answer) is not None
