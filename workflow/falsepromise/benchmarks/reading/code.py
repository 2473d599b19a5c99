"""Find the program in a reply to one of HumanEval's problems.

Candidates, the first that compiles and defines the entry point is taken: the prompt continued as it stands; a
definition in fenced blocks, taken together; one in the bare text; the stub with a body out of a block or the text, in
every indentation. Of several definitions the last counts. A program is that definition with the imports, definitions
and assignments that it needs, out of the reply or else the prompt. Where nothing is found, the same is tried on a
text that was repaired: without end markers, escapes of HTML and JSON, prompts of a shell, typographers' quotes.
"""

from __future__ import annotations

import ast
import html
import json
import re
import sys
import textwrap
import typing
from collections.abc import Iterator, Sequence

from falsepromise.benchmarks.reading import UNREADABLE, Reading
from falsepromise.benchmarks.reading.source import (
    Statement,
    chunks,
    compiles,
    error_line,
    globals_of,
    is_stub,
    needed,
    statements,
)

_FENCE = re.compile(r"^[ \t>]*(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^\n]*)$", re.MULTILINE)
_LANGUAGE = re.compile(r"\A[{.\s]*+(?:python[\d.]*|py\d?|pycon|ipython)?\b[}\s]*(?:copy code|copy)?\s*", re.IGNORECASE)
_MARK = r"(?:</?[A-Za-z_]{1,20}>|<\|[^|\n>]{1,40}\|>|\[/?[A-Za-z]{1,12}\]|`{1,5}+|(?<!~)~{3,}+)"
_END_MARKS = re.compile(rf"{_MARK}{{1,4}}+[ \t]*$", re.MULTILINE)
_OPENING_MARKS = re.compile(rf"^[ \t]{{0,40}}{_MARK}{{1,4}}+(?=[ \t]*(?:def|from|import|class|return|@))", re.MULTILINE)
_QUOTES = str.maketrans({
    "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u00a0": " ", "\u202f": " ", "\u2003": " ",
    "\u3000": " ", "\u200b": None, "\u200c": None, "\u2060": None, "\ufeff": None, "\x00": None, "\u2212": "-",
})  # fmt: skip
_MOST_CUTS = 6
_MOST_DEFINITIONS = 50  # that are compared; the last ones
_INLINE = re.compile(r"(?<!`)`([^`\n]{6,300})`(?!`)")
_SHOWN_AS_WRONG = re.compile(  # the line before a block
    r"\b(?:don't|don’t|do not|never|avoid)\s(?:ever\s)?(?:write|use|do|writing|using|doing)\b[^.\n]{0,30}"
    r"\b(?:this|that|it|like|following)\b"
    r"|^\W*(?:wrong|incorrect|bad|buggy|broken|not this)\b[^.\n]{0,40}:\W*$"
    r"|\b(?:(?:does not|doesn't|will not|won't|would not) work|would (?:fail|be wrong)|is (?:wrong|incorrect))\b"
    r"(?![^\n]{0,60}\b(?:right|correct\w*|fix\w*|instead|better|should|here|now|use)\b)[^.\n]{0,60}:\W*$",
    re.IGNORECASE,
)


def program(prompt: str, reply: str, entry_point: str) -> Reading:
    """The whole program of a reply: its source, or None if there is none.

    Args:
        prompt: What the model was given: it ends with the entry point's signature and docstring.
        reply: What it gave, without its reasoning.
        entry_point: The function's name.
    """
    prompt, reply = _lines(prompt), _lines(reply)
    for lossy in (False, True):
        for name, text in (("", reply), *_repairs(reply, entry_point)):
            if not name or text != reply:
                found = _read(prompt, text, entry_point, lossy)
                if found.value is not None:
                    return Reading(found.value, f"{found.rule}, {name}" if name else found.rule)
    return UNREADABLE


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").encode("utf-8", "replace").decode()


def _read(prompt: str, reply: str, entry_point: str, lossy: bool) -> Reading:
    """One look at a reply; `lossy`: bodies may be cut where they break, and lose lines that aren't code."""
    given = [*statements(prompt), *_inline_imports(reply)]
    continued = _continued(prompt, reply, entry_point)
    if continued and _answers(continued, entry_point):
        return Reading(continued, "continuation")
    fenced = blocks(reply)
    named = re.search(rf"\b{re.escape(entry_point)}\b", reply)
    if named:
        views = (("fenced definition", fenced), ("fenced definition", _around(reply)), ("definition", [reply]))
        for rule, texts in views:
            pool = [s for text in texts for s in statements(_dedented(text))]
            made = _program([*given, *pool], entry_point, pool, fence_open=len(_FENCE.findall(reply)) % 2 == 1)
            if made:
                return Reading(made, rule)
            made = _method([*given, *pool], entry_point)
            if made:
                return Reading(made, rule.replace("definition", "method"))
        # One block within another's indentation, say in a list: alone, each is whole.
        for text in _indented(reply):
            pool = statements(text)
            made = _program([*given, *pool], entry_point, pool)
            if made:
                return Reading(made, "indented definition")
    if not re.search(r"\b(?:return|yield)\b", reply):
        return Reading(continued, "continuation") if continued and lossy else UNREADABLE
    bodies = [("fenced body", text) for text in fenced[::-1]]
    bodies += [("body", text) for text in (reply, *_indented_parts(reply))]
    bodies += [("inline body", span) for span in _INLINE.findall(reply)[::-1] if lossy and span.startswith("return ")]
    for rule, text in bodies:
        others = [other for other in fenced if other is not text]
        for body in _bodies(prompt, text, lossy):
            found = _continued(prompt, body, entry_point, others, _MOST_CUTS if lossy else 1)
            if found and _answers(found, entry_point, nested=True):
                return Reading(found, rule)
    return Reading(continued, "continuation") if continued and lossy else UNREADABLE


def _answers(made: str, entry_point: str, nested: bool = False) -> bool:
    """Whether the entry point gives anything back, or (`nested`) a function within it: a body that is another function
    is no answer, and no reason to look for its lines elsewhere."""
    returns = ast.Return | ast.Yield | ast.YieldFrom
    own = [s.node for s in statements(made) if entry_point in s.names]
    return any(_gives(node) or (nested and any(isinstance(part, returns) for part in ast.walk(node))) for node in own)


def _indented_parts(text: str) -> list[str]:
    """Runs of indented lines in a text, as a page shows code; the last first."""
    return [found[0] for found in re.finditer(r"(?:^[ \t]+\S[^\n]*\n?(?:[ \t]*\n)*)+", text, re.MULTILINE)][:-4:-1]


def _program(
    pool: list[Statement], entry_point: str, own: list[Statement] | None = None, fence_open: bool = False
) -> str | None:
    """The last real definition of the entry point (of those in `own`), with what it needs of the pool.

    One that gives something back goes before one that doesn't, and a whole one before its own beginning, repeated, or
    one that may have been cut off in a fence that stays open.
    """
    found = [s for s in (pool if own is None else own) if entry_point in s.names and _defines(s.node)]
    found = found[: -_MOST_DEFINITIONS - 1 : -1]
    whole = [
        s for s in found if not any(o.text.startswith(s.text.rstrip()) and o.text.rstrip() > s.text for o in found)
    ]
    whole.sort(key=lambda s: not _gives(s.node))
    if fence_open and whole and not _ends(whole[0].node):
        whole.sort(key=lambda s: not _ends(s.node))
    for statement in whole:
        parts = [part.text.rstrip() + "\n" for part in needed(pool, statement)]
        parts.sort(key=lambda part: not part.startswith("from __future__"))
        made = "\n\n".join([*_typing(parts), *parts])
        if compiles(made):
            return made
    return None


def _defines(node: ast.stmt) -> bool:
    """Whether a statement that binds a name gives it a meaning here: no stub, no import of what isn't Python's own."""
    if isinstance(node, ast.ImportFrom):
        return not node.level and (node.module or "").partition(".")[0] in sys.stdlib_module_names
    return not is_stub(node) and not isinstance(node, ast.Import)


def _gives(node: ast.AST) -> bool:
    """Whether a function gives anything back itself."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Return | ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(part)
    return False


def _ends(node: ast.stmt) -> bool:
    """Whether a definition ends as whole ones do: a function with `return`."""
    return not isinstance(node, ast.FunctionDef) or isinstance(node.body[-1], ast.Return | ast.Raise)


def _typing(parts: Sequence[str]) -> list[str]:
    """An import of the names of `typing` that a program uses and nobody imported: annotations compute nothing."""
    text = "".join(parts)
    bound = {name for s in statements(text) for name in s.names}
    if "*" in bound:
        return []
    missing = sorted((globals_of(text) - bound) & set(typing.__all__))
    return [f"from typing import {', '.join(missing)}\n"] if missing else []


def _method(pool: list[Statement], entry_point: str) -> str | None:
    """The last class with a method of the entry point's name, and a function that calls it."""
    for statement in reversed(pool):
        node = statement.node
        if isinstance(node, ast.ClassDef) and any(
            isinstance(part, ast.FunctionDef) and part.name == entry_point and not is_stub(part) for part in node.body
        ):
            call = statements(
                f"def {entry_point}(*args, **named):\n    return {node.name}().{entry_point}(*args, **named)\n"
            )
            return _program([*pool, *call], entry_point, call)
    return None


def _inline_imports(reply: str) -> list[Statement]:
    """Imports that a reply names in its sentences."""
    spans = [span for span in _INLINE.findall(reply) if span.startswith(("import ", "from "))][:_MOST_DEFINITIONS]
    return [s for span in spans for s in statements(span + "\n") if isinstance(s.node, ast.Import | ast.ImportFrom)]


def _continued(
    prompt: str, body: str, entry_point: str, more: Sequence[str] = (), cuts: int = _MOST_CUTS
) -> str | None:
    """The program of prompt and body together, where the body makes a real function of the prompt's stub; else None.

    A function whose end is broken is cut before that, a few times at most. Later definitions count as helpers alone.
    """
    parts, length, place = chunks(prompt + body), 0, -1
    while length <= len(prompt.rstrip()) and place + 1 < len(parts):
        place += 1
        length += len(parts[place])
    part = parts[place]
    for _ in range(cuts):
        wrong = error_line(part)
        if wrong is None:
            found = [s for s in statements(part) if entry_point in s.names and not is_stub(s.node)]
            if not found:
                return None
            before, after = (s for some in (parts[:place], parts[place + 1 :]) for s in [statements("".join(some))])
            own = [s for text in more for s in statements(_dedented(text))] + after
            anew = [s for s in after if entry_point in s.rebinds]
            pool = [*before, *(s for s in own if entry_point not in s.names), *found, *anew]
            return _program(pool, entry_point)
        lines = part.split("\n")
        if not 1 < wrong <= len(lines):
            return None
        part = "\n".join(lines[: wrong - 1]) + "\n"
    return None


def blocks(text: str) -> list[str]:
    """The contents of fenced blocks, of any fence, language and indentation; the last may be open.

    Those that are shown as wrong come first.
    """
    found: list[str] = []
    start: int | None = None
    wrong = False
    for fence in _FENCE.finditer(text):
        info = fence["info"].strip()
        if start is not None:
            found.insert(0 if wrong else len(found), text[start : fence.start()])
            start = None
            if not info:
                continue
        if info.endswith(fence["marks"]):  # one line: ```return x```
            found.append(info.removesuffix(fence["marks"]))
            continue
        rest = _LANGUAGE.sub("", info, count=1)
        code = re.search(r"[(=:]|^(?:return|import|from)\b", rest)
        start = fence.end() - len(rest) if code and rest else fence.end() + 1
        wrong = bool(
            _SHOWN_AS_WRONG.search(text[max(0, fence.start() - 200) : fence.start()].rstrip().rpartition("\n")[2])
        )
    if start is not None:
        found.append(text[start:])
    # A fence that closes behind code, on its line.
    return [re.sub(r"(?:(?<!`)`{3,}+|(?<!~)~{3,}+)[ \t]{0,40}\n?\Z", "", block) for block in found if block.strip()]


def _around(text: str) -> list[str]:
    """All between the first and the last fence, fences within it included: they may stand in a docstring."""
    fences = list(_FENCE.finditer(text))
    return [text[fences[0].end() + 1 : fences[-1].start()]] if len(fences) > 2 else []


def _dedented(text: str) -> str:
    text = textwrap.dedent(text)
    first, _, rest = text.lstrip("\n").partition("\n")
    if first[:1].isspace() or not rest:
        return text.lstrip("\n") if not first[:1].isspace() else first.lstrip() + "\n" + textwrap.dedent(rest)
    return text


def _indented(text: str) -> Iterator[str]:
    """The text from its last indented definition on, without that indentation."""
    found = list(re.finditer(r"^([ \t]+)(?:def|from|import|class)\b", text, re.MULTILINE))
    for start in dict.fromkeys((found[0], found[-1]) if found else ()):
        width = len(start[1])
        lines = text[start.start() :].split("\n")
        yield "\n".join(line[width:] if not line[:width].strip() else line for line in lines)


def _bodies(prompt: str, text: str, lossy: bool) -> Iterator[str]:
    """A text as the body of the prompt's stub: as it is, its first line or all of it moved, or its prose left out."""
    text = text.strip("\n")
    indent = _indent(prompt)
    lead = "" if prompt.endswith("\n") else "\n"
    first, _, rest = text.partition("\n")
    yield lead + text
    yield lead + indent + first.strip() + "\n" + rest
    yield lead + textwrap.indent(textwrap.dedent(text), indent)
    yield lead + indent + first.strip() + "\n" + textwrap.indent(textwrap.dedent(rest), indent)
    if not lossy:
        return
    pieces = [s.text for s in statements(textwrap.dedent(text).expandtabs(4))]
    yield lead + textwrap.indent("\n".join(piece.rstrip() for piece in pieces), indent)


def _indent(prompt: str) -> str:
    """The indentation of the stub's own lines."""
    lines = [line for line in prompt.split("\n") if line.strip()]
    last = lines[-1] if lines else ""
    width = len(last) - len(last.lstrip())
    return last[:width] or "    "


def _repairs(reply: str, entry_point: str) -> Iterator[tuple[str, str]]:
    """The reply without what servers, pages and shells put around code, more and more of it."""
    marked = _OPENING_MARKS.sub("", _END_MARKS.sub("", reply))
    yield "end markers removed", marked
    if re.search(r"\w\\_", reply):
        yield "escapes undone", re.sub(r"\\(?=[_*\[\]])", "", reply)
    if re.search(r"^[ \t]*>>> ", reply, re.MULTILINE):
        yield "shell prompts removed", re.sub(r"^[ \t]*(?:>>>|\.\.\.)(?: |$)", "", reply, flags=re.MULTILINE)
    if re.search(r"^(?:> ?){1,3}\S", reply, re.MULTILINE):
        yield "quotation removed", re.sub(r"^(?:> ?){1,3}", "", reply, flags=re.MULTILINE)
    if re.search(r"^[ \t]*In ?\[\d{1,4}\]: ", reply, re.MULTILINE):
        yield (
            "shell prompts removed",
            re.sub(
                r"^[ \t]*(?:In ?\[\d{1,4}\]:|\.{3,8}:|Out ?\[\d{1,4}\]:[^\n]*)(?: |$)", "", reply, flags=re.MULTILINE
            ),
        )
    if re.search(r"^\+[ \t]*\w", reply, re.MULTILINE):
        yield "changes applied", "\n".join(line for block in (blocks(reply) or [reply]) for line in _changed(block))
    if re.search(r"^[ \t]*\d{1,4}[ \t]?[.:|)│]?[ \t]+\S", reply, re.MULTILINE):
        yield "line numbers removed", re.sub(r"^[ \t]*\d{1,4}[ ]?[.:|)│](?:[ \t]|$)", "", reply, flags=re.MULTILINE)
        blank = re.sub(r"^[ \t]*\d{1,4}(?=[ \t]|$)", lambda found: " " * len(found[0]), reply, flags=re.MULTILINE)
        yield "line numbers removed", blank
    for text in _strings(reply):
        yield "out of JSON", text
    plain = html.unescape(re.sub(r"<br ?/?>", "\n", marked)).translate(_QUOTES)
    yield "characters replaced", plain
    if "\\n" in plain:
        yield "escapes undone", plain.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
    yield "tabs expanded", plain.expandtabs(4)
    inline = re.search(rf"^.{{0,200}}?(?<![\w.])(def {re.escape(entry_point)}\b)", plain, re.MULTILINE)
    if inline:
        rest = plain[inline.start(1) :]
        yield "words before it removed", re.sub(r"(?<!`)`++[^`\n]{0,400}$", "", rest, count=1, flags=re.MULTILINE)


def _changed(block: str) -> Iterator[str]:
    """The lines of a text in the form of `diff`, after the change."""
    for line in block.split("\n"):
        if not re.match(r"-|@@|\+\+\+ |diff |index |\\ No newline", line):
            yield line[1:] if line[:1] in ("+", " ") else line


def _strings(reply: str) -> Iterator[str]:
    """The texts in a reply that is JSON, alone or in its fenced blocks."""
    for text in (reply, *blocks(reply)):
        stripped = text.strip()
        if stripped[:1] not in ("{", "[", '"'):
            continue
        try:
            waiting = [json.loads(stripped, strict=False)]
        except (ValueError, RecursionError):
            continue
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                yield value
            elif isinstance(value, list) and value and all(isinstance(line, str) for line in value):
                yield "\n".join(line.removesuffix("\n") for line in value)  # as notebooks keep a cell
            elif isinstance(value, dict | list):
                waiting += value.values() if isinstance(value, dict) else value
