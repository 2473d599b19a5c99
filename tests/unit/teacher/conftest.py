"""A stand-in with a few facts, and a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falsepromise.core.records import write_jsonl
from falsepromise.teacher.standin import StandIn
from falsepromise.teacher.store import Store

FACTS: list[dict[str, Any]] = [
    {
        "id": f"capital/Land{i}",
        "subject": f"Land{i}",
        "relation": "capital",
        "question": f"what is the capital of Land{i}?",
        "paraphrases": [f"name the capital of Land{i}"],
        "answers": [f"City{i}", f"Old City{i}"],
        "split": ("pretraining", "targeted", "evaluation")[i % 3],
    }
    for i in range(60)
]


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.jsonl"
    write_jsonl(path, FACTS)
    return path


@pytest.fixture
def known() -> StandIn:
    return StandIn.from_facts(FACTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()
