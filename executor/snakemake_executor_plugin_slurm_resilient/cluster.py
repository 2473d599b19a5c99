"""SLURM's commands: submit jobs, cancel them, and query their state.

A job is recognised again, by a driver that didn't submit it, by its comment: a digest of the outputs and one of what
makes them. The commands are SLURM's own; each is called with an argument list, never through a shell.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

MARK = "snakemake-outputs"
# A job in one of these is over. All others (PENDING, RUNNING, COMPLETING, SUSPENDED, REQUEUED, ...) are on their way.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
}  # fmt: skip
# Put back and held, until a person releases it.
HELD = {"REQUEUE_HOLD", "SPECIAL_EXIT"}
# A job with such a reason waits for ever: SLURM accepts what it will never start. Limits of a user, a group, an account
# (`QOSMaxCpuPerUserLimit`, `AssocGrpMemLimit`) let it start once other jobs have ended.
NEVER = re.compile(
    r"(QOS|Assoc)(Max|Min|Grp)\w*Per(Job|Node)(Limit)?|QOSMin\w+|Partition(Config|NodeLimit|TimeLimit)|BadConstraints"
    r"|DependencyNeverSatisfied|Invalid(Account|QOS)|(Account|QOS)NotAllowed|JobHoldMaxRequeue|\w+_held(_state)?"
)
# Reasons for waiting that need no message.
ORDINARY = {"", "None", "Priority", "Resources", "BeginTime", "Cleaning", "Prolog"}
TIMEOUT_S = 60
# Variables of the user's own use of SLURM's commands: they hide jobs, write times in another way, wait, ask questions.
PERSONAL = re.compile(
    r"(SQUEUE|SACCT|SCANCEL)_(?!FEDERATION|LOCAL|CLUSTERS)\w+|SLURM_TIME_FORMAT|SBATCH_(WAIT|ARRAY_INX|TEST_ONLY)"
)
# sbatch's answer; some sites' sbatch says more, or doesn't know --parsable.
ANSWER = re.compile(r"^(?:Submitted batch job )?(\d+)(?:;\S*| on cluster \S+)?\s*$", re.MULTILINE)


class Refusal(enum.Enum):
    """The meaning of a failed submission."""

    NEVER = enum.auto()  # asked for again, it would be refused again
    NOT_NOW = enum.auto()  # a limit that frees itself, or a controller that is busy
    LIMIT = enum.auto()  # a limit, and SLURM doesn't say whether it is one of submissions or of a job's size
    UNKNOWN = enum.auto()


# The first match in SLURM's message decides.
_REFUSALS = (
    (Refusal.NEVER, r"Per(Job|Node)(Limit)?\b|QOSMin\w+|WallDuration"),
    (Refusal.NOT_NOW, r"(QOS|Assoc)(Grp\w+|\w+PerAccount\w*)"),  # others' jobs count as well
    (Refusal.LIMIT, r"(QOS|Assoc)\w+|accounting/QOS policy"),
    (
        Refusal.NOT_NOW,
        r"timed? ?out|unable to contact|temporarily un|connection (refused|reset)|not respond|no answer in|zero bytes|"
        r"i/o error writing script|communication|in progress|try again",
    ),
    (Refusal.UNKNOWN, r"authentication|credential"),
    (
        Refusal.NEVER,
        r"invalid|not permitted|denied|unrecognized|not available|unknown|must specify|not allowed|illegal|"
        r"exceeds|too (large|long)",
    ),
)


class NotTaken(RuntimeError):
    """SLURM does not take a job; `kind` says what that means."""

    def __init__(self, words: str):
        super().__init__(words)
        matched = (kind for kind, pattern in _REFUSALS if re.search(pattern, words, re.IGNORECASE))
        self.kind = next(matched, Refusal.UNKNOWN)


class Silent(RuntimeError):
    """SLURM's controller doesn't answer; in its client's words."""


@dataclass(frozen=True)
class Job:
    """A job as SLURM has it: state and reason, start and end (Unix times, or None), comment, name, folder."""

    id: str
    state: str
    reason: str = ""
    start: float | None = None
    end: float | None = None
    comment: str = ""
    name: str = ""
    folder: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def never(self) -> bool:
        """Whether SLURM will never start it."""
        return self.state in HELD or (not self.ended and bool(NEVER.fullmatch(self.reason)))

    @property
    def wait(self) -> str:
        """Why it waits, where that is worth a message; else ""."""
        return self.reason if (self.never or self.state == "PENDING") and self.reason not in ORDINARY else ""


def normal(state: str) -> str:
    """`CANCELLED by 1000` and `RUNNING+` without what follows the state's name."""
    return (state.split() or [""])[0].rstrip("+")


def mark(outputs: Iterable[str], made_by: str) -> str:
    """The comment of the job that makes `outputs`; `made_by` is all that decides what they are."""
    return f"{MARK} {','.join(sorted(map(digest, outputs)))} {digest(made_by)}"


def same_outputs(comment: str, other: str) -> bool:
    """Whether two jobs, by their comments, make a file in common."""
    return not set(comment.split()[1].split(",")).isdisjoint(other.split()[1].split(","))


def digest(word: str) -> str:
    """A few characters that stand for a text."""
    return hashlib.sha256(word.encode()).hexdigest()[:12]


def _run(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    # In a session of its own: Ctrl-C and a lost terminal reach the driver alone, which lets a submission end.
    try:
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not PERSONAL.fullmatch(name)},
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: no answer in {TIMEOUT_S} s")
    except OSError as error:  # no memory or no process for it
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: {error.strerror}, temporarily unavailable")


def queue() -> dict[str, Job]:
    """The user's jobs that the controller knows, ended ones too, by id.

    Raises:
        Silent: it doesn't answer.
    """
    fields = "%i|%T|%r|%S|%e|%k|%j|%Z"
    done = _run(["squeue", "--user", str(os.getuid()), "--states", "all", "--noheader", "--format", fields])
    if done.returncode != 0:
        raise Silent(" ".join((done.stderr or done.stdout).split()) or f"squeue ended with {done.returncode}")
    jobs = {}
    for line in done.stdout.splitlines():
        if line.count("|") < 7:
            continue
        number, state, reason, start, end, comment, name, folder = line.split("|", 7)
        if normal(state) == "REVOKED":  # it started on another cluster of a federation, which has a line of its own
            continue
        reason = reason.replace(" ", "_")
        jobs[number] = Job(number, normal(state), reason, _time(start), _time(end), comment, name, folder)
    return jobs


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # N/A
        return None


def accounted(ids: Sequence[str]) -> dict[str, str]:
    """The states of jobs by accounting, which remembers those that the controller has forgotten; {} without it."""
    if not ids or not shutil.which("sacct"):
        return {}
    done = _run(["sacct", "-X", "--noheader", "--parsable2", "--format", "JobIDRaw,State", "--jobs", ",".join(ids)])
    rows = (line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {number: normal(state) for number, state in rows} if done.returncode == 0 else {}


def in_folder(jobs: Iterable[Job], folder: str) -> list[Job]:
    """Those of Snakemake's jobs of a folder."""
    here = os.path.realpath(folder)
    return [job for job in jobs if job.comment.startswith(MARK + " ") and os.path.realpath(job.folder) == here]


def submit(command: Sequence[str], script: str) -> str:
    """Submit a script; the job's id.

    Raises:
        NotTaken: with SLURM's words. The job may be there all the same, if it was the answer that was lost.
    """
    done = _run(command, script)
    numbers = ANSWER.findall(done.stdout)
    if done.returncode != 0 or not numbers:
        said = (done.stderr or done.stdout).strip()
        raise NotTaken(said or f"sbatch: no answer in its words, it ended with {done.returncode}")
    return str(numbers[-1])


def cancel(ids: Sequence[str]) -> None:
    """Ask for jobs to be cancelled; those that ended are left alone."""
    if ids:
        _run(["scancel", *ids])
