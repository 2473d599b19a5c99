"""Store the ratings from the local rating page in one SQLite file; each can be undone."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, stored
from falsepromise.preference.pairs import Pair, shuffled_sides
from falsepromise.preference.votes import check_vote

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (pairs TEXT NOT NULL, seed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS votes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, rater TEXT NOT NULL, item TEXT NOT NULL, vote TEXT NOT NULL,
    UNIQUE (rater, item));
CREATE TABLE IF NOT EXISTS undone (rater TEXT NOT NULL, item TEXT NOT NULL, vote TEXT NOT NULL, at REAL NOT NULL);
"""


class Ballots:
    """The ratings of any number of raters on one list of pairs.

    A vote is on the disk when `vote` returns. A rater has one vote for each item: a second one (from another tab, or
    sent again after a broken connection) changes nothing.

    Args:
        path: The SQLite file; created if missing.
        pairs: The pairs to rate.
        seed: The seed of each rater's order of the pairs and of their sides.

    Raises:
        UserError: the file has another form, or has ratings of other pairs or another seed.
    """

    def __init__(self, path: str | Path, pairs: Sequence[Pair], seed: int = 0):
        self.pairs = {pair.item: pair for pair in pairs}
        self.seed = seed
        self._lock = threading.Lock()
        self._db = _open(path)
        content = hashlib.sha256(json.dumps([vars(pair) for pair in pairs]).encode()).hexdigest()
        with self._transaction() as db:
            about = db.execute("SELECT pairs, seed FROM about").fetchone()
            if about is None:
                db.execute("INSERT INTO about VALUES (?, ?)", (content, seed))
        if about is not None and about != (content, seed):
            raise UserError(f"{path}: has ratings of other pairs or another seed; choose another --database")

    def order(self, rater: str) -> list[tuple[str, str]]:
        """A rater's own order: (item, the side that stands first)."""
        items = list(self.pairs)
        random.Random(f"{self.seed}/{rater}").shuffle(items)
        sides = shuffled_sides(items, f"{self.seed}/{rater}")
        return [(item, sides[item]) for item in items]

    def next(self, rater: str) -> tuple[Pair, str] | None:
        """The first pair of the rater's order without a vote, with the side that stands first."""
        with self._transaction() as db:
            rated = {item for (item,) in db.execute("SELECT item FROM votes WHERE rater = ?", (rater,))}
        return next(((self.pairs[item], first) for item, first in self.order(rater) if item not in rated), None)

    def rated(self, rater: str) -> int:
        """How many pairs the rater has rated."""
        with self._transaction() as db:
            return int(db.execute("SELECT count(*) FROM votes WHERE rater = ?", (rater,)).fetchone()[0])

    def last(self, rater: str) -> str | None:
        """The item that the rater rated last, which `undo` takes back."""
        with self._transaction() as db:
            return _last(db, rater)

    def vote(self, rater: str, item: str, place: str, seconds: float | None = None, note: str = "") -> bool:
        """Store a vote.

        Args:
            rater: The rater's name.
            item: What was rated.
            place: `first`, `second`, `tie` or `bad` (both are: a tie with `"both": "bad"`), as shown to this rater.
            seconds: Time spent.
            note: The rater's own words.

        Returns:
            Whether it was stored; False where the rater had voted on this item before.

        Raises:
            KeyError: there is no such item or place.
        """
        first = dict(self.order(rater))[item]
        other = {"left": "right", "right": "left"}[first]
        choice = {"first": first, "second": other, "tie": "tie", "bad": "tie"}[place]
        record = self.pairs[item].vote(rater, choice, first)
        if place == "bad":
            record["both"] = "bad"
        if note:
            record["note"] = note
        if seconds is not None:
            record["seconds"] = round(seconds, 1)
        record["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._transaction() as db:
            added = db.execute(
                "INSERT OR IGNORE INTO votes (rater, item, vote) VALUES (?, ?, ?)", (rater, item, json.dumps(record))
            )
            return added.rowcount == 1

    def undo(self, rater: str, item: str) -> bool:
        """Take back the rater's last vote if it is the one on `item`; the vote is kept aside."""
        with self._transaction() as db:
            if _last(db, rater) != item:
                return False
            db.execute(
                "INSERT INTO undone SELECT rater, item, vote, ? FROM votes WHERE rater = ? AND item = ?",
                (time.time(), rater, item),
            )
            db.execute("DELETE FROM votes WHERE rater = ? AND item = ?", (rater, item))
            return True

    def votes(self) -> list[Record]:
        """All votes so far, in the order in which they were made."""
        with self._transaction() as db:
            return [stored(vote, "the ratings") for (vote,) in db.execute("SELECT vote FROM votes ORDER BY number")]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _last(db: sqlite3.Connection, rater: str) -> str | None:
    row = db.execute("SELECT item FROM votes WHERE rater = ? ORDER BY number DESC LIMIT 1", (rater,)).fetchone()
    return row[0] if row else None


def _open(path: str | Path) -> sqlite3.Connection:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        db.execute("PRAGMA synchronous = FULL")
        kinds = dict(db.execute("SELECT name, type FROM sqlite_master"))
        if kinds and kinds.keys().isdisjoint(("about", "votes")):
            raise sqlite3.DatabaseError("it is another program's database")  # which gets no tables of ours
        views = [name for name, kind in kinds.items() if kind in ("view", "trigger")]
        if views:  # a view may make rows without end
            raise sqlite3.DatabaseError(f"it has a view or trigger, {views[0]}")
        db.executescript(_SCHEMA)
        db.execute("SELECT number, rater, item, vote FROM votes LIMIT 0")  # the columns are there
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"{path}: can't be opened as a file of ratings: {error}; choose another --database") from error
    return db


def read_votes(path: str | Path) -> list[Record]:
    """All votes of a file of ratings, in the order in which they were made.

    Raises:
        UserError: there is no such file, or no vote in it.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: does not exist; expected a file of ratings")
    db = _open(path)
    try:
        votes = [stored(vote, str(path)) for (vote,) in db.execute("SELECT vote FROM votes ORDER BY number")]
    except sqlite3.Error as error:
        raise UserError(f"{path}: the ratings can't be read: {error}; restore the file") from error
    finally:
        db.close()
    if not votes:
        raise UserError(f"{path}: has no ratings yet")
    wrong = next((vote for vote in votes if not isinstance(vote, dict) or check_vote(vote)), None)
    if wrong is not None:
        raise UserError(f"{path}: holds {wrong!r:.80}, which is no vote; restore the file")
    return votes
