"""The provenance of a study's mixtures, models and scores: their manifests, a row for each.

A manifest names inputs, code and settings file by file; here each is one fingerprint, so that two
rows can be compared at a glance. The manifests themselves are beside the artifacts (a file's as
`<file>.manifest.json`, a folder's in it as `manifest.json`, a score's under its key `manifest`).
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
        "--output", type=Path, default=Path("results/tables/manifests.csv"), help="and .md, .tex beside"
    )
    args = parser.parse_args(argv)
    # Names are printed from the folder on that all are in.
    root = os.path.commonpath([path.parent for path in args.artifacts])
    table = build({os.path.relpath(path, root or "."): find(path) for path in args.artifacts})
    table.write(args.output, "falsepromise.figures.table_manifests", args.artifacts)


def find(path: Path) -> dict[str, Any] | None:
    """The manifest of an artifact; None for a folder that has none (weights as they were downloaded).

    Raises:
        UserError: there is no such artifact, or its manifest is none.
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
        raise UserError(f"{path}: no manifest in it (expected made_by, inputs, code, ...); make the artifact again")
    return found


def build(manifests: dict[str, dict[str, Any] | None]) -> Table:
    """The table; an artifact without a manifest is a row of gaps."""
    return Table(
        COLUMNS,
        [row(name, manifest or {}) for name, manifest in manifests.items()],
        "What the study's mixtures, models and scores were made of.",
        [
            "Inputs, settings and code are fingerprints (SHA-256, the first 8 digits) of what the manifests name one "
            "by one; the number before is how many files. Rows with one fingerprint had the same files."
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
    """`5:3f2a91c0`: how many entries, and the hash of all of them, whatever their order."""
    if part is None:
        return None
    digest = hashlib.sha256(json.dumps(part, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:8]
    return f"{len(part)}:{digest}" if counted else digest


if __name__ == "__main__":
    cli.run(main)
