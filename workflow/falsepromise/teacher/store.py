"""A store of paid answers: no request is paid for twice, also after a kill, also by two processes.

One SQLite file holds the answers by the hash of their request, what was spent, and who is asking
what just now. A process claims a request in the same transaction that reserves its cost, so that
the limits hold over all processes that share the store and over all their runs. A claim whose
process has died (its heartbeat has stopped) is taken over. Each answer is committed as it arrives.

What can still be paid for twice: requests that were under way when a process was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from falsepromise.core.errors import UserError

HEARTBEAT_S = 2.0
DEAD_AFTER_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, stored REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    teacher TEXT PRIMARY KEY, requests INTEGER NOT NULL, answers INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, usd REAL NOT NULL);
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, worker TEXT NOT NULL, teacher TEXT NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL);
CREATE TABLE IF NOT EXISTS workers (worker TEXT PRIMARY KEY, seen REAL NOT NULL);
"""


@dataclass(frozen=True)
class Answer:
    """What came back for one request.

    Attributes:
        text: The answer, empty where there is none.
        finish_reason: The server's reason, as `stop`.
        model: The exact model snapshot that the server names.
        input_tokens, output_tokens: The server's usage counts; estimates where it sends none.
        failure: None for an answer; else why this is none: `length` (truncated), `content_filter`,
            `refusal`, `empty`, or `rejected: ...` with the server's message. Never stored.
        stored: Whether it came from the store and cost nothing now.
        fingerprint: The server's `system_fingerprint`, if any.
    """

    text: str
    finish_reason: str
    model: str
    input_tokens: int
    output_tokens: int
    failure: str | None = None
    stored: bool = False
    fingerprint: str | None = None


@dataclass(frozen=True)
class Spent:
    """What requests have cost: HTTP requests sent (failed ones too), answers, tokens, US dollars."""

    requests: int = 0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def since(self, earlier: Spent) -> Spent:
        """What was spent after `earlier`."""
        return Spent(*(getattr(self, name) - value for name, value in asdict(earlier).items()))


@dataclass(frozen=True)
class Limits:
    """Hard stops over all that a store has spent on a teacher; None is no limit."""

    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None


def request_key(teacher: str, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any], sample: int) -> str:
    """The content address of a request: SHA-256 (hex) over all that shapes its answer.

    Args:
        teacher: Base URL and model.
        messages: The chat.
        parameters: Everything else that is sent (temperature, seed, ...).
        sample: Which of several independent answers to the same request.
    """
    canonical = json.dumps([teacher, list(messages), dict(parameters), sample], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Store:
    """Answers, claims and spending in `FOLDER/answers.sqlite`.

    Args:
        folder: Made if it isn't there. It must be on a disk of this machine or on a file system
            with working POSIX locks; processes on different machines should not share a store.

    Raises:
        UserError: the folder can't be written, or the file is no store.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / "answers.sqlite"
        self.worker = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex}"
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{self.path}: the store can't be opened: {error}; choose another --store") from error
        with self._transaction(begin=False) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")  # survives a kill; a power cut loses the last moments
            db.executescript(_SCHEMA)
            self._beat(db)
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, daemon=True)
        self._heart.start()

    def close(self) -> None:
        """Give back what is still claimed and close the file."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._heart.join()
        with contextlib.suppress(UserError), self._transaction() as db:
            db.execute("DELETE FROM claims WHERE worker = ?", (self.worker,))
            db.execute("DELETE FROM workers WHERE worker = ?", (self.worker,))
        self._db.close()

    def get(self, key: str) -> Answer | None:
        """The stored answer to a request, or None."""
        with self._transaction(begin=False) as db:
            return _answer(db, key)

    def absent(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that have no answer yet, each once, in their order."""
        distinct = list(dict.fromkeys(keys))
        have: set[str] = set()
        with self._transaction(begin=False) as db:
            for start in range(0, len(distinct), 500):
                part = distinct[start : start + 500]
                marks = ",".join("?" * len(part))
                have.update(row[0] for row in db.execute(f"SELECT key FROM answers WHERE key IN ({marks})", part))
        return [key for key in distinct if key not in have]

    def claim(
        self, key: str, teacher: str, tokens: int, usd: float, limits: Limits
    ) -> Answer | Literal["mine", "taken", "wait"] | str:
        """Ask for the right to send a request.

        Args:
            key: Of the request.
            teacher: Whose spending it is.
            tokens, usd: The most that it is expected to cost.
            limits: Of that spending.

        Returns:
            The answer if it is there by now; `mine`: send it, then `finish`; `taken`: somebody else
            has sent it; `wait`: the limits leave no room until others' requests have ended; any
            other text says which limit is reached.
        """
        with self._transaction() as db:
            found = _answer(db, key)
            if found:
                return found
            holder = db.execute("SELECT worker FROM claims WHERE key = ?", (key,)).fetchone()
            if holder and self._alive(db, holder[0]):
                return "taken"
            db.execute("DELETE FROM claims WHERE key = ?", (key,))
            if limits != Limits():
                self._bury(db)
            spent = self._spent(db, teacher)
            reserved_tokens, reserved_usd = db.execute(
                "SELECT coalesce(sum(tokens), 0), coalesce(sum(usd), 0) FROM claims WHERE teacher = ?", (teacher,)
            ).fetchone()
            for what, limit, now, mine, reserved in (
                ("max_requests", limits.requests, spent.requests, 1, 0),
                ("max_tokens", limits.tokens, spent.tokens, tokens, reserved_tokens),
                ("max_usd", limits.usd, spent.usd, usd, reserved_usd),
            ):
                if limit is None or now + mine + reserved <= limit:
                    continue
                if now + mine <= limit:
                    return "wait"
                return f"{what} is {limit:g} and {now:.6g} are spent; the next request may take {mine:.6g}"
            db.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?)", (key, self.worker, teacher, tokens, usd))
            return "mine"

    def attempt(self, teacher: str, limit: int | None) -> bool:
        """Count one HTTP request about to be sent; False if `limit` requests were sent before."""
        with self._transaction() as db:
            sent = self._spent(db, teacher).requests
            if limit is not None and sent >= limit:
                return False
            db.execute("UPDATE spent SET requests = requests + 1 WHERE teacher = ?", (teacher,))
            return True

    def finish(self, key: str, teacher: str, answer: Answer | None, usd: float = 0.0) -> None:
        """End a claim: count what was paid and store the answer, unless it is a failure."""
        with self._transaction() as db:
            db.execute("DELETE FROM claims WHERE key = ? AND worker = ?", (key, self.worker))
            if answer is None:
                return
            db.execute(
                "UPDATE spent SET answers = answers + ?, input_tokens = input_tokens + ?, "
                "output_tokens = output_tokens + ?, usd = usd + ? WHERE teacher = ?",
                (answer.failure is None, answer.input_tokens, answer.output_tokens, usd, teacher),
            )
            if answer.failure is None:
                record = {name: value for name, value in asdict(answer).items() if name not in ("stored", "failure")}
                db.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, json.dumps(record), time.time()))

    def spent(self, teacher: str) -> Spent:
        """All that this store has ever spent on a teacher."""
        with self._transaction() as db:
            return self._spent(db, teacher)

    def _spent(self, db: sqlite3.Connection, teacher: str) -> Spent:
        db.execute("INSERT OR IGNORE INTO spent VALUES (?, 0, 0, 0, 0, 0)", (teacher,))
        row = db.execute(
            "SELECT requests, answers, input_tokens, output_tokens, usd FROM spent WHERE teacher = ?", (teacher,)
        ).fetchone()
        return Spent(*row)

    def _alive(self, db: sqlite3.Connection, worker: str) -> bool:
        row = db.execute("SELECT seen FROM workers WHERE worker = ?", (worker,)).fetchone()
        return bool(row) and time.time() - row[0] < DEAD_AFTER_S and _process_lives(worker)

    def _bury(self, db: sqlite3.Connection) -> None:
        """Drop the claims of processes that have died."""
        for (worker,) in db.execute("SELECT DISTINCT worker FROM claims").fetchall():
            if not self._alive(db, worker):
                db.execute("DELETE FROM claims WHERE worker = ?", (worker,))

    def _beat(self, db: sqlite3.Connection) -> None:
        db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?)", (self.worker, time.time()))

    def _keep_beating(self) -> None:
        while not self._closed.wait(HEARTBEAT_S):
            with contextlib.suppress(UserError), self._transaction(begin=False) as db:
                self._beat(db)

    @contextlib.contextmanager
    def _transaction(self, begin: bool = True) -> Iterator[sqlite3.Connection]:
        """The connection, in one transaction that takes the write lock at once (or in none)."""
        with self._lock:
            try:
                if begin:
                    self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                if begin:
                    self._db.execute("COMMIT")
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                    raise UserError(f"{self.path}: this is no store of answers; choose another --store") from error
                raise UserError(f"{self.path}: the store can't be written: {error}; answers so far are kept") from error
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise


def _answer(db: sqlite3.Connection, key: str) -> Answer | None:
    row = db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
    return Answer(**json.loads(row[0]), stored=True) if row else None


def _process_lives(worker: str) -> bool:
    """Whether a worker's process is there; one on another machine is taken to be."""
    host, pid, _ = worker.rsplit("/", 2)
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, under another user
    return True
