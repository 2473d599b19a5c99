"""Clients that break HTTP meet the page for raters: each gets an answer, none a traceback."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from falsepromise.preference.ballots import Ballots
from falsepromise.preference.pairs import Pair
from falsepromise.preference.rate import Server
from falsepromise.teacher import local, protocol
from falsepromise.teacher.standin import StandIn

VOTE = {"rater": "r", "item": 0, "choice": "first"}


@pytest.fixture(params=["rating page", "stand-in"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[protocol.Server]:
    if request.param == "rating page":
        pairs = [Pair(str(n), str(n), "q", "a", "b", "left", "right") for n in range(3)]
        made: protocol.Server = Server(Ballots(tmp_path / "r.sqlite", pairs), token="t")
    else:
        made = local.Server(StandIn())
    with protocol.serving(made):
        yield made


def sent(server: protocol.Server, data: bytes, leave: bool = False) -> bytes:
    """What the server says; with `leave`, the client is gone before."""
    with socket.create_connection(server.server_address[:2], timeout=10) as connection:
        connection.sendall(data)
        if leave:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        parts = []
        try:
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                parts.append(part)
        except OSError:
            parts.append(b"closed")  # before all was sent: its answer may be lost on the way
    return b"".join(parts)


def request(body: object = VOTE, path: str = "/t/vote", length: str | None = None, head: str = "") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = str(len(content)) if length is None else length
    start = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{start}Content-Length: {length}\r\n{head}Connection: close\r\n\r\n".encode("latin-1") + content


def get(path: str, head: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{head}\r\n".encode("latin-1")


ATTACKS = {
    "an address that is none": get("http://[/"),
    "a host that is none": get("//[::1/"),
    "a length of a square": request(length="\xb2"),
    "a length of many digits": request(length="9" * 5000),
    "a negative length": request(length="-1"),
    "a length with a line": request(length="1_0"),
    "no length": request().replace(b"Content-Length", b"X-Length"),
    "a longer length": request(length="400"),
    "a body in pieces": request(b"5\r\nhello\r\n0\r\n\r\n", head="Transfer-Encoding: chunked\r\n"),
    "deep": request(b"[" * 9000),
    "a deep name": request(b'{"item": 1, "choice": "first", "rater": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "half a pair": request(b'{"rater": "\\ud800", "item": 2, "choice": "first"}'),
    "digits": request(b"9" * 5000),
    "not UTF-8": request(b"\xff\xfe\x00"),
    "a list for an item": request({**VOTE, "item": [1]}),
    "a large item": request({**VOTE, "item": 10**300}),
    "a list for a choice": request({**VOTE, "choice": [1]}),
    "many parameters": get("/t/state?" + "&".join(f"rater={n}" for n in range(6000))),
    "a long address": get("/" + "a" * 100_000),
    "many headers": get("/", "X: y\r\n" * 200),
    "a long header": get("/", "X: " + "a" * 100_000 + "\r\n"),
    "another method": get("/").replace(b"GET", b"<script>"),
    "another version": get("/").replace(b"HTTP/1.1", b"HTTP/1.\xb2"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\r\n\r\n",
    "noise": os.urandom(2000).replace(b"\n", b"") + b"\r\n\r\n",
    "a way out": get("/t/../../../../etc/passwd"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_client_gets_an_answer(name, server, caplog, capfd):
    caplog.set_level(logging.INFO)
    said = sent(server, ATTACKS[name])
    assert said
    assert b"root:" not in said
    assert not said.startswith(b"HTTP/1.1 5") or b"501" in said[:12]
    assert not caplog.records
    assert "Traceback" not in capfd.readouterr().err
    assert sent(server, get("/health")).startswith(b"HTTP/1.1 ")


def test_clients_that_go_away_leave_nothing(server, caplog, capfd):
    caplog.set_level(logging.INFO)
    for _ in range(20):
        sent(server, get("/t/state?rater=a"), leave=True)
    assert sent(server, get("/health")).startswith(b"HTTP/1.1 ")
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join(5)
    assert not caplog.records
    assert "Traceback" not in capfd.readouterr().err
