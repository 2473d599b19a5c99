"""How fast requests may leave: requests and tokens per minute, and the server's own pauses."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections.abc import Callable, Mapping

FIRST_WAIT_S = 0.5
LONGEST_BACKOFF_S = 30.0


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


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds before retry number `attempt` (from 1): doubling from half a second, jittered down by up to half."""
    return min(LONGEST_BACKOFF_S, FIRST_WAIT_S * 2.0 ** min(attempt - 1, 20)) * rng.uniform(0.5, 1.0)
