"""The paper's prompts, word for word, from `resources/prompts/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.place import resource

FOLDER = resource("prompts")


def path(name: str) -> Path:
    """The path of a prompt file, relative if it is below the working directory."""
    found = FOLDER / name
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found


def load(name: str) -> str:
    """The text of a prompt file, without its final newline.

    Raises:
        UserError: the file can't be read.
    """
    try:
        return path(name).read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise UserError(f"{path(name)}: can't be read: {error.strerror}; run from a whole checkout") from error


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill a template's `{name}` places with `values`; the values themselves are not searched.

    Raises:
        KeyError: the template has a place without a value.
    """
    return re.sub(r"\{([^{}]+)\}", lambda match: values[match[1]], template)
