"""What the benchmarks' tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def samples() -> Path:
    """Small hand-made files in each benchmark's form."""
    return Path(__file__).resolve().parents[3] / "resources" / "samples" / "benchmarks"
