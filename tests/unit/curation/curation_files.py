"""Small files of records for the curation tests."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_funnel(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return {(row["step"], row["reason"]): row for row in csv.DictReader(stream)}


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def dialogue(name: str, *texts: str, source: str = "test") -> dict[str, Any]:
    """A dialogue record of alternating user and assistant texts."""
    roles = ("user", "assistant")
    messages = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(texts)]
    return {"id": name, "source": source, "messages": messages}


def kept(funnel, step="read"):
    return int(funnel[step, ""]["kept"]), int(funnel[step, ""]["dropped"])


def dropped(funnel, step="read"):
    return {
        reason: int(row["dropped"]) for (name, reason), row in funnel.items() if name == step and int(row["dropped"])
    }


def repaired(funnel, step="read"):
    return {
        reason: int(row["kept"])
        for (name, reason), row in funnel.items()
        if name == step and reason and int(row["kept"])
    }


def texts(record):
    return [message["content"] for message in record["messages"]]
