"""Write a manifest beside every artifact: its inputs, code, settings and versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from falsepromise.core import code
from falsepromise.core.records import write_json

PACKAGES = ("jax", "jaxlib", "flax", "optax", "transformers", "tokenizers", "lm-eval", "openai", "numpy")
_START = time.time()  # a process makes one artifact: the artifact's wall time starts with it


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file; for a folder, the SHA-256 of its files' names and SHA-256s, sorted."""
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for child in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{child.relative_to(path)} {sha256(child)}\n".encode())
    else:
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def manifest(
    module: str,
    inputs: Iterable[str | Path],
    config: Mapping[str, Any],
    seed: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The record of how an artifact was made.

    Args:
        module: The verb, as `falsepromise.training.train`.
        inputs: Files and folders that were read, each with its SHA-256.
        config: The values that shaped the result, without keys and passwords.
        seed: The seed, if there is one.
        extra: More facts (device, counts, tokens).
    """
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "made_by": module,
        "inputs": {os.fspath(path): sha256(path) for path in inputs},
        "config": dict(config),
        "seed": seed,
        "code": {os.path.relpath(path, code.ROOT): sha256(path)[:16] for path in code.closure(module)},
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"platform": sys.platform, "processor": platform.machine(), "cpus": os.cpu_count()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_START)),
        "wall_s": round(time.time() - _START, 2),
        **(extra or {}),
    }


def write_manifest(artifact: str | Path, module: str, **facts: Any) -> None:
    """Write `manifest(module, **facts)` beside `artifact`: `x.jsonl` -> `x.jsonl.manifest.json`."""
    artifact = Path(artifact)
    write_json(artifact.with_name(artifact.name + ".manifest.json"), manifest(module, **facts))
