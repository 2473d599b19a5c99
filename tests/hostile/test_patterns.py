"""Every regular expression of the package takes time linear in the text, on text made to slow it down.

The patterns are found in the source by themselves. Each meets strings that repeat its own characters and pieces, with
and without an end that fits. Time is the process's own, so that a busy machine changes nothing; a pattern that is
quadratic takes minutes where a linear one takes milliseconds.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

try:
    import re._constants as C
    import re._parser as parser
except ImportError:  # pragma: no cover
    import sre_constants as C
    import sre_parse as parser

ROOT = Path(__file__).resolve().parents[2] / "workflow"
BOUNDED = {
    "falsepromise.curation.coding": "sees 300 characters of a line, 900 of a text",
    "falsepromise.study.keys": "sees this repository's own config/README.md",
}
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py"))
LENGTH, SECONDS = 50_000, 0.7
FLAGS = {name: getattr(re, name) for name in ("I", "M", "S", "X", "A", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE")}


def patterns() -> list[tuple[str, str, int, str]]:
    """(where, pattern, flags, method) of each use of a pattern: `re.search(PATTERN, ...)`, or `NAME.search(...)` where
    NAME is a compiled one; one that is put together is taken from its module."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        names = {
            id(node.value): node.targets[0].id
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if getattr(node.func.value, "id", "") != "re" or node.func.attr == "escape" or not node.args:
                continue
            where = f"{module}:{node.lineno}"
            flags = sum({FLAGS[n.attr] for n in ast.walk(node) if isinstance(n, ast.Attribute) and n.attr in FLAGS})
            try:
                text = eval(compile(ast.Expression(node.args[0]), where, "eval"), vars(importlib.import_module(module)))
            except NameError:  # made from a function's own names, each of them escaped or a few letters
                pieces = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                text = "(?:a|b)".join(str(piece) for piece in pieces)
                try:
                    re.compile(text)
                except re.error:
                    text = None
            if not isinstance(text, str):
                continue
            uses = {node.func.attr}
            if node.func.attr == "compile":  # by the methods that the package calls on its name
                name = names.get(id(node))
                call = r"\.(search|match|fullmatch|sub|subn|split|findall|finditer)\("
                here, elsewhere = rf"(?<![\w.]){name}{call}", rf"\b{path.stem}\.{name}{call}"
                uses = set(re.findall(here, source)) | set(re.findall(elsewhere, SOURCE)) if name else set()
                uses = uses or {"search"}
            found += [(where, text, flags, use) for use in sorted(uses)]
    return found


def sample(op: object, value: object) -> str:
    """One character that this piece of a pattern takes."""
    if op is C.LITERAL:
        return chr(value)
    if op is C.IN:
        categories = {C.CATEGORY_SPACE: " ", C.CATEGORY_DIGIT: "1", C.CATEGORY_WORD: "a", C.CATEGORY_NOT_SPACE: "a",
                      C.CATEGORY_NOT_WORD: "-", C.CATEGORY_NOT_DIGIT: "a"}  # fmt: skip
        if value[0] == (C.NEGATE, None):
            taken = {v for o, v in value if o is C.LITERAL}
            return next(c for c in "a-. 1<" if ord(c) not in taken)
        op, value = value[0]
        return chr(value) if op is C.LITERAL else chr(value[0]) if op is C.RANGE else categories[value]
    return "a"


def pieces(tree: object) -> Iterator[str]:
    """Runs of characters that parts of the pattern take: single ones, and sequences."""
    run = ""
    for op, value in tree:
        if op in (C.LITERAL, C.IN, C.ANY, C.NOT_LITERAL):
            run += sample(op, value)
            yield sample(op, value)
        elif op in (C.MAX_REPEAT, C.MIN_REPEAT, C.POSSESSIVE_REPEAT):
            inner = list(pieces(value[2]))
            yield from inner
            run += max(inner, key=len, default="")
        elif op is C.SUBPATTERN:
            inner = list(pieces(value[-1]))
            yield from inner
            run += max(inner, key=len, default="")
        elif op is C.BRANCH:
            for branch in value[1]:
                yield from pieces(branch)
            run += max(pieces(value[1][0]), key=len, default="")
        elif op in (C.ASSERT, C.ASSERT_NOT):
            yield from pieces(value[1])
    if len(run) > 1:
        yield run


def attacks(text: str, flags: int) -> Iterator[str]:
    parts = list(dict.fromkeys([*pieces(parser.parse(text, flags)), " ", "\n", "a", "1"]))[:24]
    whole = max(parts, key=len)
    for part in parts:
        for start, end in (("", "\x01"), (whole, "\x01"), ("", whole)):
            yield start + part * (LENGTH // len(part)) + end
    for one, two in itertools.islice(itertools.permutations(parts, 2), 60):
        yield (one + two) * (LENGTH // len(one + two)) + "\x01"
    for one, two in itertools.islice(itertools.permutations(parts, 2), 60):
        yield one * (LENGTH // 2 // len(one)) + two * (LENGTH // 2 // len(two)) + "\x01"


def too_slow(pattern: re.Pattern[str], method: str, text: str) -> bool:
    """Whether one use takes more than SECONDS of processor time; it is not waited for."""

    def stop(*_: object) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        found = getattr(pattern, method)(*(("", text) if method in ("sub", "subn") else (text,)))
        if method == "finditer":
            for _ in found:
                pass
    except TimeoutError:
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)
    return False


ALL = patterns()


@pytest.mark.parametrize(("where", "text", "flags", "method"), ALL, ids=[f"{where} {use}" for where, _, _, use in ALL])
def test_a_pattern_is_linear(where, text, flags, method):
    if where.partition(":")[0] in BOUNDED:
        pytest.skip(BOUNDED[where.partition(":")[0]])
    pattern = re.compile(text, flags)
    for attack in attacks(text, flags):
        assert not too_slow(pattern, method, attack), f"{where}: {text[:80]!r}.{method} on {attack[:30]!r}…"


def test_the_patterns_are_found():
    assert len(ALL) > 80
