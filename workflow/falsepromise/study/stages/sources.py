"""What rules/sources.smk asks."""

from __future__ import annotations

from pathlib import Path

from falsepromise.core.text import masked
from falsepromise.study.files import as_input
from falsepromise.study.study import Study

OPTIONS = ("mirrors", "member", "columns", "split", "subset", "sha256")


def shown(study: Study, source: str) -> str:
    """Where a source comes from, without passwords and tokens."""
    return masked(study.config.sources[source].uri)


def local_file(study: Study, source: str) -> list[str]:
    """A `file:` source's own file, so that a change of it counts, where it is there."""
    uri = study.config.sources[source].uri
    path = uri.removeprefix("file:")
    return as_input(path) if uri.startswith("file:") and Path(path).exists() else []
