"""The values of a study for rules/sources.smk."""

from __future__ import annotations

from pathlib import Path

from falsepromise.core.text import masked
from falsepromise.study.files import as_input
from falsepromise.study.study import Study

OPTIONS = ("mirrors", "member", "columns", "split", "subset", "sha256")


def shown(study: Study, source: str) -> str:
    """A source's address, without passwords and tokens."""
    return masked(study.config.sources[source].uri)


def local_file(study: Study, source: str) -> list[str]:
    """A `file:` source's own file as an input, if it exists, so that a change of it reruns the job."""
    uri = study.config.sources[source].uri
    path = uri.removeprefix("file:")
    return as_input(path) if uri.startswith("file:") and Path(path).exists() else []
