"""The store: what is claimed, paid and kept, by one process and by several."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.teacher.store import Answer, Limits, Spent, Store, request_key

ANSWER = Answer("Paris", "stop", "m-2024", 10, 2)
NONE = Limits()


def test_an_answer_is_found_again_by_another_store_on_the_folder(tmp_path: Path) -> None:
    first = Store(tmp_path)
    assert first.claim("k", "t", 10, 0.0, NONE) == "mine"
    first.finish("k", "t", ANSWER, 0.5)
    second = Store(tmp_path)
    found = second.get("k")
    assert found is not None
    assert (found.text, found.model, found.stored) == ("Paris", "m-2024", True)
    assert second.claim("k", "t", 10, 0.0, NONE) == found
    assert second.spent("t") == Spent(0, 1, 10, 2, 0.5)
    assert second.absent(["k", "other", "other"]) == ["other"]
    first.close()
    second.close()


def test_a_failure_is_paid_but_not_kept(store: Store) -> None:
    store.claim("k", "t", 10, 0.0, NONE)
    store.finish("k", "t", Answer("Par", "length", "m", 10, 1, failure="length"), 0.25)
    assert store.get("k") is None
    assert store.spent("t") == Spent(0, 0, 10, 1, 0.25)
    assert store.claim("k", "t", 10, 0.0, NONE) == "mine"


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
    assert one.claim("k", "t", 10, 0.0, NONE) == "mine"
    assert two.claim("k", "t", 10, 0.0, NONE) == "taken"
    one.finish("k", "t", None)
    assert two.claim("k", "t", 10, 0.0, NONE) == "mine"
    two.close()
    assert one.claim("k", "t", 10, 0.0, NONE) == "mine"
    one.close()


def test_reserved_money_counts_for_everybody(tmp_path: Path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    limits = Limits(usd=1.0)
    assert one.claim("a", "t", 0, 0.6, limits) == "mine"
    assert two.claim("b", "t", 0, 0.6, limits) == "wait"
    assert two.claim("b", "another teacher", 0, 0.6, limits) == "mine"
    one.finish("a", "t", ANSWER, 0.5)
    assert two.claim("b", "t", 0, 0.6, limits) != "mine"
    assert "max_usd is 1 and 0.5 are spent" in str(two.claim("c", "t", 0, 0.6, limits))
    assert two.claim("c", "t", 0, 0.5, limits) == "mine"
    one.close()
    two.close()


def test_a_killed_process_leaves_its_answers_and_not_its_claims(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom falsepromise.teacher.store import *\n"
        "store = Store(sys.argv[1])\n"
        "for key in 'ab': store.claim(key, 't', 1, 0.0, Limits())\n"
        "store.finish('a', 't', Answer('kept', 'stop', 'm', 1, 1))\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    import falsepromise

    environment = {**os.environ, "PYTHONPATH": str(Path(falsepromise.__file__).parents[1])}
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        store = Store(tmp_path)
        assert store.claim("b", "t", 1, 0.0, NONE) == "taken"
        os.kill(process.pid, signal.SIGKILL)
    found = store.get("a")
    assert found is not None
    assert found.text == "kept"
    assert store.claim("b", "t", 1, 0.0, NONE) == "mine"
    store.close()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="no store of answers"):
        Store(tmp_path)
    with pytest.raises(UserError, match="can't be opened"):
        Store(tmp_path / "answers.sqlite")


def test_a_full_disk_is_one_line(store: Store) -> None:
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    long = Answer("x" * 100_000, "stop", "m", 1, 1)
    with pytest.raises(UserError, match="can't be written: database or disk is full"):
        store.finish("k", "t", long)
    store._db.execute("PRAGMA max_page_count = 1000000")
    store.finish("k", "t", long)
    assert store.get("k") is not None


def test_a_store_is_a_plain_sqlite_file(store: Store) -> None:
    store.claim("k", "t", 1, 0.0, NONE)
    store.finish("k", "t", ANSWER)
    with sqlite3.connect(f"file:{store.path}?mode=ro", uri=True) as db:
        assert "Paris" in db.execute("SELECT answer FROM answers").fetchone()[0]
