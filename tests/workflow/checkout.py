"""A copy of the repository in which tests run Snakemake."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STUDY = ("--configfile", "config/test.yaml")


class Checkout:
    """A copy of the repository to run Snakemake in."""

    def __init__(self, path: Path):
        self.path = path

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH"))}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def planned(self, *arguments: str, study: tuple[str, ...] = STUDY) -> dict[str, int]:
        """How many jobs of each rule a run would start, from a dry run; without `all`."""
        done = self.snakemake("-n", "--cores", "2", *study, *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return {}
        table = text.rsplit("Job stats:", 1)[1].split("total", 1)[0]
        jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
        jobs.pop("all", None)
        return jobs

    @contextmanager
    def changed(self, name: str, function: str) -> Iterator[None]:
        """For a while, a function of a module does something more (nothing, that is)."""
        text = (self.path / name).read_text(encoding="utf-8")
        found = [node for node in ast.walk(ast.parse(text)) if getattr(node, "name", None) == function]
        assert found, f"{name} has no {function}"
        first = found[0].body[-1]
        lines = text.splitlines(keepends=True)
        line = min([first.lineno, *(decorator.lineno for decorator in getattr(first, "decorator_list", []))])
        lines.insert(line - 1, " " * first.col_offset + "pass\n")
        with self.edited(name, text, "".join(lines)):
            yield

    @contextmanager
    def edited(self, name: str, old: str = "", new: str = "\n# edited\n") -> Iterator[None]:
        """For a while, `old` is `new` in a file, or `new` stands at its end."""
        file = self.path / name
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        file.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(text, encoding="utf-8")
