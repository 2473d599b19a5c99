"""How fast requests leave: limits, waits that servers ask for, back-off."""

from __future__ import annotations

import random
import time

import pytest
from faulty import FaultyServer

from falsepromise.teacher import pace
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request
from falsepromise.teacher.local import serving
from falsepromise.teacher.standin import NAME, StandIn
from falsepromise.teacher.store import Store


def test_pace_spaces_requests_out() -> None:
    now = 100.0
    row = pace.Pace(120, clock=lambda: now)  # two a second
    waits = [row.reserve() for _ in range(6)]
    assert waits == pytest.approx([0.0, 0.0, 0.0, 0.5, 1.0, 1.5])
    now = 1000.0
    assert [row.reserve() for _ in range(4)] == pytest.approx([0.0, 0.0, 0.0, 0.5])
    row.correct(4)
    assert row.reserve() == pytest.approx(3.0)
    assert pace.Pace(None).reserve(1e9) == 0.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "nonsense"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-1"}, None),
    ],
)
def test_the_servers_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert pace.server_wait(headers) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("1d", 86400.0), ("7", 7.0), ("", None),
     ("0.5s", 0.5), ("45.837906927s", 45.837906927), ("2015-10-21T07:28:00Z", 0.0), ("2015-10-21T07:28:00", 0.0),
     ("1445412480", 0.0), ("1445412480000", 0.0), ("9" * 400, None), ("1" * 70 + "s", None),
     ("soon", None), ("-1", None), ("inf", None), ("1m", 60.0), ("1m5ms", 60.005)],
)  # fmt: skip
def test_durations_of_rate_limit_headers(text: str, seconds: float | None) -> None:
    assert pace.duration(text) == seconds


@pytest.mark.parametrize("unit", [1, 1000])
def test_an_epoch_is_a_time_to_come_and_no_wait_of_years(unit: int) -> None:
    assert pace.duration(str(int((time.time() + 90) * unit))) == pytest.approx(90, abs=5)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached ... Please try again in 6m0s. Visit", 360.0),
        ("Please try again in 20ms.", 0.02),
        ("Please retry after 26 seconds.", 26.0),
        ("Please retry in 34.074824224s.", 34.074824224),
        ("Your quota will reset after 2 minutes", 120.0),
        ("retry after a while", None),
        ("slow down", None),
        ("again in " * 100_000, None),
    ],
)
def test_waits_in_words(words: str, seconds: float | None) -> None:
    assert pace.asked_wait(words) == (None if seconds is None else pytest.approx(seconds))


def used_up(kind: str, limit: int, remaining: int, reset: str) -> dict[str, str]:
    found = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{what}-{kind}": str(value) for what, value in found.items()}


@pytest.mark.parametrize(
    ("headers", "refused", "seconds"),
    [
        ({}, False, None),
        (used_up("requests", 60, 1, "59s"), False, None),
        (used_up("requests", 60, 0, "60s"), False, 1.0),  # a sixtieth of a minute for one more
        (used_up("requests", 60, 0, "60s"), True, 60.0),
        (used_up("tokens", 1000, 50, "57s"), False, 57.0 * 50 / 1000),
        (used_up("tokens", 40, 0, "2s"), False, 2.0),  # more than ever fits: when it is whole again
        (used_up("requests", 60, 0, "60s") | used_up("tokens", 1000, 0, "1m"), False, 6.0),
        ({"x-ratelimit-remaining-requests": "0"}, True, None),
    ],
)
def test_the_room_that_rate_limit_headers_show(headers: dict[str, str], refused: bool, seconds: float | None) -> None:
    assert pace.limits_wait(headers, 100, refused) == (None if seconds is None else pytest.approx(seconds))


def test_backoff_doubles_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.5)
    rng = random.Random(0)
    for attempt in (1, 3, 50):
        full = min(pace.LONGEST_BACKOFF_S, 0.5 * 2 ** (attempt - 1))
        waits = [pace.backoff(attempt, rng) for _ in range(100)]
        assert full / 2 <= min(waits) < max(waits) <= full


@pytest.mark.parametrize("script", [[None, None], ["429 ratelimit", None]])
def test_rate_limit_headers_are_obeyed(known: StandIn, store: Store, script: list[str | None]) -> None:
    """After a reply that leaves no room, or a refusal that says when there will be, nothing leaves before then."""
    server = FaultyServer(known, script=lambda attempt: script[min(attempt, 1)])
    server.headers = used_up("requests", 2, 0, "1.2s")
    with serving(server) as url, Teacher(url, NAME, store, concurrency=1) as teacher:
        start = time.monotonic()
        list(teacher.ask_many(Request([{"role": "user", "content": f"capital of Land{n}?"}]) for n in range(2)))
        took = time.monotonic() - start
    refused = script[0] is not None
    assert took >= (1.2 if refused else 0.6)
    assert sum(server.attempts.values()) == (4 if refused else 2)


@pytest.mark.parametrize("asked", ["0", "0.01", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_wait_that_is_too_short_uses_up_no_attempts(
    known: StandIn, store: Store, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.05)
    start = time.monotonic()
    server = FaultyServer(known, script=lambda attempt: "429 ratelimit" if time.monotonic() < start + 1.5 else None)
    server.headers = {"retry-after": asked}
    with serving(server) as url, Teacher(url, NAME, store, concurrency=1) as teacher:
        (answer,) = teacher.ask_many([Request([{"role": "user", "content": "what is the capital of Land5?"}])])
    assert (answer.text, answer.failure) == ("City5", None)
    assert sum(server.attempts.values()) < 12
