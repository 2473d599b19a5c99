"""Whether a process of this machine lives; a number alone doesn't say, because the kernel uses numbers again."""

from __future__ import annotations

import os
from pathlib import Path


def started(pid: int) -> str:
    """The start time of a process in the kernel's ticks, which no clock's jump changes; empty if it isn't known."""
    return _stat(pid)[1]


def lives(pid: int, since: str) -> bool | None:
    """Whether the process `pid` that started at `since` (of `started`) exists; None if it is stopped (Ctrl-Z)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, under another user
    state, found = _stat(pid)
    if state == "Z" or (since and since != found):  # dead, but its parent hasn't asked; or another program
        return False
    return None if state == "T" else True


def _stat(pid: int) -> tuple[str, str]:
    """The state (a letter) and start time of a process; empty where the system doesn't say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
