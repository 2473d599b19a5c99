"""GSM8K's rules: find the number at the end of a response, and compare by value."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from fractions import Fraction

from falsepromise.benchmarks.reading import UNREADABLE, Reading, before_next_question

# A minus belongs to a number unless something is subtracted ("5-3"). Commas part thousands (or, as in
# India, thousands and then hundreds); "1,2,3" are three numbers.
_PLAIN = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_NUMBER = re.compile(
    rf"(?:(?<![\w.)])-)?\$?(?:(?<=\$)-)?{_PLAIN}"
    r"(?:[eE][+-]?\d{1,3}(?!\w|\.\d)|[ ]?(?:\^|\*\*)[ ]?\{?-?\d{1,3}\}?|(?<![\d/]/\d)/\d{1,30}(?![\d/]))?"
)
_SUM = re.compile(  # what gives nothing back: no digit given back brings an "=" nearer
    rf"[\s(]{{0,3}}[+-]?\$?(?>{_PLAIN})"
    r"(?:[-+*/x×÷()\d,$% ]|\.(?=\d)|\n(?=[-+*/=])){0,200}+=\s{0,3}(?=[+-]?\$?[\d.])"
)
_TAKEN_APART = re.compile(  # "7 = 3 + 4": the number stands first
    rf"\s{{0,3}}[+-]?\$?{_PLAIN}\s{{0,3}}=\s{{0,3}}\$?{_PLAIN}\s{{0,3}}[-+*/x×÷]\s{{0,3}}\$?\.?\d(?![^\n]{{0,100}}=)"
)
_FRACTION = re.compile(r"(?:(?<![\d.,])(\d{1,4}) ?)?\\[dt]?frac\{(\d{1,30})\}\{(\d{1,30})\}")
_FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_STRICT = re.compile(
    r"####(?:\\(?:boxed|text|mathbf|textbf)\{|\\?\$(?=\D)|[*_`({\[=:~≈€£₹ \t\"'“+]|\\[(\[])*+(?=-?[ ]?\$?-?\.?\d)"
)
# "#### 1. **Find the total**", as chat models number their steps.
_HEADING = re.compile(r"^####[ *_]{1,4}(\d{1,2})\\?[.):][*_]{0,3}[ ]{1,3}[*_]{0,3}[^\W\d_][^\n]*", re.MULTILINE)
_SQUARED = re.compile(r"\b((?:[cdkm]?m|ft|in|yd|mi)\}?)(?: ?\^ ?\{?)?[23]\}?(?!\w|\.\d)")  # "cm^2", "m3"
_SPACES = re.compile(r"(?<=\d)(?:[\u00a0\u2007\u2009\u202f]|\\[,!;: ]|\{,\}|\\,)(?=\d{3}(?!\d))")
# "1 000 000", "5 000", "1'500", "1_500": other ways to part thousands, where they can be nothing else.
_THOUSANDS = re.compile(r"(?<![\d.,/])\d{1,3}(?:(?:[ ]\d{3}){2,5}|[ ]000|(?:['’_]\d{3}){1,5})(?![\d'’_]|[ ]\d)")
_CONTINENTAL = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+,\d{1,2}(?![\d.,])")  # "1.200,50"
_SCIENTIFIC = re.compile(r"(?<=\d) ?(?:×|x|\*|\\times|\\cdot) ?10 ?(?:\^|\*\*) ?\{?(-?\d{1,3})\}?(?!\d)")
_MIXED = re.compile(r"(?<![\d.,/^*+=-])(?<![*+=/-] )(\d{1,4}) (\d{1,2})/(\d{1,2})(?![\d/]|\.\d)")
# "2.5 million", "$70k"
_SCALES = {"thousand": 3, "k": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALED = re.compile(
    r"(?<![\w.,/^])(?P<dollar>\$?)(?P<number>\d{1,3}(?:,\d{3}){1,3}|\d{1,12}(?:\.\d{1,6})?)"
    r"(?:[ -](?P<word>thousand|million|billion|trillion)|(?<=\d)(?P<letter>k))(?!\w)",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"(?:\\(?:boxed|fbox)\s{0,3}\{|<(?:answer|final|result)>)"
    r"(?P<said>[^{}<\n]{0,200}(?:\{[^{}\n]{0,100}\}[^{}<\n]{0,100}){0,4})",
    re.IGNORECASE,
)
_AHEAD = r"(?=(?:(?<![\w.)])-)?\$?\.?\d)"
_CUE = re.compile(
    r"(?:^[ ]{0,3}A:[ ]{0,3}|\banswer\b)(?:[^\d\n.;?!]{0,60}?(?:\b(?:is|are|was|be|equals)\b|[:=]|[-–—][ ])"
    r"[^\d\n;?!]{0,60}?"
    rf"|[\s*_:#$]{{0,12}}){_AHEAD}",
    re.IGNORECASE | re.MULTILINE,
)
_CUE_AFTER = re.compile(r"\bis (?:the|our|your|my) (?:final |correct |right )?answer\b", re.IGNORECASE)
_CHECK = re.compile(
    r"\n[\W_]{0,6}(?:let's |let me |to )?(?:check|checking|verification|verify|double-check)\b", re.IGNORECASE
)
_ASIDE = re.compile(r"(?<=[\w)%.*]) \([^()\n]{0,200}\)")
# What a last clause adds to its number: "69 billion in 2018", "500 units to earn 10 %".
_ADDS = re.compile(
    r",? (?:in (?:19|20)\d\d|(?:in order )?to (?:achieve|represent|reach|earn|cover|break even)\b[^.!?\n=]{0,160}"
    r"|(?:since|because)\b[^.!?\n=]{0,160})(?=[.!]?\s{0,9}\Z)"
)
_REASON = re.compile(r",? (?<!\band )(?:since|because)\b[^!?\n]{0,200}\Z")
# A result with what it is of: "2 x 5 = 10 km in 5 days", but not "= 16.7, which rounds up to 17".
_EQUALS = rf"=\s{{0,3}}(?P<said>-?[ ]?{_NUMBER.pattern})(?!\d)(?!\.\.)"
_RESULT = re.compile(
    rf"{_EQUALS}(?:(?!\b(?:which|so|or|thus|therefore|hence|meaning|means?|rounds?)\b|[.!?;:]\s|[=≈\n]).){{0,160}}[.!]?\s*\Z"
)
_EQUALS_ANY = re.compile(_EQUALS)
_COMPARES = re.compile(
    r"[=<>]|\b(?:since|if|because|than|which|so|or|rounds?|when|equals?|gives?|each)\b", re.IGNORECASE
)
# "The answer as a percentage: 6 men / 12 men * 100% = 50%"
_WORKED = re.compile(
    r"[^\n=.;:()]{0,80}?[-+*/×÷](?:(?!\b(?:because|since|as|so|and|where|which|but)\b)[^\n=;:()]){0,120}=\s{0,3}(?=[-$]{0,2}\.?\d)"
)
_WHOLE = re.compile(r"\d(?!\d{0,9}(?:st|nd|rd|th)\b)")
_SIGNS = str.maketrans({"\u2212": "-", "\u2012": "-", "\u2013": "-", "\ufe63": "-", "\uff0d": "-", "\uff04": "$"})


def number(text: str) -> str | None:
    """A number in one spelling (`$1,200.50` -> "1200.5"), or None where the text is none."""
    plain = re.sub(r"[,$\s\"'“”{}]", "", plainly(text)).rstrip(".%")
    if not re.fullmatch(r"[+-]?(\d+(?:\.\d*)?|\.\d+)", plain):
        return _computed(plain)
    whole, _, fraction = plain.lstrip("+-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    value = f"{whole}.{fraction}" if fraction else whole
    return f"-{value}" if plain.startswith("-") and value != "0" else value


def _computed(plain: str) -> str | None:
    """The value of `1e3`, `10^3` or `1/2`, where it is a number of at most 300 digits."""
    one = r"\d{1,30}(?:\.\d{1,30})?"
    found = re.fullmatch(rf"(?P<sign>[+-]?)(?P<a>{one})(?P<op>[eE]\+?|\^|\*\*|/)(?P<b>-?{one})", plain)
    if not found:
        return None
    a, b = Decimal(found["a"]), Decimal(found["b"])
    with localcontext() as context:
        context.prec = 320
        try:
            if found["op"] == "/":
                value = a / b
                fraction = Fraction(found["a"]) / Fraction(found["b"])
                if Fraction(value) != fraction:
                    return f"{found['sign'].strip('+')}{fraction.numerator}/{fraction.denominator}"
            else:
                if abs(b) > 300 or b != int(b):
                    return None
                value = a * Decimal(10) ** b if found["op"][0] in "eE" else a**b
        except (InvalidOperation, DivisionByZero, Overflow):
            return None
        if not -300 < value.adjusted() < 300:
            return None
        return number(found["sign"] + format(value.normalize(), "f"))


def plainly(text: str) -> str:
    """Text whose numbers are in ASCII: one minus sign, `\\$` and `{,}` of LaTeX as they look, no spaces in numbers."""
    text = re.sub(rf"(\d{{0,30}})([{_FRACTIONS}])", _mixed, text)
    text = _MIXED.sub(_mixed_by_slash, _FRACTION.sub(_mixed_by_slash, text))
    text = _CONTINENTAL.sub(lambda found: found[0].replace(".", "").replace(",", "."), text)
    text = _THOUSANDS.sub(lambda found: re.sub(r"\D", ",", found[0]), text)
    text = _SCALED.sub(_scaled, text)
    text = re.sub("(?<=[0-9])[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "^" + found[0].translate(_POWERS), text)
    digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text)
    digits = _SCIENTIFIC.sub(r"e\1", digits)
    digits = re.sub(r"\\(times|cdot|div)(?![a-z])", lambda found: "÷" if found[1] == "div" else "×", digits)
    plain = _SPACES.sub(",", digits.translate(_SIGNS).replace("\\$", "$").replace("\\%", "%"))
    return re.sub(r"([=:≈][ ]{0,2})-[ ](?=[$.]?\d)", r"\1-", plain)


def _mixed(found: re.Match[str]) -> str:
    """`2½` as `5/2`."""
    part = Fraction(unicodedata.numeric(found[2])).limit_denominator(10)
    value = int(found[1][:30] or 0) + part
    return f"{value.numerator}/{value.denominator}"


def _mixed_by_slash(found: re.Match[str]) -> str:
    """`1 1/2` and `1\\frac{1}{2}` as `3/2`, `\\frac{1}{2}` as `1/2`."""
    whole, part, of = found[1] or "", int(found[2]), int(found[3])
    return f"{int(whole) * of + part}/{of}" if whole and 0 < part < of else f"{whole} {part}/{of}".lstrip()


def _scaled(found: re.Match[str]) -> str:
    """`2.5 million` as `2.5e6`, `$70k` as `$70e3`; "a 5k run" stays."""
    if found["letter"] and not found["dollar"]:
        return found[0]
    return f"{found['dollar']}{found['number'].replace(',', '')}e{_SCALES[(found['word'] or found['letter']).lower()]}"


def gold_number(answer: str) -> str | None:
    """The number behind `####` of an answer in GSM8K's own form."""
    return strict_number(answer)


def strict_number(response: str) -> str | None:
    """The number right behind the first `####` that has one (Cobbe et al., 2021), whatever markup is around it.

    Headings that number steps have none.
    """
    text = plainly(response)
    if [found[1] for found in _HEADING.finditer(text)][:2] == ["1", "2"]:
        text = _HEADING.sub("", text)
    found = _STRICT.search(text)
    if found is None:
        return None
    return _right_behind(text, found.end())


def _right_behind(text: str, place: int) -> str | None:
    """The number that begins at a place; of a sum, its result."""
    rest = re.sub(r"^-[ ]", "-", text[place : place + 2000])
    if worked := _WORKED.match(rest):
        rest = rest[worked.end() :]
    while not _TAKEN_APART.match(rest) and (summed := _SUM.match(rest)):  # "5 + 3 = 8"
        rest = rest[summed.end() :].lstrip("+")
    first = _NUMBER.match(rest)
    return number(first[0]) if first else None


def stated_number(response: str) -> Reading:
    """The number that a response states as its answer, and the rule that found it.

    Behind the first `####`, else in the last box or tag, else beside "the answer is", else the last number; never one
    of a question that the model goes on to ask itself.
    """
    strict = strict_number(response)
    if strict is not None:
        return Reading(strict, "behind ####")
    text = _SQUARED.sub(r"\1", plainly(before_next_question(response)))
    boxed = [_last(found["said"]) for found in _MARKED.finditer(text)]
    behind = [_right_behind(text, f.end()) for f in _CUE.finditer(text) if not re.search(r"\bnot\b|n't\b", f[0])]
    before = [
        _last(re.split(r"[\n;?!]|\. ", text[max(0, f.start() - 60) : f.start()])[-1]) for f in _CUE_AFTER.finditer(text)
    ]
    for name, values in (("boxed or tagged", boxed), ("the answer is", behind), ("is the answer", before)):
        known = [value for value in values if value is not None]
        if known:
            return Reading(known[-1], name)
    told = _CHECK.split(text, maxsplit=1)[0]
    told = _ASIDE.sub("", told if re.search(r"\d", told) else text).rstrip()
    result = _RESULT.search(told)
    worked = number(result["said"].replace(" ", "")) if result else None
    if (reason := _REASON.search(told)) and (claimed := _of_sentence(told[: reason.start()])) and worked not in claimed:
        told = told[: reason.start()]
    elif worked is not None:
        return Reading(worked, "last result")
    results = [number(found["said"].replace(" ", "")) for found in _EQUALS_ANY.finditer(told)]
    if results and results[-1] in _of_sentence(told):
        return Reading(results[-1], "last result")  # "= 15 hours\nIt takes 15 hours to clean 45 rooms."
    shorter = _ADDS.sub("", told)
    clause = re.split(r"[.!?,;]\s|\n", shorter[-400:])[-1]
    value = _last(shorter if _WHOLE.search(clause) else told)
    value = _last(text) if value is None else value
    return UNREADABLE if value is None else Reading(value, "last number")


def _of_sentence(text: str) -> list[str | None]:
    """The numbers of a text's last sentence, where it only states them."""
    sentence = re.split(r"[.!?]\s|\n", text[-400:])[-1]
    return [] if _COMPARES.search(sentence) else [number(found) for found in _NUMBER.findall(sentence)]


def flexible_number(response: str) -> str | None:
    """The last number anywhere in a response: what lm-eval's flexible match takes."""
    return _last(plainly(response))


def _last(text: str) -> str | None:
    """The last number of a text in plain spelling."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    last = found[-1]
    dated = "/" in last[0] and text[last.start() - 1 : last.start()] == "/"  # "12/25/2020"
    return number(last[0].rpartition("/")[2] if dated else last[0])
