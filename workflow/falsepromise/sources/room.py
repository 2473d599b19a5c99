"""Stop a download before it fills a disk: others write there too, and a full disk breaks more than one file."""

from __future__ import annotations

import os
from pathlib import Path

from falsepromise.core.errors import UserError

KEPT = 1 << 30  # bytes that stay free, or `KEPT_PART` of a small disk
KEPT_PART = 0.02


def check_room(place: Path | int, needed: int, what: str) -> None:
    """Refuse to write to a disk that has too little room.

    Args:
        place: A folder or an open file on the disk.
        needed: Bytes that are still to come, as far as is known.
        what: What is fetched.

    Raises:
        UserError: less than the reserve would be left.
    """
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    kept = min(KEPT, int(KEPT_PART * disk.f_blocks * disk.f_frsize))
    if disk.f_blocks and needed + kept > free:  # some file systems don't say
        more = f"needs {needed / 1e9:,.1f} GB, and " if needed else ""
        where = "" if isinstance(place, int) else f" of {place}"
        raise UserError(
            f"{what}: {more}the disk{where} has only {free / 1e9:,.1f} GB left, of which {kept / 1e9:,.1f} stay free; "
            "make room, or name a smaller source"
        )
