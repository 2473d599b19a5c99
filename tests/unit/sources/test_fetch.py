"""Fetching raw files: whole, checked, or not at all."""

from __future__ import annotations

import hashlib
import http.server
import json
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.sources import fetch

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
        (["--uri", "hub:org/name"], "expected ORG/NAME@REVISION"),
        (["--uri", "file:/none/such"], "can't be read: No such file"),
        (["--uri", "file:/"], "a folder"),
        (["--uri", "file:/x", "--member", "m"], "drop --member"),
        (["--uri", "file:/x", "--sha256", "abc"], "64 hexadecimal digits"),
        (["--uri", "https://127.0.0.1:1/x"], "can't be reached"),
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
    with pytest.raises(UserError, match=r"no member 'name/data/fil.json'; the nearest are name/data/file\.json"):
        run(tmp_path, "--uri", "pypi:name==1.0", "--member", "name/data/fil.json")


def test_failed_download_shows_no_password(tmp_path, fake_pip):
    fake_pip(error="Looking\nERROR: nothing at https://someone:secret@index/simple\n", code=1)
    with pytest.raises(UserError, match="could not download the wheel") as caught:
        run(tmp_path, "--uri", "pypi:name==1.0", "--member", "m")
    assert "secret" not in str(caught.value)
    assert nothing_written(tmp_path)


@pytest.mark.parametrize("cut", [False, True])
def test_download(tmp_path, monkeypatch, cut):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/x":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA) + 5 * cut))
            self.end_headers()
            self.wfile.write(DATA)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    output = tmp_path / "file"
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(UserError, match="404"), open(tmp_path / "none", "wb") as stream:
            fetch._download(url + "/none", stream)
        if cut:
            with pytest.raises(UserError, match="bytes came of"), open(output, "wb") as stream:
                fetch._download(url + "/x", stream)
        else:
            with open(output, "wb") as stream:
                fetch._download(url + "/x", stream)
            assert output.read_bytes() == DATA
    finally:
        server.shutdown()
        server.server_close()


def test_hub_rows_become_json_lines(tmp_path, monkeypatch):
    datasets = types.ModuleType("datasets")
    asked = {}

    def load(name, **options):
        asked.update(name=name, **options)
        return iter([{"id": 1, "text": "ü"}, {"id": 2, "text": None}])

    datasets.load_dataset = load
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    output = run(tmp_path, "--uri", "hub:org/name@abc123", "--split", "test")
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {"id": 1, "text": "ü"},
        {"id": 2, "text": None},
    ]
    assert asked == {"name": "org/name", "revision": "abc123", "split": "test", "streaming": True}
