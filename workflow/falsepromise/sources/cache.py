"""Cache a user's fetched files by SHA-256, for all studies and checkouts.

The folder is `FALSEPROMISE_CACHE`, `~/.cache/falsepromise` by default; `FALSEPROMISE_CACHE=off` keeps nothing. A file
is looked up by its expected SHA-256, or by an address that always means the same file (a package's version, a data
set's commit), and its SHA-256 is checked at each use.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads
from falsepromise.core.text import public_address
from falsepromise.sources.download import Writable

log = logging.getLogger(__name__)
_CHUNK = 1 << 20
_LASTING = re.compile(r"pypi:[^=]+==.+|hub:[^@]+@[0-9a-f]{40}")


def folder() -> Path | None:
    """The cache's folder, or None if the user wants none."""
    named = os.environ.get("FALSEPROMISE_CACHE", "")
    if named == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(named) if named else Path(base) / "falsepromise"


def address(uri: str, options: Mapping[str, Any]) -> str:
    """The name of an address's entry, from all that identifies the file."""
    told = json.dumps([uri, sorted((key, value) for key, value in options.items() if value)])
    return hashlib.sha256(told.encode()).hexdigest()


def find(uri: str, options: Mapping[str, Any], digest: str | None) -> tuple[str, dict[str, Any]] | None:
    """The SHA-256 and the origin of a file in the cache, or None if it has none.

    Args:
        uri: The file's address.
        options: Other values that identify the file (member, split, subset, columns).
        digest: The expected SHA-256.
    """
    base = folder()
    if base is None:
        return None
    entry: Any = None
    with contextlib.suppress(OSError, ValueError):
        entry = loads((base / "addresses" / address(uri, options)).read_text(encoding="utf-8"))
    if not isinstance(entry, dict) or not isinstance(entry.get("origin", {}), dict):
        entry = {}  # there is none, or it is damaged
    if digest is None:
        if not (_LASTING.fullmatch(uri) or entry.get("bundled")):
            return None
        digest = str(entry.get("sha256", ""))
    if not re.fullmatch("[0-9a-f]{64}", digest) or not place(base, digest).is_file():
        return None
    return digest, entry.get("origin", {}) if entry.get("sha256") == digest else {}


def place(base: Path, digest: str) -> Path:
    """A file's path."""
    return base / "sha256" / digest[:2] / digest


def take(digest: str, out: Writable) -> bool:
    """Write a file of the cache to `out`; whether its SHA-256 is right (if not, delete it and empty `out`)."""
    base = folder()
    if base is None:
        return False
    path, found = place(base, digest), hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
                out.write(chunk)
    except OSError as error:
        if error.filename is None:
            raise  # writing failed, not reading
        return False
    if found.hexdigest() == digest:
        return True
    log.warning("%s: damaged; fetching it again", path)
    with contextlib.suppress(OSError):
        path.unlink()
    out.restart()
    return False


def keep(path: Path, uri: str, options: Mapping[str, Any], digest: str, origin: Mapping[str, Any]) -> None:
    """Put a file into the cache. If the cache can't be written, only warn: the file itself is complete."""
    base = folder()
    if base is None:
        return
    entry = {"sha256": digest, "origin": dict(origin), "uri": public_address(uri)}
    try:
        target = place(base, digest)
        if not target.is_file():
            _write(target, lambda temporary: shutil.copyfile(path, temporary))
        name = base / "addresses" / address(uri, options)
        _write(name, lambda temporary: Path(temporary).write_text(json.dumps(entry), encoding="utf-8"))
    except OSError as error:
        log.warning("%s: the cache can't be written (%s); set FALSEPROMISE_CACHE", base, error.strerror)


def put(stream: IO[bytes], digest: str, name: str, origin: Mapping[str, Any]) -> bool:
    """Put a bundled file into the cache under its SHA-256 and its address; whether its SHA-256 is right.

    Raises:
        UserError: the cache can't be written.
    """
    base, found = folder(), hashlib.sha256()
    if base is None:
        return False

    def fill(temporary: str) -> None:
        with open(temporary, "wb") as out:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
                out.write(chunk)
        if found.hexdigest() != digest:
            raise _Wrong

    entry = {"sha256": digest, "origin": dict(origin), "bundled": True}
    try:
        _write(place(base, digest), fill)
        _write(base / "addresses" / name, lambda temporary: Path(temporary).write_text(json.dumps(entry), "ascii"))
    except _Wrong:
        return False
    except OSError as error:
        raise UserError(f"{base}: the cache can't be written: {error.strerror}; set FALSEPROMISE_CACHE") from error
    return True


class _Wrong(Exception):
    """A file has another SHA-256 than expected."""


def _write(target: Path, fill: Any) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    os.close(handle)
    try:
        fill(temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
