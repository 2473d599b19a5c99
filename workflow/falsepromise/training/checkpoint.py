"""Checkpoints of a run, kept outside the workflow's declared outputs, so that a killed job goes on.

Orbax writes each step's checkpoint under a temporary name and renames it when it is whole. A folder
belongs to one run: a fingerprint of all that shapes the result is beside the checkpoints, and
another run's is refused.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_json, write_json

log = logging.getLogger(__name__)
KEEP = 2  # the newest may turn out damaged


class Checkpoints:
    """The checkpoints of one run.

    Orbax is imported with the first use: it costs seconds that a short run needn't spend.

    Args:
        folder: Where they are kept.
        fingerprint: What the run's result depends on.

    Raises:
        UserError: the folder holds another run's checkpoints.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any]):
        self.folder = folder.resolve()
        self._manager: Any = None
        mark = self.folder / "fingerprint.json"
        if mark.exists() and read_json(mark) != fingerprint:
            found = read_json(mark)
            changed = sorted(key for key in {*found, *fingerprint} if found.get(key) != fingerprint.get(key))
            raise UserError(
                f"{folder}: holds the checkpoints of another run (different: {', '.join(changed)}); "
                "delete the folder, or give another --checkpoints"
            )
        self._mark, self._fingerprint = mark, fingerprint

    @property
    def manager(self) -> Any:
        if self._manager is None:
            import orbax.checkpoint as ocp

            # What fails is raised here as one line; Orbax logs the tracebacks of each of its threads as well.
            logging.getLogger("absl").setLevel(logging.CRITICAL)
            if not self._mark.exists():
                write_json(self._mark, self._fingerprint)
            self._manager = ocp.CheckpointManager(
                self.folder / "steps", options=ocp.CheckpointManagerOptions(max_to_keep=KEEP)
            )
        return self._manager

    def save(self, step: int, state: Any, wait: bool = False) -> None:
        """Save `state` (a tree of arrays) as it is after `step` steps; in the background unless `wait`.

        Raises:
            UserError: this state, or the one before it, can't be written (a full disk).
        """
        import orbax.checkpoint as ocp

        try:
            if step not in self.manager.all_steps():
                self.manager.save(step, args=ocp.args.StandardSave(state))
            if wait:
                self.manager.wait_until_finished()
        except Exception as error:  # of many kinds, and from a background thread
            raise UserError(
                f"{self.folder}: the state after step {step} can't be saved ({_first_line(error)}); the last good one "
                "is kept; make room and start again"
            ) from error

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """The newest checkpoint that can be read: the steps done and the state; None where there is none.

        Args:
            like: A state of the same structure, whose shapes and shardings are taken.
        """
        if not (self.folder / "steps").exists():
            return None
        import jax
        import orbax.checkpoint as ocp

        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        for step in sorted(self.manager.all_steps(), reverse=True):
            try:
                return step, self.manager.restore(step, args=ocp.args.StandardRestore(abstract))
            except Exception as error:  # orbax and tensorstore raise many kinds for a damaged file
                reason = _first_line(error)
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
