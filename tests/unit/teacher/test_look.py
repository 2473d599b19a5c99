"""What a store has, to look at: its replies and its account."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.teacher import look, spent
from falsepromise.teacher.cost import Request
from falsepromise.teacher.ledger import Charge, Limits
from falsepromise.teacher.store import Answer, Store

ANSWER = Answer("Paris", "stop", "m-2024", 10, 2, usd=0.5)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Twelve answers, one of them with escape sequences; a cut reply, a lost one, one under way, one unpriced."""
    store = Store(tmp_path)

    def sent(key: str, usd: float | None = 0.7) -> int:
        attempt = store.take(key, "http://h/v1 m", Charge(10, 5, usd), Limits())
        assert isinstance(attempt, int)
        store.depart(attempt)
        return attempt

    for i in range(12):
        request = Request([{"role": "user", "content": f"question {i} of France\x1b[2J?"}], {"temperature": 0})
        text = "Paris\x1b]0;owned\x07 \u202esir" if i == 3 else f"answer {i}"
        store.finish(f"k{i}", sent(f"k{i}"), "http://h/v1 m", request, replace(ANSWER, text=text), Charge(10, 2, 0.5))
    cut = replace(ANSWER, text="Par", finish_reason="length", failure="length")
    store.finish("cut", sent("cut"), "http://h/v1 m", Request([{"role": "user", "content": "a cut one"}]), cut,
                 Charge(10, 1, 0.25))  # fmt: skip
    store.settle(sent("lost"), "lost", why="no reply in time")
    store.settle(sent("no", None), "answered", Charge(7, 3), why="the reply has no choices")
    sent("open")
    yield tmp_path  # type: ignore[misc]
    store.close()


def test_pages_and_searches(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look.main([str(filled), "--size", "5"])
    first = capsys.readouterr().out
    assert first.count("question") == 5
    assert "#1 · m-2024 · stop · 10 + 2 tokens · $0.500000" in first
    assert "page 1; --page 2 may have more" in first
    look.main([str(filled), "--size", "5", "--page", "3"])
    assert "a cut one" in capsys.readouterr().out
    look.main([str(filled), "--search", "QUESTION 7"])
    out = capsys.readouterr().out
    assert out.count("question") == 1
    assert "#8 " in out
    look.main([str(filled), "--failed", "--full"])
    out = capsys.readouterr().out
    assert "no answer: length" in out
    assert out.count("#") == 1
    look.main([str(filled), "--model", "gpt"])
    assert "nothing there" in capsys.readouterr().out


def test_nothing_that_was_said_reaches_the_terminal_as_a_command(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look.main([str(filled), "--size", "50", "--full"])
    out = capsys.readouterr().out
    assert not set("\x1b\x07\u202e") & set(out)
    assert "\\x1b]0;owned" in out


def test_json_is_every_entry(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look.main([str(filled), "--json"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 13
    assert records[3]["answer"]["text"].startswith("Paris\x1b")


def test_a_terminal_is_paged(filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["", "/question 11", "4", "/nowhere", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(said))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    look.main([str(filled)])
    out = capsys.readouterr().out
    assert out.count("question 11") == 2, "on the second page, and found"
    assert '{"temperature":0}' in out.replace(" ", "")
    assert "no more" in out


def test_the_account(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (filled / "answers.sqlite").read_bytes()
    spent.main([str(filled), "--json"])
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert record["requests"] == 15
    assert record["answers"] == 12
    assert record["usd"] == pytest.approx(12 * 0.5 + 0.25 + 0.7)
    assert (record["lost"], record["lost_usd"]) == (1, 0.7)
    assert (record["under_way"], record["under_way_usd"]) == (1, 0.7)
    assert record["unpriced_tokens"] == 10
    assert record["failures"] == {"length": 1, "no reply in time": 1, "the reply has no choices": 1}
    spent.main([str(filled)])
    out = capsys.readouterr().out
    assert "6.9500" in out
    assert "1 no reply in time" in out
    assert (filled / "answers.sqlite").read_bytes() == before


def test_what_is_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        spent.main([str(tmp_path)])
    (tmp_path / "answers.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="can't be read as a store"):
        look.main([str(tmp_path)])
