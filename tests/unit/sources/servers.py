"""Servers for the tests of `fetch`: a hub, and a host that serves files over TLS and breaks off."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
configs:
- config_name: default
  data_files: [{split: train, path: train.jsonl}, {split: test, path: test.jsonl}]
- config_name: other
  data_files: other.jsonl
---
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def reply(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def part(self, data: bytes) -> tuple[int, bytes, str]:
        """The bytes that the request's range asks for."""
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(data)), len(data) - 1)
        status = 206 if "Range" in self.headers else 200
        return status, data[start : end + 1], f"bytes {start}-{end}/{len(data)}"

    def log_message(self, *_: object) -> None:
        pass


class Hub(Handler):
    """The hub's protocol for data sets, each at one commit, with the tag `v1`; `org/name` has `files`."""

    files: dict[str, bytes]
    more: dict[str, tuple[str, dict[str, bytes]]] = {}  # noqa: RUF012  # name -> commit, files
    gated = False

    def do_GET(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        name = "/".join(path.removeprefix("/api").split("/")[2:4])
        api, resolve = f"/api/datasets/{name}/", f"/datasets/{name}/resolve/"
        if (name != "org/name" and name not in self.more) or not (path + "/").startswith((api, resolve)):
            self.reply(404, b"{}", X_Error_Code="RepoNotFound")
            return
        commit, files = self.more.get(name, (COMMIT, self.files if name == "org/name" else {}))
        kind, _, rest = path.removeprefix(api).partition("/") if path.startswith(api) else ("", "", "")
        revision, _, wanted = (rest or path.removeprefix(resolve)).partition("/")
        if path == api.rstrip("/"):
            kind, revision = "revision", commit  # the newest
        if self.gated and self.headers.get("Authorization") != "Bearer hf_right":
            self.reply(401, b"{}", X_Error_Code="GatedRepo")
        elif revision not in (commit, "v1"):
            self.reply(404, b"{}", X_Error_Code="RevisionNotFound")
        elif kind == "revision":
            about = {"id": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]}
            self.reply(200, json.dumps(about).encode())
        elif kind == "tree":
            below = {k: v for k, v in files.items() if k.startswith(f"{wanted}/" if wanted else "")}
            listed = [entry(k, v) for k, v in below.items()]
            if "recursive=false" in self.path:
                depth = wanted.count("/") + 1 if wanted else 0
                listed = [e for e in listed if str(e["path"]).count("/") == depth]
                folders = {"/".join(k.split("/")[: depth + 1]) for k in below if k.count("/") > depth}
                listed += [{"type": "directory", "oid": "0", "size": 0, "path": k} for k in sorted(folders)]
            self.reply(200, json.dumps(listed).encode())
        elif wanted in files:
            status, data, place = self.part(files[wanted])
            self.reply(
                status, data, ETag=f'"{hash(wanted)}"', X_Repo_Commit=commit, Content_Range=place, Accept_Ranges="bytes"
            )
        else:
            self.reply(404, b"{}", X_Error_Code="EntryNotFound")

    def do_POST(self) -> None:
        """The list of some files (`paths-info`)."""
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Type", "").startswith("application/json"):
            paths = json.loads(asked)["paths"]
        else:
            paths = urllib.parse.parse_qs(asked.decode())["paths"]
        name = "/".join(self.path.split("/")[3:5])
        _, files = self.more.get(name, (COMMIT, self.files if name == "org/name" else {}))
        self.reply(200, json.dumps([entry(path, files[path]) for path in paths if path in files]).encode())


def entry(path: str, data: bytes) -> dict[str, object]:
    """A file in the hub's list, with git's hash of it."""
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return {"type": "file", "oid": oid, "size": len(data), "path": path}


class Breaking(Handler):
    """A file at `/x`; the server breaks off after `at_once` bytes, and knows ranges or doesn't."""

    data: bytes
    at_once: int
    ranges: bool
    chunked = False
    requests: list[str | None]

    def do_GET(self) -> None:
        if self.path != "/x":
            self.reply(404, b"nothing here")
            return
        self.requests.append(self.headers.get("Range"))
        if not self.ranges:
            del self.headers["Range"]
            self.at_once *= 2
            type(self).at_once = self.at_once
        status, data, place = self.part(self.data)
        self.send_response(status)
        self.send_header("Content-Range", place)
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        piece = data[: self.at_once]
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), piece) if self.chunked else piece)
        self.close_connection = True


class Versions(Handler):
    """A file at `/x` that breaks off; each of `answers` is what one request gets: a version, or a status.

    A version is data and its ETag (None: the server names none). Ranges are given where `If-Range` has that ETag, or
    always with `careless`.
    """

    answers: list[tuple[bytes, str | None] | int]
    careless = False
    at_once: int
    requests: list[str | None]

    def do_GET(self) -> None:
        self.requests.append(self.headers.get("Range"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            self.reply(answer, b"", Retry_After="0")
            return
        whole, etag = answer
        if not self.careless and self.headers.get("If-Range") != etag:
            del self.headers["Range"]
        status, data, place = self.part(whole)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 206:
            self.send_header("Content-Range", place)
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(data[: self.at_once])
        self.close_connection = True


@contextlib.contextmanager
def serving(handler: type[Handler], certificate: Path | None = None) -> Iterator[str]:
    """Run a server for the length of the block; its address. With a certificate it speaks TLS."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
