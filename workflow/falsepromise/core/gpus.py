"""Give each GPU of a machine without a scheduler to one job at a time, then run the job's program.

  python -m falsepromise.core.gpus 2 -- python -m falsepromise.training.train ...

takes two free GPUs, or waits until two are free, names them in CUDA_VISIBLE_DEVICES and becomes the program. A GPU is
taken by locking a file (flock). The program itself owns the lock: the kernel releases it when the process ends, also
after kill -9, and not before. The GPUs are those of CUDA_VISIBLE_DEVICES, or else all that nvidia-smi lists. Inside a
SLURM job they are SLURM's GPUs of this job, shared among its programs.

Every user of the machine can lock these files. While it waits, it names once a minute who has them. After
FALSEPROMISE_GPU_WAIT hours (72) the job ends with that message. FALSEPROMISE_GPU_LOCKS=FOLDER uses other lock files,
which the programs that use the usual ones don't see.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.text import masked, terminal

# One for all users: their jobs share the machine's GPUs.
FOLDER = Path(os.environ.get("FALSEPROMISE_GPU_LOCKS") or "/tmp/falsepromise-gpus")
TOLD_S = 60.0


def visible() -> list[str]:
    """The GPUs that may be used, by their names in CUDA_VISIBLE_DEVICES; empty if there are none."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, errors="replace", timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, _ in enumerate(listed.stdout.splitlines())]


def take(count: int, devices: Sequence[str], folder: Path) -> list[str] | None:
    """Lock `count` of the devices for this process and the program it becomes; None if fewer are free.

    Raises:
        UserError: the folder or a lock in it can't be used; the message names it.
    """
    taken: dict[str, int] = {}
    for device in devices:
        descriptor = _open(folder, device)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError as error:  # a file system without locks
            raise _refused(folder, error) from error
        taken[device] = descriptor
        if len(taken) == count:
            for held in taken.values():
                os.set_inheritable(held, True)
            return list(taken)
    for held in taken.values():
        os.close(held)
    return None


def _file(folder: Path, device: str) -> Path:
    return folder / f"{os.environ.get('SLURM_JOB_ID', '')}-{device.replace('/', '-')}.lock"


def _open(folder: Path, device: str) -> int:
    file = _file(folder, device)
    try:
        if not folder.exists():
            folder.mkdir(mode=0o777, parents=True, exist_ok=True)
            folder.chmod(0o1777)
        # An existing file is opened without O_CREAT, which kernels refuse for another user's file in such a folder.
        # A link or a pipe here may be another user's trap.
        new = 0 if os.path.lexists(file) else os.O_CREAT
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | new, 0o644)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "not a plain file")
        if new and found.st_uid == os.getuid():
            os.fchmod(descriptor, 0o644)  # whatever the umask: other users must be able to lock it
        return descriptor
    except OSError as error:
        raise _refused(file, error) from error


def _refused(place: Path, error: OSError) -> UserError:
    return UserError(
        f"{place}: can't be locked ({error.strerror}); remove it, or set FALSEPROMISE_GPU_LOCKS to another folder"
    )


def holders(devices: Sequence[str], folder: Path) -> list[str]:
    """Who has taken which device: the user, the process, its program."""
    places = {}
    for device in devices:
        with contextlib.suppress(OSError):
            found = os.lstat(_file(folder, device))
            number = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
            places[number] = device
    said = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5] in places:
                said.append(f"{places[words[5]]}: {_process(words[4])}")
    return said


def _process(pid: str) -> str:
    """A process in words."""
    try:
        number = os.stat(f"/proc/{pid}").st_uid
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return f"process {pid}, which has ended; a program that it started still runs"
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    return f"{user}'s process {pid} ({masked(terminal(command, lines=False)):.80})"


def _hours(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"FALSEPROMISE_GPU_WAIT is {text!r}, expected a number of hours") from None


def main(argv: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) < 3 or not words[0].isdecimal() or words[1] != "--":
        print(__doc__)
        raise SystemExit(0 if words in (["-h"], ["--help"]) else 2)
    count, command = int(words[0]), words[2:]
    devices = visible()
    if devices and len(devices) < count:
        raise UserError(f"the job asks for {count} GPUs, this machine has {len(devices)} ({', '.join(devices)})")
    if devices and count:
        began, told = time.monotonic(), 0.0
        hours = _hours(os.environ.get("FALSEPROMISE_GPU_WAIT") or "72")
        while (taken := take(count, devices, FOLDER)) is None:
            if time.monotonic() - told > TOLD_S or time.monotonic() - began > 3600 * hours:
                told = time.monotonic()
                who = "; ".join(holders(devices, FOLDER)) or "the system doesn't name the owner"
                if told - began > 3600 * hours:
                    raise UserError(
                        f"{count} of the GPUs {', '.join(devices)} did not become free within {hours:g} hours: {who}. "
                        "Ask them to stop, or set FALSEPROMISE_GPU_LOCKS to another folder to ignore these locks"
                    )
                print(f"waiting for {count} of the GPUs {', '.join(devices)}; {who}", file=sys.stderr, flush=True)
            time.sleep(1)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
        print(f"on the GPUs {', '.join(taken)}", file=sys.stderr, flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
