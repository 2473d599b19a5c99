"""Serve a stand-in teacher on this machine: the OpenAI protocol over loopback, answers by fixed rules.

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
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import read_jsonl
from falsepromise.teacher import protocol, standin
from falsepromise.teacher.protocol import BadRequest, serving
from falsepromise.teacher.standin import NAME, StandIn, count_tokens

__all__ = ["BadRequest", "Handler", "Server", "complete", "serving"]


def complete(known: StandIn, body: Any) -> dict[str, Any]:
    """Answer a chat completion request as the API's reference describes.

    Args:
        known: The stand-in and its facts.
        body: The decoded request. `model`, `messages`, `n`, `seed`, `stop`, `max_tokens` and
            `max_completion_tokens` have an effect; sampling parameters are accepted and change nothing.

    Raises:
        BadRequest: the request is malformed, or names an unknown model.
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
    messages = protocol.messages(body.get("messages"))
    choices = protocol.integer(body, "n", 1, 1, 128) or 1
    seed = protocol.integer(body, "seed", None)
    limits = [protocol.integer(body, key, None, 1) for key in ("max_tokens", "max_completion_tokens")]
    limit = min((value for value in limits if value is not None), default=None)
    stops = protocol.stops(body)
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


class Handler(protocol.Handler):
    """One connection of a `Server`."""

    server: Server

    def do_GET(self) -> None:
        """`/v1/models`, `/v1/models/NAME`, `/health`."""
        if not self.send_models([NAME]):
            self.send_error_json(BadRequest(404, f"unknown path {self.path_alone}", code="unknown_url"))

    def do_POST(self) -> None:
        """`/v1/chat/completions`."""
        try:
            body = self.read_body()
            if self.path_alone != "/v1/chat/completions":
                raise BadRequest(404, f"unknown path {self.path_alone}", code="unknown_url")
            self.answer(protocol.decoded(body))
        except BadRequest as error:
            self.send_error_json(error)

    def answer(self, request: Any) -> None:
        """Send the answer to a decoded request."""
        self.send_json(200, complete(self.server.known, request))


class Server(protocol.Server):
    """The stand-in behind a socket on the loopback address.

    Args:
        known: What it knows.
        port: The port, or 0 for any free one.
        handler: The handler.
    """

    def __init__(self, known: StandIn, port: int = 0, handler: type[Handler] = Handler):
        self.known = known
        super().__init__(handler, port)


@contextlib.contextmanager
def child(facts: str | Path | None) -> Iterator[str]:
    """Run the stand-in in a separate process during the block; yields its base URL.

    The process ends with the block, and also when this process is killed: it watches a pipe.

    Raises:
        UserError: it didn't start; the message is from its process.
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
        errors="replace",
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
                said = stderr.read().strip().splitlines() or ["no message"]
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
    """The stand-in's identity for the store: its rules and its facts, not its port."""
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
    parser.add_argument("--port", type=int, default=0, help="port on the loopback address; 0: any free one")
    parser.add_argument(
        "--facts", type=cli.FileName, metavar="FILE", help="facts.jsonl with its knowledge; default: no facts"
    )
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
