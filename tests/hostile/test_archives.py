"""An archive of sources from a stranger: links in a circle, holes of exabytes, packed headers, files cut off."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.sources import bundle

DIGEST = hashlib.sha256(b"x").hexdigest()
ENTRY = {"name": "a", "address": DIGEST, "sha256": DIGEST, "origin": {}}
Fill = Callable[[tarfile.TarFile], None]


def archive(*members: tuple[str, bytes, dict[str, object]], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:
        for name, content, changes in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in changes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def with_index(index: object, content: bytes = b"x", **changes: object) -> bytes:
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    return archive((f"sha256/{DIGEST}", content, changes), ("sources.json", text, {}))


def link(to: str, kind: bytes = tarfile.SYMTYPE) -> dict[str, object]:
    return {"type": kind, "linkname": to, "size": 0}


def pax(**headers: str) -> dict[str, object]:
    return {"pax_headers": {key.replace("_", "."): value for key, value in headers.items()}}


HOLES = pax(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_realsize=str(1 << 60))
INDICES = (b"5", b'"abc"', b"null", b"[" * 100_000, b"9" * 5000, b"\xff")
ODD = {"sha256": DIGEST.upper(), "address": "../../../x", "origin": [1]}


GOOD = with_index([ENTRY])
ARCHIVES = {
    "nothing": b"",
    "no index": archive(("a", b"x", {})),
    "a link to itself": archive(("sources.json", b"", link("sources.json"))),
    "a circle": archive(("sources.json", b"", link("b")), ("b", b"", link("sources.json"))),
    "a hard circle": archive(("sources.json", b"", link("sources.json", tarfile.LNKTYPE))),
    "a chain": archive(*((f"l{n}" if n else "sources.json", b"", link(f"l{n + 1}")) for n in range(3000))),
    "a link out": archive(("sources.json", b"", link("/etc/passwd"))),
    "a folder": archive(("sources.json", b"", {"type": tarfile.DIRTYPE})),
    "a device": archive(("sources.json", b"", {"type": tarfile.CHRTYPE})),
    "a file that is a link": with_index([ENTRY], b"", **link(DIGEST)),
    "holes": with_index([ENTRY], b"0\n" + b"\0" * 510, **HOLES),
    "a negative size": archive(("sources.json", b"[]", pax(size="-1024"))),
    "a size beyond": archive(("sources.json", b"[]", pax(size="9" * 20))),
    "another file": with_index([ENTRY], b"y"),
    "cut": GOOD[:700],
    "packed": gzip.compress(GOOD),
    **{f"index {text[:20]!r}": with_index(text) for text in INDICES},
    **{f"entry {key}": with_index([{**ENTRY, key: value}]) for key, value in ODD.items()},
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FALSEPROMISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_of_a_stranger_is_one_line(kind: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "in.tar").write_bytes(ARCHIVES[kind])
    with pytest.raises(UserError) as error:
        bundle.unpack(tmp_path / "in.tar")
    assert "\n" not in str(error.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_archive_of_ours_is_unpacked(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "in.tar").write_bytes(GOOD)
    assert bundle.unpack(tmp_path / "in.tar") == 1
    assert (cache / "sha256" / DIGEST[:2] / DIGEST).read_bytes() == b"x"


def test_damaged_archives(tmp_path: Path) -> None:
    for seed in range(200):
        rng, content = random.Random(seed), bytearray(GOOD)
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(2048)] = rng.randrange(256)
        (tmp_path / "in.tar").write_bytes(content)
        with contextlib.suppress(UserError):  # some are read
            bundle.unpack(tmp_path / "in.tar")
