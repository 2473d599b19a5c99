# ruff: noqa: E501  (patterns are read whole)
"""Find the letter that a chat model chooses among lettered choices: the last one that it affirms.

Each letter in a reply is held against three tables: what has to stand around it so that it is chosen (`AFFIRMED`, and
`IMPLIED` where none of these is found), and what stands around one that isn't (`DENIED`). A rule's example is read by that
rule as B; a denial's example has no B only because of that denial. What has no letter is read by the choices' texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from falsepromise.benchmarks.reading import UNREADABLE, Reading, before_next_question
from falsepromise.benchmarks.reading.numbers import number, stated_number
from falsepromise.benchmarks.reading.short import EVERYDAY


class Rule(NamedTuple):
    """Patterns of what ends right before a letter, and of what begins right behind it."""

    name: str
    example: str
    before: str
    after: str = ""


class Denial(NamedTuple):
    """A pattern of what is found in the clause before a rule's text, in that text, or right behind the letter."""

    name: str
    example: str
    place: str
    pattern: str


_PARTS = {
    "cue": r"(?:answer|answ|ans|(?:right|correct|best) one|option|choice|letter|solution|response|conclusion|pick|selection|guess|verdict|statement|exception|antwort|lösung|respuesta|soluci[oó]n|soluzione|opci[oó]n|opzione|op[cç][aã]o|alternativa|r[eé]ponse|risposta|resposta|odpowied[zź]|ответ|答案|答え|正解|选|選|정?답)",
    "copula": r"(?:\b(?:is|are|was|be|would be|ist|lautet|es|est|è|é)\b|'s\b|是|为|為|は|은|는|[:=：]|->|=>|→|⇒|[-–—]{1,2}(?= ))",
    "filler": r"(?:\s|[\"'(\[{<“‘«,:]|\b(?:therefore|thus|clearly|definitely|most|very|probably|likely|indeed|actually|simply|then|also|just|still|obviously|certainly|surely|in fact|option|choice|letter|answer|number|the|that|it|is|be|to|correct|one|labell?ed|marked|und|also|la|el|die|der|ist|est|es|antwort|r[eé]ponse|respuesta|risposta|resposta|opci[oó]n|opzione|op[cç][aã]o|a(?= letra\b)|lettera|letra|lettre|buchstabe|literka)\b){0,8}",
    "noun": r"(?:option|choice|answer|letter|statement)",
    "begins": r"\b(?:so|thus|hence|therefore|then|that|since|because|and|but|only|clearly|however|while|conclude|think|believe|say|guess|sure|know|see|whereas|although|labell?ed|marked)",
    "end": r"(?=\W*(?:[.,;!?)\]}\"”’»:\n]|\s[-–—(]|\s+(?:because|since|as|for|due|and|so|which|given|based|but|with|from|to me|here|then|instead|now)\b))",
    "best": r"(?:correct|right|best|better|answer|accurate|appropriate|closest|exact|precise|only|most|true|one (?:that|which|to)|(?:my|our) (?:final )?(?:answer|choice|pick))\b",
    "fits": r"(?:it is|is the one|is the [a-z]{3,12}est|is consistent|is supported|is what|satisf(?:y|ies)|fits?|works?|holds?|match(?:es)?|applies|follows|remains|stands|wins|agrees|makes (?:the most )?sense|meets|explains|answers|gets my vote)\b",
    "lesser": r"(?:incorrect|wrong|false|not|next|second|runner-up|worst|eliminated|excluded|rejected|distractors?)\b",
    "yes": r"(?:yes|correct|true|right|valid)\b",
}  # fmt: skip
_PARTS["is_best"] = (
    r"\s(?:(?:is|seems|appears|looks|must be|has to be|would be|fits|as)\s(?:to be |also |indeed |therefore |thus |(?!partially|nearly|hardly|rarely)[a-z]{3,12}ly )?(?:the )?(?:a |most |more |single |one and only |clear |obvious )?<best>|(?:best|most closely|most accurately|correctly)\s[a-z]{2,20}\b)"
)

AFFIRMED = (
    Rule("boxed or tagged", r"\boxed{\text{(B) 12}}", r"⟦<filler>"),
    Rule("the answer is", "The best answer to this question would be B.", r"(?<![a-z])<cue>(?!s)[^\n.;!?⟦]{0,70}?<copula><filler>"),
    Rule("the answer is", "Answer (B)", r"(?:\b(?:correct|answer|ans|final|richtig|korrekt)\b:?|\bans\.)\s{0,3}<filler>", "<end>"),
    Rule("is correct", "So option B from the list is correct.", r"\b<noun>\s{1,3}[\"'(\[]?", r"[^\n.!?;⟦]{0,70}?<is_best>"),
    Rule("is correct", "B (Paris) seems right.", r"(?:<begins>\s{1,3}|(?<![a-z] ))[\"'(\[]?", r"(?:[)\].:\"']{1,2}[^\n.!?;⟦]{0,70}?|\s?\([^\n.!?;⟦]{0,70}?|,)?<is_best>"),
    Rule("is correct", "On reflection B is the better answer.", r"[a-z]\s", r"\s(?:is|was)\s(?:the )?(?:better|best|correct|right) (?:answer|option|choice|one)\b"),
    Rule("is correct", "That makes B the right choice.", r"\bmak(?:es|ing)\s{1,3}[(\"']?", r"[)\"']?(?:\sthe)?\s(?:only |most |single )?<best>"),
    Rule("marked as right", "B: True", r"(?:[\n,;.(\[]|\b(?:option|choice|statement))[^\w\n]{0,6}", r"[)\].\"']{0,2}\s{0,3}(?:[:=]|[-–—]{1,2}|is|->|→)?\s{0,3}(?:<yes>(?! or\b)|[✓✔✅☑])"),
    Rule("marked as right", "| B | London | ✅ |", r"\n[^\w\n]{0,6}(?:option |choice )?", r"[^\w\n]{0,3}(?:[).:\]\-–—]|(?=\|))[^\n]{0,200}?(?:[✓✔✅☑]|(?:[|(\[←]|->|[-–—])[ ]?<yes>(?:\s<noun>\b)?)(?=[^\w\n]{0,6}(?:\n|\|))"),
    Rule("I choose", "I would go with B.", r"\b(?:choos(?:e|ing)|chose|pick(?:ed|ing)?|select(?:ed|ing)?|go(?:ing)? (?:with|for)|went with|opt(?:ing)? for|vote(?: for)?|settl\w+ on|says?|answer(?:ing)?(?: (?:this|it|the question))?(?: with)?|guess|lean\w* (?:toward|to)s?|mark|conclude|prefer|choice of|stick with|bet on|looks like|seems like)\b<filler>", "<end>"),
    Rule("it is", "It has to be B.", r"(?:\b(?:it|that|this)(?:'s| is| must be| has to be| should be| would be)\b|\bwhich (?:is|corresponds to|matches|gives)\b|\bcorrespond(?:s|ing) to\b|\bmatch(?:es|ing)\b|\bleav(?:es|ing)(?: us with| only)?\b|\bmust be\b|\bbut(?: rather)?\b)<filler>", "<end>"),
    Rule("选", "故选B", r"(?:[选選](?:择|擇|项|項)?|答案|정답|正解|उत्तर|उत्‍तर|जवाब|উত্তর|คําตอบ|الإجابة(?: الصحيحة)?|الجواب(?: الصحيح)?|\bjibu)\s{0,3}(?:[:：是为為はに]|은|는|है|হল[োঃ]?|คือ|هي|هو|ni\b)?\s{0,3}[:(（\"]?"),
    Rule("正确", "只有B是正确的。", "", r"[)）\"]?\s{0,3}(?:项|項|是|は|이|가|为|為)?\s{0,3}(?:正[确確解]|对的|對的|정답|맞)"),
    Rule("so", "Water boils. So B.", r"(?:\b(?:so|thus|therefore|hence|ergo|finally|conclusion|overall|yes|ok|okay|sure|definitely|probably|obviously|clearly|surely|certainly|likely|perhaps|maybe|correct|sorry|actually|rather|oops|correction|i mean(?:t)?|make (?:that|it)|(?:no,? )?wait(?:,? no)?)\b|[→⇒∴]|->|=>)<filler>", r"[)\].:\"']{0,3}(?=\s*(?:\n|[.,;!?(]|it (?:is|must|has)\b))"),
    Rule("in brackets at the end", "Water boils at this temperature (B).", r"(?<!figure )(?<!part )(?<!panel )(?<!equation )(?<!table )(?<!see )[(\[]", r"[)\]][^\w\n]{0,6}\s*\Z"),
    Rule("alone on its line", "Water boils.\n\n**B**", r"\n[^\w\n]{0,12}(?:\d{1,2}[.)]\s)?(?:(?:<noun>|ans|A|final answer)\b[\s:.]{0,3})?[^\w\n]{0,6}", r"[^\w\n=]{0,8}(?=\n)"),
)  # fmt: skip
IMPLIED = (
    Rule("the answer is", "All are mammals except B.", r"(?:\b(?:false|incorrect|wrong|untrue|inaccurate|invalid) (?:statement|sentence|claim|assertion|equation|pair|match|one|example|term|word)\s(?:is|would be|must be)|\bexcept(?: for)?\b|\b(?:none|nothing|no option)\b[^\n.;!?]{0,30}\b(?:apart|aside) from\b)<filler>", "<end>"),
    Rule("in apposition", "The whale is the odd one, option B", r"(?:[-–—,:(]|\bi\.e\.|\bthat is,?|\bnamely)\s{0,2}(?:<noun>|(?<=one, )|(?<=option, ))\s?[(\"]?", r"(?=[)\"]?\W{0,3}\n)"),
    Rule("is", "A isn't, but B is.", r"[;,]\s(?:but |while )?", r"\sis(?=[.!]?\s*\n)"),
    Rule("the last word", "Whales are mammals. Option B.", r"[.!?)]\s{1,3}(?:<noun>\s[(\"]?)?", r"[)\"]?[.!]?\s*\Z"),
    Rule("behind a colon", "The whale: B", r"(?<=[:?])\s{1,3}", r"[)\].!\"']{0,3}(?=\s*\n)"),
    Rule("is", "The odd one is B.", r"\b(?:is|was|be|are|remains)\s(?:therefore |thus |clearly |probably |most likely )?(?:<noun>\s)?[(\"]?", "<end>"),
    Rule("fits", "Only B fits.", r"(?:[.;:,\n]\s{0,3}|(?:\b(?:only|<noun>)|<begins>)\s)(?:<noun> )?[(\[]?", r"[)\].:]{0,2}(?:\s\([^()\n]{0,80}\))?,?\s<fits>"),
    Rule("fits", "Only B gives light.", r"\bonly\s(?:<noun> )?[(\[]?", r"[)\].:]{0,2}(?:\s\([^()\n]{0,80}\))?\s[a-z]{2,12}\b"),
    Rule("fits", "This is as B states.", r"\b(?:what|as)\s(?:<noun> )?", r"\s(?:says|states|describes|claims|suggests|means)\b"),
    Rule("fits", "The text supports B best.", r"\b(?:supports?|fits?|favou?rs?|points? (?:to|at)|suggests?|indicates?|satisf(?:y|ies)|gives|yields|with)\s(?:<noun> )?[(\"]?", r"(?:<end>|\s(?:perfectly|best|exactly|completely|fully|well|most)\b)"),
)  # fmt: skip
_NOT = r"\b(?:not|never|neither|nor|(?-i:[Nn]o)|cannot|hardly|rather than|instead of|other than|incorrect|wrong|false|unlikely|eliminate\w*|rul(?:e|es|ed|ing) out|exclud\w+|reject\w*|discard\w*|avoid\w*|unsure|whether|if)\b|n't\b"
_FINE = (
    r"\bno (?:doubt|question)\b|\bnot (?:only|sure|certain)\b|\bwithout (?:a )?doubt\b|\bif i (?:had|have|were|must)\b"
)
_WRONG_AFTER = r"[^\w\n.;!?,]{0,4}(?:[\"“(][^\"”)\n]{0,80}[\"”)] )?(?:(?!\b(?:because|since)\b)[^\n.;!?,]){0,60}?\b(?:(?:is|are|was|were|be|seems?|looks?|can|does|do|would|could)(?:n't| not| never|not)\b|(?:is|are|was|seems?|looks?|be|as|being)\s+(?:also |clearly |obviously |definitely |simply |just |factually )?(?:wrong|incorrect|false|invalid|out\b|ruled out|eliminated|implausible|unlikely|impossible|irrelevant|a distractor|too ))|[^\n.;!?,]{0,60}?\b(?:is|was|seems|looks|could be|may be|might be)\s(?:also )?(?:a |an )?(?:possib\w+|plausible|tempting|conceivable|close second)\b|[^\n.;!?]{0,40}\bbut (?:that|this|it)[^\n.;!?]{0,30}\b(?:wrong|incorrect|n't|not)\b"
DENIED = (
    Denial("one of two", "A maybe or the answer is B", "clause", r"\b<some>\b.{0,40}\bor\b"),
    Denial("denied", "I don't think that the answer is B.", "clause", _NOT),
    Denial("denied", "The answer can't be B.", "rule", r"(?:\b(?:not|never)|cannot|n't) be\b"),
    Denial("another's", "Correct answer: A, incorrect: B", "rule", r"<some>[^\w\n]{1,4}(?:(?:and|but|the|an?|with)\s){0,2}<lesser>(?:\s[a-z]{2,12}){0,2}\s?(?:[:=]|\bis\b|\bare\b)?\s{0,2}[(\[\"']?\Z"),
    Denial("another's", "Answer: A\nNext best answer: B", "clause", r"\b(?:next|second|runner-up)(?:[- ]best)?\s\Z"),
    Denial("crossed out", "Answer: ❌ B", "rule", r"[✗✘❌×][^\w\n]{0,4}\Z"),
    Denial("one of several", "The answer is (A), (C), (B).", "before", r"(?<!and )(?<!or )[(\[]<some>[)\]],?\s?[(\[]\Z"),
    Denial("one of a range", "Water has any of (A) to (B)", "before", r"\b<some>[)\]]?(?:\s(?:to|through|until)\s|[-–—])(?:<noun>\s)?[(\[\"']?\Z"),
    Denial("one of a range", "The answer is B to D.", "after", r"\A[)\]\"']?(?:\s(?:to|through|until)\s|[-–—])(?:<noun>\s)?[(\[\"']?<some>\b"),
    Denial("one of several", "Water has A and (B)", "before", r"\b<some>[)\]]?,?\s(?:and|or|&)\s[(\[\"']?\Z"),
    Denial("a question", "Is the answer B?", "after", r"\A\s{0,9}\?"),
    Denial("marked as wrong", "It is B: no.", "after", r"\A[)\].:\"']{0,2}[^\S\n]{0,3}(?:[:=]|[-–—]{1,2})?[^\S\n]{0,3}(?:(?-i:no|false|incorrect|wrong|not)\b|[❌✗✘×])"),
    Denial("one of two", "The answer is B or C.", "after", r"\A[)\].\"']?\s*(?:or|and|and/or|/|&|nor)\s+(?:(?:option|choice|maybe|perhaps|possibly)\s+)?[(\[\"']?<some>\b(?!['’])"),
    Denial("one of several", "Answer: B, C", "after", r"\A[)\].\"']?,\s*(?:and |or )?[(\[]?<some>[)\]]?\s*(?:,|and\b|or\b|\n|\.\s*\n)"),
    Denial("if asked otherwise", "B would be correct if it were asked for.", "after", r"\A[^\n.!?;]{0,60}?\b(?:would|could|might)\b[^\n.!?;]{0,60}?\b(?:if|had)\b"),
    Denial("if asked otherwise", "If it were asked for, B would be correct.", "before", r"\bif (?:the question|it|this|they)\b[^\n.!?;]{0,20}\b(?:were|had|asked|wanted|meant)\b[^\n.!?;]{0,60},\s(?:then\s)?(?:<noun>\s)?[(\[\"']?\Z"),
    Denial("another question's", "(B would be the right choice for England.)", "after", r"\A[)\]\"']?\swould be (?:the )?(?:right|correct|best) (?:<noun>|one) (?:for|in) (?!this|the|that|my|our)"),
    Denial("said to be wrong", "The best one is B but that's wrong.", "verdict", rf"\A(?:{_WRONG_AFTER})"),
)  # fmt: skip
_WORD = r"A-Za-z0-9_\u00c0-\u024f\u0370-\u04ff"  # Chinese and its like write a letter without spaces
_MENTION = rf"(?<![{_WORD}.'’\-+/&$])<either>(?![{_WORD}+#’'&]|-\w|\.\w|/\w)"
_CONNECTS = re.compile(r"\s+(?:because|since|as|for|due|and|so|which|given|based|but|with|from|is|was|if|by|in|on)\b")
_CLAUSES = re.compile(r"[.;:\n!?,→⇒]|[-=]>|\b(?:but|so|then|and|because|since)\b")
# Curly quotes, what has no width, white letters on black.
_SIGNS = str.maketrans({"’": "'", "“": '"', "”": '"', "\u200b": None, "\ufeff": None, "\ufe0f": None})
_SIGNS |= {start + i: chr(65 + i) for start in (0x1F150, 0x1F170) for i in range(26)}
_REACH, _MENTIONS = 240, 400  # characters around a letter, and letters from the end, that are looked at


# "A. Paris. Actually, that's wrong: London": what takes the answer back is read before it.
_TAKEN_BACK = re.compile(
    r"\b(?:(?:actually|wait|no|sorry|oops|hmm|reflection|thoughts?)[,.:]?\s{1,3}(?:that|this|it)(?:'s| is| was) (?:wrong|incorrect"
    r"|not (?:right|correct))|i (?:was wrong|take (?:that|it) back|made an? (?:mistake|error)|misread)|scratch that"
    r"|(?:my|the) (?:first|previous|initial|earlier) (?:answer|choice) (?:was|is) (?:wrong|incorrect|not (?:right|correct)))\b",
    re.IGNORECASE,
)


def letter(reply: str, letters: str, choices: Sequence[str] = ()) -> Reading:
    """The choice that a reply affirms.

    Args:
        reply: Without its reasoning.
        letters: The letters that there are, in capitals.
        choices: The choices' texts, where known: a reply that is one of them chooses it.
    """
    text = _plain(reply)
    *_, later = _TAKEN_BACK.split(text)
    if later != text and (again := letter(later, letters, choices)).value:
        return again
    found = next((found for table in (AFFIRMED, IMPLIED) if (found := _affirmed(table, text, letters, choices))), None)
    if found is not None:
        return found
    for name, fallback in (
        ("the choice's text", _by_text), ("an option's line", _by_line), ("opening letter", _opening),
        ("the only one named", _mentioned), ("the choice's value", _by_value),
    ):  # fmt: skip
        chosen = fallback(reply if fallback is _by_value else text, letters, choices)
        if chosen is not None:
            return Reading(chosen, name) if chosen else UNREADABLE
    return UNREADABLE


def _affirmed(table: tuple[Rule, ...], text: str, letters: str, choices: Sequence[str]) -> Reading | None:
    """The last letter that a rule of a table affirms and no denial denies."""
    text, mention = f"\n{text}\n", _pattern(_MENTION, letters)
    for found in reversed([*mention.finditer(text)][-_MENTIONS:]):
        before = text[max(0, found.start() - _REACH) : found.start()]
        after = text[found.end() : found.end() + _REACH]
        for rule in table:
            if (
                _pattern(rule.after, letters).match(after)
                and (ruled := _pattern(rf"(?:{rule.before})\Z", letters).search(before))
                and not _denied(rule, Mention(found[0], before, ruled.start(), after), letters, choices)
            ):
                return Reading(found[0].upper(), rule.name)
    return None


class Mention(NamedTuple):
    """A letter with the text around it; the rule's text begins at `start` of what is before."""

    letter: str
    before: str
    start: int
    after: str


def _denied(rule: Rule, said: Mention, letters: str, choices: Sequence[str]) -> bool:
    ruled = said.before[said.start :]
    context = said.before[: said.start] + (ruled[:1] if ruled[:1] in (",", ";", ".", "\n") else "")
    own = ruled.lower().startswith("but") or (rule.name == "marked as right" and ruled[:1] in ("(", "["))
    places = {
        "clause": "" if own else re.sub(_FINE, " ", _CLAUSES.split(context[-90:])[-1]),
        "rule": ruled,
        "before": said.before,
        "after": said.after,
        "verdict": "" if rule.name == "is correct" else said.after,
    }
    return _no_letter(rule, said, choices, letters) or any(
        _pattern(denial.pattern, letters).search(places[denial.place]) for denial in DENIED
    )


@lru_cache(512)
def _pattern(pattern: str, letters: str) -> re.Pattern[str]:
    """A table's pattern with its parts filled in."""

    parts = _PARTS | {"some": f"(?-i:[{letters}])", "either": f"[{letters}]"}

    def filled(text: str) -> str:
        return re.sub(r"<([a-z_]+)>", lambda found: filled(parts[found[1]]), text)

    return re.compile(filled(pattern), re.IGNORECASE)


def _no_letter(rule: Rule, said: Mention, choices: Sequence[str], letters: str) -> bool:
    """Whether a letter is a word, belongs to a choice's own text, or stands in a row of letters."""
    name, opens = said.letter.upper(), not said.before.strip()
    marked = said.before[-1:] in tuple("([{\"'") or re.match(r"\s*[).:\]}\"',;!?\n]", said.after)
    if said.letter.islower() and not marked and not (opens and rule.name == "is correct" and name != "A"):
        return True
    follows = re.match(r"[ ][A-Za-z]\w*", said.after)
    word = follows and rule.name != "is correct" and not _CONNECTS.match(said.after)
    if follows and word and (name in "AI" or _in_choice(f"{name}{follows[0]}", choices)):
        return True  # an article, the pronoun, "B cells"
    ahead = re.search(r"(\w{1,30})\s\Z", said.before)
    if rule.name == "is correct" and ahead and _in_choice(f"{ahead[1]} {name}", choices):
        return True  # "vitamin C"
    own = _normal(choices[letters.find(name)]) if choices[letters.find(name) :] else ""
    if rule.name == "marked as right" and re.match(_PARTS["yes"], own):
        return own in _normal(said.after[: len(own) + 20])  # "(A) True, False" is the choice itself
    *above, line = said.before.rstrip("*_ ").split("\n")
    listed = re.match(r"\W*(?:option |choice )?(\w)[).:]\s", (" ".join(above[-1:]) + "\n"), re.IGNORECASE)
    return rule.name == "alone on its line" and (
        len(set(re.findall(rf"\b[{letters}]\b", line + name))) > 1  # "A, C"
        or (listed is not None and ord(name) - ord(listed[1].upper()) == 1)  # a list of the options, cut off
    )


def _in_choice(words: str, choices: Sequence[str]) -> bool:
    return any(words.casefold() in choice.casefold() for choice in choices)


_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_ORDINAL = re.compile(
    r"\b(?:the )(first|second|third|fourth|fifth) (?:option|choice|alternative|answer choice)\b(?!\W{0,3}[(\"]?[A-J]\b)",
    re.IGNORECASE,
)


# One spelling: no emphasis, LaTeX or tags; ⟦ opens a marked answer.
_PLAINLY = [
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"[{,]\s{0,9}[\"']([a-z_ ]{1,30})[\"']\s{0,3}:", r"\n\1:"),  # JSON's keys, a line each
        (r"\\(?:boxed|fbox|framebox)\s{0,3}\{", " ⟦ "),
        (r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it|sf)|bf|rm|mbox|operatorname)\b\s{0,3}\{?|\\[()\[\],;! ]|\$", " "),
        (r"\A\s*<?([A-Z])(?:>|\s?\?)\s*\Z", r"\1"),
        (r"<(?:answer|final[ _]?answer|final|choice|result|option)>|\[(?:answer|final answer)\]|####", " ⟦ "),
        (r"\[/[a-z]{1,12}\]", " "),
        (r"(?<![\w'])'([a-z])'(?![\w'])", r'"\1"'),
        (r"</?[a-z_]{1,14}>|[*`~]|__|(?<![^\W_])_|_(?![^\W_])", ""),
    )
]


def _plain(reply: str) -> str:
    text = unicodedata.normalize("NFKC", before_next_question(reply)[-20_000:]).translate(_SIGNS)
    for pattern, plain in _PLAINLY:
        text = pattern.sub(plain, text)
    text = _ORDINAL.sub(lambda found: f"option {chr(65 + _ORDINALS.index(found[1].lower()))}", text)
    return before_next_question(text.strip())


_REFUSES = re.compile(
    r"\b(?:cannot|can't|unable to|not able to|don't|do not|insufficient|not enough)\b[^.\n]{0,40}\b(?:determine|say|tell|know|choose|answer|decide|help|information|context)"
    r"|\b(?:i am|i'm) not sure\b|\bnone of\b|\bneither\b",
    re.IGNORECASE,
)


def _normal(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.casefold()).split())


def _by_text(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The one choice whose text a reply is, alone or behind "the answer is"."""
    if not text or re.match(rf"\W*[{letters}][).:\]]", text):
        return None
    text = re.sub(r"\A(?:it|that|this)(?:'s| is)\s", "", text, flags=re.IGNORECASE)
    alike = [name for name, choice in zip(letters, choices, strict=False) if choice.strip() == text.rstrip(".").strip()]
    if len(alike) == 1:
        return alike[0]
    said = {_normal(text), _normal(text.partition("\n")[0])}
    found = re.findall(
        rf"\b{_PARTS['cue']}(?!s)[^\n.;!?]{{0,60}}?(?:\bis\b|:)\s*([^\n]{{1,300}})", text[-2000:], re.IGNORECASE
    )
    said |= {_normal(found[-1]), _normal(found[-1].partition(". ")[0])} if found else set()
    same = [
        name for name, choice in zip(letters, choices, strict=False)
        if _normal(choice) and {_normal(choice), _normal(f"{name} {choice}")} & said
    ]  # fmt: skip
    return same[0] if len(same) == 1 else None


def _by_line(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The one option that is restated with its letter ("B. Paris"), or the first with the others behind it; "" for a name."""
    some = letters + letters.lower()
    opens = rf"^[^\w\n]{{0,6}}(?i:(?:option|choice) ?)?([{some}])[^\w\n]?[).:\]-]\s|^[^\w\n]{{0,4}}(?i:(?:option|choice) ?)?\(([{some}])\)"
    lines = [*re.finditer(opens, text, re.MULTILINE)]
    if not lines:
        return None
    first, *others = [(found[1] or found[2]).upper() for found in lines]
    rest = text[lines[0].end() :]
    beside = re.search(  # "A) Paris, B) London", "(A) and (B)"
        rf"\A[^(\n]*?[,;]\s{{0,3}}[(]?[{letters}][).:]\s|\A\s?(?:,|and|or)\s[(]?[{letters}]\b", rest
    )
    if text[lines[0].end(1) - 1].islower():  # "a) is 3. b) is 4": the question's parts
        beside = beside or re.search(rf"[.;,]\s[(]?[{letters.lower()}][)]\s", rest)
    if not beside and {first}.issuperset(others):
        genus = re.match(r"[A-Z]\. ([a-z]+) \w", text[lines[0].start() :])
        if genus and genus[1] not in _SMALL and not _begins(rest, choices[letters.find(first) :][:1]):
            return ""  # "C. elegans is a worm"
        return first
    if not others or lines[0].start():
        return None
    between = text[lines[0].end() : lines[1].start()]
    again = first in others and others == sorted(others)  # the answer, then the list
    beyond = first not in others and (others[0] < first or _OTHERS.search(between))  # the answer, then the others
    return first if again or beyond else None


def _opening(text: str, letters: str, _: Sequence[str]) -> str | None:
    """The letter that a reply opens with, where words go on behind it ("B, because")."""
    first = re.match(
        rf"[^\w\n]{{0,6}}([{letters}])(?![\w'’+#-])(?:[,;!]|\s+(?:because|since|as|for|due|rather than|instead of|over)\b|\s[-–—(\[])",
        text,
    )
    several = first and re.match(rf"[,\s]+(?:and |or )?[(\[]?(?!{first[1]})[{letters}]\b(?!')", text[first.end(1) :])
    return first[1] if first and not several else None


_OTHERS = re.compile(
    r"\b(?:why|others?|explanation|reason\w*)\b[^\n]{0,60}:[^\w\n]{0,4}$", re.MULTILINE | re.IGNORECASE
)


def _mentioned(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The one choice whose text a reply has in it, neither denied nor beside another choice's letter or text."""
    if _REFUSES.search(text):
        return None
    text = re.sub(
        rf"^\W{{0,4}}[{letters}][.):]\s[^\n]*\n\W{{0,4}}[{letters}](?:[.):]\s[^\n]*)?$", "", text, flags=re.MULTILINE
    )
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
                if not re.search(_NOT, before) and not re.match(_WRONG_AFTER, f" {after}"):
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
