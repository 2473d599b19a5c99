"""Write the provenance of a study's mixtures, models and scores: a row for each manifest.

A manifest lists inputs, code and settings by file; here each is one fingerprint, so rows are easy to compare. The
manifests themselves are beside the artifacts (`<file>.manifest.json` for a file, `manifest.json` in a folder, the
key `manifest` in a score).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json
from falsepromise.figures.table import Table

COLUMNS = ("Made", "By", "Inputs", "Settings", "Code", "Seed", "Python", "JAX", "Device", "Started", "Seconds")


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--artifacts", type=Path, nargs="+", required=True, help="mixtures, model folders, scores")
    parser.add_argument(
        "--output", type=Path, default=Path("results/tables/manifests.csv"), help="table, with .md and .tex"
    )
    args = parser.parse_args(argv)
    # Names are printed relative to the common folder.
    root = os.path.commonpath([path.parent for path in args.artifacts])
    table = build({os.path.relpath(path, root or "."): find(path) for path in args.artifacts})
    table.write(args.output, "falsepromise.figures.table_manifests", args.artifacts)


def find(path: Path) -> dict[str, Any] | None:
    """The manifest of an artifact; None for a folder without one (downloaded weights).

    Raises:
        UserError: the artifact or its manifest is missing.
    """
    if not path.exists():
        raise UserError(f"{path}: does not exist; make it first, or leave it out of --artifacts")
    beside = path / "manifest.json" if path.is_dir() else path.with_name(path.name + ".manifest.json")
    if beside.exists():
        path, found = beside, read_json(beside)
    elif path.is_dir():
        return None
    else:
        record = read_json(path)
        found = record.get("manifest") if isinstance(record, dict) else None
    if not isinstance(found, dict) or not {"made_by", "inputs", "code"} <= found.keys():
        raise UserError(f"{path}: has no manifest (expected made_by, inputs, code, ...); make the artifact again")
    return found


def build(manifests: dict[str, dict[str, Any] | None]) -> Table:
    """The table; an artifact without a manifest is a row of gaps."""
    return Table(
        COLUMNS,
        [row(name, manifest or {}) for name, manifest in manifests.items()],
        "The provenance of the study's mixtures, models and scores.",
        [
            "Inputs, settings and code are fingerprints (SHA-256, the first 8 digits) of the manifests' lists; the "
            "number before is that of the files. Rows with the same fingerprint had the same files."
        ],
    )


def row(name: str, manifest: dict[str, Any]) -> list[Any]:
    versions = manifest.get("versions", {})
    return [
        name,
        manifest.get("made_by", "").removeprefix("falsepromise.") or None,
        fingerprint(manifest.get("inputs")),
        fingerprint(manifest.get("config"), counted=False),
        fingerprint(manifest.get("code")),
        manifest.get("seed"),
        versions.get("python"),
        versions.get("jax"),
        manifest.get("device") or manifest.get("machine", {}).get("processor"),
        manifest.get("started"),
        manifest.get("wall_s"),
    ]


def fingerprint(part: dict[str, Any] | None, counted: bool = True) -> str | None:
    """`5:3f2a91c0`: the number of entries, and a hash of all of them in any order."""
    if part is None:
        return None
    digest = hashlib.sha256(json.dumps(part, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:8]
    return f"{len(part)}:{digest}" if counted else digest


if __name__ == "__main__":
    cli.run(main)
