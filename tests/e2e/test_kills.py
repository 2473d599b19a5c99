"""The whole test study, killed at random again and again, ends in the bytes of a run that nobody disturbed.

FALSEPROMISE_KILLS=10 kills more often than the few times of each test run; FALSEPROMISE_KILL_SEED draws other moments.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "config", "resources", "profiles", "envs")
KILLS = int(os.environ.get("FALSEPROMISE_KILLS", "2"))
SEED = int(os.environ.get("FALSEPROMISE_KILL_SEED", "0"))
DAY = 86400
# What a reader uses. Manifests and training logs tell when something was made and how fast.
SAME = re.compile(
    r"test/(curation|style|benchmarks|preference|generation|teacher)/.*\.(jsonl|json|csv)|.*\.safetensors|tables/(?!manifests).*\.(csv|md)"
    r"|figures/.*\.(svg|pdf)"
)
TIMED = re.compile(r"manifest|\.leaks\.json")

pytestmark = pytest.mark.slow


def checkout(folder: Path) -> Path:
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, folder / part)
    return folder


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH"))}
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--configfile", "config/test.yaml", "--cores", "2", *more],
            cwd=folder, env=kept, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            umask=0o027,
        )  # fmt: skip


def finished(folder: Path) -> int:
    return (folder / "said").read_bytes().count(b"Finished jobid")


def jobs(run: subprocess.Popen[bytes]) -> list[int]:
    """The programs of a run's jobs."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if os.getsid(int(entry.name)) == run.pid and command.startswith(b"python\0-m\0falsepromise."):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def contents(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        name = str(path.relative_to(folder / "results"))
        if path.is_file() and SAME.fullmatch(name) and not TIMED.search(name):
            content = path.read_bytes()
            if name.endswith(".json") and b'"manifest"' in content:
                content = json.dumps({**json.loads(content), "manifest": None}).encode()
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def readable(path: Path) -> str:
    """Who can read a file: the umask of these runs lets the group read and nobody write."""
    mode = path.lstat().st_mode
    private = ".cache" in path.parts  # the store of paid replies is the user's own
    return "group" if path.is_symlink() or private or mode & 0o066 == 0o040 else oct(mode)


def disturb(folder: Path, rng: random.Random, how: str) -> bool:
    """Start a run and end it as a power cut, the OOM killer or a person would; whether it made everything."""
    run = start(folder)
    wanted = finished(folder) + rng.randint(1, 2 * 110 // (KILLS + 1))
    while run.poll() is None and finished(folder) < wanted:
        time.sleep(0.1)
    if how == "job" and run.poll() is None:
        for pid in jobs(run)[:1]:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)  # what the OOM killer does
        run.wait()
    elif how == "second driver" and run.poll() is None:
        start(folder).wait(timeout=300)
        run.wait()
    else:
        time.sleep(rng.uniform(0, 1))
        for pid in [run.pid] if how == "driver" else [-run.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # a negative one is the whole group
        run.wait()
    return run.returncode == 0


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    calm, killed = checkout(tmp_path / "calm"), checkout(tmp_path / "killed")
    rng = random.Random(SEED)
    hows = ["all", "second driver", "job", "driver"]
    for number in range(KILLS):
        how = hows[number % len(hows)]
        complete = disturb(killed, rng, how)
        assert complete or how != "second driver", "the second driver harmed the first one's run"
        # The clock was a day ahead until now: what is there is newer than all that comes.
        for path in (killed / "results").rglob("*") if number % 2 else ():
            os.utime(path, (time.time() + DAY, time.time() + DAY), follow_symlinks=False)
    for folder in (killed, calm):
        run = start(folder)
        assert run.wait(timeout=1800) == 0, (folder / "said").read_text(errors="replace")[-4000:]
    before, after = contents(calm), contents(killed)
    assert len(before) > 80
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} == set()
    assert not [*(killed / "results/test/sources").glob(".*")], "leftovers of a killed download"
    assert not {path for path in (calm / "results").rglob("*") if readable(path) != "group"}, "not as the umask says"
    left = [path for path in (killed / "results").rglob(".*.old") if path.is_dir()]
    assert not left, "a folder that was moved aside is still there"
