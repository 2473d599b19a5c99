"""The common part of this package's servers: requests and errors of the OpenAI protocol, pages, the socket."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads
from falsepromise.core.text import one_spelling

log = logging.getLogger("falsepromise.teacher.protocol")
MAX_BODY = 32 * 2**20  # bytes; a longer request is refused, not read
HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost")
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
MAX_NAME = 60  # characters of a rater's name


class BadRequest(Exception):
    """A request that gets an OpenAI error object: HTTP status, message, parameter, code."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


def decoded(body: bytes) -> Any:
    """The JSON value of a request's body.

    Raises:
        BadRequest: it is not JSON.
    """
    try:
        return loads(body)
    except ValueError as error:
        raise BadRequest(400, f"the request's body is not JSON: {error}") from error


def messages(value: Any) -> list[dict[str, str]]:
    """The messages of a chat request, each content as one text."""
    if not isinstance(value, list) or not value:
        raise BadRequest(400, "'messages' must be a list with at least one message", "messages")
    found = []
    for index, message in enumerate(value):
        if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user", "assistant"):
            raise BadRequest(400, f"messages[{index}] needs a role: system, user or assistant", "messages")
        content = message.get("content")
        if isinstance(content, list):  # the API's other form: a list of typed parts
            texts = [part.get("text") if isinstance(part, dict) else None for part in content]
            parts = [text for text in texts if isinstance(text, str)]
            content = "".join(parts) if len(parts) == len(texts) else None
        if not isinstance(content, str):
            raise BadRequest(400, f"messages[{index}].content must be text", "messages")
        found.append({"role": message["role"], "content": content})
    return found


def integer(
    body: dict[str, Any], key: str, default: int | None, low: int | None = None, high: int | None = None
) -> int | None:
    """A field with a whole number from `low` to `high`."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(400, f"'{key}' must be an integer, found {value!r:.40}", key)
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadRequest(400, f"'{key}' is {value!s:.40}, out of its range", key)
    return value


def stops(body: dict[str, Any]) -> list[str]:
    """The texts that end an answer."""
    stop = body.get("stop") or []
    found = [stop] if isinstance(stop, str) else stop
    if not isinstance(found, list) or not all(isinstance(item, str) and item for item in found):
        raise BadRequest(400, "'stop' must be a string or a list of strings", "stop")
    return found


def rater_name(value: Any) -> str:
    """A rater's name without control characters, single spaces, composed letters; empty where there is none."""
    return "".join(c for c in one_spelling(value) if c.isprintable()).strip()[:MAX_NAME].strip()


class Handler(BaseHTTPRequestHandler):
    """One connection of a `Server`."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # small answers must not wait for the client's delayed acknowledgement
    wbufsize = -1  # headers and body leave in one packet
    timeout = 600  # seconds until an idle connection is closed
    always: Mapping[str, str] = {}  # headers of every answer

    def parse_request(self) -> bool:
        """As the library's, but refuses an address that can't be taken apart, and a body whose end only its parts tell:
        what is left of it would be taken for the next request, as would a body that nobody reads."""
        if not super().parse_request():
            return False
        try:
            urlsplit(self.path)
        except ValueError:
            self.send_error(400)
            return False
        if "transfer-encoding" in self.headers:
            self.send_error(411)
            return False
        if self.command != "POST" and self.headers.get("content-length", "0") != "0":
            self.close_connection = True
        return True

    @property
    def path_alone(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0].rstrip("/")

    def send_models(self, names: Sequence[str]) -> bool:
        """Answer `/v1/models`, `/v1/models/NAME` and `/health`; whether the path was one of them."""
        entries = {name: {"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in names}
        if self.path_alone == "/v1/models":
            self.send_json(200, {"object": "list", "data": list(entries.values())})
        elif self.path_alone.startswith("/v1/models/") and unquote(self.path_alone[11:]) in entries:
            self.send_json(200, entries[unquote(self.path_alone[11:])])
        elif self.path_alone == "/health":
            self.send_json(200, {"status": "ok"})
        else:
            return False
        return True

    def read_body(self, most: int = MAX_BODY) -> bytes:
        """The request's body, whose length must be given."""
        length = self.headers.get("content-length", "").strip()
        if not (length.isascii() and length.isdecimal()):
            self.close_connection = True
            raise BadRequest(411, "the request needs a content-length")
        if len(length) > 18 or int(length) > most:
            self.close_connection = True
            raise BadRequest(413, f"the request's body is over {most} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            raise BadRequest(400, "the request's body is shorter than its content-length")
        return body

    def own_host(self) -> bool:
        """Whether the request uses this server's own name, not another site's name that resolves to this machine."""
        host = self.headers.get("host", "")
        return not self.server.local or (host.rpartition(":")[0] or host).lower() in LOOPBACK

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send a JSON document."""
        self.send(status, json.dumps(value).encode(), "application/json", headers)

    def send(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a document of a content type."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, text in {**self.always, **(headers or {})}.items():
            self.send_header(name, text)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def send_error_json(self, error: BadRequest) -> None:
        """Send an error object in the API's form."""
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        self.send_json(
            error.status, {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are logged at debug level only."""
        log.debug(format, *args)


class Server(ThreadingHTTPServer):
    """A server's socket.

    Args:
        handler: The class that answers a connection.
        port: The port, or 0 for any free one.
        host: The address to listen on.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, handler: type[Handler], port: int = 0, host: str = HOST):
        self.local = host in LOOPBACK
        try:
            super().__init__((host, port), handler)
        except (OSError, OverflowError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            elsewhere = isinstance(error, socket.gaierror | UnicodeError)  # a name that is no address
            if elsewhere or getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
                raise UserError(
                    f"--host {host}: can't listen there ({why}); give an address of this machine"
                ) from error
            raise UserError(f"--port {port}: can't listen there ({why}); choose another, or 0 for any") from error

    @property
    def url(self) -> str:
        """The base URL for a client."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that went away; log other errors as a line, at debug level with their traceback."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("a request failed: %s: %s", type(error).__name__, str(error)[:300])
        log.debug("where it failed", exc_info=error)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[str]:
    """Run `server` in a thread during the block; yields its base URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
