"""Notice a server that keeps a download open and sends next to nothing."""

from __future__ import annotations

import time

SLOW_S = 300.0  # seconds in which a server must send `SLOWEST` bytes for each
SLOWEST = 1024


class Pace:
    """The pace of one reply, over stretches of `SLOW_S` seconds."""

    def __init__(self) -> None:
        self._since, self._size = time.monotonic(), 0

    def crept(self, size: int) -> str:
        """Count `size` more bytes; what came in which time, if a stretch ends with too little, else an empty text."""
        self._size += size
        took = time.monotonic() - self._since
        if took <= SLOW_S:
            return ""
        words = f"{self._size:,} bytes in {took:.0f} s" if self._size < SLOWEST * SLOW_S else ""
        self._since, self._size = time.monotonic(), 0
        return words
