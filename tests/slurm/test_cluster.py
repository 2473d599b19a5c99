"""The study on a real SLURM: from nothing to figure 4, and through what clusters do to jobs.

Each fault must end in the right figure without a person, or in one clear error; never in a hang. The score of the
base model stands for a job where it is the executor that is tried; training where it is training.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from driver import (
    CLUSTER,
    LONG,
    MODEL,
    ON_A_SERVER,
    SCORE,
    SCORE_LOG,
    Checkout,
    accounted,
    free_ports,
    go_on_when_asked_to_save,
    halted,
    sh,
    stopped,
    submitted,
    until,
)

WEIGHTS = "model.safetensors"
pytestmark = [pytest.mark.slurm, pytest.mark.slow]


# The study ----------------------------------------------------------------------------------


def test_from_nothing_to_the_figure(study: Checkout) -> None:
    assert study.figure.startswith(b"%PDF")
    files = list((study.path / "logs/slurm").glob("efficiency-*.csv"))
    with files[0].open(encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {
        "clean_pool-sharegpt_mix", "blocks-study-pretraining-0", "blocks-study-sharegpt_mix-0", "pretrain-tiny-s0",
        "train-tiny-sharegpt_mix-1k-s0", "score-nq-tiny-s0", "score-nq-tiny-sharegpt_mix-1k-s0",
    }  # fmt: skip
    for row in rows.values():
        assert row["state"] == "COMPLETED"
        if row["minutes_asked"]:  # accounting may not have heard of a job's start
            assert float(row["minutes_asked"]) >= 30
            assert 50 < float(row["memory_mb_used"]) < float(row["memory_mb_asked"])
    assert sum(bool(row["minutes_asked"]) for row in rows.values()) >= 4
    assert (study.path / "logs/test/training/models/tiny-sharegpt_mix-1k-s0.log").exists()
    assert not list((study.path / "logs").rglob("*.slurm-*.log")), "a successful job's SLURM log goes"


def test_nothing_is_left_to_do_and_one_score_is_made_again(copy: Checkout) -> None:
    assert submitted(copy.run("-n")) == []
    before = copy.figure
    copy.forget()
    assert submitted(copy.run()) == ["score-nq-tiny-s0"]
    assert copy.figure == before


def test_one_rule_again(copy: Checkout) -> None:
    assert submitted(copy.run("--forcerun", "score")) == ["score-nq-tiny-s0", "score-nq-tiny-sharegpt_mix-1k-s0"]


def test_a_benchmark_in_two_jobs_has_one_jobs_score(copy: Checkout, study: Checkout) -> None:
    copy.edit("limit: 5", "limit: 5, shards: 2")
    assert submitted(copy.run("-n")) == [], "what is there stays"
    copy.forget()
    parts = [f"score_part-nq-tiny-s0-{part}-2" for part in (1, 2)]
    assert submitted(copy.run()) == ["score-nq-tiny-s0", *parts]
    assert copy.figure == study.figure
    made, whole = (json.loads((checkout.path / SCORE).read_text(encoding="utf-8")) for checkout in (copy, study))
    assert made["items"]
    assert {**made, "manifest": None} == {**whole, "manifest": None}
    assert not list((copy.path / SCORE).parent.glob("*-of-2*"))


def test_one_budget_more(copy: Checkout) -> None:
    copy.edit("[1_000]", "[1_000, 2_000]")
    said = submitted(copy.run())
    assert said == ["score-nq-tiny-sharegpt_mix-2k-s0", "train-tiny-sharegpt_mix-2k-s0"]


def expect(copy: Checkout, name: str, *states: str) -> None:
    """The starts of the jobs of this name, by accounting, which hears of them a moment later."""
    until(f"{states} in accounting", lambda: accounted(copy.path, name) == list(states))


# Faults -------------------------------------------------------------------------------------


def test_cancelled_by_hand(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    run = copy.start()
    stopped(copy)
    sh("scancel", run.job("score"))
    said = run.end()
    assert "ended with CANCELLED; it is submitted again (2 more times)" in said
    assert copy.figure == study.figure


def test_preempted_and_requeued(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    run = copy.start()
    stopped(copy)
    sh("sbatch", "-p", "urgent", "-N2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2")
    assert len(submitted(run.end())) == 1
    assert copy.figure == study.figure
    expect(copy, "score", "PREEMPTED", "COMPLETED")


def test_preempted_and_cancelled(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    run = copy.start(SBATCH_PARTITION="scavenge")  # a user's own setting, as in their shell's start-up file
    stopped(copy)
    sh("sbatch", "-p", "urgent", "-N2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2")
    assert "ended with PREEMPTED; it is submitted again" in run.end()
    assert copy.figure == study.figure


def test_nodes_drained_and_resumed(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    sh("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=test")
    try:
        run = copy.start()
        run.job("score", "PENDING")
        until("a word about it", lambda: "is PENDING" in run.said)
    finally:
        sh("scontrol", "update", "nodename=n1,n2", "state=resume")
    assert len(submitted(run.end())) == 1
    assert copy.figure == study.figure


def test_controller_restarted_without_accounting(copy: Checkout, study: Checkout, tmp_path: Path) -> None:
    copy.forget()
    path = shim(tmp_path, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    run = copy.start(PATH=path)
    pid = stopped(copy)
    sh(CLUSTER, "controller", "stop")
    try:
        until("a word about it", lambda: "SLURM's controller has not answered" in run.said)
    finally:
        sh(CLUSTER, "controller", "start")
        os.kill(pid, signal.SIGCONT)
    assert len(submitted(run.end())) == 1
    assert copy.figure == study.figure


def test_node_lost_with_its_job(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    run = copy.start()
    stopped(copy)
    node = sh("squeue", "-h", "-j", run.job("score"), "-o", "%N").strip()
    sh(CLUSTER, "node", node, "kill")
    try:
        said = run.end()
    finally:
        sh(CLUSTER, "node", node, "start")
    assert len(submitted(said)) == 1, "SLURM requeues it by itself"
    assert copy.figure == study.figure


def test_out_of_memory(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    said = copy.run("--set-resources", "score:mem_mb=200*attempt*attempt")
    assert "out of memory (200 MB asked for); it is submitted again" in said
    assert copy.figure == study.figure


def shim(folder: Path, name: str, script: str) -> str:
    """A PATH on which a command of SLURM's does what SLURM can't be made to do on demand."""
    file = folder / "bin" / name
    file.parent.mkdir()
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return f"{file.parent}:{os.environ['PATH']}"


def test_submission_fails_once(copy: Checkout, study: Checkout, tmp_path: Path) -> None:
    copy.forget()
    script = f"""[ -e {tmp_path}/tried ] && exec {shutil.which("sbatch")} "$@"
        touch {tmp_path}/tried
        echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"""
    said = copy.run(PATH=shim(tmp_path, "sbatch", script))
    assert "not taken by SLURM now (sbatch: error: Batch job submission failed: Socket timed out" in said
    assert len(submitted(said)) == 1
    assert copy.figure == study.figure


def test_refused_for_good_is_one_clear_error(copy: Checkout) -> None:
    copy.forget()
    said = copy.start(SBATCH_PARTITION="nosuch").end(code=1)
    assert said.count("SLURM does not take the job: sbatch: error:") == 1
    assert "invalid partition specified: nosuch" in said


def test_never_to_be_started_is_one_clear_error(copy: Checkout) -> None:
    copy.forget()
    said = copy.start("--set-threads", "score=64").end(code=1)  # more CPUs than any node has
    assert re.search(r"SLURM will never start job \d+ \(PartitionConfig\); ask for less", said)
    assert len(submitted(said)) == 1
    expect(copy, "score", "CANCELLED")


def test_a_failed_jobs_last_lines_are_shown(copy: Checkout) -> None:
    copy.forget()
    weights = copy.path / "results/test/training/bases/tiny-s0/model.safetensors"
    kept = weights.stat()
    weights.write_bytes(b"not weights")
    os.utime(weights, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    said = copy.start("--retries", "0").end(code=1)
    assert "ended with FAILED" in said
    assert "last lines of logs/test/benchmarks/nq/tiny-s0.log" in said
    assert "model.safetensors" in said


# Training -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(study: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the lengthened study, trained by the verb alone and without a stop."""
    folder, output = study.path / "results/test/training", tmp_path_factory.mktemp("uninterrupted") / "model"
    sh(
        *(sys.executable, "-m", "falsepromise.training.train", "--base", str(folder / "bases/tiny-s0")),
        *("--blocks", str(folder / "blocks/study/sharegpt_mix.s0"), "--tokens", "1000", "--recipe", json.dumps(LONG)),
        *("--checkpoints", str(output.with_name("states")), "--output", str(output)),
    )
    return output


def losses(model: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (model / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def test_time_limit(copy: Checkout, uninterrupted: Path) -> None:
    copy.lengthen()
    run = copy.start()
    number, pid = run.job("train"), halted(copy)
    minutes, _, _ = sh("squeue", "-h", "-j", number, "-o", "%M").strip().rpartition(":")
    sh("scontrol", "update", f"jobid={number}", f"TimeLimit={int(minutes) + 1}")
    go_on_when_asked_to_save(pid)
    said = run.end()
    assert re.search(r"ended with \w+; it is submitted again, to go on after step \d+", said)
    assert "SIGTERM: saving the state after this step, then stopping" in said, "the failed job's last lines"
    assert "going on after step" in copy.log
    assert (copy.path / MODEL / WEIGHTS).read_bytes() == (uninterrupted / WEIGHTS).read_bytes()


def test_state_of_two_hosts_is_gone_on_from_on_one(copy: Checkout, uninterrupted: Path) -> None:
    """Weights are cut up over two hosts, each of which saves its part."""
    copy.lengthen()
    copy.edit('label: "50k"', 'label: "50k"\n    hosts: 2\n    mesh: fsdp=2')
    run = copy.start("--retries", "0", JAX_PLATFORMS="cpu", JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{free_ports(1)}")
    number, _ = run.job("train"), halted(copy)
    sh("scancel", number)  # SIGCONT and SIGTERM
    assert "ended with CANCELLED" in run.end(code=1)
    copy.edit("hosts: 2\n    mesh: fsdp=2", "hosts: 1")
    copy.run()
    assert "going on after step" in copy.log
    assert losses(copy.path / MODEL)[:20] == pytest.approx(losses(uninterrupted)[:20], rel=1e-4)
    assert losses(copy.path / MODEL) == pytest.approx(losses(uninterrupted), abs=0.1)  # it learns all by heart


def test_two_hosts_with_a_gpu_each_are_one_job(copy: Checkout, study: Checkout) -> None:
    """Two processes with gloo between them; GPUs are counted, the computation is the CPU's."""
    copy.edit('label: "50k"', 'label: "50k"\n    hosts: 2\n    gpus: 2')
    copy.forget(MODEL)
    said = copy.run(JAX_PLATFORMS="cpu", JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{free_ports(1)}")
    assert "train-tiny-sharegpt_mix-1k-s0" in submitted(said)
    assert json.loads((copy.path / MODEL / "manifest.json").read_text())["device"] == "2 x cpu", copy.log
    assert losses(copy.path / MODEL) == pytest.approx(losses(study.path / MODEL), rel=1e-5)
    table = max((copy.path / "logs/slurm").glob("efficiency-*.csv"))
    with table.open(encoding="utf-8") as file:
        gpus = {row["name"]: row["gpus_asked"] for row in csv.DictReader(file)}
    assert gpus["train-tiny-sharegpt_mix-1k-s0"] == "2"
    assert gpus["score-nq-tiny-sharegpt_mix-1k-s0"] == "1"


# Killed drivers and two of them -------------------------------------------------------------


def test_killed_driver_started_again_takes_its_job_over(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    first = copy.start()
    number, pid = first.job("score"), stopped(copy)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = copy.start()  # the same command, nothing else
    until("a word about it", lambda: f"taken over from an earlier run, SLURM job {number}" in second.said)
    os.kill(pid, signal.SIGCONT)
    second.end()
    expect(copy, "score", "COMPLETED")
    assert copy.figure == study.figure


def test_what_ends_while_no_driver_lives_is_kept(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    first = copy.start()
    number = first.job("score")
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    until("its end", lambda: "COMPLETED" in sh("squeue", "-h", "-t", "all", "-j", number, "-o", "%T"))
    assert submitted(copy.run()) == []
    assert copy.figure == study.figure


def test_killed_driver_with_other_parameters_cancels_its_job(copy: Checkout) -> None:
    copy.forget()
    first = copy.start()
    number, _ = first.job("score"), stopped(copy)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    copy.edit("limit: 5", "limit: 4")
    said = copy.run()
    assert f"SLURM job {number} of an earlier run is cancelled (it was started with other parameters)" in said
    expect(copy, "score-nq-tiny-s0", "CANCELLED", "COMPLETED")


def test_two_runs_at_once_are_refused(copy: Checkout, study: Checkout) -> None:
    copy.forget()
    first = copy.start()
    pid = stopped(copy)
    said = copy.start().end(code=1)
    assert f"error: another run makes these files in {copy.path}: process {first.process.pid} on" in said
    assert "cannot be locked" not in said
    refused = copy.start("--unlock").end(code=1)
    assert "its lock and files stay until it ends" in refused
    os.kill(pid, signal.SIGCONT)
    first.end()
    assert copy.figure == study.figure


# One server without SLURM -------------------------------------------------------------------


def test_gpus_of_one_server_and_a_killed_run(copy: Checkout, study: Checkout, uninterrupted: Path) -> None:
    """Two GPUs, counted; each job takes its own, also beside a killed run's program that is still saving."""
    copy.lengthen()
    copy.edit('label: "50k"', 'label: "50k"\n    gpus: 1')
    copy.forget()
    slots = {"CUDA_VISIBLE_DEVICES": "0,1", "JAX_PLATFORMS": "cpu"}
    threads = ("--set-threads", "train=1")  # as without GPUs, since more of them add in another order
    first = copy.start(*threads, command=ON_A_SERVER, **slots)
    pid = halted(copy)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    taken = re.findall(r"on the GPUs (\d)", copy.log + (copy.path / SCORE_LOG).read_text())
    assert sorted(taken) == ["0", "1"]
    second = copy.start(*threads, command=ON_A_SERVER, **slots)
    go_on_when_asked_to_save(pid)
    assert "Ending the programs of a killed run (training saves first)" in second.said
    second.end()
    assert "going on after step" in copy.log
    assert (copy.path / MODEL / WEIGHTS).read_bytes() == (uninterrupted / WEIGHTS).read_bytes()
