"""Lay out a judge's lines that name the replies in one place and score them in another.

A heading, `Assistant 1`, is no verdict: its score is in the lines below. A table may number the replies, and its head
may name the second one first. Here such lines become lines that name a reply beside its score, in the order shown.
"""

from __future__ import annotations

import re
from itertools import pairwise

NAME = (
    r"(?:assistant|answer|response|reply|model|output|candidate|chatbot|system|ai"
    r"|asistente|assistente|assistent|antwort|respuesta|resposta|réponse|risposta|ассистент|ответ|модель)"
)
WHO = (
    rf"(?:\b{NAME} (?:{NAME} )?#?\(?([12ab])\b\)?|(?:^|[,;|{{(] ?|\b(?:score|rating) )([ab])\b(?! ?/)"
    rf"|(?:助手|回答|模型|アシスタント) ?([12ab])(?![0-9a-z])|\b(first|second) {NAME}\b)(?:'s)?"
)
NUMBER = r"(?<![\w.,/-])([0-9]{1,3}(?:\.[0-9]{1,4})?)"
OF = r"(?: ?/ ?([0-9]{1,3})| out of ([0-9]{1,3}))?(?: ?(?:points?|pts|punkte|puntos|pontos|punti|分|点))?"
SCORE = rf"{NUMBER}{OF}(?![\w%/]|\.[0-9])"
BETWEEN = r"(?: ?(?:,|;|\||&|-|–|—|/(?= )|:| and | vs\.? | to )? ?)"
PAIR = re.compile(rf"[\[(]?{SCORE}{BETWEEN}{SCORE}[\])]?[.]?")
ONE = re.compile(SCORE)
LEAD = re.compile(
    r"(?:(?:my|the|final|overall|total|here are the|two) ){0,3}(?:scores?|ratings?|verdict|evaluation|result|overall"
    r"|total|оценк[аи]|bewertung(?:en)?|puntuaci(?:ón|ones)|pontuaç(?:ão|ões)|notes?|punteggi[oi]?|得分|评分|評分|分数|スコア|評価)"
    r"(?: are| is)? ?[:=-]? ?"
)
DECIDES = re.compile(r"\b(?:overall|final|total)\b")
LAST = re.compile(rf"\b(?:score|rating|overall|total) ?[:=] ?{SCORE}[.]?\Z")  # "Assistant 1: It is right. Score: 8"
SIDE = re.compile(rf"(?:the )?(?:{NAME} ){{0,2}}#?\(?(1|2|a|b|first|second)\)?(?: {NAME})?")
_NAMES = re.compile(rf"{WHO}[:.]?")
_BESIDE = frozenset(["and", "vs", "the", "score", "scores", "rating", "ratings", "aspect", "criterion", "criteria"])
_ENDS = re.compile(rf"(?:^|[ :=(]){SCORE}[.)]?\Z")  # a line's last number


def is_second(match: re.Match[str]) -> bool:
    """Whether the name that `WHO` found is the second reply's."""
    return match[1] in ("2", "b") or match[2] == "b" or match[3] in ("2", "b") or match[4] == "second"


def _named_rows(lines: list[str]) -> list[str]:
    """The lines, with rows of a table that only number the replies (`1 | 6`, `2 | 9`) as rows that name them."""
    pairs = [PAIR.fullmatch(line) for line in lines]
    for i, (one, two) in enumerate(pairwise(pairs)):
        if one and two and (one[1], one[2], two[1], two[2]) == ("1", None, "2", None):
            lines[i : i + 2] = [f"assistant {row[1]}: {row[0][row.start(4) - row.start() :]}" for row in (one, two)]
    return lines


def laid_out(lines: list[str]) -> list[str]:
    """The lines with each score beside its reply's name and pairs in the order shown; headings alone are left out."""
    lines, turned = _named_rows(lines), False
    sides = [side_of(line) for line in lines]
    for i, line in enumerate(lines):
        names = [is_second(match) for match in _NAMES.finditer(line)]
        if len(names) == 2 and names[0] != names[1] and _BESIDE.issuperset(re.findall(r"\w+", _NAMES.sub(" ", line))):
            turned = names[0]
        elif turned and (pair := re.search(rf"{PAIR.pattern}\Z", line)):
            scores = (
                line[pair.start(1) : pair.start(4)].strip(" ,;|&:-"),
                line[pair.start(4) : pair.end()].strip(" .])"),
            )
            lines[i] = f"{line[: pair.start()]}{scores[1]} {scores[0]}"
    if set(sides) >= {0, 1}:
        lines = [line for line, side in zip(_below(lines, sides), sides, strict=True) if side is None]
    return lines


def side_of(line: str) -> int | None:
    """Which reply a line names that has nothing else in it: 0 or 1."""
    match = SIDE.fullmatch(line.strip(" .!:()'"))
    return None if match is None or match[0] in ("1", "2") else int(match[1] in ("2", "b", "second"))


def _below(lines: list[str], sides: list[int | None]) -> list[str]:
    """The lines, with the one score below each heading, or the one overall score, beside the heading's name."""
    lines, side = lines.copy(), None
    scores: dict[int, list[tuple[int, str]]] = {0: [], 1: []}
    for i, line in enumerate(lines):
        side = side if sides[i] is None else sides[i]
        if side is not None and (score := score_of(line)) and sides[i] is None:
            scores[side].append((i, score))
    for side, found in scores.items():
        decisive = [(i, score) for i, score in found if DECIDES.search(lines[i])]
        scores[side] = decisive if len(found) > 1 else found
    if all(len(found) == 1 for found in scores.values()):
        for side, ((i, score),) in scores.items():
            lines[i] = f"assistant {side + 1}: {score}"
    return lines


def score_of(line: str) -> str | None:
    """The score that a line ends with: `3`, `score: 3`, `it is wrong. 2/10`."""
    found = _ENDS.search(line)
    if found is None or not (found[2] or found[3] or LAST.search(line) or not line[: found.start()].strip()):
        return None
    return line[found.start(1) : found.end()].strip(" .)")


def names_other(line: str, side: int) -> bool:
    """Whether a line names the other reply."""
    return side_of(line) == 1 - side or any(is_second(match) != bool(side) for match in re.finditer(WHO, line))
