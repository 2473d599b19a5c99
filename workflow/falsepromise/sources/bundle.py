"""Pack a study's sources into one archive for a machine without network.

    python -m falsepromise.sources.bundle pack --config my_study.yaml --output sources.tar
    python -m falsepromise.sources.bundle unpack --input sources.tar          # there

`pack` fetches the study's `sources` (or finds them in the user's cache) and writes a tar archive of the files by
SHA-256, with their addresses. `unpack` checks each file and puts it into the user's cache on the other machine
(FALSEPROMISE_CACHE). The study then runs unchanged, and its fetches find their files. The archive contains no files of
this machine (`file:`) and no weights of base models.
"""

from __future__ import annotations

import io
import json
import logging
import re
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.plainyaml import read_yaml
from falsepromise.core.records import atomic_open, loads
from falsepromise.sources import cache
from falsepromise.sources.fetch import first_of

log = logging.getLogger(__name__)
_INDEX = "sources.json"
_MOST_INDEX = 1 << 24  # bytes


def pack(config: Sequence[Path], output: Path) -> int:
    """Write the archive of a study's sources; return their number.

    Raises:
        UserError: the study can't be read, or a source can't be fetched.
    """
    sources: dict[str, Any] = {}
    for path in config:
        found = read_yaml(path).get("sources") or {}
        if not isinstance(found, dict):
            raise UserError(f"{path}: 'sources' is no mapping of names to sources")
        for name, source in found.items():
            if not isinstance(source, dict) or not re.fullmatch(r"(?!\.+$)[\w.-]{1,200}", str(name)):
                raise UserError(f"{path}: 'sources.{name}': expected a name of letters and digits, and a mapping")
            sources[str(name)] = sources.get(str(name), {}) | source
    for name, changed in sources.items():
        if not isinstance(changed.get("uri"), str):
            raise UserError(f"{config[-1]}: 'sources.{name}.uri': expected text, found {changed.get('uri')!r:.80}")
    remote = {name: source for name, source in sources.items() if not source["uri"].startswith("file:")}
    for name in [name for name, source in remote.items() if source.get("folder")]:
        log.warning("%s is a folder and not packed: copy it yourself, and name it under 'instead'", name)
        del remote[name]
    if not remote:
        raise UserError(f"{config[0]}: the study has no sources from other machines")
    index = []
    with atomic_open(output, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        packed: set[str] = set()
        with tempfile.TemporaryDirectory(prefix="falsepromise-bundle-") as folder:
            for name, source in remote.items():
                log.info("packing %s", name)
                file, uri = Path(folder) / name, source["uri"]
                rows = (source.get("split", "train"), source.get("subset"), source.get("columns"))
                uris = [uri, *(source.get("mirrors") or ())] if source.get("sha256") else [uri]
                origin = first_of(uris, file, source.get("member"), source.get("sha256"), *rows)
                digest = origin.pop("sha256")
                if digest not in packed:
                    packed.add(digest)
                    archive.add(file, f"sha256/{digest}", filter=_plain)
                file.unlink()
                hub = uri.startswith("hub:") and not source.get("member")
                options = {"member": source.get("member"), "columns": list(source.get("columns") or ())}
                options |= {"split": source.get("split", "train"), "subset": source.get("subset")} if hub else {}
                told = {"address": cache.address(uri, options), "sha256": digest, "origin": origin}
                index.append({"name": name, **told})
        data = json.dumps(index, indent=1).encode()
        about = tarfile.TarInfo(_INDEX)
        about.size = len(data)
        archive.addfile(about, io.BytesIO(data))
    return len(index)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member of the archive without traces of this machine and its user."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.mode = 0, 0o644
    return member


class _Member(tarfile.TarInfo):
    """A member of an archive. A negative size, which some versions of Python follow in a circle, is an error."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a member of negative size")
        return int(super()._block(count))  # type: ignore[misc]  # of the library's own

    def plain(self) -> bool:
        """Whether it is a file as `pack` writes it: no link, which may lead in a circle, and no holes that become
        exabytes."""
        return self.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and self.sparse is None


def _file(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.getmember(name)
    stream = archive.extractfile(member) if isinstance(member, _Member) and member.plain() else None
    if stream is None:
        raise ValueError(f"{name} is no plain file")
    return stream


def unpack(path: Path) -> int:
    """Put the files of an archive into the user's cache; return their number.

    Raises:
        UserError: it is not such an archive, or a file in it is damaged.
    """
    if cache.folder() is None:
        raise UserError("FALSEPROMISE_CACHE is 'off'; name a folder for the files, and keep it set for the study")
    count = 0
    try:
        with tarfile.open(path, "r:", tarinfo=_Member) as archive:  # as `pack` writes it: packed, it could be a bomb
            index = loads(_file(archive, _INDEX).read(_MOST_INDEX))
            for entry in index:
                digest, address = str(entry["sha256"]), str(entry["address"])
                if not (re.fullmatch("[0-9a-f]{64}", digest) and re.fullmatch("[0-9a-f]{64}", address)):
                    raise ValueError(f"entry {entry.get('name')!r:.80} has no SHA-256")
                held = _file(archive, f"sha256/{digest}")
                if not cache.put(held, digest, address, dict(entry.get("origin") or {})):
                    raise UserError(f"{path}: the file of {entry.get('name')!r} is damaged; pack or copy it again")
                count += 1
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror or error}") from error
    except (tarfile.TarError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not an archive of sources ({error}); make it with 'bundle pack'") from error
    return count


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack", help="write the archive")
    packing.add_argument("--config", type=Path, nargs="+", required=True, help="the study's files")
    packing.add_argument("--output", type=Path, required=True, help="the archive to write")
    unpacking = verbs.add_parser("unpack", help="put its files into the cache of this machine's user")
    unpacking.add_argument("--input", type=Path, required=True, help="the archive")
    args = parser.parse_args(argv)
    if args.verb == "pack":
        log.info("%s: %d sources packed", args.output, pack(args.config, args.output))
    else:
        log.info("%s: %d sources are in %s", args.input, unpack(args.input), cache.folder())


if __name__ == "__main__":
    cli.run(main)
