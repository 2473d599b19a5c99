"""The hand-made samples, and a reader's verb run on a file."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SAMPLES = Path(__file__).resolve().parents[3] / "resources" / "samples"


@pytest.fixture
def samples() -> Path:
    return SAMPLES


@pytest.fixture
def read_with(tmp_path: Path) -> Callable[..., tuple[list[dict[str, Any]], dict[tuple[str, str], dict[str, str]]]]:
    """Run `curation.<format>` on a file: its records, and the funnel's rows by step and reason."""

    from curation_files import read_funnel, read_lines

    def run(form: str, path: Path, *options: str):
        output, funnel = tmp_path / "out.jsonl", tmp_path / "funnel.csv"
        verb = importlib.import_module(f"falsepromise.curation.{form}")
        verb.main(["--input", str(path), "--output", str(output), "--funnel", str(funnel), *options])
        return read_lines(output), read_funnel(funnel)

    return run
