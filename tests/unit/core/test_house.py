"""The house: its picture is what the modules import, no circle, no module that is too long."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "workflow" / "falsepromise"


def graph() -> dict[str, set[str]]:
    """What each module imports of ours, anywhere in it."""
    files = {".".join(f.relative_to(PACKAGE).with_suffix("").parts): f for f in PACKAGE.rglob("*.py")}
    names = {name.removesuffix(".__init__"): file for name, file in files.items()}
    found: dict[str, set[str]] = {}
    for name, file in names.items():
        found[name] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("falsepromise"):
                module = str(node.module).removeprefix("falsepromise").removeprefix(".")
                for alias in node.names:
                    child = f"{module}.{alias.name}".removeprefix(".")
                    found[name].add(child if child in names else module)
        found[name] &= set(names) - {name}
    return found


def reach(edges: dict[str, set[str]], start: str) -> set[str]:
    """All that can be reached from `start` by one step or more."""
    seen: set[str] = set()
    todo = [*edges.get(start, ())]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += edges.get(name, ())
    return seen


def test_the_picture_is_what_is_imported() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = re.search(r"```mermaid\ngraph LR\n(.*?)```", text, re.DOTALL)[1].splitlines()  # type: ignore[index]
    drawn: dict[str, set[str]] = {}
    for line in lines:
        for left, right in pairwise(line.split("-->")):
            for importer in right.split("&"):
                for imported in left.split("&"):
                    drawn.setdefault(importer.strip(), set()).add(imported.strip())
    real: dict[str, set[str]] = {}
    for name, imports in graph().items():
        if "." in name:
            rooms = {other.split(".")[0] for other in imports if "." in other} - {name.split(".")[0]}
            real.setdefault(name.split(".")[0], set()).update(rooms)
    for room, rooms in real.items():
        assert rooms <= reach(drawn, room), f"{room} imports {rooms - reach(drawn, room)}, which the picture hasn't"
    for room, rooms in drawn.items():
        assert rooms <= real[room], f"the picture has {rooms} -> {room}, which no module imports"


def test_no_circle() -> None:
    edges = graph()
    assert not [name for name in edges if name in reach(edges, name)]


def test_no_module_is_too_long() -> None:
    long = {f.name: n for f in PACKAGE.rglob("*.py") if (n := len(f.read_text(encoding="utf-8").splitlines())) > 420}
    assert not long


def test_figures_and_tables_import_no_other_one() -> None:
    """What two of them need has a room of its own."""
    verbs = {f"figures.{f.stem}" for f in (PACKAGE / "figures").glob("*.py") if "def main(" in f.read_text("utf-8")}
    found = {name: imports & verbs for name, imports in graph().items() if imports & verbs}
    assert not found


def test_each_metric_that_a_task_or_a_study_names_has_its_row() -> None:
    from falsepromise.figures.metrics import KNOWN
    from falsepromise.study.tasks import TASKS

    assert not {name for task in TASKS.values() for name in task.metrics} - set(KNOWN)
    assert all(callable(task.function) for task in TASKS.values())
