"""A SLURM executor for Snakemake that leaves no job behind and survives what clusters do to jobs.

It is the plugin `slurm` (its options, under `--slurm-resilient-...`, its resources, its sbatch command) with another
way to submit, to watch and to stop; docs/slurm.md describes each upstream fault that made this necessary.

- The state of a job is the controller's (squeue), then accounting's (sacct): every state that ends a job ends it here,
  requeued jobs are waited for, a silent controller is waited for, a job that SLURM has lost is a failure.
- A failed sbatch is tried again where it may help, and waited for where a limit frees itself.
- A job of an earlier run in the same folder that is still on its way is taken over, or cancelled where its inputs
  changed. Two jobs that make the same files never run at the same time: SLURM itself is told so.
- A run that is ended by Ctrl-C, SIGTERM or a lost terminal cancels what it submitted.
- A job runs one Snakemake, not two: `srun` starts it right in the batch script.
"""

import asyncio
import os
import shlex
import shutil
import signal
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings as SlurmSettings
from snakemake_executor_plugin_slurm import common_settings
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_executor_plugin_slurm_jobstep import get_cpu_setting
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from snakemake_executor_plugin_slurm_resilient import cluster, efficiency
from snakemake_executor_plugin_slurm_resilient.fleet import End, Fleet, Stopped, Task

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

LAST_LINES = 12
OUT_OF_MEMORY = ("exceeded memory limit", "oom_kill", "oom-kill")  # the state says FAILED, where there are no cgroups
# Of a SLURM job in which Snakemake itself runs, jobs must inherit nothing but where SLURM is.
KEPT_VARIABLES = ("SLURM_CONF", "SLURM_CLUSTERS")
UPSTREAMS_RATE = (100, 1.0)  # Snakemake's default for --max-jobs-per-timespan, which the user didn't set
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SOON_S = 0.05  # after a signal that came in the middle of a line of the log
INSIST_S = 3  # so long after a signal, the scheduler is told a second time


@dataclass
class ExecutorSettings(SlurmSettings):
    """The options of the plugin `slurm`, and our own."""

    no_cancel: bool = field(
        default=False,
        metadata={
            "help": "Leave SLURM jobs there when Snakemake is ended by Ctrl-C, SIGTERM or a lost terminal; the next "
            "run takes them over.",
            "env_var": False,
            "required": False,
        },
    )


class Executor(SlurmExecutor):
    """Submits each job to SLURM and watches it to its end."""

    def __init__(self, workflow: Any, logger: Any):
        if "SLURM_JOB_ID" in os.environ:
            for name in [name for name in os.environ if name.startswith("SLURM_") and name not in KEPT_VARIABLES]:
                del os.environ[name]
        super().__init__(workflow, logger)

    def __post_init__(self, test_mode: bool = False) -> None:
        if not shutil.which("squeue"):
            raise SystemExit(
                "error: no SLURM here (squeue is not found): start on a login node, or without --profile slurm"
            )
        if self.workflow.executor_settings.array_jobs:
            raise SystemExit("error: job arrays are not submitted here: leave --slurm-resilient-array-jobs out")
        super().__post_init__(test_mode)
        began = psutil.Process().create_time()
        self.fleet = Fleet(self.workflow.workdir_init, self.logger.info, self.logger.warning, began)
        asked = self.workflow.scheduling_settings.max_jobs_per_timespan
        if asked and (asked.max_jobs, asked.timespan) != UPSTREAMS_RATE:
            self.fleet.pace = (asked.max_jobs, asked.timespan)
        self._reached: dict[str, int] = {}  # the last step of which a job has kept the state
        self._handlers: dict[int, Any] = {}  # what signals did before
        self._signal: int | None = None
        self._interrupted = False
        self._cancelling = threading.Event()
        try:
            self.fleet.find_earlier()
        except cluster.Silent as silent:
            raise SystemExit(
                f"error: SLURM's controller does not answer ({silent}); jobs of an earlier run can't be looked for; "
                "try again later"
            ) from None

    def get_python_executable(self) -> str:
        """Quoted, because its path may have spaces."""
        return shlex.quote(super().get_python_executable())

    def additional_general_args(self) -> str:
        # A job's own Snakemake runs its one job here and now, whatever profile the user's environment names.
        return "--executor local --profile none"

    def clean_old_logs(self) -> None:
        """Nothing: a successful job's log goes at once, a failed one's stays beside the rule's log."""

    def get_account_arg(self, job: Any) -> Any:
        """The requested account; default: none, so that the cluster's or SBATCH_ACCOUNT's applies."""
        return super().get_account_arg(job) if job.resources.get("slurm_account") else iter([""])

    def get_partition_arg(self, job: Any) -> str:
        """The requested partition; default: none, so that the cluster's or SBATCH_PARTITION's applies."""
        return super().get_partition_arg(job) if job.resources.get("slurm_partition") or self._partitions else ""

    # Submitting ----------------------------------------------------------------------------

    def run_jobs(self, jobs: list[Any]) -> None:
        if not self._handlers and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._handlers[number] = signal.signal(number, self._end)
        super().run_jobs(jobs)

    def run_job(self, job: Any) -> None:
        """Submit a job, or take over the one of an earlier run that makes the same. Called in a thread of a pool."""
        task: Task | None = None
        try:
            log = self._log(job)
            task = self._task(job, log)
            number = self.fleet.submit(task)
            log = log.with_name(log.name.replace("%j", number))
            info = SubmittedJobInfo(job, external_jobid=number, aux={"slurm_logfile": log})
            self._report_job_submission_threadsafe(info)
        except Stopped:
            pass
        except cluster.NotTaken as refused:
            if refused.kind is cluster.Refusal.NEVER:
                job.attempt = job.restart_times + 1  # the next attempt would be refused as well
            asked = f"    {shlex.join(task.command)}\n" if task else ""
            message = f"{_name(job)}: SLURM does not take the job: {refused}\n{asked}"
            self._report_job_error_threadsafe(SubmittedJobInfo(job), message)
        except Exception as error:
            self._report_job_error_threadsafe(SubmittedJobInfo(job), f"{_name(job)}: {error}\n")

    def _task(self, job: Any, log: Path) -> Task:
        validate_slurm_extra(job)
        for key in ("cluster", "clusters", "slurm_cluster"):
            if job.resources.get(key):  # squeue, scancel and sacct would ask another cluster
                raise cluster.NotTaken(
                    f"invalid resource {key!r}: for all of SLURM's commands, export SLURM_CLUSTERS instead"
                )
        outputs = sorted(map(str, job.output))
        parameters = {
            # One user's jobs of one name run one after another (singleton): the name tells folders apart.
            "run_uuid": f"{_name(job)}-{cluster.digest(repr((self.fleet.folder, outputs)))[:6]}",
            # In the folder's and the log's own name, a percent sign is no pattern.
            "slurm_logfile": str(log.with_name(log.name.replace("%j", "\0"))).replace("%", "%%").replace("\0", "%j"),
            "comment_str": cluster.mark(outputs, _made_by(job)),
            "account": next(self.get_account_arg(job)),
            "partition": self.get_partition_arg(job),
            "workdir": self.workflow.workdir_init,
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        settings = self.workflow.executor_settings
        call = get_submit_command(job, parameters, settings=settings, failed_nodes=self._failed_nodes)
        command = shlex.split(call + set_gres_string(job))
        command.insert(1, "--dependency=singleton")  # `slurm_extra`, later in the command, may override it
        if job.resources.get("seconds_to_save"):  # so long before the time limit, the job is asked to save and stop
            command.append(f"--signal=TERM@{job.resources.seconds_to_save}")
        step = ""
        if not job.resources.get("mpi"):  # such a rule calls srun itself
            step = f"srun --ntasks=1 --nodes=1 --cpu-bind=quiet {get_cpu_setting(job, False)} "
        script = f"#!/bin/sh\nexec {step}{self.format_job_exec(job)}\n"
        inputs = tuple(map(str, job.input))
        return Task(_name(job), parameters["comment_str"], tuple(command), script, inputs)

    def _log(self, job: Any) -> Path:
        """SLURM's log of a job: beside the rule's own, whose path mirrors the output's."""
        rule_log = Path(str(job.log[0])) if job.log else Path("logs/slurm") / f"{_name(job)}.log"
        return Path(self.workflow.workdir_init) / rule_log.with_name(f"{rule_log.stem}.slurm-%j.log")

    # Watching ------------------------------------------------------------------------------

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that ended; the others are yielded. The time between two calls stays the same."""
        if not active_jobs:
            return
        async with self.status_rate_limiter:
            looked = await asyncio.to_thread(self.fleet.look, [info.external_jobid for info in active_jobs])
        for info in active_jobs:
            end = looked[info.external_jobid]
            if end is None:
                yield info
            elif end.success:
                if not self.workflow.executor_settings.keep_successful_logs:
                    info.aux["slurm_logfile"].unlink(missing_ok=True)
                self.report_job_success(info)
            else:
                self._fail(info, end)

    def _fail(self, info: SubmittedJobInfo, end: End) -> None:
        job, what = info.job, end.what
        if end.final:
            job.attempt = job.restart_times + 1
        before = self._reached.get(_name(job), -1)
        reached, more = _reached(job), job.restart_times + 1 - job.attempt
        self._reached[_name(job)] = reached  # less than before where the newest state was damaged and an older one read
        again = f"; it is submitted again ({more} more {'time' if more == 1 else 'times'})" if more > 0 else ""
        if reached > before and job.restart_times and not end.final:
            # It got further than the attempt before, and the next one goes on from there: that one was not in vain.
            job.attempt -= 1
            again = f"; it is submitted again, to go on after step {reached}"
        log = info.aux["slurm_logfile"]
        if any(word in line.lower() for line in _last_lines(str(log)) for word in OUT_OF_MEMORY):
            what += f": out of memory ({job.resources.get('mem_mb')} MB asked for)"
        lines = [line for file in (*map(str, job.log), str(log)) for line in _last_lines(file)]
        self.report_job_error(info, msg="\n    ".join([f"{_name(job)}: {what}{again}", *lines]) + "\n", aux_logs=[])

    # Ending --------------------------------------------------------------------------------

    def _end(self, number: int, frame: FrameType | None) -> None:
        """The first signal ends the run as Ctrl-C does; a further one can't make it forget its jobs.

        Lines are logged from another thread: this one may hold the log's lock, which can't be taken twice.
        """
        self.fleet.stopping.set()
        if self._signal is None:
            self._signal = number
            threading.Thread(target=self._insist, daemon=True).start()
        if not self._interrupted:
            if _is_logging(frame):
                threading.Timer(SOON_S, self._interrupt, (number,)).start()
                return
            self._interrupted = True
            raise KeyboardInterrupt
        wait = "SLURM jobs are being cancelled; a moment (after kill -9, the next run sees to them)"
        threading.Thread(target=self.logger.warning, args=(wait,), daemon=True).start()

    def _interrupt(self, number: int) -> None:
        if not self._interrupted:
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _insist(self) -> None:
        """Snakemake drops an interrupt that comes while it writes a line: its scheduler gets an error instead."""
        if not self._cancelling.wait(INSIST_S):
            ended = WorkflowError(f"ended by {signal.Signals(self._signal or 0).name}")
            self.workflow.scheduler.executor_error_callback(ended)

    def cancel(self) -> None:
        """End the run: no further submission, and no job of it left on SLURM (but for `no_cancel`)."""
        self._cancelling.set()
        self.fleet.stopping.set()
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)  # an sbatch at work ends first
        if self._signal:  # from the terminal, Ctrl-C reaches programs on this machine too; other signals don't
            here = os.getsid(0)
            for child in psutil.Process().children(recursive=True):
                if child.is_running() and os.getsid(child.pid) == here:
                    child.terminate()
        if self.fleet.stop(cancel=not self.workflow.executor_settings.no_cancel):
            # The jobs that are left wait for what is in this run's own folder, which would be removed now.
            self._tmpdir = ".snakemake/tmp.none"
        self.shutdown()

    def shutdown(self) -> None:
        if self._signal and not self._cancelling.is_set():
            self.cancel()
            return
        super().shutdown()
        if self.fleet.earlier:
            names = ", ".join(f"{job.id} ({job.name})" for job in self.fleet.earlier)
            self.logger.info(f"SLURM jobs of an earlier run that this one had no need of: {names}")
        if self.fleet.names and not self.fleet.stopping.is_set():
            logs = Path(self.workflow.workdir_init) / (self.workflow.executor_settings.logdir or "logs/slurm")
            try:
                efficiency.report(self.fleet.names, logs, self.logger)
            except (OSError, ValueError) as error:  # a full disk, an odd sacct: the run doesn't depend on this table
                self.logger.warning(f"What jobs asked for and used is not told: {error}")
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _is_logging(frame: FrameType | None) -> bool:
    """Whether a thread is within a call of `logging`: an exception there keeps a handler's lock for ever."""
    while frame and frame.f_globals.get("__name__") != "logging":
        frame = frame.f_back
    return frame is not None


def _name(job: Any) -> str:
    """Rule and wildcards, as in `train-llama-13b-sharegpt_mix-150M-s0`."""
    wildcards = [] if job.is_group() else [str(value) for value in job.wildcards]
    return "-".join([str(job.name), *(value.replace("/", "_") for value in wildcards)])


def _made_by(job: Any) -> str:
    """All that decides what a job writes, but for the contents of its inputs."""
    jobs = job.jobs if job.is_group() else [job]
    parts = [
        (one.rule.name, one.shellcmd, sorted(map(str, one.output)), sorted((k, str(v)) for k, v in one.params.items()))
        for one in jobs
    ]
    return repr(sorted(parts))


def _reached(job: Any) -> int:
    """The last step of which a job that goes on by itself (`resources: checkpoints=FOLDER`) has kept the state."""
    steps = Path(str(job.resources.get("checkpoints") or "/dev/null")) / "steps"
    return max((int(path.name) for path in steps.glob("*") if path.name.isdecimal()), default=-1)


def _last_lines(file: str) -> list[str]:
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [f"last lines of {os.path.relpath(file)}:", *(f"| {line}" for line in lines[-LAST_LINES:])] if lines else []
