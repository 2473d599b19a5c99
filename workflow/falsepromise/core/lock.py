"""Register the Snakemake runs of a folder, remove the lock of a dead run and keep that of a living one.

Snakemake locks a run's files by writing down their names, and can't tell later whether that run still lives. After a
kill, a person must give `--unlock`, and may do so while another run is at work. So each run also takes a shared lock
(flock), which the kernel releases when the process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads
from falsepromise.core.text import terminal

FILE = Path(".snakemake/falsepromise.runs")
LOCKS = Path(".snakemake/locks")
FOLDER_VARIABLE = "FALSEPROMISE_FOLDER"  # in the environment of every job: the folder that its run works in
SAVE_S = 300
_MOST = 1 << 20  # bytes of the file
_ROOM = 4 << 20  # bytes that Snakemake's own records need before the first job


# By Snakemake's names, the options with which it makes nothing.
LOOKS = (
    *("dryrun", "touch", "summary", "detailed_summary", "dag", "rulegraph", "filegraph", "d3dag", "lint", "report"),
    *("list_rules", "list_target_rules", "list_changes", "generate_unit_tests", "containerize", "export_cwl"),
    *("print_compilation", "archive", "delete_all_output", "delete_temp_output", "cleanup_metadata", "drop_metadata"),
)


def purpose() -> tuple[bool, bool]:
    """Whether this Snakemake will run jobs, and whether it will unlock or delete, by its own parser of its words.

    Snakemake tells its Snakefile neither, and takes its lock before any hook. Without a command line, both are False.
    """
    from snakemake.cli import get_argument_parser

    try:
        options, _ = get_argument_parser().parse_known_args()
    except SystemExit:
        return False, False
    # Snakemake deletes outputs without a look at its lock, those of a run that is at work too.
    deletes = not options.dryrun and (options.delete_all_output or options.delete_temp_output)
    unlock = bool(getattr(options, "unlock", False)) or bool(deletes)
    looks = [name for name in LOOKS if getattr(options, name, None)]
    if getattr(options, "report_after_run", False) and "report" in looks:
        looks.remove("report")
    return not unlock and not looks, unlock


def register(unlock: bool = False) -> bool:
    """Register this process as a run of the current folder until it ends; remove a dead run's lock if it is alone.

    Snakemake's own lock still decides whether two living runs want the same files; its refusal names the other run.

    Args:
        unlock: The user asks to remove the lock or the results.

    Returns:
        Whether it is the only run. False also where the file system has no such locks.

    Raises:
        UserError: `unlock`, while another run is alive; or the folder is another user's, or can't be written, or its
            disk is full.
    """
    try:
        FILE.parent.mkdir(exist_ok=True)
        # Closed by exec: jobs don't inherit it. A link or a pipe here would be a trap: the file is emptied.
        descriptor = os.open(FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a plain file")
    except PermissionError:
        place = next(place for place in (FILE, FILE.parent, Path()) if place.exists())
        raise UserError(
            f"{place.absolute()} belongs to {_owner(place)}: another user works in this folder; choose a folder of "
            "yours (--directory), or ask for the right to write"
        ) from None
    except OSError as error:
        raise UserError(
            f"{FILE.absolute()}: {error.strerror}; choose a folder that you can write to (--directory)"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    except OSError:  # a file system without locks: only Snakemake's own is left
        os.close(descriptor)
        return False
    runs = _runs(descriptor)
    if alone:
        # On some cluster file systems these locks work within one host only, so a run of another host may be alive.
        # A lock that no registered run left belongs to another program.
        if LOCKS.exists() and runs and all(run["host"] == socket.gethostname() for run in runs):
            shutil.rmtree(LOCKS, ignore_errors=True)
        if not unlock:  # to delete makes room
            _need_room(descriptor)
        os.ftruncate(descriptor, 0)
    else:
        who = "; ".join(f"process {run['pid']} on {run['host']} since {run['since']}" for run in runs if _alive(run))
        if unlock:
            raise UserError(f"another run is at work in {os.getcwd()} ({who}); its lock and files stay until it ends")
        _name_in_refusal(who)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.lseek(descriptor, 0, os.SEEK_END)
    os.write(descriptor, (json.dumps(me) + "\n").encode())
    return alone


def _need_room(descriptor: int) -> None:
    """Refuse a full disk or a used-up quota: Snakemake shows tracebacks, one for each line that it logs."""
    try:
        os.posix_fallocate(descriptor, 0, _ROOM)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            os.ftruncate(descriptor, 0)
            raise UserError(
                f"{os.getcwd()}: {error.strerror}; free some space, or choose another --directory"
            ) from None


def _runs(descriptor: int) -> list[dict[str, str | int]]:
    """The runs that have registered; what a kill or another hand left damaged is no run."""
    found = []
    for line in os.pread(descriptor, _MOST, 0).split(b"\n"):
        with suppress(ValueError):
            run = loads(line)
            if isinstance(run, dict) and {"pid", "host", "since"} <= run.keys():
                found.append({name: run[name] if isinstance(run[name], int) else str(run[name]) for name in run})
    return found


def _name_in_refusal(who: str) -> None:
    """Name the run that has the files, in one line. Snakemake's message doesn't, and `--quiet all` hides it."""

    def instead(record: logging.LogRecord) -> bool:
        if getattr(record, "exception", None) != "LockException":
            return True
        said = f"error: another run makes these files in {os.getcwd()}: {who}; wait for its end"
        print(terminal(said, lines=False), file=sys.stderr)
        return False

    logging.getLogger("snakemake.logging").addFilter(instead)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user that this machine doesn't know
        return f"user {path.stat().st_uid}"


def end_orphans() -> None:
    """End the programs that a killed run left on this machine, after they have saved their state.

    They would write the files that this run will write. SLURM's jobs go on: the executor takes them over.
    """
    left = _orphans()
    if left:
        listed = ", ".join(map(str, left))
        print(f"Ending the programs of a killed run (training saves first): {listed}", file=sys.stderr)
    for name in (signal.SIGTERM, signal.SIGKILL):
        for pid in _orphans():
            with suppress(ProcessLookupError):
                os.kill(pid, name)
        end = time.monotonic() + SAVE_S
        while _orphans() and time.monotonic() < end:
            time.sleep(0.5)


def remove_leftovers(folder: str) -> None:
    """Delete the files of killed downloads in a folder of sources. Only for a single run, after `end_orphans`."""
    for path in Path(folder).glob(".*.part"):
        with suppress(OSError):
            path.unlink()


def none_of_the_future(folder: str) -> None:
    """Set the time of files from the future to now; the clock of the run that wrote them was ahead.

    Snakemake fails each job whose output is older than its input, so the study could not go on until the clock has
    caught up.
    """
    now, count = time.time(), 0
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            with suppress(OSError):
                if os.lstat(path).st_mtime > now:
                    os.utime(path, (now, now), follow_symlinks=False)
                    count += 1
    if count:
        found = f"{count} files in {folder} had a time in the future (a clock was ahead)"
        print(f"{found}: their time is now the present", file=sys.stderr)


def _orphans() -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # gone, or another user's
            continue
        ours = os.fsencode(f"{FOLDER_VARIABLE}={os.getcwd()}") in environment
        if ours and not any(entry.startswith(b"SLURM_JOB_ID=") for entry in environment):
            found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def _alive(run: dict[str, str | int]) -> bool:
    return run["host"] != socket.gethostname() or Path(f"/proc/{run['pid']}").exists()
