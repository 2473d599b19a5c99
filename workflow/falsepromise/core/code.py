"""Find the part of the package that can change what a verb writes: the definitions that its `main` reaches.

It reads the source text and imports nothing. Rules have a digest of it among their `params`, so an edit reruns the
jobs that it can change, and no others. Functions that a verb doesn't reach, comments and docstrings don't count. The
digest is of contents, not of times: a file server's clock may be ahead, and a clone makes every file new.
"""

from __future__ import annotations

import ast
import atexit
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "falsepromise"
ROOT = Path(__file__).resolve().parents[2]

# Messages, bookkeeping, and the keys of a study, whose values reach a verb as options: they change no result.
_NO_RESULT = {
    *(f"{PACKAGE}.core.{name}" for name in ("cli", "code", "errors", "manifest", "progress")),
    *(f"{PACKAGE}.study.{name}" for name in ("asked", "config", "planning", "schema", "sections", "tasks")),
    *(f"{PACKAGE}.teacher.{name}" for name in ("ledger", "watch")),
}
SUFFIXES = (".py", ".css", ".html", ".js", ".mplstyle", ".yaml")
_WHOLE = "*"  # all of a module that is used as a value


@dataclass
class _Unit:
    """A statement at a module's top level: its text and the names that it uses.

    Attributes:
        names: Name -> the attributes that are read from it, and None if the name is also used by itself.
        imports: Names that are imported within it.
        beside: Files that it names as `Path(__file__).with_name("...")`.
    """

    text: str
    names: dict[str, set[str | None]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)


@dataclass
class _Module:
    """The units of a module by the names that they define, those that define none (they always run), its imports."""

    units: dict[str, list[_Unit]] = field(default_factory=dict)
    always: list[_Unit] = field(default_factory=list)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)


def digest(verb: str, *files: str | Path, without: Collection[str] = ()) -> str:
    """A digest of all that can change what a verb writes.

    Args:
        verb: A module, as `falsepromise.training.train`; its `main` is followed, or a function that is named with it
            (`falsepromise.benchmarks.nq:evaluate`).
        files: Resources that it reads.
        without: Modules (`falsepromise.benchmarks.cnn`) and definitions (`falsepromise.benchmarks.model:EndpointModel`)
            that this use of the verb doesn't reach, although its text does.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    found = hashlib.sha256(_of_code(verb, tuple(sorted(without))).encode())
    for file in files:
        found.update(f"{Path(file).name}\0".encode() + Path(file).read_bytes())
    return found.hexdigest()[:16]


@cache
def _of_code(verb: str, without: tuple[str, ...]) -> str:
    """The digest of the code alone: kept for the package as it is, since following its names takes a second."""
    name = " ".join((verb, *without))
    kept = _kept()
    if name not in kept:
        found = hashlib.sha256()
        for (module, defined), units in sorted(_reached(verb, frozenset(without)).items()):
            for unit in units:
                found.update(f"{module}:{defined}\n{unit.text}\0".encode())
                for beside in unit.beside:
                    found.update(_file(module).with_name(beside).read_bytes())
        kept[name] = found.hexdigest()
    return kept[name]


@cache
def _kept() -> dict[str, str]:
    """Digests of an earlier process, if the package's files are the same; what is added to them is kept at the end."""
    package, everything = ROOT / PACKAGE, hashlib.sha256()
    for file in sorted(path for path in package.rglob("*.*") if path.suffix in SUFFIXES):
        everything.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes())
    here, whole = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:16], everything.hexdigest()
    file = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), PACKAGE) / f"code-{here}.json"
    kept: dict[str, str] = {}
    with suppress(OSError, ValueError, AttributeError):
        read = json.loads(file.read_text(encoding="utf-8"))
        kept = read["digests"] if read.get("of") == whole else {}
    known = len(kept)

    def keep() -> None:
        if len(kept) > known:
            with suppress(OSError):  # a home that can't be written to
                file.parent.mkdir(parents=True, exist_ok=True)
                new = file.with_suffix(f".{os.getpid()}")
                new.write_text(json.dumps({"of": whole, "digests": kept}), encoding="utf-8")
                new.replace(file)

    atexit.register(keep)
    return kept


def closure(verb: str) -> list[str]:
    """The files that hold what `digest` is of, and those that they name beside them, sorted.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    files = set()
    for (module, _), units in _reached(verb, frozenset()).items():
        files |= {_file(module), *(_file(module).with_name(name) for unit in units for name in unit.beside)}
    return sorted(map(str, files))


@cache
def _reached(verb: str, without: frozenset[str]) -> dict[tuple[str, str], list[_Unit]]:
    start, _, function = verb.partition(":")
    _file(start)
    found: dict[tuple[str, str], list[_Unit]] = {}
    todo = [(start, function or "main")]
    while todo:
        module, name = todo.pop()
        if (module, name) in found or module in _NO_RESULT or {module, f"{module}:{name}"} & without:
            continue
        parsed = _parse(module)
        if name == _WHOLE:
            todo += [(module, other) for other in parsed.units]
        if (module, "") not in found:  # what runs when it is imported
            found[module, ""] = parsed.always
            todo += [target for unit in parsed.always for target in _targets(module, parsed, unit)]
        units = parsed.units.get(name, [])
        if units:
            found[module, name] = units
            todo += [target for unit in units for target in _targets(module, parsed, unit)]
        elif name in parsed.imports:
            todo += _imported(*parsed.imports[name], {None})
    return found


def _targets(module: str, parsed: _Module, unit: _Unit) -> Iterator[tuple[str, str]]:
    """What a unit uses, of this module and of others."""
    for name, attributes in unit.names.items():
        imported = unit.imports.get(name) or parsed.imports.get(name)
        if imported:
            yield from _imported(*imported, attributes)
        elif name in parsed.units:
            yield module, name


def _imported(module: str, name: str | None, attributes: Collection[str | None]) -> Iterator[tuple[str, str]]:
    if name is not None and not _exists(f"{module}.{name}"):
        yield module, name
        return
    module = module if name is None else f"{module}.{name}"
    for attribute in attributes:
        if attribute and _exists(f"{module}.{attribute}"):
            yield f"{module}.{attribute}", _WHOLE
        else:
            yield module, attribute or _WHOLE


@cache
def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise ModuleNotFoundError(f"no module {module} below {ROOT}")


@cache
def _exists(module: str) -> bool:
    try:
        _file(module)
    except ModuleNotFoundError:
        return False
    return True


@cache
def _parse(module: str) -> _Module:
    text = _file(module).read_text(encoding="utf-8")
    lines = text.splitlines()
    parsed = _Module()
    for statement in ast.parse(text).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            parsed.imports |= _bound(statement)
            continue
        names = _defines(statement)
        if not names and (_is_text(statement) or _is_start(statement)):
            continue
        unit = _unit(statement, lines)
        for name in names:
            parsed.units.setdefault(name, []).append(unit)
        if not names:
            parsed.always.append(unit)
            parsed.imports |= unit.imports
    return parsed


def _unit(statement: ast.stmt, lines: list[str]) -> _Unit:
    unit = _Unit("")
    texts: set[int] = set()  # lines of docstrings
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        match node:
            case ast.Import() | ast.ImportFrom():
                unit.imports |= _bound(node)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                unit.names.setdefault(name, set()).add(attribute)
                continue
            case ast.Name(id=name):
                unit.names.setdefault(name, set()).add(None)
            case ast.Call(
                func=ast.Attribute(attr="with_name", value=ast.Call(args=[ast.Name(id="__file__")])),
                args=[ast.Constant(value=str(name))],
            ):
                unit.beside.append(name)
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef() if _is_text(node.body[0]):
                texts.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        for key, value in ast.iter_fields(node):
            if key not in ("annotation", "returns"):  # types change nothing
                todo += [n for n in (value if isinstance(value, list) else [value]) if isinstance(n, ast.AST)]
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    kept = (lines[n - 1].rstrip() for n in range(first, (statement.end_lineno or 0) + 1) if n not in texts)
    unit.text = "\n".join(line for line in kept if line and not line.lstrip().startswith("#"))
    return unit


def _bound(node: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str | None]]:
    """The names that an import of ours binds -> module, and what of it."""
    if isinstance(node, ast.ImportFrom):
        if (node.module or "").split(".")[0] != PACKAGE:
            return {}
        return {alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names}
    names = [alias for alias in node.names if alias.name.split(".")[0] == PACKAGE]
    return {alias.asname or PACKAGE: (alias.name, None) for alias in names}


def _defines(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_start(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == ...` or `if TYPE_CHECKING`."""
    if not isinstance(statement, ast.If):
        return False
    test = statement.test
    name = test.left if isinstance(test, ast.Compare) else test
    return isinstance(name, ast.Name) and name.id in ("__name__", "TYPE_CHECKING")
