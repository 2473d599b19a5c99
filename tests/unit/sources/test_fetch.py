"""Fetching raw files: whole, checked, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import servers

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
    with pytest.raises(UserError, match=r"no member 'name/data/fil.json'; the nearest are name/data/file\.json"):
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
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
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


def test_https_refusals(tmp_path, monkeypatch, certificate):
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
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
        pytest.raises(UserError, match="0 bytes came of 120"),
    ):
        run(tmp_path, "--uri", f"{url}/x")
    assert nothing_written(tmp_path)


RUNS = """
import json, sys
from falsepromise.core.errors import UserError
from falsepromise.sources import fetch
for options in json.load(sys.stdin):
    try:
        fetch.main(options)
        print("ok", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


def run_with_hub(hub: str, home: Path, *runs: list[str]) -> list[str]:
    """What `fetch` says for each of these options, in a process whose hub is at an address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    paths = {"PYTHONPATH": str(Path(fetch.__file__).resolve().parents[2]), "HF_ENDPOINT": hub, "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", RUNS],
        input=json.dumps(runs),
        env=kept | paths,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_hub_through_its_own_protocol(tmp_path):
    """The real `datasets` and `huggingface_hub` against a server of the hub's protocol on this machine."""
    rows = [{"id": "1", "text": "ü"}, {"id": "2", "text": None}]
    files = {
        "README.md": servers.CARD.encode(),
        "train.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(),
        "test.jsonl": b'{"id": "3", "text": "t"}\n',
        "other.jsonl": b'{"id": "4", "when": "2023-05-01T00:00:00"}\n',
        "raw/dump.json": b"[not json, but as it is",
    }
    digest = hashlib.sha256(files["raw/dump.json"]).hexdigest()
    pinned = ["--uri", f"hub:org/name@{servers.COMMIT}"]
    good = {
        "train": pinned,
        "test": ["--split", "test", *pinned],
        "other": ["--uri", "hub:org/name@v1", "--subset", "other"],
        "raw": [*pinned, "--member", "raw/dump.json", "--sha256", digest],
    }
    bad = {
        "Revision Not Found": ["--uri", "hub:org/name@nope"],
        "Repository Not Found": ["--uri", "hub:org/none@v1"],
        "Bad split": [*pinned, "--split", "nope"],
        "Entry Not Found": [*pinned, "--member", "none.json"],
        "SHA-256 is": [*pinned, "--sha256", "0" * 64],
    }
    outputs = [[*options, "--output", str(tmp_path / name)] for name, options in good.items()]
    refused = [[*options, "--output", str(tmp_path / "bad" / "file")] for options in bad.values()]
    with servers.serving(type("Hub", (servers.Hub,), {"files": files})) as url:
        said = run_with_hub(url, tmp_path / "home", *outputs, *refused)
    assert said[: len(good)] == ["ok"] * len(good)
    for expected, message in zip(bad, said[len(good) :], strict=True):
        assert expected in message
        assert message.startswith("hub:org/n")
    assert not (tmp_path / "bad").exists() or not list((tmp_path / "bad").iterdir())
    assert [json.loads(line) for line in (tmp_path / "train").read_text(encoding="utf-8").splitlines()] == rows
    assert json.loads((tmp_path / "test").read_text()) == {"id": "3", "text": "t"}
    assert json.loads((tmp_path / "other").read_text()) == {"id": "4", "when": "2023-05-01T00:00:00"}
    assert (tmp_path / "raw").read_bytes() == files["raw/dump.json"]
    assert json.loads((tmp_path / "other.manifest.json").read_text())["commit"] == servers.COMMIT
    (message,) = run_with_hub(url, tmp_path / "home", refused[0])
    assert "refused" in message, "nobody listens there any more"
