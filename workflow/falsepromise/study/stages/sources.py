"""The values of a study for rules/sources.smk."""

from __future__ import annotations

import shlex
from pathlib import Path

from falsepromise.core.text import masked
from falsepromise.study.files import address, as_input
from falsepromise.study.study import Study
from falsepromise.study.workflow import options

OPTIONS = ("member", "columns", "split", "subset", "sha256")


def shown(study: Study, source: str) -> str:
    """A source's address, without passwords and tokens, the same wherever the workflow is."""
    return masked(address(study.config.sources[source].uri))


def local_file(study: Study, source: str) -> list[str]:
    """A `file:` source's own file as an input, if it exists, so that a change of it reruns the job."""
    path = own_path(study.config.sources[source].uri)
    return as_input(path) if path and Path(path).exists() else []


def own_path(uri: str | None) -> str:
    """The path of a `file:` address; empty for others."""
    return uri.removeprefix("file:") if uri and uri.startswith("file:") else ""


def where(study: Study, source: str) -> str:
    """Options that change no file: a source's address on this machine, and its mirrors."""
    entry = study.config.sources[source]
    return f"--uri {shlex.quote(entry.uri)} {options(entry, 'mirrors')}"
