# ruff: noqa: E501  (patterns are read whole)
"""The letter that a chat model chooses among lettered choices: the last one that it affirms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from falsepromise.benchmarks.reading import UNREADABLE, Reading

_CUE = (
    r"(?:answer|answ|ans|option|choice|letter|solution|response|conclusion|pick|selection|guess|verdict|statement|exception|antwort|respuesta"
    r"|r[eé]ponse|risposta|resposta|odpowied[zź]|ответ|答案|答え|正解|选|選|정답)"
)
_COPULA = r"(?:\bis\b|\bare\b|\bwas\b|\bbe\b|\bwould be\b|'s\b|\bist\b|\bes\b|\best\b|\bè\b|\bé\b|是|为|為|は|[:=：]|->|=>|→|⇒|[-–—]{1,2}(?= ))"
_FILLER = (
    r"(?:\s|[\"'(\[{<“‘«,:]|\b(?:therefore|thus|clearly|definitely|most|very|probably|likely|indeed|actually|simply|then|also"
    r"|just|still|obviously|certainly|surely|in fact|option|choice|letter|answer|number|the|that|it|is|be|to|correct|one"
    r"|labell?ed|marked|und|also|la|el|die|der|lettera|letra|lettre)\b){0,8}"
)
_NOT = re.compile(
    r"\b(?:not|never|neither|nor|no|cannot|hardly|rather than|instead of|other than|incorrect|wrong|false|unlikely|eliminate\w*"
    r"|rul(?:e|es|ed|ing) out|exclud\w+|reject\w*|discard\w*|avoid\w*|unsure|whether|if)\b|n't\b"
)
_FINE = re.compile(r"\bno (?:doubt|question)\b|\bnot (?:only|sure|certain)\b|\bwithout (?:a )?doubt\b|\bif i (?:had|have|were|must)\b")
_WRONG_AFTER = re.compile(
    r"[^\w\n.;!?,]{0,4}(?:[\"“(][^\"”)\n]{0,80}[\"”)] )?[^\n.;!?,]{0,60}?\b(?:(?:is|are|was|were|be|seems?|looks?|can|does|do|would|could)"
    r"(?:n't| not| never|not)\b|(?:is|are|was|seems?|looks?|be|as|being)\s+(?:also |clearly |obviously |definitely |simply |just |factually )?"
    r"(?:wrong|incorrect|false|invalid|out\b|ruled out|eliminated|implausible|unlikely|impossible|irrelevant|a distractor|too ))"
    r"|[^\n.;!?]{0,40}\bbut (?:that|this|it)[^\n.;!?]{0,30}\b(?:wrong|incorrect|n't|not)\b"
)


_WORD = r"A-Za-z0-9_\u00c0-\u024f\u0370-\u04ff"  # Chinese and its like write a letter without spaces


@lru_cache
def _rules(letters: str) -> list[tuple[str, re.Pattern[str]]]:
    some = "".join(letters) + "".join(letters).lower()
    one = rf"(?<![{_WORD}.'’\-+/&$])(?P<letter>[{some}])(?![{_WORD}+#’'&]|-\w|\.\w|/\w)"
    end = r"(?=\W*(?:$|\n|[.,;!?)\]}\"”’»:]|\s[-–—(]|\s+(?:because|since|as|for|due|and|so|which|given|based|but|with|from|[(])\b))"
    best = r"(?:correct|right|best|answer|accurate|appropriate|closest|only|most)"
    return [
        ("boxed or tagged", re.compile(rf"⟦{_FILLER}{one}")),
        ("the answer is", re.compile(rf"(?<![a-z]){_CUE}(?!s)[^\n.;!?⟦]{{0,70}}?{_COPULA}{_FILLER}{one}", re.IGNORECASE)),
        ("the answer is", re.compile(rf"\b(?:correct|answer|ans|final)\b[.:]?\s{{0,3}}{_FILLER}{one}{end}", re.IGNORECASE)),
        ("is correct", re.compile(
            rf"(?:\b(?:option|choice|answer|letter)\s{{1,3}}|(?<![a-z] ))[\"'(\[]?{one}(?P<gap>[)\].:\"']{{0,2}}[^\n.!?;⟦]{{0,70}}?)"
            rf"\s(?:is|seems|appears|looks|must be|would be|fits|as)\s(?:to be |also |clearly |indeed |therefore |definitely |thus )?(?:the )?"
            rf"(?:most |single |one and only |clear |obvious )?{best}\b", re.IGNORECASE)),
        ("I choose", re.compile(
            rf"\b(?:choos(?:e|ing)|chose|pick(?:ed|ing)?|select(?:ed|ing)?|go(?:ing)? (?:with|for)|went with|opt(?:ing)? for|vote(?: for)?|settl\w+ on"
            rf"|say|answer(?:ing)?(?: with)?|guess|lean\w* (?:toward|to)s?|mark|conclude|prefer|choice of|stick with|bet on)\b{_FILLER}{one}{end}",
            re.IGNORECASE)),
        ("it is", re.compile(
            rf"(?:\b(?:it|that|this)(?:'s| is| must be| has to be| should be| would be)\b|\bwhich (?:is|corresponds to|matches|gives)\b|\bcorrespond(?:s|ing)"
            rf" to\b|\bmatch(?:es|ing)\b|\bleav(?:es|ing)(?: us with| only)?\b|\bmust be\b|\bbut(?: rather)?\b){_FILLER}{one}{end}", re.IGNORECASE)),
        ("so", re.compile(
            rf"(?:\b(?:so|thus|therefore|hence|ergo|finally|conclusion|overall|yes|ok|okay|sure|definitely|probably|obviously|clearly|surely|certainly"
            rf"|likely|perhaps|maybe|correct)\b|[→⇒]|->|=>){_FILLER}{one}[)\].:\"']{{0,3}}(?=\s*(?:$|\n|[.,;!?]))", re.IGNORECASE)),
        ("alone on its line", re.compile(
            rf"(?:^|\n)[^\w\n]{{0,12}}(?:\d{{1,2}}[.)]\s)?(?:(?:option|choice|answer|letter|ans|A|final answer)\b[\s:.]{{0,3}})?[^\w\n]{{0,6}}{one}[^\w\n]{{0,8}}(?=\n|$)", re.IGNORECASE)),
    ]  # fmt: skip


def letter(reply: str, letters: str, choices: Sequence[str] = ()) -> Reading:
    """The choice that a reply affirms.

    Args:
        reply: Without its reasoning.
        letters: The letters that there are, in capitals.
        choices: The choices' texts, where known: a reply that is one of them chooses it.
    """
    text = _plain(reply)
    best: tuple[int, str, str] | None = None
    for name, pattern in _rules(letters):
        for found in pattern.finditer(text):
            place = found.start("letter")
            if (best is None or place > best[0]) and _affirmed(text, found, letters, choices):
                best = place, found["letter"].upper(), name
    if best is not None:
        return Reading(best[1], best[2])
    by_text = _by_text(text, letters, choices)
    if by_text is not None and not re.match(rf"\W*[{letters}][).:\]]", text):
        return Reading(by_text, "the choice's text")
    return _lines(text, letters)


def _plain(reply: str) -> str:
    """A reply in one spelling: full-width letters as ASCII, without emphasis, LaTeX and tags; ⟦ opens a marked answer."""
    text = unicodedata.normalize("NFKC", reply[-20_000:]).replace("’", "'").translate({0x200B: None, 0xFEFF: None})
    text = re.sub(r"\\(?:boxed|fbox|framebox)\s{0,3}\{", " ⟦ ", text)
    text = re.sub(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it|sf)|bf|rm|mbox|operatorname)\b\s{0,3}\{?|\\[()\[\],;! ]|\$", " ", text)
    text = re.sub(r"<(?:answer|final|choice|result|option)>|####", " ⟦ ", text, flags=re.IGNORECASE)
    text = re.sub(r"</?[A-Za-z]{1,12}>|[*`~]|__|(?<![^\W_])_|_(?![^\W_])", "", text)
    return text.strip()


def _affirmed(text: str, found: re.Match[str], letters: str, choices: Sequence[str]) -> bool:
    place, end = found.start("letter"), found.end("letter")
    name, raw = found["letter"].upper(), found["letter"]
    after, gap = text[end : end + 140], found.groupdict().get("gap")
    before = text[max(0, found.start() - 90) : found.start()]
    clause = re.split(r"[.;:\n!?,]|\b(?:but|so|then|and|because|since)\b", before)[-1].lower()
    matched = text[found.start() : place].lower()
    if raw.islower() and not (text[place - 1 : place] in tuple("([{\"'") or re.match(r"\s*(?:[).:\]}\"',;!?]|\n|$)", after)):
        return False
    if gap and not re.match(r"[)\].:\"']|\s*\(", gap) and not re.match(r"(?i)(?:option|choice|answer|letter)\b", found[0].lstrip(" \"'([")):
        return False  # "A dog is the answer"
    if gap is None and name in "AI" and re.match(r" [A-Za-z]", after) and not _connects(after):
        return False  # an article or the pronoun
    if gap is None and re.match(r" [A-Za-z]", after) and not _connects(after) and any(
        f"{name} {after.split()[0]}".casefold() in choice.casefold() for choice in choices
    ):
        return False  # "B cells" is a choice's text
    if re.match(r"\s*\?", after):
        return False
    if re.match(rf"[)\].\"']?\s*(?:or|and|and/or|/|&|nor)\s+(?:(?:option|choice|maybe|perhaps|possibly)\s+)?[(\[\"']?[{letters}]\b(?!['’])", after):
        return False
    if re.match(rf"[)\].\"']?,\s*[(\[]?[{letters}][)\]]?\s*(?:,|and|or|$|\n|\.\s*$)", after) and not re.match(rf"[)\].]?,\s*[{letters}]\.", after):
        return False
    if re.search(rf"\b(?:either|both|between)\b|[{letters}][)\]]?\s*(?:or|and|/)\s*[(\[]?$", matched[-40:] + " ", re.IGNORECASE):
        return False
    if re.search(r"\b(?:wrong|incorrect|bad|worst|distractor|tempting|common|trap|first)\s*$", before.lower()):
        return False
    if re.search(r"(?:\bnot|\bnever|cannot|n't) be\b", matched):
        return False
    if not matched.startswith("but") and _NOT.search(_FINE.sub(" ", clause)):
        return False
    return gap is not None or not _WRONG_AFTER.match(after)


def _connects(after: str) -> bool:
    return bool(re.match(r"\s+(?:because|since|as|for|due|and|so|which|given|based|but|with|from|is|was|if|by|in|on)\b", after))


def _normal(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.casefold()).split())


def _by_text(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The one choice whose text a reply is, alone or behind "the answer is"."""
    if not choices or not text:
        return None
    first = text.partition("\n")[0]
    said = {_normal(text), _normal(first)}
    found = re.findall(rf"\b{_CUE}[^\n.;!?]{{0,60}}?(?:\bis\b|:)\s*([^\n]{{1,300}})", text[-2000:], re.IGNORECASE)
    said |= {_normal(found[-1]), _normal(found[-1].partition(". ")[0])} if found else set()
    same = [name for name, choice in zip(letters, choices, strict=False) if _normal(choice) and _normal(choice) in said]
    return same[0] if len(same) == 1 else None


def _lines(text: str, letters: str) -> Reading:
    """The one option that is restated with its letter ("B. Paris"); several are a list, and say nothing."""
    pattern = rf"^[^\w\n]{{0,6}}(?i:(?:option|choice) ?)?([{letters}{letters.lower()}])[^\w\n]?[).:\]-]\s|^[^\w\n]{{0,4}}(?i:(?:option|choice) ?)?\(([{letters}{letters.lower()}])\)"
    opened = [(a or b).upper() for a, b in re.findall(pattern, text, re.MULTILINE)]
    if len(set(opened)) == 1:
        return Reading(opened[0], "an option's line")
    if opened and re.match(pattern, text) and opened.count(opened[0]) > 1 and opened[1:] == sorted(opened[1:]):
        return Reading(opened[0], "an option's line")  # the answer, then the list
    first = re.match(rf"[^\w\n]{{0,6}}([{letters}])(?![\w'’+#-])(?:[,;]|\s+(?:because|since|as|for|due)\b|\s[-–—])", text)
    return Reading(first[1], "opening letter") if first else UNREADABLE
