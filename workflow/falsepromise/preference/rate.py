"""Rate pairs of replies blind on a small local web page.

It prints an address with a token and serves it until interrupted; keys 1, 2 and 3 choose, U undoes. Each rater enters
a name, gets the pairs in a separate order with separate sides, and goes on where they stopped. Ratings are in
--database (SQLite), each stored before the next pair is shown. A second address is for the organiser: progress,
agreement, pairs to discuss and the export, at any time.

    python -m falsepromise.preference.rate --prompts P --responses OURS --reference TEACHER --database R.sqlite
    python -m falsepromise.preference.rate --database R.sqlite --export VOTES.jsonl

The server listens only on this machine, unless --host names another address. Replies are shown as Markdown without
HTML, links and pictures, under a policy that forbids loading anything else.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import loads, write_jsonl
from falsepromise.preference import overview
from falsepromise.preference.ballots import Ballots, read_votes
from falsepromise.preference.pairs import read_pairs
from falsepromise.teacher import protocol

log = logging.getLogger(__name__)
PAGE = Path(__file__).resolve().parent / "page"
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "app.js": ("app.js", "text/javascript; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
}
MAX_BODY = 16_384  # bytes; a vote takes a few hundred, and a note
MAX_NOTE = 2000  # characters


def markdown() -> MarkdownIt:
    """Markdown to HTML that is safe for untrusted text: no HTML, links or pictures; tables are on."""
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    parser.enable("table").disable(["link", "image", "autolink"])
    parser.core.ruler.push("no_inline_style", _align_by_attribute)
    parser.core.ruler.push("headings_below_ours", _lower_headings)
    return parser


def _lower_headings(state: StateCore) -> None:
    """Put a reply's headings below the page's own without skipping a level, for screen readers."""
    above: list[int] = []
    for token in state.tokens:
        if token.type == "heading_open":
            level = int(token.tag[1])
            above = [other for other in above if other < level] + [level]
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, 2 + len(above))}"


def _align_by_attribute(state: StateCore) -> None:
    """Use `align` for aligned cells of a table, because the page's policy forbids their style."""
    for token in state.tokens:
        style = str(token.attrs.pop("style", ""))
        if style.startswith("text-align:"):
            token.attrs["align"] = style.removeprefix("text-align:")


class Server(protocol.Server):
    """Serves the rating page for some ballots.

    Args:
        ballots: Stores the ratings.
        host: The address to listen on.
        port: The port; 0: any free one.
        token: The first part of every path; other paths show nothing.
        both_bad: Whether raters may choose that both answers are bad.
    """

    def __init__(
        self,
        ballots: Ballots,
        host: str = protocol.HOST,
        port: int = 0,
        token: str | None = None,
        both_bad: bool = False,
    ):
        self.ballots, self.token, self.markdown = ballots, token or secrets.token_urlsafe(16), markdown()
        self.organisers_token, self.both_bad = secrets.token_urlsafe(16), both_bad
        super().__init__(Handler, port, host)
        # Items name the models, so raters get numbers instead.
        self.items = dict(enumerate(ballots.pairs))
        self.numbers = {item: number for number, item in self.items.items()}

    @property
    def url(self) -> str:
        """The address to open."""
        return self._address(self.token)

    @property
    def overview(self) -> str:
        """The organiser's address, whose page names the models; raters must not have it."""
        return self._address(self.organisers_token)

    def _address(self, token: str) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/{token}/"

    def state(self, rater: str) -> dict[str, Any]:
        """The page's next content for a rater."""
        following, last = self.ballots.next(rater), self.ballots.last(rater)
        state: dict[str, Any] = {
            "rated": self.ballots.rated(rater),
            "total": len(self.ballots.pairs),
            "last": None if last is None else self.numbers[last],
            "both_bad": self.both_bad,
            "pair": None,
        }
        if following is not None:
            pair, first = following
            texts = (pair.left, pair.right) if first == "left" else (pair.right, pair.left)
            question, one, two = (self.markdown.render(text) for text in (pair.question, *texts))
            state["pair"] = {"item": self.numbers[pair.item], "question": question, "first": one, "second": two}
        return state


class Handler(protocol.Handler):
    """The page's files, `state` (GET), `vote` and `undo` (POST), all below the token; the organiser's below another.

    Requests, whose paths have the token, go only to the debug log.
    """

    server: Server
    timeout = 60
    always = protocol.PAGE_HEADERS

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self._below(parts.path, self.server.organisers_token):
            return self._overview(parts.path.rpartition("/")[2])
        name = self._name(parts.path)
        if name is None:
            return
        if name in FILES:
            file, kind = FILES[name]
            self.send(200, (PAGE / file).read_bytes(), kind)
        elif name == "state":
            rater = protocol.rater_name(parse_qs(parts.query).get("rater", [""])[0])
            self.send_json(200, self.server.state(rater)) if rater else self._problem(400, "a rater's name is missing")
        else:
            self._problem(404, "no such page")

    def do_POST(self) -> None:
        name = self._name(urlsplit(self.path).path)
        if name is None:
            return
        if name not in ("vote", "undo"):
            return self._problem(404, "no such page")
        try:
            sent = self.read_body(MAX_BODY)
        except protocol.BadRequest:
            return self._problem(400, f"expected JSON of at most {MAX_BODY} bytes")
        if self.headers.get_content_type() != "application/json":
            return self._problem(400, "expected a request with content-type application/json")
        try:
            body = loads(sent)
            rater, item = protocol.rater_name(body["rater"]), self.server.items[body["item"]]
            if not rater:
                return self._problem(400, "a rater's name is missing")
            if name == "vote":
                seconds = body.get("seconds")
                spent = float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 86_400 else None
                place = str(body["choice"])
                if place == "bad" and not self.server.both_bad:
                    raise KeyError(place)
                note = str(body.get("note") or "").strip()[:MAX_NOTE]
                stored = self.server.ballots.vote(rater, item, place, spent, note)
            else:
                stored = self.server.ballots.undo(rater, item)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self._problem(400, "expected a rater, an item of this list and a choice")
        self.send_json(200, {**self.server.state(rater), "stored": stored})

    def _overview(self, name: str) -> None:
        if name == "":
            self.send(200, overview.page(self.server.ballots).encode("utf-8", "replace"), FILES[""][1])
        elif name == "style.css":
            self.send(200, (PAGE / name).read_bytes(), FILES[name][1])
        elif name == "votes.jsonl":
            lines = "".join(json.dumps(vote) + "\n" for vote in self.server.ballots.votes())
            self.send(200, lines.encode(), "application/jsonl")
        else:
            self._problem(404, "no such page")

    def _below(self, path: str, token: str) -> bool:
        """Whether a path has the token before it and comes from the server's own name."""
        given, _, _ = path.lstrip("/").partition("/")
        return self.own_host() and hmac.compare_digest(given.encode(), token.encode()) and "/" in path[1:]

    def _name(self, path: str) -> str | None:
        """The path below the token; None, after sending an error, if the token is wrong."""
        if not self._below(path, self.server.token):
            self._problem(404, "no such page: use the complete address that was printed")
            return None
        return path.lstrip("/").partition("/")[2]

    def _problem(self, status: int, message: str) -> None:
        self.close_connection = True  # a body may be unread
        self.send_json(status, {"error": message})


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page or export the ratings; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument("--database", type=cli.FileName, required=True, help="the ratings, an SQLite file")
    parser.add_argument(
        "--export", type=cli.FileName, metavar="VOTES.jsonl", help="write the ratings as votes, then end"
    )
    parser.add_argument("--prompts", type=cli.FileName, help="prompt records")
    parser.add_argument("--responses", type=cli.FileName, help="replies of the model under study")
    parser.add_argument("--reference", type=cli.FileName, help="replies to compare with (the teacher's)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the orders and sides")
    parser.add_argument("--both-bad", action="store_true", help="also offer 'Both are bad', a marked tie")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: any free one")
    parser.add_argument("--no-browser", action="store_true", help="don't open a browser")
    args = parser.parse_args(argv)
    if args.export:
        _check_export(args.export, args.database)
        votes = read_votes(args.database)
        write_jsonl(args.export, votes)
        write_manifest(args.export, module="falsepromise.preference.rate", inputs=[args.database], config={})
        log.info("%d ratings of %d raters", len(votes), len({vote["rater"] for vote in votes}))
        return
    if not (args.prompts and args.responses and args.reference):
        parser.error("--prompts, --responses and --reference are needed to serve the page")
    pairs = read_pairs(args.prompts, args.responses, args.reference)
    with (
        contextlib.closing(Ballots(args.database, pairs, args.seed)) as ballots,
        Server(ballots, args.host, args.port, both_bad=args.both_bad) as server,
    ):
        if not server.local:
            log.warning("listening on %s without encryption: anyone with the address can rate", args.host)
        print(server.url, flush=True)
        print(f"only for the organiser (it names the models): {server.overview}", flush=True)
        if sys.stdout.isatty() and not args.no_browser:
            webbrowser.open(server.url)
        server.serve_forever()


def _check_export(export: str, database: str) -> None:
    """Refuse to write over a file that SQLite keeps beside the database: ratings that it doesn't have yet."""
    if Path(export).resolve() in [Path(f"{Path(database).resolve()}-{kind}") for kind in ("journal", "wal", "shm")]:
        raise UserError(f"--export {export}: is a file of --database {database}; give another --export")


if __name__ == "__main__":
    cli.run(main)
