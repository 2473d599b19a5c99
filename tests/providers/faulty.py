"""A teacher that fails on purpose, over real sockets, to test faults of paid servers.

with serving(FaultyServer(StandIn(), share=0.3)) as url: ...
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from falsepromise.teacher.local import Handler, Server, complete
from falsepromise.teacher.standin import StandIn

# Faults after which the same request may be sent again.
PASSING = (
    "429",
    "429 retry-after",
    "429 retry-after-ms",
    "500",
    "503",
    "reset",
    "timeout",
    "cut-off",
    "malformed",
    "no choices",
)
STATUS_MESSAGE = {
    400: "too long",
    401: "invalid key",
    403: "not allowed",
    429: "slow down",
    500: "oops",
    503: "overloaded",
}


class FaultyHandler(Handler):
    """Answers as the stand-in does, or fails as its server decides."""

    server: FaultyServer

    def answer(self, request: Any) -> None:
        """Send the answer, or the next fault."""
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        with self.server.lock:
            attempt = self.server.attempts[key]
            self.server.attempts[key] += 1
        fault = self.server.fault(key, attempt)
        with self.server.lock:
            self.server.faults[fault or "none"] += 1
            if fault is None:  # counted before the client gets it and reads the count
                self.server.answered[key] += 1
        if fault is None:
            self.send_json(200, complete(self.server.known, request), self.server.headers)
        elif fault.partition(" ")[0].isdecimal():
            self._status(fault)
        else:
            self._break(fault, request)

    def _status(self, fault: str) -> None:
        status, _, header = fault.partition(" ")
        values = {"retry-after": "0.2", "retry-after-ms": "50"}
        headers = {header: values[header]} if header in values else {}
        headers |= self.server.headers if header == "ratelimit" else {}
        code = "insufficient_quota" if header == "quota" else None
        message = STATUS_MESSAGE.get(int(status), "no")
        if status == "401":  # some servers repeat the key that they refuse
            message += ": " + self.headers.get("authorization", "").removeprefix("Bearer ")
        error = {"message": message, "type": "error", "param": None, "code": code}
        self.send_json(int(status), {"error": error}, headers)

    def _break(self, fault: str, request: Any) -> None:
        reply = complete(self.server.known, request)
        choice = reply["choices"][0]
        if fault == "timeout":
            time.sleep(self.server.timeout_s)
            self.close_connection = True
        elif fault == "reset":
            linger = struct.pack("ii", 1, 0)  # close with a reset instead of an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif fault == "cut-off":
            payload = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload[: len(payload) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif fault == "malformed":
            payload = json.dumps(reply).encode()[:-10]
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
            self.wfile.flush()
        elif fault == "no choices":
            self.send_json(200, {**reply, "choices": []})
        else:
            if fault in ("length", "content_filter"):
                choice["finish_reason"] = fault
            elif fault == "refusal":
                choice["message"].update(content=None, refusal="I can't help with that.")
            elif fault == "empty":
                choice["message"]["content"] = " "
            else:
                raise ValueError(f"unknown fault {fault!r}")
            self.send_json(200, reply)


class FaultyServer(Server):
    """A server that fails a share of the requests, each time in another way.

    Args:
        known: The stand-in that answers the others.
        share: The share of the requests that fail, 0 to 1; drawn from the request and its attempt.
        faults: The faults to draw from; see `PASSING`, also `400`, `401`, `403`, `429 quota`, `length`,
            `content_filter`, `refusal`, `empty`.
        script: Instead of chance: from the number of the attempt (0, 1, ...) to a fault or None.
        timeout_s: How long a `timeout` sends nothing.

    Attributes:
        headers: Sent with each answer, and with the fault `429 ratelimit`.
        attempts, answered: Requests seen and whole answers sent, by the hash of the request.
        faults: How often each fault came, and `none`.
    """

    def __init__(
        self,
        known: StandIn,
        share: float = 0.0,
        faults: Sequence[str] = PASSING,
        script: Callable[[int], str | None] | None = None,
        timeout_s: float = 2.0,
    ):
        super().__init__(known, 0, FaultyHandler)
        self.share, self.kinds, self.script, self.timeout_s = share, list(faults), script, timeout_s
        self.headers: dict[str, str] = {}
        self.lock = threading.Lock()
        self.attempts: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def fault(self, key: str, attempt: int) -> str | None:
        """The fault for an attempt at a request, or None."""
        if self.script is not None:
            return self.script(attempt)
        rng = random.Random(f"{key}/{attempt}")
        return rng.choice(self.kinds) if rng.random() < self.share else None
