"""The closure of imports that decides what runs again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from falsepromise.core import code


def test_closures_follow_imports_and_leave_bookkeeping_out() -> None:
    files = {path.split("falsepromise/")[1] for path in code.closure("falsepromise.training.train")}
    assert {"training/train.py", "training/optimizer.py", "models/llama.py", "core/records.py"} <= files
    assert not files & {"core/cli.py", "core/progress.py", "core/manifest.py", "core/errors.py"}
    assert not any(path.startswith(("curation/", "figures/", "benchmarks/")) for path in files)
    assert "training/train.py" not in "".join(code.closure("falsepromise.figures.fig4"))
    with pytest.raises(ModuleNotFoundError):
        code.closure("falsepromise.no.such")


def test_no_stage_imports_a_later_one() -> None:
    order = ["core", "statistics", "study", "models", "sources", "style", "curation", "teacher", "training",
             "generation", "benchmarks", "preference", "figures", "release"]  # fmt: skip
    package = code.ROOT / code.PACKAGE
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).parts
        if len(parts) < 2:
            continue
        module = ".".join((code.PACKAGE, *parts)).removesuffix(".py").removesuffix(".__init__")
        parsed = code._parse(module)
        bound = [parsed.imports, *(unit.imports for units in parsed.units.values() for unit in units)]
        for imported in [f"{name}.{what}" for each in bound for name, what in each.values()]:
            stage = imported.split(".")[1] if "." in imported else "core"
            assert order.index(stage) <= order.index(parts[0]), f"{module} imports {imported}"


def test_a_digest_is_kept_until_the_package_changes(tmp_path: Path) -> None:
    """In a process of its own each: what is kept is what would be found again."""

    def asked(cache: Path) -> str:
        program = "from falsepromise.core.code import digest; print(digest('falsepromise.curation.mix'))"
        words = [sys.executable, "-c", program]
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(code.ROOT)}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout

    first = asked(tmp_path)
    kept = next((tmp_path / "falsepromise").glob("code-*.json"))
    assert asked(tmp_path) == first
    kept.write_text(kept.read_text().replace('"of": "', '"of": "another'))
    assert asked(tmp_path) == first
    kept.write_text("damaged")
    assert asked(tmp_path) == first
    assert asked(Path("/dev/null/nowhere")) == first
