# ruff: noqa: E501  (patterns are read whole)
"""Find the letter that a chat model chooses among lettered choices: the last one that it affirms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from falsepromise.benchmarks.reading import UNREADABLE, Reading, before_next_question
from falsepromise.benchmarks.reading.numbers import number, stated_number
from falsepromise.benchmarks.reading.short import EVERYDAY

_CUE = (
    r"(?:answer|answ|ans|(?:right|correct|best) one|option|choice|letter|solution|response|conclusion|pick|selection|guess|verdict|statement|exception|antwort|lösung|respuesta|soluci[oó]n|soluzione|opci[oó]n|opzione|op[cç][aã]o|alternativa"
    r"|r[eé]ponse|risposta|resposta|odpowied[zź]|ответ|答案|答え|正解|选|選|정답)"
)
_COPULA = r"(?:\bis\b|\bare\b|\bwas\b|\bbe\b|\bwould be\b|'s\b|\bist\b|\blautet\b|\bes\b|\best\b|\bè\b|\bé\b|是|为|為|は|은|는|[:=：]|->|=>|→|⇒|[-–—]{1,2}(?= ))"
_FILLER = (
    r"(?:\s|[\"'(\[{<“‘«,:]|\b(?:therefore|thus|clearly|definitely|most|very|probably|likely|indeed|actually|simply|then|also"
    r"|just|still|obviously|certainly|surely|in fact|option|choice|letter|answer|number|the|that|it|is|be|to|correct|one"
    r"|labell?ed|marked|und|also|la|el|die|der|ist|est|es|antwort|r[eé]ponse|respuesta|risposta|resposta|opci[oó]n|opzione|op[cç][aã]o|a(?= letra\b)|lettera|letra|lettre|buchstabe|literka)\b){0,8}"
)
_NOT = re.compile(
    r"\b(?:not|never|neither|nor|no|cannot|hardly|rather than|instead of|other than|incorrect|wrong|false|unlikely|eliminate\w*"
    r"|rul(?:e|es|ed|ing) out|exclud\w+|reject\w*|discard\w*|avoid\w*|unsure|whether|if)\b|n't\b"
)
_FINE = re.compile(
    r"\bno (?:doubt|question)\b|\bnot (?:only|sure|certain)\b|\bwithout (?:a )?doubt\b|\bif i (?:had|have|were|must)\b"
)
_WRONG_AFTER = re.compile(
    r"[^\w\n.;!?,]{0,4}(?:[\"“(][^\"”)\n]{0,80}[\"”)] )?[^\n.;!?,]{0,60}?\b(?:(?:is|are|was|were|be|seems?|looks?|can|does|do|would|could)"
    r"(?:n't| not| never|not)\b|(?:is|are|was|seems?|looks?|be|as|being)\s+(?:also |clearly |obviously |definitely |simply |just |factually )?"
    r"(?:wrong|incorrect|false|invalid|out\b|ruled out|eliminated|implausible|unlikely|impossible|irrelevant|a distractor|too ))"
    r"|[^\n.;!?,]{0,60}?\b(?:is|was|seems|looks|could be|may be|might be)\s(?:also )?(?:a |an )?(?:possib\w+|plausible|tempting|conceivable|close second)\b"
    r"|[^\n.;!?]{0,40}\bbut (?:that|this|it)[^\n.;!?]{0,30}\b(?:wrong|incorrect|n't|not)\b"
)


# Curly quotes, what has no width, white letters on black.
_SIGNS = str.maketrans({"’": "'", "“": '"', "”": '"', "\u200b": None, "\ufeff": None, "\ufe0f": None})
_SIGNS |= {start + i: chr(65 + i) for start in (0x1F150, 0x1F170) for i in range(26)}
_WORD = r"A-Za-z0-9_\u00c0-\u024f\u0370-\u04ff"  # Chinese and its like write a letter without spaces


@lru_cache
def _rules(letters: str) -> tuple[list[tuple[str, re.Pattern[str]]], list[tuple[str, re.Pattern[str]]]]:
    """Rules with their names: those that affirm, and those that are asked where none of these does."""
    some = "".join(letters) + "".join(letters).lower()
    one = rf"(?<![{_WORD}.'’\-+/&$])(?P<letter>[{some}])(?![{_WORD}+#’'&]|-\w|\.\w|/\w)"
    end = r"(?=\W*(?:$|\n|[.,;!?)\]}\"”’»:]|\s[-–—(]|\s+(?:because|since|as|for|due|and|so|which|given|based|but|with|from|[(]|to me|here|then|instead|now)\b))"
    best = r"(?:correct|right|best|better|answer|accurate|appropriate|closest|exact|precise|only|most|true|one (?:that|which|to)|(?:my|our) (?:final )?(?:answer|choice|pick))"
    fits = (
        r"(?:it is|is the one|is the [a-z]{3,12}est|is consistent|is supported|is what|satisf(?:y|ies)|fits?|works?|holds?|match(?:es)?|applies|follows|remains|stands|wins"
        r"|agrees|makes (?:the most )?sense|meets|explains|answers|gets my vote)\b"
    )
    begins = r"(?:so|thus|hence|therefore|then|that|since|because|and|but|only|clearly|however|while|conclude|think|believe|say|guess|sure|know|see|whereas|although|labell?ed|marked)"
    return [
        ("boxed or tagged", re.compile(rf"⟦{_FILLER}{one}")),
        ("the answer is", re.compile(rf"(?<![a-z]){_CUE}(?!s)[^\n.;!?⟦]{{0,70}}?{_COPULA}{_FILLER}{one}", re.IGNORECASE)),
        ("the answer is", re.compile(rf"(?:\b(?:correct|answer|ans|final|richtig|korrekt)\b:?|\bans\.)\s{{0,3}}{_FILLER}{one}{end}", re.IGNORECASE)),
        ("is correct", re.compile(
            rf"(?:\b(?:option|choice|answer|letter|statement|{begins})\s{{1,3}}|(?<![a-z] ))[\"'(\[]?{one}(?P<gap>[)\].:\"']{{0,2}}[^\n.!?;⟦]{{0,70}}?)"
            rf"\s(?:(?:is|seems|appears|looks|must be|has to be|would be|fits|as)\s(?:to be |also |indeed |therefore |thus |(?!partially|nearly|hardly|rarely)[a-z]{{3,12}}ly )?(?:the )?"
            rf"(?:a |most |more |single |one and only |clear |obvious )?{best}|(?:best|most closely|most accurately|correctly)\s[a-z]{{2,20}})\b", re.IGNORECASE)),
        ("is correct", re.compile(rf"\b(?P<noun>[a-z]{{2,20}})\s{one}\s(?:is|was)\s(?:the )?(?:better|best|correct|right) (?:answer|option|choice|one)\b", re.IGNORECASE)),
        ("is correct", re.compile(rf"\bmakes\s{{1,3}}{one}(?:\sthe)?\s(?:only |most |single )?{best}\b", re.IGNORECASE)),
        ("marked as right", re.compile(
            rf"(?:^|[\n,;.(\[]|\b(?:option|choice|statement))[^\w\n]{{0,6}}{one}[)\].\"']{{0,2}}\s{{0,3}}(?:[:=]|[-–—]{{1,2}}|is|->|→)?\s{{0,3}}"
            rf"(?:(?:yes|correct|true|right|valid)\b(?! or\b)|[✓✔✅☑])", re.IGNORECASE)),
        ("marked as right", re.compile(  # at its line's end, or in its row of a table
            rf"(?:^|\n)[^\w\n]{{0,6}}(?:option |choice )?{one}[^\w\n]{{0,3}}(?:[).:\]\-–—]|(?=\|))[^\n]{{0,200}}?(?:[✓✔✅☑]|(?:[|(\[←]|->|[-–—])[ ]?(?:yes|correct|true|right|valid)(?:\sanswer|\schoice|\soption)?\b)"
            rf"(?=[^\w\n]{{0,6}}(?:\n|$|\|))", re.IGNORECASE)),
        ("I choose", re.compile(
            rf"\b(?:choos(?:e|ing)|chose|pick(?:ed|ing)?|select(?:ed|ing)?|go(?:ing)? (?:with|for)|went with|opt(?:ing)? for|vote(?: for)?|settl\w+ on"
            rf"|says?|answer(?:ing)?(?: (?:this|it|the question))?(?: with)?|guess|lean\w* (?:toward|to)s?|mark|conclude|prefer|choice of|stick with|bet on|looks like|seems like)\b{_FILLER}{one}{end}",
            re.IGNORECASE)),
        ("it is", re.compile(
            rf"(?:\b(?:it|that|this)(?:'s| is| must be| has to be| should be| would be)\b|\bwhich (?:is|corresponds to|matches|gives)\b|\bcorrespond(?:s|ing)"
            rf" to\b|\bmatch(?:es|ing)\b|\bleav(?:es|ing)(?: us with| only)?\b|\bmust be\b|\bbut(?: rather)?\b){_FILLER}{one}{end}", re.IGNORECASE)),
        ("选", re.compile(rf"(?:[选選](?:择|擇|项|項)?|答案|정답|正解)\s{{0,3}}(?:[:：是为為はに]|은|는)?\s{{0,3}}[(（\"]?{one}")),
        ("正确", re.compile(rf"{one}[)）\"]?\s{{0,3}}(?:项|項|是|は|이|가|为|為)?\s{{0,3}}(?:正[确確解]|对的|對的|정답|맞)")),
        ("so", re.compile(
            rf"(?:\b(?:so|thus|therefore|hence|ergo|finally|conclusion|overall|yes|ok|okay|sure|definitely|probably|obviously|clearly|surely|certainly"
            rf"|likely|perhaps|maybe|correct|sorry|actually|rather|oops|correction|i mean(?:t)?|make (?:that|it))\b|[→⇒∴]|->|=>){_FILLER}{one}[)\].:\"']{{0,3}}(?=\s*(?:$|\n|[.,;!?(]|it (?:is|must|has)\b))",
            re.IGNORECASE)),
        ("in brackets at the end", re.compile(rf"(?<!figure )(?<!part )(?<!panel )(?<!equation )(?<!table )(?<!see )[(\[]{one}[)\]][^\w\n]{{0,6}}\Z", re.IGNORECASE)),
        ("alone on its line", re.compile(
            rf"(?:^|\n)[^\w\n]{{0,12}}(?:\d{{1,2}}[.)]\s)?(?:(?:option|choice|answer|letter|ans|A|final answer)\b[\s:.]{{0,3}})?[^\w\n]{{0,6}}{one}[^\w\n]{{0,8}}(?=\n|$)", re.IGNORECASE)),
    ], [
        ("the answer is", re.compile(  # to "which is false?"
            rf"(?:\b(?:false|incorrect|wrong|untrue|inaccurate|invalid) (?:statement|sentence|claim|assertion|equation|pair|match|one|example|term|word)"
            rf"\s(?:is|would be|must be)|\bexcept(?: for)?\b|\b(?:none|nothing|no option)\b[^\n.;!?]{{0,30}}\b(?:apart|aside) from\b){_FILLER}{one}{end}", re.IGNORECASE)),
        ("in apposition", re.compile(rf"(?:[-–—,:(]|\bi\.e\.|\bthat is,?|\bnamely)\s{{0,2}}(?:option|choice|answer|letter|(?<=one, )|(?<=option, ))\s?[(\"]?{one}(?=[)\"]?\W{{0,3}}(?:$|\n))", re.IGNORECASE)),
        ("is", re.compile(rf"[;,]\s(?:but |while )?{one}\sis(?=[.!]?\s*(?:$|\n))")),
        ("the last word", re.compile(rf"[.!?)]\s{{1,3}}{one}[.!]?\Z")),
        ("behind a colon", re.compile(rf"(?<=[:?])\s{{1,3}}{one}[)\].!\"']{{0,3}}(?=\s*(?:$|\n))")),
        ("is", re.compile(rf"\b(?:is|was|be|are|remains)\s(?:therefore |thus |clearly |probably |most likely )?(?:(?:option|choice|letter|statement|answer)\s)?[(\"]?{one}{end}", re.IGNORECASE)),
        ("fits", re.compile(
            rf"(?:(?:^|[.;:,\n])\s{{0,3}}|\b(?:only|option|choice|answer|letter|statement|{begins})\s)(?:option |choice |answer |statement )?[(\[]?{one}[)\].:]{{0,2}}"
            rf"(?:\s\([^()\n]{{0,80}}\))?,?\s{fits}", re.IGNORECASE)),
        ("fits", re.compile(rf"\bonly\s(?:option |choice |answer |statement )?[(\[]?{one}[)\].:]{{0,2}}(?:\s\([^()\n]{{0,80}}\))?\s[a-z]{{2,12}}\b", re.IGNORECASE)),
        ("fits", re.compile(rf"\b(?:what|as)\s(?:option |choice |answer |statement )?{one}\s(?:says|states|describes|claims|suggests|means)\b", re.IGNORECASE)),
        ("fits", re.compile(
            rf"\b(?:supports?|fits?|favou?rs?|points? (?:to|at)|suggests?|indicates?|satisf(?:y|ies)|gives|yields|with)\s(?:option |choice |answer |letter )?[(\"]?{one}"
            rf"(?:{end}|\s(?:perfectly|best|exactly|completely|fully|well|most)\b)", re.IGNORECASE)),
    ]  # fmt: skip


def letter(reply: str, letters: str, choices: Sequence[str] = ()) -> Reading:
    """The choice that a reply affirms.

    Args:
        reply: Without its reasoning.
        letters: The letters that there are, in capitals.
        choices: The choices' texts, where known: a reply that is one of them chooses it.
    """
    text = _plain(reply)
    for rules in _rules(letters):
        best: tuple[int, str, str] | None = None
        for name, pattern in rules:
            for found in _overlapping(pattern, text):
                place = found.start("letter")
                if (best is None or place > best[0]) and _affirmed(name, text, found, letters, choices):
                    best = place, found["letter"].upper(), name
        if best is not None:
            return Reading(best[1], best[2])
    by_text = _by_text(text, letters, choices)
    if by_text is not None and not re.match(rf"\W*[{letters}][).:\]]", text):
        return Reading(by_text, "the choice's text")
    by_line = _lines(text, letters, choices)
    if by_line.value is not None:
        return by_line
    mentioned = _mentioned(text, letters, choices)
    if mentioned is not None:
        return Reading(mentioned, "the only one named")
    by_value = _by_value(reply, letters, choices)
    return Reading(by_value, "the choice's value") if by_value else UNREADABLE


_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_ORDINAL = re.compile(
    r"\b(?:the )(first|second|third|fourth|fifth) (?:option|choice|alternative|answer choice)\b(?!\W{0,3}[(\"]?[A-J]\b)",
    re.IGNORECASE,
)


def _overlapping(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """The matches for each letter: what stands behind one may hold the next."""
    found = pattern.search(text)
    while found is not None:
        yield found
        found = pattern.search(text, found.end("letter"))


def _plain(reply: str) -> str:
    """A reply in one spelling: full-width letters as ASCII, without emphasis, LaTeX and tags; ⟦ opens a marked answer."""
    text = unicodedata.normalize("NFKC", before_next_question(reply)[-20_000:]).translate(_SIGNS)
    text = re.sub(r"\\(?:boxed|fbox|framebox)\s{0,3}\{", " ⟦ ", text)
    text = re.sub(
        r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it|sf)|bf|rm|mbox|operatorname)\b\s{0,3}\{?|\\[()\[\],;! ]|\$", " ", text
    )
    text = re.sub(r"\A\s*<([A-Z])>\s*\Z", r"\1", text)
    text = re.sub(
        r"<(?:answer|final[ _]?answer|final|choice|result|option)>|\[(?:answer|final answer)\]|####",
        " ⟦ ",
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(r"\[/[A-Za-z]{1,12}\]", " ", text)
    text = re.sub(r"(?<![\w'])'([A-Za-z])'(?![\w'])", r'"\1"', text)
    text = re.sub(r"</?[A-Za-z_]{1,14}>|[*`~]|__|(?<![^\W_])_|_(?![^\W_])", "", text)
    text = _ORDINAL.sub(lambda found: f"option {chr(65 + _ORDINALS.index(found[1].lower()))}", text)
    return before_next_question(text.strip())


def _affirmed(rule: str, text: str, found: re.Match[str], letters: str, choices: Sequence[str]) -> bool:
    place, end = found.start("letter"), found.end("letter")
    name, raw = found["letter"].upper(), found["letter"]
    after, gap = text[end : end + 140], found.groupdict().get("gap")
    before = text[max(0, found.start() - 90) : found.start() + (found[0][0] in ",;.\n")]
    clause = re.split(r"[.;:\n!?,→⇒]|[-=]>|\b(?:but|so|then|and|because|since)\b", before)[-1]
    if re.search(rf"\b[{letters}]\b.{{0,40}}\bor\b", clause):
        return False
    clause = "" if rule == "marked as right" and found[0][0] in "([" else clause.lower()
    matched = text[found.start() : place].lower()
    if (
        raw.islower()
        and not (place == 0 and gap is not None and name != "A")
        and not (text[place - 1 : place] in tuple("([{\"'") or re.match(r"\s*(?:[).:\]}\"',;!?]|\n|$)", after))
    ):
        return False
    if (
        gap
        and gap != ","
        and not re.match(r"[)\].:\"']|\s*\(", gap)
        and not re.match(r"(?i)(?:option|choice|answer|letter)\b", found[0].lstrip(" \"'(["))
    ):
        return False  # "A dog is the answer"
    if gap is None and name in "AI" and re.match(r" [A-Za-z]", after) and not _connects(after):
        return False  # an article or the pronoun
    if rule == "marked as right" and choices[letters.find(name) :]:
        own = _normal(choices[letters.find(name)])
        if re.match(r"(?:yes|correct|true|right|valid)\b", own) and own in _normal(text[end : end + len(own) + 20]):
            return False  # "(A) True, False" is the choice itself
    noun = found.groupdict().get("noun")
    if noun and any(f"{noun} {name}".casefold() in choice.casefold() for choice in choices):
        return False  # "vitamin C" is a choice's text
    if (
        gap is None
        and re.match(r" [A-Za-z]", after)
        and not _connects(after)
        and any(f"{name} {after.split()[0]}".casefold() in choice.casefold() for choice in choices)
    ):
        return False  # "B cells" is a choice's text
    if (
        rule == "alone on its line"
        and re.search(rf"\b[{letters}]\s{{0,3}}(?:,|&|/|\band\b|\bor\b)", found[0][:-1])
        and len(set(re.findall(rf"\b[{letters}]\b", found[0]))) > 1
    ):
        return False  # "A, C"
    if len(text) > 3 and re.match(r"\s{0,9}\?", after):
        return False
    if re.match(
        r"[)\].:\"']{0,2}[^\S\n]{0,3}(?:[:=]|[-–—]{1,2})?[^\S\n]{0,3}(?:(?:no|false|incorrect|wrong|not)\b|[❌✗✘×])",
        after,
    ):
        return False
    if re.match(
        rf"[)\].\"']?\s*(?:or|and|and/or|/|&|nor)\s+(?:(?:option|choice|maybe|perhaps|possibly)\s+)?[(\[\"']?[{letters}]\b(?!['’])",
        after,
    ):
        return False
    if re.match(
        rf"[)\].\"']?,\s*(?:and |or )?[(\[]?[{letters}][)\]]?\s*(?:,|and|or|$|\n|\.\s*$)", after
    ) and not re.match(rf"[)\].]?,\s*[{letters}]\.", after):
        return False
    if re.search(r"[✗✘❌×][^\w\n]{0,4}\Z", text[max(0, place - 6) : place]):
        return False
    if re.search(
        rf"\b(?:either|both|between)\b|[{letters}][)\]]?\s*(?:or|and|/)\s*[(\[]?$", matched[-40:] + " ", re.IGNORECASE
    ):
        return False
    if re.search(r"\b(?:wrong|incorrect|bad|worst|distractor|tempting|common|trap|first)[ ]*\Z", before.lower()):
        return False
    if re.search(r"(?:\bnot|\bnever|cannot|n't) be\b", matched):
        return False
    if not matched.startswith("but") and _NOT.search(_FINE.sub(" ", clause)):
        return False
    return gap is not None or not _WRONG_AFTER.match(after)


def _connects(after: str) -> bool:
    return bool(
        re.match(r"\s+(?:because|since|as|for|due|and|so|which|given|based|but|with|from|is|was|if|by|in|on)\b", after)
    )


_REFUSES = re.compile(
    r"\b(?:cannot|can't|unable to|not able to|don't|do not|insufficient|not enough)\b[^.\n]{0,40}\b(?:determine|say|tell|know|choose|answer|decide|help|information|context)"
    r"|\b(?:i am|i'm) not sure\b|\bnone of\b|\bneither\b",
    re.IGNORECASE,
)


def _normal(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.casefold()).split())


def _by_text(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The one choice whose text a reply is, alone or behind "the answer is"."""
    if not choices or not text:
        return None
    text = re.sub(r"\A(?:it|that|this)(?:'s| is)\s", "", text, flags=re.IGNORECASE)
    alike = [name for name, choice in zip(letters, choices, strict=False) if choice.strip() == text.rstrip(".").strip()]
    if len(alike) == 1:
        return alike[0]
    first = text.partition("\n")[0]
    said = {_normal(text), _normal(first)}
    found = re.findall(rf"\b{_CUE}(?!s)[^\n.;!?]{{0,60}}?(?:\bis\b|:)\s*([^\n]{{1,300}})", text[-2000:], re.IGNORECASE)
    said |= {_normal(found[-1]), _normal(found[-1].partition(". ")[0])} if found else set()
    same = [
        name for name, choice in zip(letters, choices, strict=False)
        if _normal(choice) and {_normal(choice), _normal(f"{name} {choice}")} & said
    ]  # fmt: skip
    return same[0] if len(same) == 1 else None


def _lines(text: str, letters: str, choices: Sequence[str]) -> Reading:
    """The one option that is restated with its letter ("B. Paris"); several are a list, and say nothing."""
    some = letters + letters.lower()
    pattern = rf"^[^\w\n]{{0,6}}(?i:(?:option|choice) ?)?([{some}])[^\w\n]?[).:\]-]\s|^[^\w\n]{{0,4}}(?i:(?:option|choice) ?)?\(([{some}])\)"
    lines = [found for found in re.finditer(pattern, text, re.MULTILINE)]
    opened = [(found[1] or found[2]).upper() for found in lines]
    rest = text[lines[0].end() :].partition("\n")[0] if lines else ""
    beside = re.search(rf"\A[^(]*?[,;]\s{{0,3}}[(]?[{letters}][).:]\s", rest)  # "A) Paris, B) London"
    if len(set(opened)) == 1 and not beside:
        genus = re.match(r"[A-Z]\. ([a-z]+) \w", text[lines[0].start() :])
        if not genus or genus[1] in _SMALL or _begins(text[lines[0].end() :], choices[letters.find(opened[0]) :][:1]):
            return Reading(opened[0], "an option's line")
        return UNREADABLE  # "C. elegans is a worm"
    if opened and re.match(pattern, text) and opened.count(opened[0]) > 1 and opened[1:] == sorted(opened[1:]):
        return Reading(opened[0], "an option's line")  # the answer, then the list
    if len(opened) > 1 and re.match(pattern, text):  # the answer, then the others
        between = text[lines[0].end() : lines[1].start()]
        if opened[0] not in opened[1:] and (opened[1] < opened[0] or _OTHERS.search(between)):
            return Reading(opened[0], "an option's line")
    first = re.match(
        rf"[^\w\n]{{0,6}}([{letters}])(?![\w'’+#-])(?:[,;!]|\s+(?:because|since|as|for|due|rather than|instead of|over)\b|\s[-–—(\[])",
        text,
    )
    several = first and re.match(rf"[,\s]+(?:and |or )?[(\[]?(?!{first[1]})[{letters}]\b(?!')", text[first.end(1) :])
    return Reading(first[1], "opening letter") if first and not several else UNREADABLE


_OTHERS = re.compile(
    r"\b(?:why|others?|explanation|reason\w*)\b[^\n]{0,60}:[^\w\n]{0,4}$", re.MULTILINE | re.IGNORECASE
)


def _mentioned(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The one choice whose text a reply has in it, neither denied nor beside another choice's letter or text."""
    if _REFUSES.search(text):
        return None
    named = {
        found[1] or found[2] for found in re.finditer(rf"[(\[]([{letters}])[)\]]|\b[Oo]ption ([{letters}])\b", text)
    }
    shown = re.sub(rf"[(\[](?:option )?[{letters}][)\]]", " ", text.replace("n't", " not"), flags=re.IGNORECASE)
    sentences = [
        f" {_normal(part)} " for part in re.split(r"(?<!\b[A-Z])[.;:!?\n](?=\s|$)|,?\s(?:but|whereas|while)\s", shown)
    ]
    told: set[str] = set()
    wordings = sorted(zip(map(_normal, choices), letters, strict=False), key=lambda pair: -len(pair[0]))
    for wording, name in wordings:
        if not re.search(r"[^\W\d]{3}", wording) or EVERYDAY.issuperset(wording.split()):
            continue
        for place, sentence in enumerate(sentences):
            before, found, after = sentence.partition(f" {wording} ")
            if found:
                sentences[place] = f"{before} \0 {after}"  # "true, false" has a "false" in it
                if not _NOT.search(before) and not _WRONG_AFTER.match(f" {after}"):
                    told.add(name)
    if not told and len(words := _normal(text).split()) <= 3:  # "Grant" for "Ulysses S. Grant"
        told = {name for wording, name in wordings if words and set(words) <= set(wording.split()) - EVERYDAY}
    return told.pop() if len(told) == 1 and named <= told else None


def _by_value(reply: str, letters: str, choices: Sequence[str]) -> str | None:
    """The one choice that is the number which a reply boxes, calls its answer, or ends with ("3 * 6 = 18")."""
    units = {re.sub(r"[-+$\d.,/^ ]", "", choice) for choice in choices}
    unit = next(iter(units)) if len(units) == 1 else ""
    values = [number(choice.strip().removesuffix(unit) if unit else choice) for choice in choices]
    if not values or None in values:
        return None
    stated = stated_number(reply)
    ends = re.search(
        r"(?:=|\b(?:is|are|equals?|gives?|get|makes?|becomes|of)\b(?:\s[a-z]{2,12}){0,2}|≈)\s{0,3}[-$\d.,/^{}]{1,30}[^\d\n=]{0,30}\Z",
        reply.strip(),
    )
    if stated.rule == "last number" and not ends:
        return None
    return letters[values.index(stated.value)] if values.count(stated.value) == 1 else None


# With these an option's text may begin; no species' name does.
_SMALL = frozenset(
    """
    the an it its this that these those all both none only neither no not to in of on by for from with at as when where if because
    he she they we you his her their our my is are was were be has have more less most increase decrease increases decreases
    """.split()  # noqa: SIM905
)


def _begins(rest: str, choice: Sequence[str]) -> bool:
    """Whether a line goes on with the choice's own first word."""
    words = _normal(choice[0]).split() if choice else []
    return bool(words) and _normal(rest[:200]).split()[:1] == words[:1]
