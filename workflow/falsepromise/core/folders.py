"""Write folders whole or not at all, and never over a user's files.

A verb fills a folder under a hidden name beside its place and moves it there when it is complete. A mark in the folder
lists its files. Only an empty folder, or one with such a mark and no other files, is replaced: it is moved aside
first and deleted last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.records import permit, read_json, write_json

MARK = ".falsepromise.json"
NOT_CONTENT = {MARK, ".snakemake_timestamp"}  # Snakemake puts the second into each folder that a rule declares


@contextlib.contextmanager
def new_folder(output: Path, made_by: str, apart_from: Iterable[Path | None] = ()) -> Iterator[Path]:
    """A folder to fill, which replaces `output` when the block ends without an error.

    Args:
        output: Where it appears.
        made_by: The verb, for the mark.
        apart_from: Folders and files that are read; `output` may not overlap with them.

    Raises:
        UserError: `output` holds files that this project did not write, or overlaps with what is read.
    """
    unfinished = begin(output, made_by, apart_from)
    try:
        yield unfinished
        finish(unfinished, output, made_by)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def begin(output: Path, made_by: str, apart_from: Iterable[Path | None] = ()) -> Path:
    """The empty folder beside `output` that `finish` moves there. It removes what a killed run left in it.

    Raises:
        UserError: as `new_folder`.
    """
    check_apart(output, apart_from)
    check_replaceable(output)
    unfinished = _beside(output, "part")
    if os.path.lexists(unfinished):
        # A run that was killed as it began leaves only a half-written mark.
        foreign = [name for name in _contents(unfinished) if not name.startswith(f".{MARK}.")]
        if not unfinished.is_dir() or (foreign and not (unfinished / MARK).is_file()):
            raise UserError(f"{unfinished}: this program needs this name for an unfinished folder; move it away")
        shutil.rmtree(unfinished)
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{output}: can't be written: {error.strerror}") from error
    write_json(unfinished / MARK, {"made_by": made_by, "files": []})
    return unfinished


def finish(unfinished: Path, output: Path, made_by: str) -> None:
    """Move a complete folder to its place. Its files get the permissions that the user's umask gives.

    A mark among them came with what was copied or downloaded, and says nothing about this folder: it is replaced.

    Raises:
        UserError: `output` has become a folder that may not be replaced.
    """
    check_replaceable(output)
    output = output.resolve()  # a link to a folder stays, its target is replaced
    umask = os.umask(0)
    os.umask(umask)
    for path in unfinished.rglob("*"):
        if not path.is_symlink():
            permit(path, (0o777 if path.is_dir() else 0o666) & ~umask)  # some libraries write private files
    write_json(unfinished / MARK, {"made_by": made_by, "files": _contents(unfinished)})
    aside = _beside(output, "old")
    if os.path.lexists(output):
        if aside.exists():
            check_replaceable(aside)  # a killed run's
            shutil.rmtree(aside)
        os.replace(output, aside)
    try:
        os.replace(unfinished, output)
    except OSError:
        if os.path.lexists(aside):
            os.replace(aside, output)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Refuse a place that holds what this project did not write.

    Raises:
        UserError: it is a file, or a folder with other files than the mark lists.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; give another --output")
    found = _contents(folder)
    if not found:
        return
    listed: list[str] = []
    if (folder / MARK).is_file():
        mark = read_json(folder / MARK)
        listed = mark.get("files", []) if isinstance(mark, dict) else []
    foreign = sorted(set(found) - set(map(str, listed)))
    if foreign:
        raise UserError(
            f"{folder}: holds {len(foreign)} files that this program did not write there ({', '.join(foreign[:3])}"
            f"{', …' if len(foreign) > 3 else ''}); give another --output, or move them away"
        )


def check_apart(output: Path, others: Iterable[Path | None]) -> None:
    """Refuse an output that is, contains or lies in something else that a run uses.

    Raises:
        UserError: the two paths.
    """
    place = output.resolve()
    for other in others:
        if other is None:
            continue
        used = other.resolve()
        if place == used or place in used.parents or (used in place.parents and used.is_dir()):
            raise UserError(f"{output}: overlaps with {other}, which this run uses; give another --output")


def remove(folder: Path, names: Iterable[str]) -> None:
    """Delete what we keep in a folder, by name, and the folder too where nothing else is in it."""
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _beside(output: Path, what: str) -> Path:
    output = output.resolve()
    return output.with_name(f".{output.name}.{what}")


def _contents(folder: Path) -> list[str]:
    """Relative paths of all files, and of links, in a folder; without the mark."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(str(path.relative_to(folder)) for path in found if path.name not in NOT_CONTENT)
