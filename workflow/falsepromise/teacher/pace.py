"""Limit the rate of requests: requests and tokens per minute, and the server's own hints."""

from __future__ import annotations

import email.utils
import math
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

FIRST_WAIT_S = 0.5
LONGEST_BACKOFF_S = 30.0
LONGEST_SERVER_WAIT_S = 600.0


class Pace:
    """Spaces out requests evenly, for a limit in units per minute.

    A second's worth may leave at once; after that each request waits for the units before it. A single larger request
    waits its turn and then leaves whole.

    Args:
        per_minute: Units (requests or tokens) a minute; None: no limit.
        clock: Seconds, monotonic.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic):
        self.per_second = None if per_minute is None else per_minute / 60
        self.clock = clock
        self._free_at = -math.inf

    def reserve(self, units: float = 1.0) -> float:
        """Take the next place in the row; the seconds to wait until it comes."""
        if self.per_second is None:
            return 0.0
        now = self.clock()
        start = max(self._free_at, now - 1.0)  # idle time is credited for one second at most
        self._free_at = start + units / self.per_second
        return max(0.0, start - now)

    def correct(self, units: float) -> None:
        """Add (or give back) units that were estimated too low (too high)."""
        if self.per_second is not None:
            self._free_at += units / self.per_second


def server_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from `retry-after-ms` or `retry-after`."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        seconds = duration(headers.get(name, ""), unit)
        if seconds is not None:
            return seconds
    return None


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_LONGEST_TEXT, _YEAR_S = 64, 366 * 86400.0
_EPOCH = 1e9  # a larger number is a point in time, in seconds or milliseconds, not a wait of thirty years


def duration(text: str, unit: float = 1.0) -> float | None:
    """Seconds of a wait in any of the forms that servers use; None for other text, or more than a year.

    `6m0s`, `1h2m3.5s` and `20ms`; a plain number of seconds (of `unit` seconds); a time to wait for, as an HTTP
    or ISO date or an epoch in seconds or milliseconds. A time in the past means no wait.
    """
    text = text.strip()
    seconds = _seconds(text, unit) if len(text) <= _LONGEST_TEXT else None
    return seconds if seconds is not None and seconds <= _YEAR_S else None


def _seconds(text: str, unit: float) -> float | None:
    match = _DURATION.fullmatch(text)
    if match and any(match.groups()):
        return sum(
            float(found or 0) * length for found, length in zip(match.groups(), (86400, 3600, 60, 1, 1e-3), strict=True)
        )
    try:
        number = float(text)
    except ValueError:
        return _until(text)
    if not math.isfinite(number) or number < 0:
        return None
    if number >= _EPOCH:
        return max(0.0, number / (1e3 if number >= 1e3 * _EPOCH else 1.0) - time.time())
    return number * unit


def _until(text: str) -> float | None:
    """Seconds until a date; None for other text."""
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text)
            found = found if found.tzinfo else found.replace(tzinfo=UTC)
            return max(0.0, found.timestamp() - time.time())
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
            continue
    return None


_ASKED = re.compile(
    r"(?:again|retry|reset) (?:in|after) (?:about )?([0-9][0-9a-z.]{0,30})"
    r"(?: ?(milliseconds?|seconds?|minutes?|hours?)\b)?",
    re.IGNORECASE,
)
_UNITS = {"millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0}


def asked_wait(words: str) -> float | None:
    """Seconds that a message asks to wait: `Please try again in 6m0s`, `Please retry after 26 seconds`."""
    match = _ASKED.search(words[:2000])
    if match is None:
        return None
    return duration(match[1].lower().rstrip("."), _UNITS[match[2].lower().rstrip("s")] if match[2] else 1.0)


def limits_wait(headers: Mapping[str, str], tokens: float, refused: bool) -> float | None:
    """Seconds until the account's limits leave room again, from rate-limit headers.

    Reads `x-ratelimit-*-requests` and `-tokens`, the same under `anthropic-ratelimit-requests-*` and
    `-tokens-*`, and, of a refusal, a bare `x-ratelimit-reset`.

    Args:
        headers: A reply's headers. `reset` is the time until a limit is full again; it fills evenly.
        tokens: Tokens of the next request.
        refused: Whether the reply is a rate-limit refusal: then wait until a used-up limit is full again,
            because the server may count in windows.

    Returns:
        None if there is room, or the headers don't tell.
    """
    waits = []
    for kind, needed in (("requests", 1.0), ("tokens", tokens)):
        for form in ("x-ratelimit-{}-{}", "anthropic-ratelimit-{1}-{0}"):
            limit, remaining = (amount(headers.get(form.format(what, kind), "")) for what in ("limit", "remaining"))
            reset = duration(headers.get(form.format("reset", kind), ""))
            if limit and remaining is not None and reset is not None and remaining < needed:
                waits.append(reset if refused else reset * min(1.0, (needed - remaining) / limit))
    if not waits and refused:
        reset = duration(headers.get("x-ratelimit-reset", ""))
        waits += [] if reset is None else [reset]
    return max(waits, default=None)


def amount(text: str) -> float | None:
    """A number of requests or tokens, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds before retry number `attempt` (from 1): doubling from half a second, jittered down by up to half.

    A request that fails while others are answered is not helped by a longer wait, and neither is the server:
    callers count, in place of its attempts, the failures since the last answer, where these are fewer.
    """
    return min(LONGEST_BACKOFF_S, FIRST_WAIT_S * 2.0 ** min(attempt - 1, 20)) * rng.uniform(0.5, 1.0)


def heeded(asked: float | None, own: float, attempt: int) -> float:
    """Seconds before retry number `attempt` (from 1): as the server asks, or our own back-off where it doesn't ask.

    A server that refuses again after its own wait named one that is too short, such as `retry-after: 0` or a date that
    has passed: from then on the longer of the two counts, or all attempts would be used up within a second.
    """
    if asked is None:
        return own
    return min(asked if attempt == 1 else max(asked, own), LONGEST_SERVER_WAIT_S)
