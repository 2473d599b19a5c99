"""Show progress of long work: a bar on a terminal, one line a minute in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
log = logging.getLogger("falsepromise")


class Progress:
    """Counts work done. Use as a context manager, or `track` for a loop.

    Args:
        total: The amount of work, or None if it isn't known.
        desc: The work in a few words.
        unit: What is counted.
        interval: Seconds between lines where standard error is not a terminal.
    """

    def __init__(self, total: int | None, desc: str, unit: str = "it", interval: float = 30.0):
        self.total, self.desc, self.unit, self.interval = total, desc, unit, interval
        self.done = 0
        self.start = self._last = time.monotonic()
        self._note = ""
        self._bar = tqdm(total=total, desc=desc, unit=unit, unit_scale=True) if sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif error[0] is None:
            self._line()

    def update(self, n: int = 1, note: str = "") -> None:
        """Add `n` to the count, with a short note (loss, tokens/s, money spent)."""
        self.done += n
        self._note = note or self._note
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=not n)
            self._bar.update(n)
        elif time.monotonic() - self._last >= self.interval:
            self._line()

    def _line(self) -> None:
        self._last = time.monotonic()
        spent = max(self._last - self.start, 1e-9)
        parts = [f"{self.desc}: {self.done:,}" + (f" of {self.total:,}" if self.total else "") + f" {self.unit}"]
        parts.append(f"{self.done / spent:,.1f} {self.unit}/s, {spent:.0f} s spent")
        if self.total and 0 < self.done < self.total:
            parts.append(f"about {(self.total - self.done) * spent / self.done:.0f} s left")
        if self._note:
            parts.append(self._note)
        log.info("; ".join(parts))


def track(items: Iterable[T], desc: str, unit: str = "it") -> Iterator[T]:
    """Go through `items`, showing progress."""
    with Progress(len(items) if isinstance(items, Sized) else None, desc, unit) as progress:
        for item in items:
            yield item
            progress.update()
