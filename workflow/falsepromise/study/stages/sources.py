"""What rules/sources.smk asks."""

from __future__ import annotations

from pathlib import Path

from falsepromise.study.study import Study


def local_file(study: Study, source: str) -> list[str]:
    """A `file:` source's own file, so that a change of it counts, where it is there."""
    uri = study.config.sources[source].uri
    path = uri.removeprefix("file:")
    return [path] if uri.startswith("file:") and Path(path).exists() else []
