"""A signal at a bad moment of a run on SLURM."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_slurm_resilient import Executor


class Struck(logging.Handler):
    """A handler that a signal strikes right after it has taken its lock, as it may strike any."""

    lines = 0

    def acquire(self) -> None:
        super().acquire()
        if not self.lines:
            self.lines = 1
            os.kill(os.getpid(), signal.SIGTERM)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1


def test_a_signal_in_the_middle_of_a_line_keeps_no_lock() -> None:
    """Python's logging would keep it, all other threads would wait to log, and the run for them."""
    executor = Executor.__new__(Executor)
    executor.fleet = SimpleNamespace(stopping=threading.Event())  # type: ignore[assignment]
    executor._signal, executor._interrupted, executor._cancelling = None, False, threading.Event()
    executor._cancelling.set()
    logger, handler = logging.getLogger("struck"), Struck()
    logger.addHandler(handler)
    before = signal.signal(signal.SIGTERM, executor._end)
    try:
        logger.warning("a line of the main thread")
        with pytest.raises(KeyboardInterrupt):
            time.sleep(60)  # the signal comes back here
        other = threading.Thread(target=logger.warning, args=("a line of a thread that submits",), daemon=True)
        other.start()
        other.join(60)
        assert not other.is_alive()
    finally:
        signal.signal(signal.SIGTERM, before)
        logger.removeHandler(handler)
    assert handler.lines == 3, "the line that was struck is written, too"
    assert executor.fleet.stopping.is_set()
