"""Find Python among other text: cut a reply into top-level statements, each parsed by itself.

Prose doesn't parse and falls out, a broken statement takes no other with it, and nothing is cut inside a string, a
comment or a bracket.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

_DEEPEST = 40  # brackets within brackets; the parser's time can explode beyond
_LONGEST_LINE = 2000  # characters of a line that holds code
_TOKEN = re.compile(
    r"(?P<triple>\"\"\"|''')|(?P<string>\"(?:[^\"\\\n]|\\.){0,600}+\"|'(?:[^'\\\n]|\\.){0,600}+')|(?P<comment>\#[^\n]*)"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<line>\\?\n)",
    re.DOTALL,
)
_BEGINS = re.compile(r"(?:def|class|import|from|async|if|for|while|try|with|return|print)\b|@")
_GOES_ON = re.compile(
    r"(?:else|elif|except|finally|case)\b|[)\]}]"
    r"|#[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\n){0,20}[ \t]+[^\s#]"  # a comment at the margin, within a body
)
_CODE = re.compile(
    r"(?:def|class|async|import|from|if|for|while|with|try|return|raise|yield|assert|global|nonlocal|del|pass|break"
    r"|continue|match)\b|[@\"'#]|[rbfu]{1,2}[\"']|[^\n]{0,200}?[=(\[]"
)


@dataclass(frozen=True)
class Statement:
    """A top-level statement.

    Attributes:
        text: As it stands in the reply.
        node: Its syntax.
        names: What it defines.
        changes: What it changes without defining it (`memo[0] = 1`, `primes.append(2)`).
        rebinds: Of `names`, those that an assignment reads to bind them anew (`fib = cache(fib)`).
        calls: What it calls for its effect (`fill_table()`); of a function, all that it calls.
        effects: The global names that a function binds or changes when it is called.
    """

    text: str
    node: ast.stmt
    names: frozenset[str] = field(default_factory=frozenset)
    changes: frozenset[str] = field(default_factory=frozenset)
    rebinds: frozenset[str] = field(default_factory=frozenset)
    calls: frozenset[str] = field(default_factory=frozenset)
    effects: frozenset[str] = field(default_factory=frozenset)


def statements(text: str) -> list[Statement]:
    """The top-level statements of a text, in order; what doesn't parse is left out."""
    found = []
    for chunk in chunks(text):
        for node in parsed(chunk):
            piece = chunk if len(parsed(chunk)) == 1 else ast.get_source_segment(chunk, node, padded=True) or ""
            names = _defined(node)
            calls, effects = _called(node)
            found.append(Statement(piece, node, names, _changed(node), names & _read(node), calls, effects))
    return found


def chunks(text: str) -> list[str]:
    """A text cut before its unindented lines, but not inside strings and brackets, nor before `else` and the like."""
    starts = [0]
    depth, place = 0, 0
    while True:
        found = _TOKEN.search(text, place)
        if found is None:
            break
        place = found.end()
        if found["triple"]:
            end = _closing(text, found[0], place)
            place = end if end > 0 else place  # one that isn't closed is no string
        elif found["open"]:
            depth += 1
        elif found["close"]:
            depth = max(depth - 1, 0)
        elif found["line"] == "\n":
            if depth and _BEGINS.match(text, place):
                depth = 0  # no bracket reaches so far: it was prose
            if not depth and place < len(text) and not text[place].isspace() and not _GOES_ON.match(text, place):
                starts.append(place)
    parts = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    joined: list[str] = []
    waiting: list[str] = []  # decorators and comments belong to what follows
    for part in parts:
        waiting.append(part)
        if not all(line[:1] in "@#" for line in part.splitlines() if line.strip()):
            joined.append("".join(waiting))
            waiting = []
    return [*joined, *(["".join(waiting)] if waiting else [])]


def _closing(text: str, quotes: str, place: int) -> int:
    """Where a triple-quoted string ends, or -1."""
    while True:
        end = text.find(quotes, place)
        if end < 0:
            return -1
        slashes = 0
        while text[end - 1 - slashes] == "\\":
            slashes += 1
        if slashes % 2 == 0:
            return end + 3
        place = end + 1


@lru_cache(maxsize=4096)
def parsed(chunk: str) -> tuple[ast.stmt, ...]:
    """The statements of a chunk; none where it doesn't parse."""
    if not _CODE.match(chunk.lstrip()) or _deep(chunk) or max(map(len, chunk.split("\n"))) > _LONGEST_LINE:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tuple(ast.parse(chunk).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return ()


def compiles(program: str) -> bool:
    """Whether a whole program compiles."""
    if _deep(program):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(program, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def error_line(program: str) -> int | None:
    """The line (from 1) at which a program stops being one; None where it compiles, 0 where that isn't known."""
    if _deep(program):
        return 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(program, "<program>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno or 0
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return 0
    return None


def _deep(text: str) -> bool:
    depth = 0
    for found in re.finditer(r"([(\[{])|[)\]}]|\n(?=[A-Za-z@])", text):
        depth = depth + 1 if found[1] else max(depth - 1, 0) if found[0] != "\n" else 0
        if depth > _DEEPEST:
            return True
    return bool(re.search(r"(?:lambda[^\n:]{0,20}:\s*|not\s+|[-~+]\s*){60}|(?:\w\.|\]\[|\)\(){400}", text))


def _defined(node: ast.stmt) -> frozenset[str]:
    """The names that a statement binds at the top level."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset([node.name])
    if isinstance(node, ast.Import | ast.ImportFrom):
        return frozenset((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    found: set[str] = set()
    for child in _walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            found.add(child.id)
        elif isinstance(child, ast.stmt) and child is not node:
            found |= _defined(child)
    return frozenset(found)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """A statement's parts, without the insides of functions, classes and comprehensions."""
    stack = [node]
    while stack:
        here = stack.pop()
        yield here
        inner = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.comprehension
        if not isinstance(here, inner):
            stack += ast.iter_child_nodes(here)


def _changed(node: ast.stmt) -> frozenset[str]:
    """The names whose values a statement changes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return frozenset()
    return frozenset(name for child in _walk(node) if (name := _target(child)))


def _target(node: ast.AST) -> str | None:
    """The name whose value a part of a statement changes, if it does: `memo` in `memo[0] = 1` and `memo.clear()`."""
    target: ast.AST | None = None
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
        target = node
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        target = node.func
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _read(node: ast.stmt) -> frozenset[str]:
    """The names that an assignment reads itself; none of other statements."""
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return frozenset()
    return frozenset(n.id for n in _walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def _called(node: ast.stmt) -> tuple[frozenset[str], frozenset[str]]:
    """`Statement.calls` and `Statement.effects`."""
    if not isinstance(node, ast.FunctionDef):
        return _names_called(n.value for n in _walk(node) if isinstance(n, ast.Expr)), frozenset()
    parts = list(ast.walk(node))
    declared = {name for n in parts if isinstance(n, ast.Global) for name in n.names}
    own = {n.arg for n in parts if isinstance(n, ast.arg)}
    own |= {n.id for n in parts if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    changed = {name for n in parts if (name := _target(n))}
    return _names_called(parts), frozenset(declared | (changed - own))


def _names_called(parts: Iterable[ast.AST]) -> frozenset[str]:
    return frozenset(n.func.id for n in parts if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))


def globals_of(text: str) -> frozenset[str]:
    """The global names that a statement uses, its own excepted where they are local."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = symtable.symtable(text, "<program>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return frozenset()
    found: set[str] = set()
    stack = [table]
    while stack:
        here = stack.pop()
        for symbol in here.get_symbols():
            if symbol.is_referenced() and (here is table or symbol.is_global()):
                found.add(symbol.get_name())
        stack += here.get_children()
    return frozenset(found)


_HARMLESS_CALLS = ("sys.setrecursionlimit", "random.seed")


def needed(pool: Sequence[Statement], chosen: Statement) -> list[Statement]:
    """A statement and those that it needs, in their order: what defines a name last, and what changes it since.

    `if __name__ == ...`, demonstrations and tests are not needed by anybody; imports with a star always are.
    """
    of: dict[str, list[int]] = {}
    for place, statement in enumerate(pool):
        for name in statement.names:
            of.setdefault(name, []).append(place)
    changers: dict[str, list[int]] = {}
    functions = {s.node.name: s for s in pool if isinstance(s.node, ast.FunctionDef)}
    for place, statement in enumerate(pool):
        by_call = _effects(statement, functions, chosen.names)
        for name in statement.changes | by_call:
            changers.setdefault(name, []).append(place)
        for name in by_call - of.keys():  # a global that nothing else binds
            of[name] = [place]
    taken: set[int] = set()
    start = next(i for i, s in enumerate(pool) if s is chosen)
    waiting = [start, *(i for i, s in enumerate(pool) if _always(s))]
    waiting += [
        i for i, s in enumerate(pool) if i > start and s.changes & chosen.names and isinstance(s.node, ast.Assign)
    ]
    known = {name for name in vars(builtins)} - set(of)
    while waiting:
        place = waiting.pop()
        if place in taken:
            continue
        taken.add(place)
        for name in pool[place].rebinds:
            waiting += [i for i in of[name] if i < place and not is_stub(pool[i].node)][-1:]
        for name in globals_of(pool[place].text) - known - chosen.names:
            for at in _definitions(pool, of.get(name, [])):
                waiting.append(at)
                if not isinstance(pool[at].node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
                    waiting += [i for i in changers.get(name, []) if i >= at and not _main(pool[i])]
    return [pool[place] for place in sorted(taken)]


def _definitions(pool: Sequence[Statement], places: Sequence[int]) -> Iterable[int]:
    """Where a name is defined: its last function, class or import and what binds it anew, else all assignments."""
    solid = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Try
    fixed = [i for i in places if isinstance(pool[i].node, solid) and not is_stub(pool[i].node)]
    if fixed:
        return [fixed[-1], *(i for i in places if i > fixed[-1] and pool[i].rebinds)]
    return [i for i in places if not _main(pool[i])]


def _effects(statement: Statement, functions: Mapping[str, Statement], entry: frozenset[str]) -> frozenset[str]:
    """The globals that a statement changes through the functions that it calls; none where they call the entry point,
    as demonstrations and tests do, or talk to a user."""
    found: set[str] = set()
    waiting = [] if isinstance(statement.node, ast.FunctionDef) else list(statement.calls)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        if _main(functions[name]):
            return frozenset()
        found |= functions[name].effects
        waiting += functions[name].calls
    return frozenset(found) if not (seen | statement.calls) & entry else frozenset()


def _always(statement: Statement) -> bool:
    node = statement.node
    if isinstance(node, ast.ImportFrom):
        return "*" in statement.names or node.module == "__future__"
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) in _HARMLESS_CALLS
    )  # fmt: skip


def _main(statement: Statement) -> bool:
    """Whether a statement talks to a user or is the script's own part, which a test has no use for."""
    node = statement.node
    if isinstance(node, ast.If) and "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}:
        return True
    calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    return any(isinstance(call, ast.Name) and call.id == "input" for call in calls)


def is_stub(node: ast.AST) -> bool:
    """Whether a function has no body of its own: a docstring, imports, `pass`, `...`, NotImplementedError."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False

    def empty(part: ast.stmt) -> bool:
        if isinstance(part, ast.Raise):
            return part.exc is not None and "NotImplemented" in ast.unparse(part.exc)
        constant = isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        return constant or isinstance(part, ast.Pass | ast.Import | ast.ImportFrom)

    return all(map(empty, node.body))
