"""Which files of the package can change what a verb writes: its own import closure.

Read from the source text, nothing is imported: rules list the closure as `input: code=`, so that
an edited module reruns the jobs that it can change, and no others.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = "falsepromise"
ROOT = Path(__file__).resolve().parents[2]

# What these hold changes messages and bookkeeping, never a result.
_NO_RESULT = {f"{PACKAGE}.core.{name}" for name in ("cli", "code", "errors", "manifest", "progress")} | {
    f"{PACKAGE}.study.planning"
}


def closure(module: str) -> list[str]:
    """The files of `module` (as `falsepromise.training.train`) and of all that it imports of ours.

    A file that a module names as `Path(__file__).with_name("...")` is part of it: a style sheet, say.

    Returns:
        Paths relative to the working directory where they are below it, sorted.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen or name in _NO_RESULT:
            continue
        seen.add(name)
        todo.extend(_imports(name))
    files = sorted(str(file) for name in seen for file in (_file(name), *_beside(name)))
    here = str(Path.cwd()) + "/"
    return [path.removeprefix(here) for path in files if Path(path).stat().st_size]


@cache
def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise ModuleNotFoundError(f"no module {module} below {ROOT}")


@cache
def _imports(module: str) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(ast.parse(_file(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith(PACKAGE + ".")]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for alias in node.names:
                child = f"{node.module}.{alias.name}"
                found.append(child if _exists(child) else node.module)
    return tuple(name for name in found if _exists(name))


@cache
def _beside(module: str) -> tuple[Path, ...]:
    found = []
    for node in ast.walk(ast.parse(_file(module).read_text(encoding="utf-8"))):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="with_name", value=ast.Call(args=[ast.Name(id="__file__")])),
                args=[ast.Constant(value=str(name))],
            ):
                found.append(_file(module).with_name(name))
    return tuple(found)


def _exists(module: str) -> bool:
    try:
        _file(module)
    except ModuleNotFoundError:
        return False
    return True
