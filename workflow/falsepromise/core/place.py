"""Find the workflow's own files: in a checkout, or in the installed package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = PACKAGE / "_workflow"
# The folder of Snakefile, workflow/, config/, resources/, profiles/.
HOME = _INSTALLED if _INSTALLED.is_dir() else PACKAGE.parents[1]


def resource(name: str) -> Path:
    """A file of resources/, as `prompts/categories.txt`."""
    return HOME / "resources" / name
