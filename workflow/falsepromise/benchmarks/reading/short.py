"""Natural Questions' rules: decide whether a short answer is right."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from falsepromise.benchmarks.reading import UNREADABLE, Reading

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_LABEL = re.compile(  # "A-ha" and "Answer-me" are names: a dash has white space behind it, a bare "A" a colon
    r"(?:the )?(?:final |short |correct |right )?"
    r"(?:(?:answer|ans)\s{0,3}(?:is\s{0,3})?(?::|[\-–—](?=\s))|a\s{0,3}:)[\s*_]{0,4}",
    re.IGNORECASE,
)
# LaTeX around words, and an answer that it or a JSON object marks.
_FONT = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf))\s?\{([^{}\n]{1,300})\}")
_MARKED = re.compile(
    r"\\(?:boxed|fbox)\s?\{([^{}\n]{1,300})\}"
    r"|\{\s{0,9}[\"'](?:final[ _])?answer[\"']\s{0,3}:\s{0,3}[\"']([^\"'\n]{1,300})[\"']\s{0,9}[,}]",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(  # "Hello, Dolly!" and "Good Friday." are answers
    r"(?i:(?:great|good)(?: question)?\s?(?=[,.!])"
    r"|(?:sure|certainly|of course|absolutely|okay|ok|hi|hello|thank you|thanks?|happy to help)(?![\w\-'’]))"
    r"(?:(?!\b(?!I\b)[A-ZÀ-ÖØ-Þ])[^.!?:]){0,60}[.!]\Z"
)
_SPELLINGS = str.maketrans(
    {
        "\u2026": "...",
        "\u00ab": '"',
        "\u00bb": '"',
        "\u201e": '"',
        "\u3002": ".",
        "\u201c": '"',
        "\u201d": '"',
        "\u2018": "'",
        "\u2019": "'",
        "\u2013": "-",
        "\u2014": "-",
    }
)
_CLAUSES = re.compile(r"[;:,.!?]\s|\bbut\b")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")  # Chinese and Japanese part no words
_DENIED = frozenset({"not", "never", "nor", "neither", "isnt", "wasnt", "arent", "werent", "cannot"})
# What says nothing of the question, whatever words of it are repeated: "I can't say who won in 2018".
_KNOWS_NOT = re.compile(
    r"\b(?:(?:cannot|can't|can not|unable to|not able to) "
    r"(?:say|tell|determine|answer|provide|find|confirm|verify|give|access|browse)"
    r"|(?:i|we) (?:don't|do not) (?:have|know)|(?:text|context|passage|question|article) (?:doesn't|does not) [a-z]+"
    r"|(?:is|are|was)(?: not|n't) (?:known|clear)(?! (?:until|till|before|as|for)\b)"
    r"|my (?:[a-z]+ ){0,2}(?:data|knowledge|cutoff|cut-off|training|update)|as an ai)\b",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[^.!?;:\n]{1,200}\?\s{0,3}(?:no|nope|not)\b", re.IGNORECASE)  # "Rome? No, Milan"
_LIMITED = frozenset({"until", "before", "only", "just"})  # "not until May" denies nothing
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
    """The first line with content, without a label ("Answer:") before it; behind a line that announces it, the next.

    An answer that LaTeX boxes or a JSON object names is taken for the line.
    """
    text = _FONT.sub(r"\1", re.sub(r"</?[A-Za-z_]{1,14}>", "", response.partition("\nQ:")[0]))
    if marked := _MARKED.findall(text):
        return Reading("".join(marked[-1]).strip(), "marked")
    lines = [line for line in (line.strip().strip("*_# `") for line in text.strip().split("\n")) if line]
    if not lines or lines[0].startswith("Q:"):
        return UNREADABLE
    if len(lines) > 1 and _PREAMBLE.match(lines[0]):
        lines = lines[1:]
    line = lines[0]
    if line[-1] in ":：" and len(lines) > 1:
        return Reading(lines[1], "behind a label")
    rest = _LABEL.sub("", line, count=1).strip() if _LABEL.match(line) else line
    return Reading(rest, "behind a label") if rest and rest != line else Reading(line, "first line")


def normalise(text: str) -> str:
    """SQuAD's normalisation (Rajpurkar et al., 2016): lower case, without punctuation, articles, extra white space.

    Typographers' quotes and dashes are punctuation too.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_SPELLINGS).translate(_PUNCTUATION)).split())


def exact_match(answer: str, aliases: Sequence[str]) -> bool:
    """Whether an answer equals one of the aliases after normalisation; nothing equals what normalises to nothing."""
    normal = normalise(answer)
    return bool(normal) and any(normal == normalise(alias) for alias in aliases)


def contains_answer(answer: str, aliases: Sequence[str]) -> bool:
    """Whether one of the aliases occurs in an answer, as whole words, after normalisation, and isn't denied or
    said in a clause that knows nothing.

    An alias of everyday words counts where it is the whole answer, or is spelt as a name within a sentence.
    """
    answer = _ASKED.sub("not", answer.translate(_SPELLINGS))
    normal = normalise(answer)
    owned = re.sub(r"(?<=\w)['’]s?(?!\w)", "", answer)  # "Shakespeare's plays"
    whole = {normal, normalise(owned)}
    parts = [part for text in (answer, owned) for part in (text, *_CLAUSES.split(text))]
    clauses = [f" {normalise(part)} " for part in parts if not _KNOWS_NOT.search(part)]
    for alias in aliases:
        wanted = normalise(alias)
        if wanted and _UNSPACED.search(wanted) and wanted in normal:
            return True
        having = [clause for clause in clauses if wanted and f" {wanted} " in clause]
        within = [clause for clause in having if clause.strip() not in whole] or having
        if all(_denied(clause, wanted) for clause in within):
            continue
        if wanted == normal or not EVERYDAY.issuperset(wanted.split()) or _as_name(alias, answer):
            return True
    return False


def _denied(clause: str, wanted: str) -> bool:
    """Whether each occurrence is denied, at most two words before it: "not in May", but not "not until May"."""
    parts = clause.split(f" {wanted} ")[:-1]
    return all(_DENIED.intersection(part.split()[-3:]) and part.split()[-1] not in _LIMITED for part in parts)


def _as_name(alias: str, answer: str) -> bool:
    """Whether a capitalised alias occurs as it is spelt, in quotes or not at a sentence's beginning."""
    alias = alias.strip()
    if not any(word[:1].isupper() for word in alias.split()[-1:]):
        return False
    answer = answer.translate(_SPELLINGS)
    if re.search(rf"(?<!\w)[\"'*_]{re.escape(alias)}[,.]?[\"'*_](?!\w)", answer):
        return True
    several = len(alias.split()) > 1
    if several and (article := re.match(r"[Tt]he ", alias)):
        alias, several = alias[article.end() :], False
    pattern = rf"(?<!\w){re.escape(alias)}(?!\w)" if several else rf"(?<=[\w,;:\"'(] ){re.escape(alias)}(?!\w)"
    return re.search(pattern, answer) is not None
