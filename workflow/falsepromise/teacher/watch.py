"""Watch a run's outcomes: answers, failures by reason, and whether too many fail to go on."""

from __future__ import annotations

import time
from collections import Counter, deque

from falsepromise.core.errors import UserError
from falsepromise.teacher.ledger import Limits, Spent

FIRST = 5  # failures without any answer: the requests or the server must be wrong
WINDOW = 100  # latest requests, of which a share may fail
_ENOUGH = 20  # fewer failures in the window don't end a run


class Watch:
    """Counts a run's outcomes.

    Args:
        where: The base URL, for messages.
        most: The share of the latest requests that may fail.
    """

    def __init__(self, where: str, most: float = 0.5):
        self.where, self.most = where, most
        self.answers = 0
        self.failures: Counter[str] = Counter()
        self._recent: deque[str | None] = deque(maxlen=WINDOW)
        self._noted = 0.0

    def add(self, failure: str | None, whole: bool = True) -> UserError | None:
        """Count one outcome; return the error that ends the run if too many failed.

        Args:
            failure: The answer's failure.
            whole: Whether a truncated answer is a failure.
        """
        if failure is not None:
            self.failures[failure] += 1
        if failure is None or (failure == "length" and not whole):
            self.answers += 1
            self._recent.append(None)
            return None
        self._recent.append(failure)
        failed = [reason for reason in self._recent if reason]
        said = f"the most common reason: {Counter(failed).most_common(1)[0][0]}"
        unpaid = sum(reason.startswith(("rejected", "no answer")) for reason in failed)
        if not self.answers and unpaid >= FIRST:
            return UserError(f"{self.where}: the first {unpaid} requests failed, none was answered; {said}; check them")
        if len(failed) >= _ENOUGH and len(failed) > self.most * len(self._recent):
            return UserError(
                f"{self.where}: {len(failed)} of the last {len(self._recent)} requests failed; {said}; "
                "replies so far are stored: correct it, or raise --max-failures"
            )
        return None

    def reasons(self) -> str:
        """The failures by reason, the most common first."""
        kinds: Counter[str] = Counter()
        for reason, count in self.failures.items():
            kinds[reason.partition(":")[0]] += count
        return ", ".join(f"{count:,} {reason}" for reason, count in kinds.most_common(5))

    def note(self, spent: Spent, limits: Limits) -> str:
        """A line with the spending and the failures."""
        of = f" of ${limits.usd:g}" if limits.usd is not None else ""
        parts = [f"{spent.requests:,} requests, {spent.tokens:,} tokens, ${spent.usd:.4f}{of} spent"]
        if spent.lost:
            parts.append(f"{spent.lost:,} replies lost")
        if self.failures:
            share = len([reason for reason in self._recent if reason]) / max(1, len(self._recent))
            parts.append(f"{share:.0%} of the latest failed: {self.reasons()}")
        return ", ".join(parts)

    def due(self) -> bool:
        """Whether to update the line: twice a second."""
        now = time.monotonic()
        if now - self._noted < 0.5:
            return False
        self._noted = now
        return True
