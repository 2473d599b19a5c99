"""Print a store's account: for each teacher, requests, outcomes and cost.

It only reads the store, also while others write it. Requests without a reply that states the cost count with their
reserve (`lost`), and so do requests under way until they end. Tokens without a known price are listed separately: the
next run with prices adds their cost.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import dumps
from falsepromise.core.text import terminal
from falsepromise.teacher.store import VERSION, refuse_programs


@contextlib.contextmanager
def reading(store: Path) -> Iterator[sqlite3.Connection]:
    """A store's file, read-only.

    Args:
        store: The folder, or the file in it.

    Raises:
        UserError: it is not a store, or has another version.
    """
    path = store / "answers.sqlite" if store.is_dir() else store
    if not path.exists():
        raise UserError(f"{path}: does not exist; expected the folder that --store named")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise UserError(f"{path}: is a store of version {version}; a verb that asks converts it to {VERSION}")
            refuse_programs(path, db)
            yield db
    except sqlite3.Error as error:
        raise UserError(f"{path}: can't be read as a store: {error}") from error


def account(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """One record for each teacher: counts, tokens and US dollars, failures by reason."""
    records = []
    for (teacher,) in db.execute("SELECT DISTINCT teacher FROM attempts ORDER BY teacher").fetchall():
        totals = db.execute(
            "SELECT requests, answers, input_tokens, output_tokens, usd, lost, lost_tokens, lost_usd FROM totals "
            "WHERE teacher = ?",
            (teacher,),
        ).fetchone()
        names = ("requests", "answers", "input_tokens", "output_tokens", "usd", "lost", "lost_tokens", "lost_usd")
        record: dict[str, Any] = {"teacher": teacher, **dict(zip(names, totals, strict=True))}
        record["under_way"], record["under_way_usd"] = db.execute(
            "SELECT count(*), coalesce(sum(usd), 0) FROM attempts WHERE teacher = ? AND ended IS NULL", (teacher,)
        ).fetchone()
        record["unpriced_tokens"] = db.execute(
            "SELECT coalesce(sum(input_tokens + output_tokens), 0) FROM attempts WHERE teacher = ? AND usd IS NULL",
            (teacher,),
        ).fetchone()[0]
        record["failures"] = dict(
            db.execute(
                "SELECT why, count(*) FROM attempts WHERE teacher = ? AND state != 'released' AND ended IS NOT NULL "
                "AND why != '' GROUP BY why ORDER BY count(*) DESC LIMIT 20",
                (teacher,),
            ).fetchall()
        )
        records.append(record)
    return records


def lines(record: dict[str, Any]) -> Iterator[str]:
    """An account for a terminal."""
    yield terminal(record["teacher"], lines=False)
    yield f"  sent          {record['requests']:>12,} requests, {record['answers']:,} of them answered"
    yield f"  tokens        {record['input_tokens']:>12,} in, {record['output_tokens']:,} out"
    yield f"  US dollars    {record['usd']:>12,.4f}"
    if record["lost"]:
        of_it = f"{record['lost_tokens']:,} tokens, {record['lost_usd']:,.4f} US dollars of these"
        yield f"  lost replies  {record['lost']:>12,} at their reserve: {of_it}"
    if record["under_way"]:
        more = f"{record['under_way_usd']:,.4f} US dollars more"
        yield f"  under way     {record['under_way']:>12,} at their reserve: {more}"
    if record["unpriced_tokens"]:
        yield f"  without price {record['unpriced_tokens']:>12,} tokens, to be priced by the next run with prices"
    for why, count in record["failures"].items():
        yield f"  failed        {count:>12,} {terminal(why, lines=False)}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the account."""
    parser = cli.parser(__doc__)
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's folder, such as results/.cache/teacher")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead")
    options = parser.parse_args(argv)
    with reading(options.store) as db:
        records = account(db)
    if not records and not options.json:
        print("no request was ever sent")
    for record in records:
        print(dumps(record) if options.json else "\n".join(lines(record)))


if __name__ == "__main__":
    cli.run(main)
