"""The tests' own servers can be imported; each test has a cache of its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache of this test alone."""
    folder = tmp_path / "user-cache"
    monkeypatch.setenv("FALSEPROMISE_CACHE", str(folder))
    return folder
