"""How fast requests may leave: requests and tokens per minute, and what the server says about it."""

from __future__ import annotations

import email.utils
import math
import random
import re
import time
from collections.abc import Callable, Mapping

FIRST_WAIT_S = 0.5
LONGEST_BACKOFF_S = 30.0
LONGEST_SERVER_WAIT_S = 600.0


class Pace:
    """Spaces out requests evenly, as a limit of so many units per minute asks.

    A second's worth may leave at once; after that each request waits until the units before it
    have been paid off. A single request larger than that waits its turn and then goes whole.

    Args:
        per_minute: Units (requests or tokens) a minute; None is no limit.
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
    """Seconds that the server asks to wait, from `retry-after-ms` or `retry-after` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, TypeError):
        return None


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


def duration(text: str) -> float | None:
    """Seconds of `6m0s`, `1h2m3.5s`, `20ms` or a plain number, as rate-limit headers have them."""
    match = _DURATION.fullmatch(text.strip())
    if match and any(match.groups()):
        return sum(
            float(found or 0) * unit for found, unit in zip(match.groups(), (86400, 3600, 60, 1, 1e-3), strict=True)
        )
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def limits_wait(headers: Mapping[str, str], tokens: float, refused: bool) -> float | None:
    """Seconds until the account's limits leave room again, from `x-ratelimit-*-requests` and `-tokens`.

    Args:
        headers: Of a reply. `reset` is the time until a limit is whole again; it fills up evenly.
        tokens: That the next request takes.
        refused: Whether the reply is a refusal for going too fast: then a limit that is used up is
            waited for as a whole, since the server may count in windows.

    Returns:
        None where there is room, or nothing is said.
    """
    waits = []
    for kind, needed in (("requests", 1.0), ("tokens", tokens)):
        found = [duration(headers.get(f"x-ratelimit-{what}-{kind}", "")) for what in ("limit", "remaining", "reset")]
        limit, remaining, reset = found
        if limit and remaining is not None and reset is not None and remaining < needed:
            waits.append(reset if refused else reset * min(1.0, (needed - remaining) / limit))
    return max(waits, default=None)


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds before retry number `attempt` (from 1): doubling from half a second, jittered down by up to half."""
    return min(LONGEST_BACKOFF_S, FIRST_WAIT_S * 2.0 ** min(attempt - 1, 20)) * rng.uniform(0.5, 1.0)
