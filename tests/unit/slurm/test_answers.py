"""How answers of SLURM's commands are read, as SLURM 22.05 and 23.11 write them; what jobs do is in tests/slurm."""

from __future__ import annotations

import logging
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_slurm_resilient import Executor, cluster, efficiency
from snakemake_executor_plugin_slurm_resilient.fleet import End

QUEUE = """\
CLUSTER: wice
11|PENDING|PartitionTimeLimit|N/A|N/A|snakemake-outputs aa,bb cc|train-llama-13b-sharegpt_mix-150M-s0|/study
12|RUNNING|None|2026-03-01T10:00:00|N/A|snakemake-outputs dd cc|score-nq-tiny-s0|/study
13|CANCELLED|None|2026-03-01T10:00:00|2026-03-01T10:05:00|(null)|bash|/home/me
14_[1-9]|PENDING|ReqNodeNotAvail, UnavailableNodes:n1|N/A|N/A|a|b|c|d
67108879|REVOKED|None|2026-03-01T10:00:00|N/A|snakemake-outputs ee cc|score|/study
67108880|RUNNING|None|2026-03-01T10:00:00|N/A|snakemake-outputs ff cc|score|/study
67108880|REVOKED|None|2026-03-01T10:00:00|N/A|snakemake-outputs ff cc|score|/study
"""


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let a command of SLURM's say something and end with a code."""

    def give(name: str, said: str, code: int = 0, error: str = "") -> None:
        (tmp_path / "said").write_text(said)
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\ncat {tmp_path}/said\necho '{error}' >&2\nexit {code}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return give


def test_queue(answer) -> None:
    answer("squeue", QUEUE)
    jobs = cluster.queue()
    assert jobs["11"].never
    assert not jobs["11"].ended
    assert jobs["11"].start is None
    assert jobs["12"].state == "RUNNING"
    assert jobs["12"].start is not None
    assert jobs["13"].ended
    assert jobs["13"].end == jobs["13"].start + 300
    assert jobs["14_[1-9]"].reason == "ReqNodeNotAvail,_UnavailableNodes:n1"
    # In a federation, the cluster that a job did not start on calls it revoked: another one has it.
    assert "67108879" not in jobs
    assert jobs["67108880"].state == "RUNNING"
    assert cluster.same_outputs(jobs["11"].comment, "snakemake-outputs bb zz")
    assert not cluster.same_outputs(jobs["11"].comment, jobs["12"].comment)


@pytest.mark.parametrize(
    "said",
    [
        "4711\n",
        "4711;wice\n",
        "Verify job submission ...\nVerification: ***PASSED***\nSubmitted batch job 4711\n",  # a site's own sbatch
        "Submitted batch job 4711 on cluster nautilus\n",
        "12 jobs of yours are queued\n4711\n",
    ],
)
def test_sbatch_says_more_than_it_should(answer, said: str) -> None:
    answer("sbatch", said)
    assert cluster.submit(["sbatch"], "#!/bin/sh\n") == "4711"


@pytest.mark.parametrize("said", ["", "job 4711 of cluster\n", "4711 is too many\n"])
def test_no_number_is_guessed(answer, said: str) -> None:
    answer("sbatch", said)
    with pytest.raises(cluster.NotTaken):
        cluster.submit(["sbatch"], "#!/bin/sh\n")


def test_the_users_own_filters_of_slurms_commands_hide_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\nenv > {tmp_path}/env\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    hidden = {"SQUEUE_PARTITION", "SQUEUE_NAMES", "SCANCEL_INTERACTIVE", "SACCT_FORMAT"}
    hidden |= {"SLURM_TIME_FORMAT", "SBATCH_WAIT"}
    kept = {"SQUEUE_FEDERATION", "SLURM_CLUSTERS", "SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION"}
    for name in hidden | kept:
        monkeypatch.setenv(name, "x")
    cluster.queue()
    seen = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert seen & (hidden | kept) == kept


def test_a_controller_without_an_answer_is_not_an_empty_queue(answer) -> None:
    answer("squeue", "", 1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    with pytest.raises(cluster.Silent, match="Unable to contact slurm controller"):
        cluster.queue()


def test_a_slow_controller_is_one_without_an_answer(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT_S", 0.5)
    answer("squeue", QUEUE)
    script = Path(cluster.shutil.which("squeue") or "")
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(cluster.Silent, match="no answer in"):
        cluster.queue()


@pytest.mark.parametrize(
    ("state", "ended"),
    [("CANCELLED by 1000", True), ("COMPLETED", True), ("OUT_OF_MEMORY", True), ("RUNNING+", False), ("", False)],
)
def test_accounting(answer, state: str, ended: bool) -> None:
    answer("sacct", f"11|{state}\n")
    assert cluster.Job("11", cluster.accounted(["11"])["11"]).ended is ended


def test_without_accounting_nothing_is_known(answer) -> None:
    answer("sacct", "", 1, "Slurm accounting storage is disabled")
    assert cluster.accounted(["11"]) == {}
    assert efficiency.table({"11": "train"}) == []


def test_without_the_command_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster.accounted(["11"]) == {}
    assert efficiency.table({"11": "train"}) == []


@pytest.mark.parametrize("said", ["4711\n", "4711;wice\n"])
def test_a_submitted_jobs_id(answer, said: str) -> None:
    answer("sbatch", said)
    assert cluster.submit(["sbatch"], "#!/bin/sh\n") == "4711"


def test_a_refusal_keeps_slurms_words(answer) -> None:
    answer("sbatch", "", 1, "sbatch: error: invalid partition specified: nosuch")
    with pytest.raises(cluster.NotTaken, match="invalid partition specified: nosuch") as refused:
        cluster.submit(["sbatch"], "#!/bin/sh\n")
    assert refused.value.kind is cluster.Refusal.NEVER


def test_efficiency(answer) -> None:
    answer(
        "sacct",
        "11|COMPLETED|120|60|08:30.000|8|4000M||billing=8,cpu=8,gres/gpu=2,mem=4000M,node=1\n"
        "11.batch|COMPLETED|120||00:01.000|8||180.50M|\n"
        "11.0|COMPLETED|120||08:29.000|8||1523.25M|\n"
        "12|CANCELLED by 0|0||00:00:00|1|200M||\n"
        "13|COMPLETED|60|0|00:30.000|1|0||cpu=1\n"
        "13.0|COMPLETED|60||00:30.000|1||75M|\n",
    )
    first, second, third = efficiency.table({"11": "train-a", "12": "score-b", "13": "score-c"})
    assert first == {
        "slurm_job": "11", "name": "train-a", "state": "COMPLETED", "minutes_asked": 60.0, "minutes_used": 2.0,
        "cpus_asked": 8, "cpus_used": 4.25, "memory_mb_asked": 4000, "memory_mb_used": 1523, "gpus_asked": 2,
        "gpu_hours": 0.0667,
    }  # fmt: skip
    assert second["memory_mb_used"] == 0
    assert (third["minutes_asked"], third["memory_mb_asked"]) == (None, None), "accounting didn't hear of its start"


@pytest.mark.parametrize(
    "line",
    [
        "Cluster maintenance on Friday",
        "a | banner | of | eight | bars | and | a | job | ",
        "12|COMPLETED|60|10|INVALID|1|100M||cpu=1",
        "12|PENDING||10||1|100M||",
        "12|RUNNING|60|10|00:01|1|100M||cpu=1|more",
    ],
)
def test_a_line_that_sacct_does_not_write_costs_no_more_than_its_job(answer, line: str) -> None:
    answer("sacct", f"{line}\n11|COMPLETED|60|10|00:30.000|1|500M||cpu=1\n11.0|COMPLETED|60||00:30.000|1||75M|\n")
    (row,) = efficiency.table({"11": "train", "12": "score"})
    assert (row["name"], row["minutes_used"], row["memory_mb_used"]) == ("train", 1.0, 75)


def test_a_table_says_what_is_not_known(answer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answer("sacct", "11|COMPLETED|60|0|00:30.000|1|0||cpu=1\n12|COMPLETED|60|30|00:30.000|1|500M||cpu=1\n")
    with caplog.at_level(logging.INFO):
        efficiency.report({"11": "score-a", "12": "clean-b"}, tmp_path, logging.getLogger())
    score, clean = caplog.text.splitlines()[-2:]
    assert ("1.0/?" in score, "1.0/30.0" in clean) == (True, True), caplog.text
    assert ",score-a,COMPLETED,,1.0," in next(tmp_path.glob("*.csv")).read_text()


def test_a_damaged_state_counts_as_reached_only_once(tmp_path: Path) -> None:
    """A run that fell back to an older state gets on from there: each later state is progress again."""
    executor = Executor.__new__(Executor)
    executor._reached, executor.report_job_error = {}, lambda *_, **__: None  # type: ignore[method-assign]
    (tmp_path / "steps").mkdir()
    job = SimpleNamespace(
        name="train", wildcards=[], is_group=lambda: False, log=[], restart_times=2, resources={"checkpoints": tmp_path}
    )
    info = SimpleNamespace(job=job, aux={"slurm_logfile": tmp_path / "none"})
    taken = []
    for kept in ([100], [100], [50, 60], [60, 70], [60, 70]):
        for path in (tmp_path / "steps").iterdir():
            path.rmdir()
        for step in kept:
            (tmp_path / "steps" / str(step)).mkdir()
        job.attempt = 1
        executor._fail(info, End(False, "ended with TIMEOUT"))  # type: ignore[arg-type]
        taken.append(job.attempt)
    assert taken == [0, 1, 1, 0, 1]
