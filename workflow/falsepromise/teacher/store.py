"""Store paid replies, so that no request is paid for twice, also after a kill or with several processes.

One SQLite file has the answers by the hash of their request, the failed replies that were paid for, the requests under
way (claims), and the ledger of every request that was sent (`teacher.ledger`). A process claims a request in the same
transaction that reserves its cost, so the limits apply to all processes that share the store and to all their runs. The
claims of a dead process are released; its sent requests stay in the account with their reserve. Each reply is
committed as it arrives.

Only requests that were under way when a process was killed can be paid for twice. Both are counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import sqlite3
import stat
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from falsepromise.core import processes
from falsepromise.core.errors import UserError
from falsepromise.core.records import permit, stored
from falsepromise.teacher import ledger
from falsepromise.teacher.cost import Prices, Request
from falsepromise.teacher.ledger import Charge, Limits, Spent

log = logging.getLogger(__name__)
HEARTBEAT_S = 2.0
WAIT_S = 60.0  # for another process that is writing
LARGEST_LOG = 64 << 20  # bytes of SQLite's log, after which a write waits until it is in the file
DEAD_AFTER_S = 30.0
VERSION = 2
_REPLY = "key TEXT PRIMARY KEY, answer TEXT NOT NULL, stored REAL NOT NULL"
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS answers ({_REPLY}) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed ({_REPLY}) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (key TEXT PRIMARY KEY, teacher TEXT NOT NULL, request BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, worker TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers (worker TEXT PRIMARY KEY, seen REAL NOT NULL);
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, teacher TEXT NOT NULL, state TEXT NOT NULL, file TEXT, batch TEXT,
    worker TEXT NOT NULL, made REAL NOT NULL);
{ledger.SCHEMA}
"""


@dataclass(frozen=True)
class Answer:
    """The reply to one request.

    Attributes:
        text: The answer, empty if there is none.
        finish_reason: The server's reason, such as `stop`.
        model: The exact model snapshot that the server names.
        input_tokens, output_tokens: The server's usage counts; estimates where it sends none.
        failure: None for an answer; else the reason: `length` (truncated), `content_filter` or
            another finish reason, `refusal`, `empty`, `rejected: ...` or `no answer: ...` with the server's
            message. The first four were paid for: they are stored, and not asked again.
        stored: Whether it came from the store and cost nothing now.
        fingerprint: The server's `system_fingerprint`, if any.
        usd: The cost, if the price was known.
        thinking: The model's reasoning before the answer, if the server shows it.
    """

    text: str
    finish_reason: str
    model: str
    input_tokens: int
    output_tokens: int
    failure: str | None = None
    stored: bool = False
    fingerprint: str | None = None
    usd: float | None = None
    thinking: str | None = None

    @property
    def paid(self) -> bool:
        """Whether to store it: an answer, or a failed reply that would cost the same again."""
        return self.failure is None or not self.failure.startswith(("rejected", "no answer"))


def request_key(teacher: str, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any], sample: int) -> str:
    """The content address of a request: SHA-256 (hex) over all that shapes its answer.

    Args:
        teacher: Base URL and model.
        messages: The chat.
        parameters: All other fields (temperature, seed, ...).
        sample: The number of one of several independent answers to the same request.
    """
    canonical = json.dumps([teacher, list(messages), dict(parameters), sample], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def refuse_programs(path: str | Path, db: sqlite3.Connection) -> None:
    """Refuse a file that computes: a view may make rows without end, a trigger may delete what is stored.

    Raises:
        UserError: it has a view or a trigger.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as empty:
        for statement in _statements(ledger.SCHEMA):
            empty.execute(statement)
        ours = {sql for (sql,) in empty.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master WHERE type IN ('view', 'trigger')"):
        if sql not in ours:
            raise UserError(f"{path}: has a {kind}, {name}, which no store has; choose another --store")


class Store:
    """Replies, claims and the ledger in `FOLDER/answers.sqlite`.

    Args:
        folder: Created if missing. It must be on a disk of this machine or on a file system
            with working POSIX locks; processes on different machines should not share a store.
        shared: Whether the user's group may read and write a new store; default: only its owner.
        again: Whether to ask (and pay) again for failed replies.

    Raises:
        UserError: the folder can't be written, or the file is not a store.
    """

    def __init__(self, folder: str | Path, shared: bool = False, again: bool = False):
        self.path = Path(folder) / "answers.sqlite"
        self.worker = f"{socket.gethostname()}/{os.getpid()}@{processes.started(os.getpid())}/{uuid.uuid4().hex}"
        self.again = again
        self._lock = threading.Lock()
        self._beats: dict[str, tuple[float | None, float]] = {}  # other machines' workers, and when their beat was new
        try:
            made = not self.path.parent.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if made and shared:  # SQLite puts its log beside the file
                permit(self.path.parent, 0o2770)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                if not permit(self.path, 0o660 if shared else 0o600):
                    log.warning("%s: this file system has no permissions: all who see it can read the store", self.path)
            self._db = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{self.path}: the store can't be opened: {error}; choose another --store") from error
        with self.transaction(begin=False) as db:
            self._log_ahead(db)
            db.execute("PRAGMA synchronous=NORMAL")  # survives a kill; a power cut loses the last moments
            db.execute("PRAGMA wal_autocheckpoint=0")  # requests must not wait for the disk: the heart's thread does
        with self.transaction() as db:
            self._upgrade(db, shared)
            self._beat(db)
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, daemon=True)
        self._heart.start()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)

    def _log_ahead(self, db: sqlite3.Connection) -> None:
        """Turn on SQLite's log, which, unlike a write, doesn't wait for another process that opens the file."""
        until = time.monotonic() + WAIT_S
        while True:
            try:
                db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _upgrade(self, db: sqlite3.Connection, shared: bool) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            refuse_programs(self.path, db)
            return
        if version > VERSION:
            raise UserError(f"{self.path}: the store was written by a later version; use that, or another --store")
        known = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if known and "answers" not in known:
            raise UserError(f"{self.path}: is not a store of answers; choose another --store")
        for statement in _statements(ledger.SCHEMA):
            db.execute(statement)
        ledger.migrate(db, time.time())
        for statement in _statements(_SCHEMA):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        if known and not shared and os.stat(self.path).st_uid == os.getuid():
            permit(self.path, stat.S_IRUSR | stat.S_IWUSR)

    def close(self) -> None:
        """Release the remaining claims and close the file."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._heart.join()
        with contextlib.suppress(UserError), self.transaction() as db:
            self._bury(db, self.worker)
        self._db.close()

    def get(self, key: str) -> Answer | None:
        """The stored reply to a request, or None."""
        with self.transaction(begin=False) as db:
            return self._reply(db, key)

    def absent(self, keys: Sequence[str]) -> list[str]:
        """The `keys` without a reply, each once, in their order."""
        distinct = list(dict.fromkeys(keys))
        have: set[str] = set()
        tables = ("answers",) if self.again else ("answers", "failed")
        with self.transaction(begin=False) as db:
            for start in range(0, len(distinct), 500):
                part = distinct[start : start + 500]
                marks = ",".join("?" * len(part))
                for table in tables:
                    have.update(row[0] for row in db.execute(f"SELECT key FROM {table} WHERE key IN ({marks})", part))
        return [key for key in distinct if key not in have]

    def take(self, key: str, teacher: str, charge: Charge, limits: Limits, mine: bool = False) -> Answer | int | str:
        """Claim a request to send it now.

        Args:
            key: The request's key.
            teacher: The account.
            charge: The highest expected cost.
            limits: The account's limits.
            mine: Whether the caller has the claim already, from a failed attempt.

        Returns:
            The number of the attempt (then `depart`, send it, `settle` or `finish`); or the reply, if it has arrived;
            or `taken`: another process has sent it; or `wait`: the limits have no room until other requests end; or a
            message about the limit that is reached.
        """
        with self.transaction() as db:
            if not mine:
                found = self._reply(db, key)
                if found:
                    return found
                if self.claimed(db, key):
                    return "taken"
            full = ledger.room(db, teacher, charge, limits)
            if full == "wait":
                self._bury_dead(db)
                full = ledger.room(db, teacher, charge, limits)
            if full is not None:
                return full
            if not mine:
                db.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, self.worker))
            attempt = ledger.reserve(db, key, teacher, self.worker, charge)
            return attempt

    def depart(self, attempt: int) -> None:
        """Mark an attempt as sent: from now on it may cost its reserve."""
        with self.transaction() as db:
            db.execute(
                "UPDATE attempts SET state = 'sent', sent = ? WHERE id = ? AND ended IS NULL", (time.time(), attempt)
            )

    def settle(self, attempt: int, state: str, charge: Charge | None = None, why: str = "") -> None:
        """End an attempt without a reply to store; the claim stays for another attempt."""
        with self.transaction() as db:
            ledger.settle(db, attempt, state, time.time(), charge, why)

    def finish(self, key: str, attempt: int, teacher: str, request: Request, answer: Answer, charge: Charge) -> None:
        """End a claim: count the cost, store the reply and the request."""
        with self.transaction() as db:
            self.keep(db, key, attempt, answer, charge)
            self.note(db, key, teacher, request)

    def note(self, db: sqlite3.Connection, key: str, teacher: str, request: Request) -> None:
        """Store the request."""
        asked = json.dumps({"messages": list(request.messages), "parameters": dict(request.parameters)}).encode()
        db.execute("INSERT OR IGNORE INTO asked VALUES (?, ?, ?)", (key, teacher, zlib.compress(asked, 1)))

    def keep(self, db: sqlite3.Connection, key: str, attempt: int, answer: Answer, charge: Charge) -> None:
        """The part of `finish` inside a transaction, without storing the request."""
        now = time.time()
        ledger.settle(db, attempt, "answered", now, charge, answer.failure or "")
        db.execute("DELETE FROM claims WHERE key = ?", (key,))
        skipped = {"stored"} | {name for name in ("failure", "usd", "thinking") if getattr(answer, name) is None}
        record = {name: value for name, value in asdict(answer).items() if name not in skipped}
        table = "answers" if answer.failure is None else "failed"
        db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", (key, json.dumps(record), now))
        if answer.failure is None:
            db.execute("DELETE FROM failed WHERE key = ?", (key,))

    def release(self, key: str) -> None:
        """Release a claim without a reply."""
        with self.transaction() as db:
            db.execute("DELETE FROM claims WHERE key = ? AND worker = ?", (key, self.worker))

    def spent(self, teacher: str) -> Spent:
        """All that this store has spent on a teacher, without requests under way."""
        with self.transaction(begin=False) as db:
            return ledger.spent(db, teacher)

    def price(self, teacher: str, prices: Prices) -> int:
        """Price the requests without a price, now that it is known."""
        with self.transaction() as db:
            self._bury_dead(db)
            return ledger.price(db, teacher, prices)

    def lengths(self, teacher: str, most: int = 1000) -> list[int]:
        """Tokens of the latest answers, the newest first."""
        with self.transaction(begin=False) as db:
            rows = db.execute(
                "SELECT output_tokens FROM attempts WHERE teacher = ? AND state = 'answered' ORDER BY id DESC LIMIT ?",
                (teacher, most),
            )
            return [row[0] for row in rows]

    def _reply(self, db: sqlite3.Connection, key: str) -> Answer | None:
        row = db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None and not self.again:
            row = db.execute("SELECT answer FROM failed WHERE key = ?", (key,)).fetchone()
        return Answer(**stored(row[0], str(self.path)), stored=True) if row else None

    def claimed(self, db: sqlite3.Connection, key: str) -> bool:
        """Whether a living process has a request under way; release the claims of a dead one."""
        holder = db.execute("SELECT worker FROM claims WHERE key = ?", (key,)).fetchone()
        if holder is None or self._alive(db, holder[0]):
            return holder is not None
        self._bury(db, holder[0])
        return False

    def has_batches(self, teacher: str) -> bool:
        """Whether batches are under way."""
        with self.transaction(begin=False) as db:
            query = "SELECT 1 FROM batches WHERE teacher = ? AND state != 'done'"
            return db.execute(query, (teacher,)).fetchone() is not None

    def lives(self, worker: str) -> bool:
        """Whether a worker is alive."""
        with self.transaction() as db:
            return self._alive(db, worker)

    def _alive(self, db: sqlite3.Connection, worker: str) -> bool:
        if worker.startswith("batch/"):
            return True
        row = db.execute("SELECT seen FROM workers WHERE worker = ?", (worker,)).fetchone()
        if not row:
            return False
        host, process, _ = worker.rsplit("/", 2)
        pid, _, started = process.partition("@")
        lives = processes.lives(int(pid), started) if host == socket.gethostname() else None
        if lives is not None:
            return lives
        # By this process's own clock: another machine's may differ, and a laptop's jumps when it wakes up.
        beat, since = self._beats.get(worker, (None, 0.0))
        if beat != row[0]:
            since = time.monotonic()
            self._beats[worker] = (row[0], since)
        return time.monotonic() - since < DEAD_AFTER_S

    def _bury(self, db: sqlite3.Connection, worker: str) -> None:
        ledger.bury(db, worker, time.time())
        db.execute("DELETE FROM claims WHERE worker = ?", (worker,))
        db.execute("DELETE FROM workers WHERE worker = ?", (worker,))

    def _bury_dead(self, db: sqlite3.Connection) -> None:
        for (worker,) in db.execute("SELECT DISTINCT worker FROM attempts WHERE ended IS NULL").fetchall():
            if not self._alive(db, worker):
                self._bury(db, worker)

    def _beat(self, db: sqlite3.Connection) -> None:
        db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?)", (self.worker, time.time()))

    def _keep_beating(self) -> None:
        """Record that this process lives, and move SQLite's log into its file, which may wait for the disk."""
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self._connect()) as db:
            while not self._closed.wait(HEARTBEAT_S):
                with contextlib.suppress(sqlite3.Error, OSError):
                    self._beat(db)
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    # Under steady writing a passive one never reaches the log's end, and the log grows by gigabytes.
                    if self.path.with_name(f"{self.path.name}-wal").stat().st_size > LARGEST_LOG:
                        with self._lock:
                            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def transaction(self, begin: bool = True) -> Iterator[sqlite3.Connection]:
        """The connection, in one transaction that takes the write lock at its start (or in none)."""
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
                    raise UserError(f"{self.path}: is not a store of answers; choose another --store") from error
                raise UserError(f"{self.path}: the store can't be written: {error}; answers so far are kept") from error
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
