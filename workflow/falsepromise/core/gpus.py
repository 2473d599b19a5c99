"""Give GPUs of one machine out, each to one job at a time, where no scheduler does: then run the job's program.

  python -m falsepromise.core.gpus 2 -- python -m falsepromise.training.train ...

takes two GPUs that nobody has taken, waits for them where there are too few, names them in CUDA_VISIBLE_DEVICES and
becomes the program. What is held is a file's lock (flock) that belongs to the program itself: the kernel frees it with
the process, also after kill -9, and not before. The GPUs are those of CUDA_VISIBLE_DEVICES, or else all that
nvidia-smi lists. Inside a SLURM job they are SLURM's, and shared out among the programs of that job alone.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core.errors import UserError

FOLDER = Path("/tmp/falsepromise-gpus")  # one for all users: their jobs share the machine's GPUs
TOLD_S = 60.0


def visible() -> list[str]:
    """The GPUs that may be used, by the names that CUDA_VISIBLE_DEVICES has for them; none where there are none."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, _ in enumerate(listed.stdout.splitlines())]


def take(count: int, devices: Sequence[str], folder: Path) -> list[str] | None:
    """Lock `count` of the devices for this process and what it becomes; None where so many are not free now."""
    if not folder.exists():
        folder.mkdir(mode=0o777, exist_ok=True)
        folder.chmod(0o1777)
    job = os.environ.get("SLURM_JOB_ID", "")
    taken: dict[str, int] = {}
    for device in devices:
        file = folder / f"{job}-{device}.lock"
        # An existing file is opened without O_CREAT, which kernels refuse for another user's file in such a folder.
        flags = os.O_RDONLY | os.O_NOFOLLOW | (0 if file.exists() else os.O_CREAT)
        descriptor = os.open(file, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        taken[device] = descriptor
        if len(taken) == count:
            for held in taken.values():
                os.set_inheritable(held, True)
            return list(taken)
    for held in taken.values():
        os.close(held)
    return None


def main(argv: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) < 3 or not words[0].isdigit() or words[1] != "--":
        print(__doc__)
        raise SystemExit(0 if words in (["-h"], ["--help"]) else 2)
    count, command = int(words[0]), words[2:]
    devices = visible()
    if devices and len(devices) < count:
        raise UserError(f"{count} GPUs are asked for, this machine gives {len(devices)} ({', '.join(devices)})")
    if devices and count:
        told = 0.0
        while (taken := take(count, devices, FOLDER)) is None:
            if time.monotonic() - told > TOLD_S:
                told = time.monotonic()
                print(f"waiting for {count} of the GPUs {', '.join(devices)}", file=sys.stderr, flush=True)
            time.sleep(1)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
        print(f"on the GPUs {', '.join(taken)}", file=sys.stderr, flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
