"""The ledger of a store: each request sent, its cost, and its possible cost.

Every HTTP request is one row of `attempts`, which is never deleted:

    reserved -> sent -> answered   the server reported its cost
                     -> lost       no reply with its cost: its whole reserve counts, for good
                     -> refused    the server refused it, which costs nothing
    reserved -> released           never sent

`input_tokens`, `output_tokens` and `usd` are a row's current values: the reserve until the real cost is known.
`usd` is null if the price was unknown; such rows get a price later. `totals` are the sums over ended rows. Triggers
update them in the same transaction, so checking a limit needs no summing.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass

from falsepromise.core.errors import UserError
from falsepromise.teacher.cost import Prices

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, teacher TEXT NOT NULL, worker TEXT NOT NULL,
    state TEXT NOT NULL, requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    usd REAL, why TEXT NOT NULL DEFAULT '', sent REAL, ended REAL, share REAL NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS attempts_open ON attempts (teacher, worker) WHERE ended IS NULL;
CREATE INDEX IF NOT EXISTS attempts_key ON attempts (key);
CREATE INDEX IF NOT EXISTS attempts_unpriced ON attempts (teacher) WHERE usd IS NULL;
CREATE TABLE IF NOT EXISTS totals (
    teacher TEXT PRIMARY KEY, requests INTEGER NOT NULL DEFAULT 0, answers INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0, usd REAL NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0, lost_tokens INTEGER NOT NULL DEFAULT 0, lost_usd REAL NOT NULL DEFAULT 0);
CREATE TRIGGER IF NOT EXISTS attempts_stay BEFORE DELETE ON attempts
    BEGIN SELECT raise(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER IF NOT EXISTS attempts_end AFTER UPDATE OF ended ON attempts WHEN OLD.ended IS NULL BEGIN
    UPDATE totals SET requests = requests + NEW.requests,
        answers = answers + (NEW.state = 'answered' AND NEW.why = ''),
        input_tokens = input_tokens + NEW.input_tokens, output_tokens = output_tokens + NEW.output_tokens,
        usd = usd + coalesce(NEW.usd, 0), lost = lost + (NEW.state = 'lost'),
        lost_tokens = lost_tokens + iif(NEW.state = 'lost', NEW.input_tokens + NEW.output_tokens, 0),
        lost_usd = lost_usd + iif(NEW.state = 'lost', coalesce(NEW.usd, 0), 0)
    WHERE teacher = NEW.teacher; END;
CREATE TRIGGER IF NOT EXISTS attempts_price AFTER UPDATE OF usd ON attempts
WHEN OLD.usd IS NULL AND NEW.usd IS NOT NULL AND OLD.ended IS NOT NULL BEGIN
    UPDATE totals SET usd = usd + NEW.usd, lost_usd = lost_usd + iif(NEW.state = 'lost', NEW.usd, 0)
    WHERE teacher = NEW.teacher; END;
"""


@dataclass(frozen=True)
class Spent:
    """The cost of a teacher's ended requests, and the lost part of it.

    Attributes:
        requests: HTTP requests sent, also failed ones.
        answers: Whole answers.
        input_tokens, output_tokens, usd: Sums over all ended requests. Requests without a reply that states the cost
            count with their reserve, here and again in `lost`, `lost_tokens` and `lost_usd`.
    """

    requests: int = 0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    lost: int = 0
    lost_tokens: int = 0
    lost_usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def since(self, earlier: Spent) -> Spent:
        """What was spent after `earlier`."""
        return Spent(*(getattr(self, name) - value for name, value in asdict(earlier).items()))


@dataclass(frozen=True)
class Limits:
    """Hard limits on all that a store has spent on a teacher; None: no limit."""

    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None


class LimitReached(UserError):
    """A limit on requests, tokens or money that the user set; not a failure."""


@dataclass(frozen=True)
class Charge:
    """A request's cost or its upper bound: tokens, and US dollars if the price is known.

    `share` is the share of the usual price, such as a batch's half.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    share: float = 1.0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens


def spent(db: sqlite3.Connection, teacher: str) -> Spent:
    """All that has ended."""
    row = db.execute(
        "SELECT requests, answers, input_tokens, output_tokens, usd, lost, lost_tokens, lost_usd FROM totals "
        "WHERE teacher = ?",
        (teacher,),
    ).fetchone()
    return Spent(*row) if row else Spent()


def under_way(db: sqlite3.Connection, teacher: str) -> tuple[int, int, float]:
    """Requests, tokens and US dollars that are reserved or sent, and not known yet."""
    found = db.execute(
        "SELECT coalesce(sum(requests), 0), coalesce(sum(input_tokens + output_tokens), 0), coalesce(sum(usd), 0) "
        "FROM attempts WHERE teacher = ? AND ended IS NULL",
        (teacher,),
    ).fetchone()
    return found[0], found[1], found[2]


def room(db: sqlite3.Connection, teacher: str, charge: Charge, limits: Limits) -> str | None:
    """Whether one more request fits under the limits.

    Returns:
        None if it does; `wait` if it would after the requests under way end without a charge; else a message about
        the limit.
    """
    if limits == Limits():
        return None
    now, (open_requests, open_tokens, open_usd) = spent(db, teacher), under_way(db, teacher)
    for what, limit, before, mine, reserved in (
        ("max_requests", limits.requests, now.requests, 1, open_requests),
        ("max_tokens", limits.tokens, now.tokens, charge.tokens, open_tokens),
        ("max_usd", limits.usd, now.usd, charge.usd or 0.0, open_usd),
    ):
        if limit is None or before + reserved + mine <= limit + 1e-9:
            continue
        if before + mine <= limit + 1e-9 and what != "max_requests":
            return "wait"
        lost = {"max_tokens": now.lost_tokens, "max_usd": now.lost_usd}.get(what, 0)
        of_it = f" ({lost:.6g} of it for requests with lost replies)" if lost else ""
        return f"{what} is {limit:g} and {before + reserved:.6g} is spent{of_it}; the next request may take {mine:.6g}"
    return None


def reserve(db: sqlite3.Connection, key: str, teacher: str, worker: str, charge: Charge) -> int:
    """Enter a request that will be sent; return its number."""
    db.execute("INSERT OR IGNORE INTO totals (teacher) VALUES (?)", (teacher,))
    row = db.execute(
        "INSERT INTO attempts (key, teacher, worker, state, requests, input_tokens, output_tokens, usd, share) "
        "VALUES (?, ?, ?, 'reserved', 1, ?, ?, ?, ?)",
        (key, teacher, worker, charge.input_tokens, charge.output_tokens, charge.usd, charge.share),
    )
    return row.lastrowid or 0


def settle(db: sqlite3.Connection, attempt: int, state: str, now: float, charge: Charge | None, why: str = "") -> None:
    """End a row, once, with its cost, or None for its reserve (`lost`) or nothing (`refused`, `released`)."""
    if charge is None and state in ("refused", "released"):
        charge = Charge(usd=0.0)
    columns = "state = ?, ended = ?, why = ?, requests = requests * ?"
    values: list[object] = [state, now, why, state != "released"]
    if charge is not None:
        columns += ", input_tokens = ?, output_tokens = ?, usd = ?"
        values += [charge.input_tokens, charge.output_tokens, charge.usd]
    db.execute(f"UPDATE attempts SET {columns} WHERE id = ? AND ended IS NULL", (*values, attempt))


def bury(db: sqlite3.Connection, worker: str, now: float) -> None:
    """End the rows of a dead process: its sent requests are lost and count with their reserve."""
    open_rows = "WHERE worker = ? AND ended IS NULL"
    rows = db.execute(f"SELECT id, state FROM attempts {open_rows}", (worker,)).fetchall()
    for attempt, state in rows:
        settle(db, attempt, "lost" if state == "sent" else "released", now, None, "its process died")


def price(db: sqlite3.Connection, teacher: str, prices: Prices) -> int:
    """Price the requests without a price; return their number."""
    done = db.execute(
        "UPDATE attempts SET usd = (input_tokens * ? + output_tokens * ?) * share / 1e6 "
        "WHERE teacher = ? AND usd IS NULL",
        (prices.input_usd_per_million, prices.output_usd_per_million, teacher),
    )
    return done.rowcount


def migrate(db: sqlite3.Connection, now: float) -> None:
    """Convert the sums and claims of a store without a ledger: one row for each sum, one for each claim."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "spent" not in tables:
        return
    for teacher, requests, answers, asked, answered, usd in db.execute("SELECT * FROM spent").fetchall():
        charge = Charge(asked, answered, usd or (None if asked + answered else 0.0))
        settle(db, reserve(db, "", teacher, "", charge), "settled", now, charge, "before the ledger")
        db.execute("UPDATE totals SET requests = ?, answers = ? WHERE teacher = ?", (requests, answers, teacher))
    for key, teacher, tokens, usd in db.execute("SELECT key, teacher, tokens, usd FROM claims").fetchall():
        charge = Charge(tokens, 0, usd or None)
        settle(db, reserve(db, key, teacher, "", charge), "lost", now, charge, "its process died")
    db.execute("DROP TABLE spent")
    db.execute("DROP TABLE claims")
