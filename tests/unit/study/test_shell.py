"""The beginning of every job's shell, as bash runs it."""

import subprocess
import sys

import pytest

from falsepromise.study.workflow import shell_prefix


@pytest.mark.parametrize("job", ["{} -c '{}'", "{} -c '{}' 2>&1 | tee log"])
@pytest.mark.parametrize(("body", "code"), [("os.kill(os.getpid(), 9)", 137), ("sys.exit(3)", 3), ("0", 0)])
def test_a_job_that_the_system_killed_says_so(job, body, code, tmp_path):
    command = shell_prefix(deployed=False).format() + job.format(sys.executable, f"import os, sys; {body}")
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert ("runs out of memory" in done.stderr) == (code == 137)


def test_a_job_over_its_memory_limit_is_one_line(tmp_path):
    """Where a limit refuses memory, no signal comes: Python says so, and the verb makes it one line."""
    code = "from falsepromise.core import cli; cli.run(lambda argv: bytearray(1 << 40))"
    command = shell_prefix(deployed=False).format() + f"ulimit -v 2000000; {sys.executable} -c '{code}'"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: out of memory")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("given", "threads"), [("unset OMP_NUM_THREADS; ", 1), ("export OMP_NUM_THREADS=3; ", 3)])
def test_jax_has_the_threads_of_the_job(given, threads, tmp_path):
    """As the kernel counts them, whatever the machine has."""
    code = (
        "import glob, jax; jax.devices('cpu'); "
        "names = [open(file).read().strip() for file in glob.glob('/proc/self/task/*/comm')]; "
        "print(names.count('tf_XLAEigen'))"
    )
    command = f'{given}{shell_prefix(deployed=False).format()}{sys.executable} -c "{code}"'
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == [str(threads)], done.stderr


def test_bars_of_libraries_stay_out_of_a_job_s_log(tmp_path):
    command = f'{shell_prefix(deployed=False).format()}{sys.executable} -c "import tqdm; list(tqdm.tqdm(range(9)))"'
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
