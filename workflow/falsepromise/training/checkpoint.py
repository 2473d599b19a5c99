"""Keep a run's checkpoints outside the workflow's declared outputs, so that a killed job goes on.

Orbax writes each step's checkpoint under a temporary name and renames it when it is whole. A folder
belongs to one run: a fingerprint of all that shapes the result is beside the checkpoints, and another run's is
refused. Only if that run's loss became NaN are its states deleted: they are useless, and the next try has another
recipe.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from falsepromise.core import folders
from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json, write_json

log = logging.getLogger(__name__)
KEEP = 2  # the newest may turn out damaged
SAVE_S, SAVE_SHARE = 300.0, 0.05  # seconds between saves, and the largest share of the time for saving


class Checkpoints:
    """The checkpoints of one run.

    Orbax is imported with the first use: it costs seconds that a short run needn't spend.

    Args:
        folder: Their folder.
        fingerprint: All that the run's result depends on.
        every_s: Seconds between saves; None: `SAVE_S`, or longer where saving takes long.

    Raises:
        UserError: the folder has another run's checkpoints.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any], every_s: float | None = None):
        self.folder = folder.resolve()
        self._manager: Any = None
        self._every_s, self._took_s, self._last_s, self._saving = every_s, 0.0, time.monotonic(), False
        self._unreadable: list[int] = []  # steps whose checkpoint can't be read
        self._mark, self._diverged = self.folder / "fingerprint.json", self.folder / "diverged.json"
        self._fingerprint = json.loads(json.dumps(fingerprint))  # compared as the file gives it back
        found = read_json(self._mark) if self._mark.exists() else self._fingerprint
        if found == self._fingerprint:
            return
        changed = [key for key in sorted({*found, *fingerprint}) if found.get(key) != self._fingerprint.get(key)]
        if not self._diverged.exists():
            raise UserError(
                f"{folder}: has the checkpoints of another run (different: {', '.join(changed)}); "
                "delete the folder, or give another --checkpoints"
            )
        log.warning(
            "%s: its run's loss was not a number from step %d on; this run differs (in: %s) and begins anew",
            folder, read_json(self._diverged)["step"], ", ".join(changed),
        )  # fmt: skip
        self._clear()

    def _clear(self) -> None:
        """Delete the other run's files, once all processes of the job have seen them."""
        import jax
        from jax.experimental import multihost_utils

        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoints seen")
        if jax.process_index() == 0:
            self.delete()
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoints deleted")

    def delete(self) -> None:
        """Delete the run's states and the files beside them, and nothing else in the folder."""
        folders.remove(self.folder, ("steps", self._mark.name, self._diverged.name, "log.jsonl", "wandb_id.txt"))

    @property
    def manager(self) -> Any:
        if self._manager is None:
            import orbax.checkpoint as ocp

            _hush_background_threads()
            if not self._mark.exists():
                write_json(self._mark, self._fingerprint)
            self._manager = ocp.CheckpointManager(
                self.folder / "steps", options=ocp.CheckpointManagerOptions(max_to_keep=KEEP)
            )
        return self._manager

    def due(self) -> bool:
        """Whether it is time to save: `every_s` after the last save began, or by default after five minutes, but for
        at most a twentieth of the time: the state of a 13B model is 156 GB."""
        now = time.monotonic()
        if self._saving:
            self._saving = self.manager.is_saving_in_progress()
            self._took_s = now - self._last_s
        every_s = max(SAVE_S, self._took_s / SAVE_SHARE) if self._every_s is None else self._every_s
        return not self._saving and now - self._last_s > every_s

    def diverged(self, step: int) -> None:
        """Record that the loss was not a number at this step: a run of another recipe may begin in this folder."""
        import jax

        if jax.process_index() == 0:
            write_json(self._diverged, {"step": step})

    def save(self, step: int, state: Any, wait: bool = False) -> None:
        """Save `state` (a tree of arrays) as it is after `step` steps; in the background unless `wait`.

        Raises:
            UserError: this state, or the one before it, can't be written (a full disk).
        """
        import orbax.checkpoint as ocp

        try:
            while self._unreadable:  # the run goes on from an older one: else these would count as the newest
                self.manager.delete(self._unreadable.pop())
            if step not in self.manager.all_steps():
                self._last_s, self._saving = time.monotonic(), True
                self.manager.save(step, args=ocp.args.StandardSave(state), force=True)
            if wait:
                self.manager.wait_until_finished()
        except Exception as error:  # of many kinds, and from a background thread
            kept = None
            with contextlib.suppress(OSError):  # the folder may be what is wrong
                kept = max(ocp.utils.checkpoint_steps(self.folder / "steps"), default=None)
            good = "no earlier one is there" if kept is None else f"the last good one, of step {kept}, is kept"
            raise UserError(
                f"{self.folder}: the state after step {step} can't be saved ({_first_line(error)}); {good}; "
                "make room and start again"
            ) from error

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """The newest checkpoint that can be read: the steps done and the state; None where there is none.

        Args:
            like: A tree of the same structure: shapes, types and shardings.
        """
        if not (self.folder / "steps").exists():
            return None
        import orbax.checkpoint as ocp

        for step in sorted(self.manager.all_steps(), reverse=True):
            try:
                return step, self.manager.restore(step, args=ocp.args.StandardRestore(like))
            except Exception as error:  # orbax and tensorstore raise many kinds for a damaged file
                reason = _first_line(error)
                self._unreadable.append(step)
                log.warning(
                    "%s: the checkpoint of step %d can't be read (%s); trying an older one", self.folder, step, reason
                )
        log.warning("%s: no checkpoint can be read; starting from the first step", self.folder)
        return None

    def close(self) -> None:
        """Wait for what is being written. The run is over: a state that failed to be saved is no loss."""
        if self._manager is None:
            return
        try:
            self._manager.close()
        except Exception as error:  # of many kinds, from a background thread
            log.warning("%s: the last state could not be saved (%s)", self.folder, _first_line(error))


def _hush_background_threads() -> None:
    """Hide the tracebacks of a failed save, which is raised as one line.

    Each write that fails would print its own: in Orbax's log, as a task's exception that nobody retrieved, or from a
    callback of tensorstore, whose event loop is closed by then.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    shown = sys.unraisablehook

    def hook(found: Any) -> None:
        if found.object is not None or str(found.exc_value) != "Event loop is closed":
            shown(found)

    sys.unraisablehook = hook


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
