"""Read a judge's answer: the better reply, if the answer is unambiguous; never a guess.

The prompt asks for a first line with two scores (`8 7`, `**8/10, 7/10**`), or one beside the name of each reply
(`Assistant 2: 6, Assistant 1: 8`). Judges also answer with JSON, `[[A]]`, scores on a later line or
`Winner: Assistant 1`; these are read if all statements of the answer agree. A first line counts unless a later line
corrects it ("Correction: 6 8") or says otherwise. Answers are untrusted: each pattern takes linear time, and no answer
raises an error.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from falsepromise.core.records import loads
from falsepromise.preference.headings import (
    BETWEEN,
    DECIDES,
    LAST,
    LEAD,
    NAME,
    ONE,
    PAIR,
    SCORE,
    SIDE,
    WHO,
    is_second,
    laid_out,
    names_other,
    score_of,
    side_of,
)

Labelled = tuple[set[tuple[float, float]], set[tuple[float, float]]]  # the scores of either reply, with their scales
MAX_CHARACTERS = 100_000  # of an answer; a verdict beyond them is not looked for
HIGHEST = 10.0

_DIGIT = r"[0-9]{1,3}(?:\.[0-9]{1,4})?(?: ?/ ?[0-9]{1,3})?"
_BELOW = re.compile(rf"[\[(]?(?:-{_DIGIT}{BETWEEN}-?{_DIGIT}|{_DIGIT}(?:, ?|/| )-{_DIGIT})[\])]?[.]?")  # "-1 5"
_MARKS = re.compile(
    r"\\boxed\{|(?<=\d)\}\$?\Z|(?<![a-z0-9])_+|_+(?![a-z0-9])|[*`#~\"“”]+|</?[a-z_0-9]{1,24}>|^(?:[>•|] ?|- )+"
)
_JOINTS = re.compile(r"[_|]+")
_SPACE = re.compile(r"\s+")
_SAYS = (
    r" ?(?:(?:overall|total|final|quality|a|an|the|score|scores|rating|of|is|gets|got|receives|received|earns|"
    r"deserves|with|at|would|be|scored|as) ?){0,6}[:=(|>–—-]{0,2} ?"
)
_END = r"(?= ?(?:$|[,;|.)\]&(/–—-]|and\b|vs\b|while\b|but\b|because\b|for\b))"
_LABELLED = re.compile(rf"{WHO}{_SAYS}{SCORE}(?! ?[–—-] ?[0-9]){_END}")  # "7-8" is no score
_OPENS = re.compile(rf"(?:[12][.)] ?)?{WHO} ?[:=–—-]")
_REVERSED = re.compile(rf"{SCORE} (?:for|to) (?:the )?{NAME} #?([12ab])\b")
_WORDS = re.compile(r"[a-z']+|[0-9]+")
_SPELT = dict(zip("zero one two three four five six seven eight nine ten".split(), map(str, range(11)), strict=True))  # noqa: SIM905
_SPELT_OUT = re.compile(rf"\b(?:{'|'.join(_SPELT)})\b")
_FILLERS = frozenset(
    """
    i i'd i'll my the a would give assign rate score scores rating ratings verdict are is as follows and vs while with
    of overall final total here to for points point out each get gets
    """.split()  # noqa: SIM905
)
_NAMED = frozenset(["assistant", "answer", "response", "reply", "model", "first", "second", "a", "b"]).union(_SPELT)
_CORRECTS = re.compile(
    r"\b(?:correct(?:ion|ed|ing)|(?:revis|updat|adjust|chang)(?:e|ed|ing|ion)?|(?:on|upon) (?:further )?reflection"
    r"|second thoughts?|actually|reconsider\w*|i was wrong|mistake|should (?:be|have been))\b"
)
_BRACKETS = re.compile(r"\[\[ ?([^\[\]]{1,24}) ?\]\]|\\boxed\{(?:\\text\{)?([^{}]{1,24})\}")
_WINNER = re.compile(
    r"(?:the |my |final |overall ){0,3}(?:winner|verdict|preference|preferred|choice|decision|judge?ment|answer|better"
    r"|best|conclusion)(?: (?:answer|response|reply|one|assistant|output|is|was|goes to|would be)){0,3} ?[:=-]? ?"
    r"(.{1,40}?)(?: wins| is (?:the )?(?:better|winner|best))?[ .!]?"
)
_THAN = rf"(?: than (?:the )?(?:{NAME} ){{0,2}}#?\(?(?:1|2|a|b|first|second|other)\)?(?: {NAME})?)?"
_IS_BETTER = re.compile(
    r"(?:so,? |therefore,? |thus,? |overall,? ){0,2}(?:(.{1,24}?) (?:(?:is|was) (?:the )?(?:clearly |slightly |much )?"
    rf"(?:better{_THAN}|winner|best|preferred)(?: (?:one|answer|response|reply|assistant|output))?"
    r"|(?:gives|provides|offers|has) (?:the|a) (?:clearly |slightly |much )?(?:better|best) (?:answer|response|reply)"
    r"|wins(?: (?:the|this) (?:comparison|round))?)|i (?:prefer|choose|pick) (.{1,40}?))"
    r"(?:,? (?:because|since|as) .{1,400})?"
)
_OF_WHOM = re.compile(rf"\A(?:the )?{NAME} (?:of|from|by|given by) ")
_TIE = re.compile(
    r"(?:it is |it's )?(?:a |an )?(?:c|tie|tied|draw|equal|equally good|both equal|same|the same|no preference)"
)
_RELATION = re.compile(r"([ab12]) ?(<<|>>|<|>|=|==) ?([ab12])")
_THINKS = re.compile(r"<(think|thinking|reasoning)>(?:.*?</\1>|(.*)\Z)", re.DOTALL | re.IGNORECASE)
_REFUSES = re.compile(
    r"(?:i(?:'m| am) (?:very |so |really )?sorry|sorry|i apologi[sz]e|my apologies|unfortunately|as an ai|"
    r"i(?:'m| am) (?:not able|unable)|i (?:can(?:no|')?t|can not|won't|will not|must decline|decline|refuse)|"
    r"it (?:is|would be) (?:not |in)appropriate)\b"
)
_DIGITS = {"1": "first", "2": "second", "3": "tie"}  # on a last line alone, as prompts with three classes ask
_KEYS_1 = re.compile(rf"(?:score|rating)?_?(?:of_)?(?:{NAME})?_?(?:1|a|first|one)(?:_?(?:score|rating))?")
_KEYS_2 = re.compile(rf"(?:score|rating)?_?(?:of_)?(?:{NAME})?_?(?:2|b|second|two)(?:_?(?:score|rating))?")
_KEYS_WINNER = ("winner", "verdict", "preference", "preferred", "choice", "better", "best", "decision", "answer")


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict on two replies.

    Attributes:
        choice: `first`, `second` or `tie`, in the order shown; None if unreadable.
        scores: The scores of the first and the second, if the judge gave any.
        why: The reason why there is no choice: `refusal`, `cut`, `empty`, `prose` (no verdict in it), `out of range`
            (a score below 0 or above its scale) or `contradictory`.
    """

    choice: str | None = None
    scores: tuple[float, float] | None = None
    why: str | None = None


def read_verdict(text: str, cut: bool = False) -> Verdict:
    """The verdict in a judge's answer; see the module's help for its forms.

    Args:
        text: The answer, as it came. Thoughts in `<think>` are set aside.
        cut: Whether it ran into its bound: then its last line may be half a one and a conclusion may be missing,
            so that only a whole first line or whole JSON counts.
    """
    text, thinking = _without_thoughts(text[:MAX_CHARACTERS])
    if thinking or (cut and not text.strip()):
        return Verdict(why="cut")
    if not text.strip():
        return Verdict(why="empty")
    whole = text.rpartition("\n")[0] if cut else text
    lines = laid_out([line for line in map(_plain, whole.split("\n")) if line])
    one = _of_line(lines[0]) if lines else None
    side = side_of(lines[0]) if lines else None
    if side is not None and any(names_other(line, side) or score_of(line) for line in lines[1:]):
        one = None  # a heading, or the beginning of a sentence
    found = one or _of_two_lines(lines)
    if found is not None and found.choice and not cut:
        found = _taken_back(found, lines[1 if one else 2 :])
    if found is None:
        found = _of_json(text)
    if found is None and not cut:
        found = _agreed(lines, text)
    if found is not None:
        return found
    if cut:
        return Verdict(why="cut")
    return Verdict(why="refusal" if lines and _REFUSES.match(lines[0]) else "prose")


def _taken_back(found: Verdict, lines: list[str]) -> Verdict:
    """The verdict of a first line, or the one that corrects it further down; contradictory where one merely differs."""
    others = [found]
    for line in lines:
        corrects = _CORRECTS.search(line)
        pair = re.search(rf"(?:^|[:=] ?|\bto )({PAIR.pattern})\Z", line) if corrects or LEAD.match(line) else None
        later = _of_line(pair[1]) if pair else next(_explicit(["8", line], line), None)
        if later and later.choice:
            others = [later] if corrects else [*others, later]
    agree = len({other.choice for other in others}) == 1
    return max(others, key=lambda other: other.scores is not None) if agree else Verdict(why="contradictory")


def _without_thoughts(text: str) -> tuple[str, bool]:
    """The text after its thoughts, and whether it ends within them."""
    opened = _THINKS.search(text)
    if opened is None:
        before, closed, after = text.rpartition("</think>")
        return (after if closed else before or text), False
    if opened[2] is not None:
        return text[: opened.start()], not text[: opened.start()].strip()
    return _THINKS.sub("", text), False


def _plain(line: str) -> str:
    """A line without Markdown's marks, in lower case, with single spaces."""
    line = unicodedata.normalize("NFKC", line).casefold().replace("’", "'").replace("\u2212", "-")
    line = _MARKS.sub(" ", _SPACE.sub(" ", line).strip())
    line = _SPACE.sub(" ", _JOINTS.sub(" ", line)).strip()
    if len(line) < 120 and (_FILLERS | _NAMED).issuperset(w for w in _WORDS.findall(line) if not w.isdecimal()):
        line = _SPELT_OUT.sub(lambda found: _SPELT[found[0]], line)  # "eight / six"
    return line


def _scored(first: float, second: float) -> Verdict:
    choice = "tie" if first == second else "first" if first > second else "second"
    return Verdict(choice, (first, second))


def _number(digits: str, *scales: str | None) -> tuple[float, float]:
    """A score and the scale that it names, else the one that was asked for."""
    return float(digits), float(next((scale for scale in scales if scale), HIGHEST))


def _pair(one: tuple[float, float], other: tuple[float, float]) -> Verdict:
    """The verdict of two scores; `out of range` where one is above its scale, or the scales differ."""
    if one[1] != other[1] or one[0] > one[1] or other[0] > other[1]:
        return Verdict(why="out of range")
    return _scored(one[0], other[0])


def _of_line(line: str) -> Verdict | None:
    """The verdict of a line that holds nothing else, or None."""
    lead = LEAD.match(line)
    bare = line[lead.end() :] if lead else line
    if match := PAIR.fullmatch(bare):
        return _pair(_number(*match.group(1, 2, 3)), _number(*match.group(4, 5, 6)))
    if _BELOW.fullmatch(bare):
        return Verdict(why="out of range")
    labelled, rest = _labelled(line)
    if all(labelled) and _FILLERS.issuperset(_WORDS.findall(rest)):
        return _of_labels([labelled])
    return _of_mark(line)


def _of_two_lines(lines: list[str]) -> Verdict | None:
    """The verdict of an answer that opens with a score a line, two of them."""
    scores = [ONE.fullmatch(line) for line in lines[:3]]
    if len(scores) < 2 or not scores[0] or not scores[1] or (len(scores) > 2 and scores[2]):
        return None
    return _pair(_number(*scores[0].group(1, 2, 3)), _number(*scores[1].group(1, 2, 3)))


def _labelled(line: str) -> tuple[Labelled, str]:
    """The scores that a line gives beside each reply's name, and the line without them."""
    found: Labelled = (set(), set())
    rest = line
    for match in _LABELLED.finditer(line):
        found[is_second(match)].add(_number(*match.group(5, 6, 7)))
    if not any(found) and (opens := _OPENS.match(line)) and (last := LAST.search(line)):
        found[is_second(opens)].add(_number(*last.group(1, 2, 3)))
        return found, line
    if any(found):
        rest = _LABELLED.sub(" ", line)
    else:
        for match in _REVERSED.finditer(line):
            found[match[4] in ("2", "b")].add(_number(*match.group(1, 2, 3)))
        rest = _REVERSED.sub(" ", line)
    return found, rest


def _of_labels(lines: list[Labelled]) -> Verdict | None:
    first, second = (set().union(*(line[side] for line in lines)) for side in (0, 1))
    if not first or not second:
        return None
    if len(first) > 1 or len(second) > 1:
        return Verdict(why="contradictory")
    return _pair(first.pop(), second.pop())


def _of_mark(text: str) -> Verdict | None:
    """The verdict of a mark alone: `a`, `assistant 2`, `tie`, `a>b`; a heading (`assistant 1:`) is none."""
    if text.endswith(":"):
        return None
    text = text.strip(" .!:()'[]")
    relation = _RELATION.fullmatch(text)
    if relation:
        one, sign, other = relation.groups()
        if (one in "1a") == (other in "1a"):
            return None
        if "=" in sign:
            return Verdict("tie")
        return Verdict("first" if (">" in sign) == (one in "1a") else "second")
    side = SIDE.fullmatch(text)
    if side and text not in ("1", "2"):  # a digit alone may be a score
        return Verdict("first" if side[1] in ("1", "a", "first") else "second")
    return Verdict("tie") if _TIE.fullmatch(text) else None


def _of_json(text: str) -> Verdict | None:
    """The verdict of an answer that is JSON, in a fence or bare."""
    stripped = text.strip()
    fence = re.search(r"```(?:json)?[ \t]*\n(.*?)```", text, re.DOTALL)
    start, end = stripped.find("{"), stripped.rfind("}")
    for candidate in (fence[1] if fence else "", stripped, stripped[start : end + 1] if 0 <= start < end else ""):
        if candidate.lstrip()[:1] not in ("{", "["):
            continue
        try:
            value = loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, list) and len(value) == 1:
            return None  # [[A]] with a number in it is no pair
        found = _of_value(value)
        if found:
            return found
    return None


def _of_value(value: Any, depth: int = 0) -> Verdict | None:
    if isinstance(value, list):
        numbers = [_of_scalar(entry) for entry in value]
        if len(value) == 2 and None not in numbers:
            return _pair(*((number, HIGHEST) for number in numbers))  # type: ignore[arg-type]
        return _of_ranks(value)
    if not isinstance(value, dict) or depth > 3:
        return None
    value = {str(key).casefold().strip().replace(" ", "_").replace("-", "_"): entry for key, entry in value.items()}
    scores: list[float | None] = []
    for keys in (_KEYS_1, _KEYS_2):
        given = {_of_scalar(entry) for key, entry in value.items() if keys.fullmatch(key)} - {None}
        scores.append(given.pop() if len(given) == 1 else None)
    said = {_said(value[key]) for key in _KEYS_WINNER if key in value} - {None}
    listed = _of_value(value.get("scores", value.get("ratings")), depth + 1)
    found = listed if None in scores else _pair((scores[0], HIGHEST), (scores[1], HIGHEST))  # type: ignore[arg-type]
    if found and found.choice and said and said != {found.choice}:
        return Verdict(why="contradictory")
    if found:
        return found
    if said:
        return Verdict(said.pop()) if len(said) == 1 else Verdict(why="contradictory")
    inner = [_of_value(entry, depth + 1) for key, entry in value.items() if isinstance(entry, dict | list)]
    inner = [entry for entry in inner if entry]
    return inner[0] if len(inner) == 1 else None


def _of_ranks(value: list[Any]) -> Verdict | None:
    """Both replies with their ranks: `[{"model": "model_1", "rank": 1}, {"model": "model_2", "rank": 2}]`."""
    ranks: dict[str | None, Any] = {}
    for entry in value:
        if not isinstance(entry, dict):
            return None
        name = next((_said(entry[key]) for key in ("model", "assistant", "answer", "name") if key in entry), None)
        ranks[name] = next((entry[key] for key in ("rank", "position") if key in entry), None)
    if set(ranks) != {"first", "second"} or sorted(map(str, ranks.values())) != ["1", "2"]:
        return None
    return Verdict("first" if str(ranks["first"]) == "1" else "second")


def _said(value: Any) -> str | None:
    """Which reply a field of JSON names."""
    found = _of_mark(_plain(value)) if isinstance(value, str) else None
    if found is None and str(value).strip() in ("1", "2"):
        return "first" if str(value).strip() == "1" else "second"
    return found.choice if found else None


def _of_scalar(value: Any) -> float | None:
    """A score in JSON: a number, text of one (`8`, `8/10`), or an object with `score`."""
    if isinstance(value, dict):
        folded = {str(key).casefold(): entry for key, entry in value.items()}
        inner = next((folded[key] for key in ("score", "rating", "overall", "overall_score") if key in folded), None)
        return None if isinstance(inner, dict) else _of_scalar(inner)
    if isinstance(value, str):
        match = ONE.fullmatch(_plain(value))
        return float(match[1]) if match and (match[2] or match[3] or "10") == "10" else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e6 and math.isfinite(value) and value >= 0 else None


def _agreed(lines: list[str], text: str) -> Verdict | None:
    """The verdict that all statements of an answer agree on; contradictory if they don't; None without any."""
    said = list(_statements(lines, text))
    choices = {verdict.choice for verdict in said if verdict.choice}
    if len(choices) > 1 or any(verdict.why == "contradictory" for verdict in said):
        return Verdict(why="contradictory")
    if not choices:
        return said[0] if said else None
    return next((verdict for verdict in said if verdict.scores), None) or Verdict(choices.pop())


def _statements(lines: list[str], text: str) -> Iterator[Verdict]:
    explicit = list(_explicit(lines, text))
    yield from explicit
    labelled = [(_labelled(line)[0], bool(DECIDES.search(line))) for line in lines]
    decisive = [scores for scores, decides in labelled if decides and all(scores)]
    found = _of_labels(decisive or [scores for scores, _ in labelled])
    # Aspects that point both ways don't contradict a conclusion that is said in so many words.
    if found and (found.why != "contradictory" or not explicit):
        yield found


def _explicit(lines: list[str], text: str) -> Iterator[Verdict]:
    """Verdicts that an answer gives as such: marks, pairs of scores, a winner's name."""
    marks = [_plain(mark or boxed) for mark, boxed in _BRACKETS.findall(text)]
    numbers = [ONE.fullmatch(mark) for mark in marks]
    if len(marks) == 2 and numbers[0] and numbers[1]:
        yield _pair(_number(*numbers[0].group(1, 2, 3)), _number(*numbers[1].group(1, 2, 3)))
        marks = []
    for mark in marks:
        found = _of_mark(mark) or _of_line(mark)
        if found:
            yield found
        elif mark in ("1", "2") and len(set(marks)) == 1:
            yield Verdict("first" if mark == "1" else "second")
    for line in lines[1:]:
        pair = PAIR.fullmatch(line[lead.end() :] if (lead := LEAD.match(line)) else line)
        if pair:
            yield _pair(_number(*pair.group(1, 2, 3)), _number(*pair.group(4, 5, 6)))
    if len(lines) > 1 and lines[-1] in _DIGITS and not ONE.fullmatch(lines[-2]):
        yield Verdict(_DIGITS[lines[-1]])
    for line in lines:
        # "Answer 2 is better" opens like "Answer: 2": where the one form names nobody, it may be the other.
        for match in (_WINNER.fullmatch(line), _IS_BETTER.fullmatch(line.rstrip(" .!"))):
            name = next((name for name in match.groups() if name), "") if match else ""
            found = _of_mark(_OF_WHOM.sub("", name))
            if found is None and name.strip(" .") in ("1", "2"):
                found = Verdict("first" if name.strip(" .") == "1" else "second")
            if found:
                yield found
                break
