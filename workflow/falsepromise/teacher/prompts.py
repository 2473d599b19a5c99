"""The paper's prompts, word for word, from `resources/prompts/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.place import resource

FOLDER = resource("prompts")


def path(name: str) -> Path:
    """Where a prompt file lies, from the working directory if it is below."""
    found = FOLDER / name
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found


def load(name: str) -> str:
    """The text of a prompt file, without its final newline.

    Raises:
        UserError: the file is not there.
    """
    try:
        return path(name).read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise UserError(f"{path(name)}: can't be read: {error.strerror}; run from a whole checkout") from error


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put `values` into a template's `{name}` places; what is put in is not searched again.

    Raises:
        KeyError: the template names a place that has no value.
    """
    return re.sub(r"\{([^{}]+)\}", lambda match: values[match[1]], template)
