"""The made-up study's module and its files, written once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Study file and score files of the made-up study."""
    import made_up

    return made_up.write(tmp_path_factory.mktemp("made_up"))
