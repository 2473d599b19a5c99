"""Serve models over the OpenAI protocol, with a page to talk to one of them or to two at once.

    python -m falsepromise.generation.serve FOLDER [FOLDER...]

Prints the base URL, the key for clients and the page's address, and serves until interrupted. It listens only on this
machine and asks for the key unless options change this. FALSEPROMISE_SERVE_KEY sets the key; else each start
makes a new one. A model's name is its folder's.

The page shows two models openly or blind; a vote on a dialogue with two is appended to --votes FOLDER as a vote record
of the preference stage, one file for each pair:

    python -m falsepromise.preference.aggregate --votes FOLDER/A.B.votes.jsonl --output SCORE.json
"""

from __future__ import annotations

import collections
import errno
import hmac
import itertools
import logging
import os
import random
import secrets
import select
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.place import PACKAGE
from falsepromise.core.records import dumps
from falsepromise.generation import protocol
from falsepromise.generation.engine import Engine
from falsepromise.teacher.protocol import HOST, MAX_BODY, PAGE_HEADERS, BadRequest, decoded, rater_name
from falsepromise.teacher.protocol import Handler as BaseHandler
from falsepromise.teacher.protocol import Server as BaseServer

log = logging.getLogger(__name__)
KEY_ENV = "FALSEPROMISE_SERVE_KEY"
PAGE = Path(__file__).resolve().parent / "page"
FILES = {
    "": (PAGE / "index.html", "text/html; charset=utf-8"),
    "app.js": (PAGE / "app.js", "text/javascript; charset=utf-8"),
    "chat.css": (PAGE / "chat.css", "text/css; charset=utf-8"),
    "style.css": (PACKAGE / "preference/page/style.css", "text/css; charset=utf-8"),
}
CHOICES = {"first": 0, "second": 1, "tie": None}
KEPT = 1000  # dialogues with two models that may still be voted on
STRANGERS_BODY = 1 << 16  # bytes that are read of a request without the key


@dataclass
class Meeting:
    """A dialogue with two models. `names` in the order in which the page shows them; `said` is what each was asked
    and answered last."""

    id: str
    names: tuple[str, str]
    blind: bool
    begun: float = field(default_factory=time.time)
    said: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    voted: bool = False

    def alias(self, place: int) -> str:
        """The name under which the page asks for a model, so that a blind dialogue's requests name none."""
        return f"{self.id}-{'first' if place == 0 else 'second'}"


class Server(BaseServer):
    """Serves engines over the protocol.

    Args:
        engines: By the name that clients ask for.
        key: The key that clients must give; "" for none.
        votes: The folder for votes.
        port, host: Where to listen; port 0 takes a free one.
    """

    def __init__(self, engines: Mapping[str, Engine], key: str, votes: Path, port: int = 0, host: str = HOST):
        self.engines, self.key, self.votes = dict(engines), key, votes
        self.worker = protocol.Worker()
        self.meetings: collections.OrderedDict[str, Meeting] = collections.OrderedDict()
        self.lock = threading.Lock()
        super().__init__(Handler, port, host)

    @property
    def page(self) -> str:
        """The page's address, with the key."""
        return f"{self.url.removesuffix('/v1')}/{self.key or 'chat'}/"

    def find(self, name: Any) -> tuple[Engine, Meeting | None, int]:
        """The engine of a model's name; of an alias also the dialogue and the model's place in it.

        Raises:
            BadRequest: there is no such model.
        """
        if not isinstance(name, str):
            raise BadRequest(400, "you must provide a model parameter", "model")
        meeting = self.meetings.get(name.rpartition("-")[0])
        if meeting and name in (meeting.alias(0), meeting.alias(1)):
            place = int(name == meeting.alias(1))
            return self.engines[meeting.names[place]], meeting, place
        if name not in self.engines:
            message = f"the model {name!r:.100} does not exist; this server has {', '.join(self.engines)}"
            raise BadRequest(404, message, "model", "model_not_found")
        return self.engines[name], None, 0

    def meet(self, body: Any) -> dict[str, Any]:
        """Begin a dialogue with two models: in the order asked for, or blind in a drawn one.

        Raises:
            BadRequest: it names other than two different models of this server.
        """
        wanted = body.get("models") if isinstance(body, dict) else None
        names = [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else []
        if not isinstance(wanted, list) or len(wanted) != 2 or len(set(names)) != 2:
            raise BadRequest(400, "'models' must name two different models", "models")
        for name in names:
            if name not in self.engines:
                raise BadRequest(404, f"the model {name!r:.100} does not exist", "models", "model_not_found")
        blind = bool(body.get("blind"))
        first, second = random.SystemRandom().sample(names, 2) if blind else names
        meeting = Meeting(secrets.token_hex(8), (first, second), blind)
        with self.lock:
            self.meetings[meeting.id] = meeting
            while len(self.meetings) > KEPT:
                self.meetings.popitem(last=False)
        shown = {} if blind else {"names": meeting.names}
        return {"id": meeting.id, "models": [meeting.alias(0), meeting.alias(1)], **shown}

    def vote(self, body: Any) -> dict[str, Any]:
        """Store a vote on a dialogue with two models, and return their names.

        `left` of the record is the model that the server was started with first: the same in all votes on a pair.

        Raises:
            BadRequest: there is no such dialogue or choice, no answer of both yet, or it was voted on before.
        """
        body = body if isinstance(body, dict) else {}
        rater = rater_name(body["rater"] if isinstance(body.get("rater"), str) else "")
        if not rater:
            raise BadRequest(400, "'rater' must be the name of who votes", "rater")
        choice = body.get("choice")
        if not isinstance(choice, str) or choice not in CHOICES:
            raise BadRequest(400, f"'choice' is {choice!r:.40}, expected first, second or tie", "choice")
        with self.lock:
            meeting = self.meetings.get(str(body.get("id")))
            if meeting is None:
                raise BadRequest(404, "no such dialogue with two models; begin a new one", "id")
            if meeting.voted:
                raise BadRequest(409, "this dialogue was voted on before", "id")
            if len(meeting.said) < 2:
                raise BadRequest(409, "both models have to answer first", "id")
            left, right = sorted(meeting.names, key=list(self.engines).index)
            said = {side: meeting.said[meeting.names.index(name)] for side, name in (("left", left), ("right", right))}
            place = CHOICES[choice]
            chosen = "tie" if place is None else "left" if meeting.names[place] == left else "right"
            record = {
                "item": f"{left}/{right}/{meeting.id}",
                "prompt_id": meeting.id,
                **{"left": left, "right": right, "rater": rater},
                "first": "left" if meeting.names[0] == left else "right",
                "choice": chosen,
                "seconds": round(time.time() - meeting.begun, 1),
                "blind": meeting.blind,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "dialogues": said,
            }
            path = self.votes / f"{left}.{right}.votes.jsonl"
            try:
                append(path, dumps(record))
            except OSError as error:
                raise BadRequest(500, f"the vote can't be stored: {error.strerror}") from error
            meeting.voted = True
        return {"names": meeting.names, "stored": True}


def append(path: Path, line: str) -> None:
    """Add a line to a file, whole or not at all.

    Raises:
        OSError: it can't be written, as on a full disk; what was written of it is taken away again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0) as stream:
        before, added = stream.tell(), f"{line}\n".encode()
        try:
            if stream.write(added) < len(added):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(before)
            raise


class Handler(BaseHandler):
    """The protocol under `/v1`, the page's files under its own address."""

    server: Server
    timeout = 120

    def do_GET(self) -> None:
        """The models, the page."""
        try:
            parts = urlsplit(self.path).path.lstrip("/").partition("/")
            if self.own_host() and parts[1] and hmac.compare_digest(parts[0].encode(), self._page_part()):
                return self._page(parts[2])
            self._check()
            if not self.send_models(list(self.server.engines)):
                raise BadRequest(404, "unknown path", code="unknown_url")
        except BadRequest as error:
            self.send_error_json(error)

    def do_POST(self) -> None:
        """Chat, completions; dialogues with two models and votes on them."""
        try:
            # Whatever comes of it: what is unread would be taken for the next request.
            sent = self.read_body(MAX_BODY if self._knows_key() else STRANGERS_BODY)
            self._check()
            if self.headers.get_content_type() != "application/json":  # all that another site's form can't send
                raise BadRequest(415, "expected a request with content-type application/json")
            body = decoded(sent)
            answers = {"/v1/meetings": self.server.meet, "/v1/votes": self.server.vote}
            if self.path_alone in answers:
                return self.send_json(200, answers[self.path_alone](body))
            if self.path_alone not in ("/v1/chat/completions", "/v1/completions"):
                raise BadRequest(404, "unknown path", code="unknown_url")
            if not isinstance(body, dict):
                raise BadRequest(400, "the request's body must be a JSON object")
            self._answer(body, chat=self.path_alone == "/v1/chat/completions")
        except BadRequest as error:
            self.send_error_json(error)
        except RecursionError:
            self.send_error_json(BadRequest(400, "the request's body is nested too deep"))

    def _answer(self, body: dict[str, Any], chat: bool) -> None:
        engine, meeting, place = self.server.find(body.get("model"))
        asked = protocol.read_request(engine, body, chat)

        def keep(said: str) -> None:  # before the client knows that the answer is at its end, and can vote
            if meeting is not None and chat:
                dialogue = [{"role": str(m["role"]), "content": str(m["content"])} for m in body["messages"]]
                with self.server.lock:
                    meeting.said[place] = [*dialogue, {"role": "assistant", "content": said}]

        job = self.server.worker.submit(protocol.Job(engine, asked, self._left))
        answer = protocol.Answer(job)
        try:
            if asked.stream:
                self._stream(answer, keep)
            else:
                whole = self._whole(answer)
                keep(whole["choices"][0].get("message", {}).get("content", ""))
                self.send_json(200, whole)
        finally:
            job.gone = True

    def _whole(self, answer: protocol.Answer) -> dict[str, Any]:
        try:
            return answer.whole()
        except (BadRequest, ConnectionError):
            raise
        except Exception as error:  # the worker has logged it
            raise BadRequest(500, f"the model failed ({type(error).__name__})") from error

    def _stream(self, answer: protocol.Answer, keep: Callable[[str], None]) -> None:
        """Send the pieces as events; `keep` is told the first choice's text."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("cache-control", "no-store")
        if self._in_chunks():
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("connection", "close")
        self.end_headers()
        said = ""
        try:
            for piece in answer.chunks():
                if piece["choices"] and piece["choices"][0]["index"] == 0:
                    said += piece["choices"][0].get("delta", {}).get("content", "")
                self._event(dumps(piece))
            keep(said)
        except ConnectionError:
            raise
        except Exception as error:  # the status is sent: the event says it
            message = f"the model failed ({type(error).__name__})"
            self._event(dumps({"error": {"message": message, "type": "server_error"}}))
        self._event("[DONE]")
        if self._in_chunks():
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _event(self, text: str) -> None:
        payload = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload) if self._in_chunks() else payload)
        self.wfile.flush()

    def _in_chunks(self) -> bool:
        """Whether a stream is sent in HTTP's chunks: not to a client of HTTP/1.0, which takes their sizes for text."""
        return self.request_version != "HTTP/1.0"

    def _left(self) -> bool:
        """Whether the client has closed the connection. What it may have sent is its next request."""
        looking = select.poll()
        looking.register(self.connection, select.POLLIN)
        return bool(looking.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)

    def _page_part(self) -> bytes:
        return (self.server.key or "chat").encode()

    def _knows_key(self) -> bool:
        scheme, _, given = self.headers.get("authorization", "").partition(" ")
        return not self.server.key or (
            scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.server.key.encode())
        )

    def _check(self) -> None:
        if not self.own_host():
            raise BadRequest(403, "this server answers on the loopback address alone")
        if not self._knows_key():
            raise BadRequest(401, "wrong or missing API key: give the one that was printed", code="invalid_api_key")

    def _page(self, name: str) -> None:
        if name not in FILES:
            raise BadRequest(404, "no such page")
        path, kind = FILES[name]
        self.send(200, path.read_bytes(), kind, PAGE_HEADERS)


def named(folders: Sequence[Path]) -> dict[str, Path]:
    """Folders by the names that clients ask for.

    Raises:
        UserError: two have the same name.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in found:
            raise UserError(f"{folder}: a model called {name} is served from {found[name]} already; rename a folder")
        found[name] = folder
    return found


def load(folders: Sequence[Path], batch_size: int) -> dict[str, Engine]:
    """The engines of folders by name. One works at a time, beside the weights of them all."""
    engines = {name: Engine.load(folder, batch_size=batch_size) for name, folder in named(folders).items()}
    for engine, other in itertools.permutations(engines.values(), 2):
        engine.room = engine.room.beside(other.state)
    return engines


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = cli.parser(__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="model folders with their tokenizers")
    parser.add_argument("--votes", type=Path, default=Path("votes"), help="folder for the page's votes")
    parser.add_argument("--batch-size", type=int, default=16, help="answers that are decoded together")
    parser.add_argument("--host", default=HOST, help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--no-key", action="store_true", help="require no key of clients")
    parser.add_argument("--no-browser", action="store_true", help="don't open a browser")
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: expected at least 1")
    key = "" if args.no_key else os.environ.get(KEY_ENV, "").strip() or secrets.token_urlsafe(16)
    if not all(c.isalnum() or c in "-_" for c in key):
        raise UserError(f"{KEY_ENV}: a key may have letters, digits, '-' and '_' alone: it is a part of an address")
    with Server(load(args.folders, args.batch_size), key, args.votes, args.port, args.host) as server:
        if not server.local:
            whoever = "anyone with the key" if key else "anyone"
            log.warning("listening on %s without encryption: %s who reaches it can use the models", args.host, whoever)
        print(f"base URL: {server.url}\nkey: {key or '(none)'}\npage: {server.page}", flush=True)
        if sys.stdout.isatty() and not args.no_browser:
            webbrowser.open(server.page)
        server.serve_forever()


if __name__ == "__main__":
    cli.run(main)
