"""Read the paper's published numbers, `resources/paper/numbers.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.place import resource

PAPER = resource("paper/numbers.csv")
Numbers = dict[tuple[str, str, str, str], float]


def read_numbers(path: Path) -> Numbers:
    """Published numbers by (place, quantity, model, imitation data)."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return {(r["place"], r["quantity"], r["model"], r["imitation_data"]): float(r["value"]) for r in rows}
    except OSError as error:
        raise UserError(f"{path}: the published numbers can't be read: {error.strerror}; give --paper") from error
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: expected columns place, quantity, model, imitation_data, value: {error}") from error
