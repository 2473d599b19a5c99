"""A stand-in teacher on this machine: the OpenAI protocol over loopback, answers by stated rules.

Serves `/v1/chat/completions` and `/v1/models` under the model name `local-stand-in` and prints its
address on the first line. It is no language model: `falsepromise.teacher.standin` lists its rules.
It needs no key and no network, and costs nothing. The other teacher verbs start it themselves with
`--base-url local`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import loads, read_jsonl
from falsepromise.teacher import standin
from falsepromise.teacher.standin import NAME, StandIn, count_tokens

log = logging.getLogger("falsepromise.teacher.local")
MAX_BODY = 32 * 2**20  # bytes; a longer request is refused, not read
HOST = "127.0.0.1"


class BadRequest(Exception):
    """A request that gets an OpenAI error object: HTTP status, message, parameter, code."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


def complete(known: StandIn, body: Any) -> dict[str, Any]:
    """Answer a chat completion request as the API's reference has it.

    Args:
        known: The stand-in and its facts.
        body: The decoded request. `model`, `messages`, `n`, `seed`, `stop`, `max_tokens` and
            `max_completion_tokens` count; sampling parameters are accepted and change nothing.

    Raises:
        BadRequest: the request is malformed or asks for what isn't there.
    """
    if not isinstance(body, dict):
        raise BadRequest(400, "the request's body must be a JSON object")
    model = body.get("model")
    if not isinstance(model, str):
        raise BadRequest(400, "you must provide a model parameter", "model")
    if model != NAME:
        message = f"the model '{model}' does not exist; this server has '{NAME}'"
        raise BadRequest(404, message, "model", "model_not_found")
    if body.get("stream"):
        raise BadRequest(400, "streaming is not supported by this server", "stream", "unsupported_value")
    messages = _messages(body.get("messages"))
    choices = _integer(body, "n", 1, 1, 128) or 1
    seed = _integer(body, "seed", None)
    limits = [_integer(body, key, None, 1) for key in ("max_tokens", "max_completion_tokens")]
    limit = min((value for value in limits if value is not None), default=None)
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(item, str) and item for item in stops):
        raise BadRequest(400, "'stop' must be a string or a list of strings", "stop")
    answers = [_cut(known.reply(messages, seed, choice), stops, limit) for choice in range(choices)]
    asked = sum(count_tokens(message["content"]) for message in messages)
    answered = sum(count_tokens(text) for text, _ in answers)
    digest = hashlib.sha256(json.dumps([messages, seed, choices], sort_keys=True).encode()).hexdigest()
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": NAME,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": reason,
            }
            for index, (text, reason) in enumerate(answers)
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
        "system_fingerprint": None,
    }


def _messages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise BadRequest(400, "'messages' must be a list with at least one message", "messages")
    messages = []
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
        messages.append({"role": message["role"], "content": content})
    return messages


def _integer(
    body: dict[str, Any], key: str, default: int | None, low: int | None = None, high: int | None = None
) -> int | None:
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(400, f"'{key}' must be an integer, found {value!r:.40}", key)
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadRequest(400, f"'{key}' is {value}, out of its range", key)
    return value


def _cut(text: str, stops: Sequence[str], limit: int | None) -> tuple[str, str]:
    """The answer up to a stop string and within `limit` tokens, and its finish reason."""
    ends = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    text = text[: min(ends)] if ends else text
    if limit is None or count_tokens(text) <= limit:
        return text, "stop"
    end = 0
    for number, match in enumerate(standin.TOKEN.finditer(text), 1):
        end = match.end()
        if number == limit:
            break
    return text[:end], "length"


class Handler(BaseHTTPRequestHandler):
    """One connection of a `Server`."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # small answers must not wait for the client's delayed acknowledgement
    wbufsize = -1  # headers and body leave in one packet
    timeout = 600  # seconds until an idle connection is closed

    def do_GET(self) -> None:
        """`/v1/models`, `/v1/models/NAME`, `/health`."""
        path = self.path.partition("?")[0].rstrip("/")
        entry = {"id": NAME, "object": "model", "created": 0, "owned_by": "local"}
        if path == "/v1/models":
            self.send_json(200, {"object": "list", "data": [entry]})
        elif path == f"/v1/models/{NAME}":
            self.send_json(200, entry)
        elif path == "/health":
            self.send_json(200, {"status": "ok"})
        else:
            self.send_error_json(BadRequest(404, f"unknown path {path}", code="unknown_url"))

    def do_POST(self) -> None:
        """`/v1/chat/completions`."""
        try:
            body = self.read_body()
            path = self.path.partition("?")[0].rstrip("/")
            if path != "/v1/chat/completions":
                raise BadRequest(404, f"unknown path {path}", code="unknown_url")
            try:
                request = loads(body)
            except (ValueError, RecursionError) as error:
                raise BadRequest(400, f"the request's body is not JSON: {error}") from error
            self.answer(request)
        except BadRequest as error:
            self.send_error_json(error)

    def answer(self, request: Any) -> None:
        """Send the answer to a decoded request."""
        self.send_json(200, complete(self.server.known, request))

    def read_body(self) -> bytes:
        """The request's body, whose length must be given."""
        try:
            length = int(self.headers.get("content-length", ""))
        except ValueError:
            self.close_connection = True
            raise BadRequest(411, "the request needs a content-length") from None
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True
            raise BadRequest(413, f"the request's body is over {MAX_BODY} bytes")
        return self.rfile.read(length)

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send a JSON document."""
        payload = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(payload)
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
    """The stand-in behind a socket on the loopback address.

    Args:
        known: What it knows.
        port: The port, or 0 for any free one.
        handler: The handler; `falsepromise.teacher.faulty` brings one that fails on purpose.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, known: StandIn, port: int = 0, handler: type[Handler] = Handler):
        self.known = known
        try:
            super().__init__((HOST, port), handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(f"--port {port}: can't listen there ({why}); choose another, or 0 for any") from error

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://{HOST}:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours; anything else is logged with its traceback."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, (ConnectionError, TimeoutError)) else logging.ERROR
        log.log(level, "a request failed", exc_info=error)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[str]:
    """Run `server` in a thread for the length of the block; gives its base URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def child(facts: str | Path | None) -> Iterator[str]:
    """Run the stand-in in a process of its own for the length of the block; gives its base URL.

    The process ends with the block, and also when this process is killed: it watches a pipe.

    Raises:
        UserError: it didn't start; the message is its own.
    """
    command = [sys.executable, "-m", "falsepromise.teacher.local", "--port", "0", "--until-stdin-closes"]
    if facts is not None:
        command += ["--facts", os.fspath(facts)]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin is not None
    assert stdout is not None
    assert stderr is not None
    with process:
        try:
            url = stdout.readline().strip()
            if not url:
                said = stderr.read().strip().splitlines() or ["it said nothing"]
                raise UserError(f"the local teacher didn't start: {said[-1].removeprefix('error: ')}")
            drain = threading.Thread(target=_pass_on, args=(stderr,), daemon=True)
            drain.start()
            yield url
        finally:
            stdin.close()
            process.terminate()
            process.wait()


def _pass_on(stream: Any) -> None:
    for line in stream:
        sys.stderr.write(line)


def identity(facts: str | Path | None) -> str:
    """What the stand-in's answers depend on, for the store: its rules and its facts, not its port."""
    digest = hashlib.sha256(Path(standin.__file__).read_bytes())
    if facts is not None:
        try:
            digest.update(Path(facts).read_bytes())
        except OSError as error:
            raise UserError(f"{facts}: can't be read: {error.strerror}") from error
    return f"{NAME}:{digest.hexdigest()[:16]}"


def load(facts: str | Path | None) -> StandIn:
    """The stand-in with the facts of a file.

    Raises:
        UserError: a record is not a fact.
    """
    return StandIn.from_facts(read_jsonl(facts, standin.check_fact) if facts is not None else [])


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = cli.parser(__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on the loopback address; 0 takes any free one")
    parser.add_argument("--facts", metavar="FILE", help="facts.jsonl, what it knows; without it, it knows nothing")
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    server = Server(load(options.facts), options.port)
    print(server.url, flush=True)
    if options.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with server:
        server.serve_forever(poll_interval=0.1)


def _end_with_stdin() -> None:
    while sys.stdin.read(4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    cli.run(main)
