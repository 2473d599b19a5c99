"""Notice a server that keeps a download open and sends next to nothing, before its reply or in it.

The libraries' own limits are for one read. A server that sends a byte now and then, in its headers, between pieces of a
reply or behind its end, is never silent for so long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SLOW_S = 300.0  # seconds in which a server must send its headers, and then `SLOWEST` bytes for each
SLOWEST = 1024


def in_time(call: Callable[[], T]) -> T:
    """The result of a call that connects to a server and reads its headers.

    Raises:
        TimeoutError: it took longer than `SLOW_S`; its thread waits on, and the program can end without it.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SLOW_S)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"not even all headers in {SLOW_S:.0f} s")
    return results[0]


class Pace:
    """Watches one reply, and ends its connection after a stretch of `SLOW_S` seconds with too little of it.

    Args:
        file: The connection's descriptor.

    Attributes:
        size: Bytes that came; the reader counts them.
        crept: What came in which time, if the connection was ended for it, else empty. Readers then see an error, or
            what looks like the reply's end.
    """

    def __init__(self, file: int):
        self.size, self.crept = 0, ""
        self._socket = socket.socket(fileno=os.dup(file))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Pace:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _watch(self) -> None:
        before = 0
        while not self._over.wait(SLOW_S):
            size = self.size
            if size - before < SLOWEST * SLOW_S:
                self.crept = f"{size - before:,} bytes in {SLOW_S:.0f} s"
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                return
            before = size
