"""Read the paper's published numbers, `resources/paper/numbers.csv`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.place import resource
from falsepromise.core.records import read_text

PAPER = resource("paper/numbers.csv")
Numbers = dict[tuple[str, str, str, str], float]


def read_numbers(path: Path) -> Numbers:
    """Published numbers by (place, quantity, model, imitation data)."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
        return {(r["place"], r["quantity"], r["model"], r["imitation_data"]): float(r["value"]) for r in rows}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: expected columns place, quantity, model, imitation_data, value: {error}") from error
