"""A hub that lies: each lie is one line, the user's token goes to the hub alone, and nothing fills the disk."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "sources"))
import servers

from falsepromise.sources import fetch

FILES = {"config.json": b'{"a": 1}', "tokenizer.json": b"{}", "model.safetensors": b"x" * 1000}
TOKEN = "hf_" + "s" * 30
PATHS = str(Path(fetch.__file__).resolve().parents[2])

RUNS = """
import json, sys, time
from falsepromise.core.errors import UserError
from falsepromise.sources import fetch, hubclient, pace, weights
hubclient.guard()
from huggingface_hub import constants
limits, *runs = json.load(sys.stdin)
time.sleep = lambda seconds: sys.stderr.write(f"slept {seconds}\\n")
for name, value in limits.items():
    module = next(module for module in (hubclient, pace, constants) if hasattr(module, name))
    setattr(module, name, value)
for verb, options in runs:
    try:
        {"fetch": fetch, "weights": weights}[verb].main(options)
        print("ok", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


class Liar(servers.Hub):
    """The repository's name is the lie."""

    other = ""
    asked: list[tuple[str, str | None]]
    sent = 0

    def do_GET(self) -> None:
        type(self).asked.append((self.path, self.headers.get("Authorization")))
        self.path = self.path.replace("/api/models/", "/api/datasets/")
        if self.path.startswith("/org/"):
            self.path = "/datasets" + self.path
        kind = next((word for word in ("revision", "tree", "resolve") if f"/{word}/" in self.path), "")
        lie = self.path.removeprefix("/api").split("/")[3]
        own = getattr(self, f"{kind}_{lie}".replace("-", "_"), None)
        super().do_GET() if own is None else own()

    def listed(self, **entry: object) -> None:
        about = {**servers.entry("config.json", FILES["config.json"]), **entry}
        self.reply(200, json.dumps([about]).encode())

    def file(self, data: bytes, **headers: str) -> None:
        self.reply(200, data, ETag='"a"', X_Repo_Commit=servers.COMMIT, **headers)

    def revision_branch(self) -> None:
        self.reply(200, json.dumps({"id": "org/branch", "sha": "../../main"}).encode())

    def revision_moved(self) -> None:
        self.reply(200, json.dumps({"id": "org/moved", "sha": "f" * 40}).encode())

    def revision_portal(self) -> None:
        self.reply(200, b"<html>Sign in to the network</html>")

    def revision_types(self) -> None:
        self.reply(200, json.dumps({"id": [1], "sha": {"a": 1}, "siblings": 5}).encode())

    def revision_circle(self) -> None:
        self.reply(302, b"", Location=self.path)

    def revision_silent(self) -> None:
        time.sleep(30)

    def revision_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.creep()

    def resolve_trailers(self) -> None:
        self.wfile.write(b'HTTP/1.1 200 OK\r\nETag: "a"\r\nX-Repo-Commit: %s\r\n' % servers.COMMIT.encode())
        if self.command == "HEAD":
            self.wfile.write(b"Content-Length: 8\r\n\r\n")
            return
        self.wfile.write(b"Transfer-Encoding: chunked\r\n\r\n8\r\n%s\r\n0\r\n" % FILES["config.json"])
        self.creep()

    def creep(self) -> None:
        """One byte now and then, of a header or trailer that doesn't end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(b"X-A: ")
            while True:
                self.wfile.write(b"x")
                time.sleep(0.2)

    def tree_pages(self) -> None:
        here = f"http://127.0.0.1:{self.server.server_port}{self.path}"  # type: ignore[attr-defined]
        self.reply(200, b"[]", Link=f'<{here}>; rel="next"')

    def tree_elsewhere(self) -> None:
        self.reply(200, b"[]", Link=f'<{self.other}/org/steal>; rel="next"')

    def tree_outside(self) -> None:
        self.listed(path="../../evil.json")

    def tree_absolute(self) -> None:
        self.listed(path="/tmp/evil.json")

    def tree_huge(self) -> None:
        self.listed(size=10**15)

    def tree_negative(self) -> None:
        self.listed(size=-5)

    def tree_odd(self) -> None:
        self.listed(size="x", oid=[1], path=5, lfs=7)

    def resolve_wait(self) -> None:
        self.reply(429, b"", Retry_After="100000")

    def resolve_other_bytes(self) -> None:
        self.file(b"y" * len(FILES[self.path.rpartition("/")[2]]))

    def resolve_short(self) -> None:
        self.file(b"")

    def resolve_packed(self) -> None:
        self.file(b"\x1f\x8b", Content_Encoding="gzip")

    def resolve_endless(self) -> None:
        self.endless(1 << 20, 0)

    def resolve_slow(self) -> None:
        self.endless(1, 0.2)

    def endless(self, piece: int, pause: float) -> None:
        self.send_response(200)
        for name, value in {"ETag": '"a"', "X-Repo-Commit": servers.COMMIT, "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        try:
            while self.command == "GET" and Liar.sent < 1 << 30:
                self.wfile.write(b"%x\r\n%s\r\n" % (piece, b"x" * piece))
                Liar.sent += piece
                time.sleep(pause)
        except OSError:
            pass


class Thief(servers.Handler):
    asked: list[str | None]

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization"))
        self.reply(200, b"[]")


def ask(tmp_path: Path, lies: dict[str, str], **limits: float) -> dict[str, list[str]]:
    """What the two verbs say to each lie; the token is sent to no other host, and no wait is long."""
    runs, stolen = [], []
    for lie in lies:
        output = str(tmp_path / "out" / lie)
        uri = ["--uri", f"hub:org/{lie}@{servers.COMMIT}", "--output", output]
        runs += [("weights", uri), ("fetch", ["--folder", *uri])]
    paths = {"PYTHONPATH": PATHS, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
    with servers.serving(type("T", (Thief,), {"asked": stolen})) as other:
        more = {f"org/{lie}": (servers.COMMIT, FILES) for lie in lies}
        asked: list[tuple[str, str | None]] = []
        with servers.serving(type("L", (Liar,), {"more": more, "other": other, "asked": asked})) as url:
            done = subprocess.run(
                [sys.executable, "-c", RUNS],
                input=json.dumps([limits, *runs]),
                env=os.environ | paths | {"HF_ENDPOINT": url},
                capture_output=True, text=True,
            )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert not any(stolen)
    assert any(token == f"Bearer {TOKEN}" for _, token in asked), "the hub itself gets it"
    assert all(float(line.split()[1]) < 130 for line in done.stderr.splitlines() if line.startswith("slept "))
    assert TOKEN not in done.stderr + done.stdout
    said = done.stdout.splitlines()
    return {lie: said[2 * i : 2 * i + 2] for i, lie in enumerate(lies)}


CARDS = {
    "https": "{other}/x.jsonl", "zip": "zip://a.jsonl::{other}/x.zip", "ftp": "ftp://127.0.0.1/x", "memory": "memory://x",
    "github": "github://a:b@c/x.jsonl", "kept": "simplecache::{other}/x.jsonl", "list": "reference://", "ssh": "ssh://a/b",
    "file": "{secret}", "url": "file://{secret}", "up": "../../../../../../../..{secret}", "fine": "*.jsonl",
    "here": "*.jsonl",
}  # fmt: skip


def test_a_card_names_no_other_place(tmp_path):
    """No address that a data set's card names is asked, and no file of this machine is read."""
    secret, asked = tmp_path / "secret.jsonl", []
    secret.write_text('{"text": "SECRET"}\n')
    with servers.serving(type("T", (Thief,), {"asked": asked})) as other:
        more = {}
        for name, path in CARDS.items():
            place = json.dumps(path.format(other=other, secret=secret))
            card = f"---\nconfigs:\n- config_name: default\n  data_files: [{{split: train, path: {place}}}]\n---\n"
            more[f"org/{name}"] = (servers.COMMIT, {"README.md": card.encode(), "a.jsonl": b'{"text": "own"}\n'})
        outputs = {name: tmp_path / "out" / name for name in CARDS}
        runs = [
            ("fetch", ["--uri", f"hub:org/{name}@{servers.COMMIT}", "--output", str(output)])
            for name, output in outputs.items()
        ]
        (tmp_path / "org" / "here").mkdir(parents=True)  # `datasets` prefers a folder of this name
        (tmp_path / "org" / "here" / "a.jsonl").write_text('{"text": "here"}\n')
        with servers.serving(type("H", (servers.Hub,), {"more": more, "files": {}})) as url:
            done = subprocess.run(
                [sys.executable, "-c", RUNS], input=json.dumps([{}, *runs]), cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": PATHS, "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": url},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
    said = dict(zip(CARDS, done.stdout.splitlines(), strict=True))
    assert not asked
    assert said.pop("fine") == "ok"
    assert outputs["fine"].read_text() == '{"text": "own"}\n'
    assert "`datasets` would read ./org/here of this folder instead" in said["here"]
    for name, line in said.items():
        assert line.startswith(f"hub:org/{name}@"), line
        assert not outputs[name].exists()


def test_a_file_above_the_limit_of_plain_downloads(tmp_path):
    for line in ask(tmp_path, {"honest": ""}, MAX_HTTP_DOWNLOAD_SIZE=100)["honest"]:
        assert "above 0 GB the hub sends files to its own client alone: set HF_HUB_DISABLE_XET=0" in line


LIES = {
    "honest": "ok",
    "branch": "gives '../../main' as its commit",
    "moved": "gives another commit",
    "portal": "answer is not JSON",
    "types": "TypeError",
    "circle": "redirects",
    "outside": "cannot contain a '..'",
    "absolute": "cannot be an absolute",
    "huge": "needs 1,000,000.0 GB",
    "negative": "gives the size -5",
    "odd": "Error",
    "other-bytes": "it was damaged on its way",
    "short": "0 bytes with git's hash",
    "packed": "packed, which was not requested",
    "wait": "429",
    "endless": "sends more than the",
    "elsewhere": "",
    "pages": "list of files doesn't end (40 pages)",
}


def test_each_lie_is_one_line(tmp_path):
    Liar.sent = 0
    said = ask(tmp_path, LIES, MOST_PAGES=40)
    assert "config.json and *.safetensors and tokenizer.json missing" in said["elsewhere"][0]
    del said["elsewhere"]  # the list of another host is empty
    for lie in ("outside", "absolute"):  # of a model, files in other folders are never asked for
        assert "tokenizer.json missing" in said[lie].pop(0)
    for lie, lines in said.items():
        for line in lines:
            assert LIES[lie] in line, (lie, line)
            assert line == "ok" or line.startswith("hub:org/"), line
            assert len(line) < 1000
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"honest", "elsewhere"}
    assert not list(tmp_path.rglob("evil*"))
    assert Liar.sent < 1 << 28


@pytest.mark.parametrize(
    ("lie", "expected", "limits"),
    [
        ("silent", "Timeout", {"SILENT_S": 1.0}),
        ("slow", "try again later", {"SLOW_S": 1.0}),
        ("headers", "not even all headers in 1 s; try again later", {"SLOW_S": 1.0}),
        ("trailers", "try again later", {"SLOW_S": 1.0}),
    ],
)
def test_a_server_that_only_takes_time(tmp_path, lie, expected, limits):
    for line in ask(tmp_path, {lie: ""}, **limits)[lie]:
        assert expected in line
        assert line.startswith(f"hub:org/{lie}")
