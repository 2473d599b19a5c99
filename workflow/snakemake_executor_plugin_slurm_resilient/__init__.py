"""A SLURM executor for Snakemake that survives what clusters do to jobs.

It is the plugin `slurm` (its options, under `--slurm-resilient-...`, its resources, its sbatch command) with another
way to submit and to watch; docs/slurm.md describes each upstream fault that made this necessary.

- The state of a job is the controller's (squeue), then accounting's (sacct): every state that ends a job ends it here,
  requeued jobs are waited for, a silent controller is waited for, a job that SLURM has lost is a failure.
- A failed sbatch is tried again where it may help.
- A job of an earlier run in the same folder that is still on its way is taken over, or cancelled where its inputs
  changed: no job is computed twice at the same time.
- A job runs one Snakemake, not two: `srun` starts it right in the batch script.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings, common_settings
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_executor_plugin_slurm_jobstep import get_cpu_setting
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from snakemake_executor_plugin_slurm_resilient import cluster, efficiency

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

SUBMIT_WAITS_S = (2, 5, 15, 30, 60, 120)  # between the attempts of a submission: four minutes in all
LOST_S = 120  # a job that neither squeue nor sacct has known for so long is lost
SILENT_S = 300  # between two messages that the controller is silent
LAST_LINES = 12
OUT_OF_MEMORY = ("exceeded memory limit", "oom_kill", "oom-kill")  # the state says FAILED, where there are no cgroups
REFUSED = ("invalid", "not permitted", "denied", "violates", "unrecognized", "not available", "unknown", "must specify")


class Executor(SlurmExecutor):
    """Submits each job to SLURM and watches it to its end."""

    def __post_init__(self, test_mode: bool = False) -> None:
        if not shutil.which("squeue"):
            raise SystemExit(
                "error: no SLURM here (squeue is not found): start on a login node, or without --profile slurm"
            )
        if self.workflow.executor_settings.array_jobs:
            raise SystemExit("error: job arrays are not submitted here: leave --slurm-resilient-array-jobs out")
        super().__post_init__(test_mode)
        self._submitted: dict[str, str] = {}  # SLURM's id -> the job's name, for all of this run
        self._ended: set[str] = set()
        self._seen: dict[str, tuple[str, str]] = {}  # state and reason that were told last
        self._missing_since: dict[str, float] = {}
        self._silent_since: float | None = None
        self._told_silent = 0.0
        self._reached: dict[str, int] = {}  # the last step of which a job has kept the state
        self._earlier = self._find_earlier()

    def additional_general_args(self) -> str:
        # A job's own Snakemake runs its one job here and now, whatever profile the user's environment names.
        return "--executor local --profile none"

    def clean_old_logs(self) -> None:
        """Nothing: a successful job's log goes at once, a failed one's stays beside the rule's log."""

    def get_account_arg(self, job: Any) -> Any:
        """The account that is asked for; otherwise none, so that the cluster's or SBATCH_ACCOUNT's counts."""
        return super().get_account_arg(job) if job.resources.get("slurm_account") else iter([""])

    def get_partition_arg(self, job: Any) -> str:
        """As for the account: otherwise none, so that the cluster's default or SBATCH_PARTITION's counts."""
        return super().get_partition_arg(job) if job.resources.get("slurm_partition") or self._partitions else ""

    # Submitting ----------------------------------------------------------------------------

    def run_job(self, job: Any) -> None:
        """Submit a job, or take over the one of an earlier run that makes the same. Called in a thread of a pool."""
        try:
            comment = cluster.mark(map(str, job.output), _made_by(job))
            log = self._log(job)
            number = self._take_over(job, comment)
            if not number:
                number = self._submit(job, comment, log)
                self.logger.info(f"{_name(job)}: submitted as SLURM job {number}")
            log = log.with_name(log.name.replace("%j", number))
            self._submitted[number] = _name(job)
            info = SubmittedJobInfo(job, external_jobid=number, aux={"slurm_logfile": log})
            self._report_job_submission_threadsafe(info)
        except Exception as error:
            if any(word in str(error).lower() for word in REFUSED):
                job.attempt = job.restart_times + 1  # the next attempt would be refused as well
            self._report_job_error_threadsafe(SubmittedJobInfo(job), f"{_name(job)}: {error}\n")

    def _submit(self, job: Any, comment: str, log: Path) -> str:
        validate_slurm_extra(job)
        for key in ("cluster", "clusters", "slurm_cluster"):
            if job.resources.get(key):  # squeue, scancel and sacct would ask another cluster
                raise RuntimeError(
                    f"invalid resource {key!r}: for all of SLURM's commands, export SLURM_CLUSTERS instead"
                )
        parameters = {
            "run_uuid": _name(job),  # upstream's words for the job's name
            "slurm_logfile": log,
            "comment_str": comment,
            "account": next(self.get_account_arg(job)),
            "partition": self.get_partition_arg(job),
            "workdir": self.workflow.workdir_init,
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        settings = self.workflow.executor_settings
        call = get_submit_command(job, parameters, settings=settings, failed_nodes=self._failed_nodes)
        command = shlex.split(call + set_gres_string(job))
        if job.resources.get("seconds_to_save"):  # so long before the time limit, the job is asked to save and stop
            command.append(f"--signal=TERM@{job.resources.seconds_to_save}")
        step = ""
        if not job.resources.get("mpi"):  # such a rule calls srun itself
            step = f"srun --ntasks=1 --nodes=1 --cpu-bind=quiet {get_cpu_setting(job, False)} "
        script = f"#!/bin/sh\nexec {step}{self.format_job_exec(job)}\n"
        for wait in (*SUBMIT_WAITS_S, None):
            try:
                return cluster.submit(command, script)
            except RuntimeError as error:
                said = str(error)
                if wait is None or any(word in said.lower() for word in REFUSED):
                    raise RuntimeError(f"SLURM does not take the job: {said}\n    {shlex.join(command)}") from error
            self.logger.warning(f"{_name(job)}: sbatch failed ({said}); trying again in {wait} s")
            time.sleep(wait)
            # A submission that timed out may have arrived all the same.
            arrived = (cluster.queue() or {}).values()
            mine = [j for j in arrived if j.comment == comment and not j.ended and j.id not in self._submitted]
            if mine:
                return mine[0].id
        raise AssertionError

    def _log(self, job: Any) -> Path:
        """SLURM's log of a job: beside the rule's own, whose path mirrors the output's."""
        rule_log = Path(str(job.log[0])) if job.log else Path("logs/slurm") / f"{_name(job)}.log"
        return Path(self.workflow.workdir_init) / rule_log.with_name(f"{rule_log.stem}.slurm-%j.log")

    # What an earlier run left --------------------------------------------------------------

    def _find_earlier(self) -> list[cluster.Job]:
        try:
            earlier = cluster.in_folder(self.workflow.workdir_init)
        except RuntimeError as error:
            raise SystemExit(f"error: {error}; jobs of an earlier run can't be looked for; try again later") from None
        if earlier:
            names = ", ".join(f"{job.id} ({job.name})" for job in earlier)
            self.logger.info(f"SLURM jobs of an earlier run in this folder are on their way: {names}")
        return earlier

    def _take_over(self, job: Any, comment: str) -> str:
        """The id of the earlier run's job that makes just what this one would, or "".

        One that makes the same files in another way, or of inputs that have changed since, is cancelled, and
        waited for to its very end.
        """
        for earlier in [found for found in self._earlier if cluster.same_outputs(found.comment, comment)]:
            self._earlier.remove(earlier)
            changed = [str(file) for file in job.input if _modified(str(file)) > (earlier.start or float("inf"))]
            if earlier.comment == comment and (earlier.state == "PENDING" or not changed):
                self.logger.info(f"{_name(job)}: taken over from an earlier run, SLURM job {earlier.id}")
                return earlier.id
            why = f"{changed[0]} is newer" if changed else "it was started with other parameters"
            self.logger.warning(f"{_name(job)}: SLURM job {earlier.id} of an earlier run is cancelled ({why})")
            cluster.cancel([earlier.id])
            while (jobs := cluster.queue()) is None or (earlier.id in jobs and not jobs[earlier.id].ended):
                time.sleep(2)
        return ""

    # Watching ------------------------------------------------------------------------------

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that ended; the others are yielded. The time between two calls stays the same."""
        if not active_jobs:
            return
        async with self.status_rate_limiter:
            jobs = await asyncio.to_thread(cluster.queue)
        if jobs is None:
            self._tell_silence()
            for info in active_jobs:
                yield info
            return
        self._silent_since = None
        forgotten = [info.external_jobid for info in active_jobs if info.external_jobid not in jobs]
        remembered = await asyncio.to_thread(cluster.accounted, forgotten)
        for info in active_jobs:
            number = info.external_jobid
            found = jobs.get(number) or cluster.Job(number, remembered.get(number, ""))
            if found.id not in jobs and not found.ended:
                since = self._missing_since.setdefault(number, time.monotonic())
                if time.monotonic() - since < LOST_S:
                    yield info
                    continue
                self._fail(info, f"SLURM no longer knows job {number}")
            elif not found.ended:
                self._missing_since.pop(number, None)
                if found.reason in cluster.NEVER and self._seen.get(number) == ("PENDING", found.reason):
                    cluster.cancel([number])
                    self._fail(info, f"SLURM will never start job {number} ({found.reason}); ask for less", final=True)
                    continue
                self._tell(found)
                yield info
            elif found.state == "COMPLETED":
                self._ended.add(number)
                if not self.workflow.executor_settings.keep_successful_logs:
                    info.aux["slurm_logfile"].unlink(missing_ok=True)
                self.report_job_success(info)
            else:
                self._fail(info, f"SLURM job {number} ended with {found.state}")

    def _tell(self, job: cluster.Job) -> None:
        """One line where a job starts, or begins to wait for something that a person may have to do."""
        reason = job.reason if job.state == "PENDING" and job.reason not in cluster.ORDINARY else ""
        if self._seen.get(job.id, ("PENDING", "")) != (job.state, reason) and (reason or job.state != "COMPLETING"):
            self._seen[job.id] = (job.state, reason)
            self.logger.info(f"{self._submitted[job.id]}: SLURM job {job.id} is {job.state} {reason}".rstrip())

    def _tell_silence(self) -> None:
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._told_silent > SILENT_S:
            self._told_silent = now
            self.logger.warning(
                f"SLURM's controller has not answered for {now - self._silent_since:.0f} s; jobs are waited for"
            )

    def _fail(self, info: SubmittedJobInfo, what: str, final: bool = False) -> None:
        self._ended.add(info.external_jobid)
        job = info.job
        if final:
            job.attempt = job.restart_times + 1
        reached, more = _reached(job), job.restart_times + 1 - job.attempt
        again = f"; it is submitted again ({more} more {'time' if more == 1 else 'times'})" if more > 0 else ""
        if reached > self._reached.get(_name(job), -1) and job.restart_times and not final:
            # It got further than the attempt before, and the next one goes on from there: that one was not in vain.
            self._reached[_name(job)] = reached
            job.attempt -= 1
            again = f"; it is submitted again, to go on after step {reached}"
        log = info.aux["slurm_logfile"]
        if any(word in line.lower() for line in _last_lines(str(log)) for word in OUT_OF_MEMORY):
            what += f": out of memory ({job.resources.get('mem_mb')} MB asked for)"
        lines = [line for file in (*map(str, job.log), str(log)) for line in _last_lines(file)]
        self.report_job_error(info, msg="\n    ".join([f"{_name(job)}: {what}{again}", *lines]) + "\n", aux_logs=[])

    # Ending --------------------------------------------------------------------------------

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel what this run submitted, those too whose state is just being asked."""
        cluster.cancel([number for number in self._submitted if number not in self._ended])

    def shutdown(self) -> None:
        super().shutdown()
        if self._earlier:
            names = ", ".join(f"{job.id} ({job.name})" for job in self._earlier)
            self.logger.info(f"SLURM jobs of an earlier run that this one had no need of: {names}")
        if self._submitted:
            logs = Path(self.workflow.workdir_init) / (self.workflow.executor_settings.logdir or "logs/slurm")
            efficiency.report(self._submitted, logs, self.logger)


def _name(job: Any) -> str:
    """Rule and wildcards, as in `train-llama-13b-sharegpt_mix-150M-s0`."""
    wildcards = [] if job.is_group() else [str(value) for value in job.wildcards]
    return "-".join([str(job.name), *(value.replace("/", "_") for value in wildcards)])


def _made_by(job: Any) -> str:
    """All that decides what a job writes, but for the contents of its inputs."""
    jobs = job.jobs if job.is_group() else [job]
    return "\n".join(sorted(f"{one.rule.name}\n{one.shellcmd}\n{' '.join(map(str, one.output))}" for one in jobs))


def _reached(job: Any) -> int:
    """The last step of which a job that goes on by itself (`resources: checkpoints=FOLDER`) has kept the state."""
    steps = Path(str(job.resources.get("checkpoints") or "/dev/null")) / "steps"
    return max((int(path.name) for path in steps.glob("*") if path.name.isdigit()), default=-1)


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _last_lines(file: str) -> list[str]:
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [f"last lines of {os.path.relpath(file)}:", *(f"| {line}" for line in lines[-LAST_LINES:])] if lines else []
