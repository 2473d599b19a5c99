"""The store: what is claimed, paid and kept, by one process and by several."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.core.processes import started
from falsepromise.teacher.cost import Prices, Request
from falsepromise.teacher.ledger import Charge, Limits, Spent
from falsepromise.teacher.store import Answer, Store, request_key

ANSWER = Answer("Paris", "stop", "m-2024", 10, 2, usd=0.5)
PAID = Charge(10, 2, 0.5)
REQUEST = Request([{"role": "user", "content": "the capital?"}], {"temperature": 0.0})
NONE = Limits()


def take(store: Store, key: str, usd: float = 0.0, limits: Limits = NONE, teacher: str = "t") -> Answer | int | str:
    """Take a request and send it."""
    found = store.take(key, teacher, Charge(10, 0, usd), limits)
    if isinstance(found, int):
        store.depart(found)
    return found


def taken(store: Store, key: str, usd: float = 0.0, teacher: str = "t") -> int:
    found = take(store, key, usd, teacher=teacher)
    assert isinstance(found, int)
    return found


def test_an_answer_is_found_again_by_another_store_on_the_folder(tmp_path: Path) -> None:
    first = Store(tmp_path)
    first.finish("k", taken(first, "k"), "t", REQUEST, ANSWER, PAID)
    second = Store(tmp_path)
    found = second.get("k")
    assert found is not None
    assert (found.text, found.model, found.stored) == ("Paris", "m-2024", True)
    assert take(second, "k") == found
    assert second.spent("t") == Spent(1, 1, 10, 2, 0.5)
    assert second.absent(["k", "other", "other"]) == ["other"]
    first.close()
    second.close()


def test_steady_writing_does_not_let_the_log_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite starts its log anew only when all of it is in the file, which a writer without a pause prevents."""
    monkeypatch.setattr("falsepromise.teacher.store.HEARTBEAT_S", 0.02)
    monkeypatch.setattr("falsepromise.teacher.store.LARGEST_LOG", 1 << 20)
    store, log = Store(tmp_path), tmp_path / "answers.sqlite-wal"
    largest, late = 0, time.monotonic() + 120
    for number in itertools.count():
        taken(store, str(number))
        size = log.stat().st_size
        if size < largest:
            break
        largest = size
        assert time.monotonic() < late, f"the log has {size} bytes and only grows"
    assert largest > 1 << 20
    store.close()


def test_a_clock_that_jumps_ends_nobodys_claim(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop that wakes up, another machine whose clock is behind: both workers live, nothing is paid twice."""
    now = {"clock": 1e9, "steady": 100.0}
    monkeypatch.setattr("falsepromise.teacher.store.time.time", lambda: now["clock"])
    monkeypatch.setattr("falsepromise.teacher.store.time.monotonic", lambda: now["steady"])
    here = subprocess.Popen(["sleep", "600"])
    workers = {"here": f"{socket.gethostname()}/{here.pid}@{started(here.pid)}/a", "there": "elsewhere/7@5/b"}

    def alive() -> dict[str, bool]:
        return {name: store.lives(worker) for name, worker in workers.items()}

    def beat(worker: str, seen: float) -> None:
        with store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?)", (worker, seen))

    try:
        for worker in workers.values():
            beat(worker, 5e8)  # by their own clocks
        assert alive() == {"here": True, "there": True}
        now.update(clock=2e9, steady=110.0)
        assert alive() == {"here": True, "there": True}
        beat(workers["there"], 5e8 + 1)
        now.update(steady=135.0)
        assert alive() == {"here": True, "there": True}
        now.update(steady=170.0)
        assert alive() == {"here": True, "there": False}, "no beat for 30 s of this machine's time"
        here.kill()
        os.waitid(os.P_PID, here.pid, os.WEXITED | os.WNOWAIT)
        assert alive()["here"] is False, "dead, although its parent hasn't asked for its end"
    finally:
        here.kill()
        here.wait()


def test_a_failure_is_paid_once_and_is_no_answer(store: Store) -> None:
    cut = Answer("Par", "length", "m", 10, 1, failure="length", usd=0.25)
    store.finish("k", taken(store, "k"), "t", REQUEST, cut, Charge(10, 1, 0.25))
    found = store.get("k")
    assert found is not None
    assert found.failure == "length"
    assert store.spent("t") == Spent(1, 0, 10, 1, 0.25)
    assert take(store, "k") == found
    assert store.absent(["k"]) == []
    again = Store(store.path.parent, again=True)
    assert again.absent(["k"]) == ["k"]
    again.finish("k", taken(again, "k"), "t", REQUEST, ANSWER, PAID)
    again.close()
    assert store.get("k") == replace(ANSWER, stored=True)


def test_the_key_depends_on_all_that_shapes_the_answer() -> None:
    messages = [{"role": "user", "content": "é"}]
    keys = {
        request_key("a", messages, {}, 0),
        request_key("b", messages, {}, 0),
        request_key("a", messages, {"temperature": 1.0}, 0),
        request_key("a", messages, {}, 1),
        request_key("a", [{"role": "user", "content": "e"}], {}, 0),
        request_key("a", [{"role": "user", "content": "\ud800"}], {}, 0),
    }
    assert len(keys) == 6
    assert request_key("a", [{"content": "é", "role": "user"}], {}, 0) in keys


def test_a_claim_is_one_processs_until_it_ends(tmp_path: Path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    attempt = taken(one, "k")
    assert take(two, "k") == "taken"
    one.settle(attempt, "refused")
    one.release("k")
    taken(two, "k")
    two.close()
    taken(one, "k")
    one.close()


def test_reserved_money_counts_for_everybody(tmp_path: Path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    limits = Limits(usd=1.0)
    attempt = take(one, "a", 0.6, limits)
    assert isinstance(attempt, int)
    assert take(two, "b", 0.6, limits) == "wait"
    assert isinstance(take(two, "b", 0.6, limits, teacher="another"), int)
    one.finish("a", attempt, "t", REQUEST, ANSWER, PAID)
    assert "max_usd is 1 and 0.5 is spent" in str(take(two, "c", 0.6, limits))
    assert isinstance(take(two, "c", 0.5, limits), int)
    one.close()
    two.close()


def test_what_was_lost_counts_at_its_reserve_for_good(store: Store) -> None:
    limits = Limits(usd=1.0)
    store.settle(taken(store, "a", 0.6), "lost")
    store.release("a")
    assert store.spent("t") == Spent(1, 0, 10, 0, 0.6, 1, 10, 0.6)
    said = str(take(store, "a", 0.6, limits))
    assert "0.6 is spent (0.6 of it for requests with lost replies)" in said


def test_a_refusal_costs_nothing_and_a_request_not_sent_is_none(store: Store) -> None:
    store.settle(taken(store, "a", 0.6), "refused")
    unsent = store.take("b", "t", Charge(10, 0, 0.6), NONE)
    assert isinstance(unsent, int)
    store.settle(unsent, "released")
    assert store.spent("t") == Spent(1)


def test_a_killed_process_leaves_its_answers_and_its_bill(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom falsepromise.teacher.store import *\nfrom falsepromise.teacher.cost import Request\n"
        "store = Store(sys.argv[1])\n"
        "sent = [store.take(key, 't', Charge(1, 1, 1.0), Limits()) for key in 'abc']\n"
        "for attempt in sent[:2]: store.depart(attempt)\n"
        "store.finish('a', sent[0], 't', Request([]), Answer('kept', 'stop', 'm', 1, 1), Charge(1, 1, 0.5))\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    import falsepromise

    environment = {**os.environ, "PYTHONPATH": str(Path(falsepromise.__file__).parents[1])}
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        store = Store(tmp_path)
        assert take(store, "b") == "taken"
        os.kill(process.pid, signal.SIGKILL)
    found = store.get("a")
    assert found is not None
    assert found.text == "kept"
    taken(store, "b")
    assert store.spent("t") == Spent(2, 1, 2, 2, 1.5, 1, 2, 1.0), "one answered, one lost at its reserve"
    store.close()


def test_what_had_no_price_is_priced_when_there_is_one(store: Store) -> None:
    store.finish("a", taken(store, "a"), "t", REQUEST, ANSWER, Charge(10, 2))
    lost = store.take("b", "t", Charge(100, 50), NONE)
    assert isinstance(lost, int)
    store.settle(lost, "lost")
    assert store.spent("t").usd == 0
    assert store.price("t", Prices(1e6, 2e6)) == 2
    assert store.spent("t").usd == 10 + 2 * 2 + 100 + 2 * 50
    assert store.spent("t").lost_usd == 200
    assert store.price("t", Prices(9.0, 9.0)) == 0


def test_rows_of_the_ledger_can_not_be_deleted(store: Store) -> None:
    taken(store, "a")
    with pytest.raises(sqlite3.DatabaseError, match="only grows"):
        store._db.execute("DELETE FROM attempts")


def test_a_store_of_before_the_ledger_keeps_its_answers_and_its_bill(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "answers.sqlite")) as db:
        db.executescript(
            "CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, stored REAL NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE spent (teacher TEXT PRIMARY KEY, requests INTEGER, answers INTEGER, input_tokens INTEGER,"
            " output_tokens INTEGER, usd REAL);"
            "CREATE TABLE claims (key TEXT PRIMARY KEY, worker TEXT, teacher TEXT, tokens INTEGER, usd REAL);"
            "CREATE TABLE workers (worker TEXT PRIMARY KEY, seen REAL NOT NULL);"
            """INSERT INTO answers VALUES ('k', '{"text": "Paris", "finish_reason": "stop", "model": "m", """
            """"input_tokens": 1, "output_tokens": 1, "fingerprint": null}', 0);"""
            "INSERT INTO spent VALUES ('t', 7, 5, 100, 10, 0.0), ('u', 1, 1, 5, 5, 2.0);"
            "INSERT INTO claims VALUES ('c', 'host/1/x', 't', 20, 0.0);"
        )
        db.commit()
    store = Store(tmp_path)
    found = store.get("k")
    assert found is not None
    assert found.text == "Paris"
    assert store.spent("t") == Spent(8, 5, 120, 10, 0.0, 1, 20, 0.0)
    assert store.price("t", Prices(1e6, 1e6)) == 2
    assert store.spent("t").usd == 130
    assert store.spent("u").usd == 2.0
    store.close()
    assert (tmp_path / "answers.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("shared", "mode"), [(False, 0o600), (True, 0o660)])
def test_a_store_is_its_owners_alone_unless_it_is_to_be_shared(tmp_path: Path, shared: bool, mode: int) -> None:
    umask = os.umask(0o022)
    try:
        store = Store(tmp_path / "s", shared=shared)
        store.finish("k", taken(store, "k"), "t", REQUEST, ANSWER, PAID)
        modes = {file.stat().st_mode & 0o777 for file in (tmp_path / "s").iterdir()}
        store.close()
    finally:
        os.umask(umask)
    assert modes == {mode}


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="not a store of answers"):
        Store(tmp_path)
    with pytest.raises(UserError, match="can't be opened"):
        Store(tmp_path / "answers.sqlite")


def test_a_full_disk_is_one_line(store: Store) -> None:
    attempt = taken(store, "k")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    long = replace(ANSWER, text="x" * 100_000)
    with pytest.raises(UserError, match="can't be written: database or disk is full"):
        store.finish("k", attempt, "t", REQUEST, long, PAID)
    store._db.execute("PRAGMA max_page_count = 1000000")
    store.finish("k", attempt, "t", REQUEST, long, PAID)
    assert store.get("k") is not None


def test_a_store_is_a_plain_sqlite_file(store: Store) -> None:
    store.finish("k", taken(store, "k"), "t", REQUEST, ANSWER, PAID)
    with sqlite3.connect(f"file:{store.path}?mode=ro", uri=True) as db:
        assert "Paris" in db.execute("SELECT answer FROM answers").fetchone()[0]


def test_a_new_store_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """SQLite refuses a second connection that turns on the log at the same moment, without waiting."""

    def open_it() -> None:
        at_once.wait()
        try:
            Store(folder).close()
        except UserError as error:
            errors.append(str(error))

    errors: list[str] = []
    for number in range(100):
        folder, at_once = tmp_path / str(number), threading.Barrier(4)
        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
