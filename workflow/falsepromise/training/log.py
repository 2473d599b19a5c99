"""Log a run: rows of JSON lines, and on request TensorBoard and W&B.

A row covers the steps since the row before it. Its `loss` is their mean and is the same in every
repetition; tokens and operations a second are this process's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import atomic_open, dumps, loads

log = logging.getLogger(__name__)


class TrainingLog:
    """The log of one run.

    Args:
        file: JSON lines; opened again by a run that goes on, whose rows are added.
        after: Steps that are done: rows of later ones, of a run that was killed before it saved, are taken out.
        tensorboard: Folder for TensorBoard's event files, or None.
        wandb: Project of Weights & Biases, or None. Its variables (WANDB_MODE=offline, WANDB_DIR) apply.
        name: The run's name there.
        config: The recipe, to be shown there.
        writes: Whether this process writes: one of a job's does.

    Raises:
        UserError: the package for TensorBoard or W&B is not installed.
    """

    def __init__(
        self,
        file: Path,
        after: int = 0,
        tensorboard: Path | None = None,
        wandb: str | None = None,
        name: str = "",
        config: Mapping[str, Any] | None = None,
        writes: bool = True,
    ):
        self.file, self._events, self._run = file, None, None
        self.writes = writes
        if not writes:
            return
        kept = [row for row in _rows(file) if row["step"] <= after]
        with atomic_open(file) as stream:
            stream.writelines(dumps(row) + "\n" for row in kept)
        if tensorboard:
            try:
                from tensorboardX import SummaryWriter
            except ImportError as error:
                raise UserError("--tensorboard needs the package tensorboardX: pip install tensorboardX") from error
            # Events of steps that will come again are hidden by TensorBoard.
            self._events = SummaryWriter(str(tensorboard), purge_step=after + 1 if after else None)
        if wandb:
            try:
                import wandb as package
            except ImportError as error:
                raise UserError("--wandb needs the package wandb: pip install wandb") from error
            self._run = package.init(
                project=wandb, name=name, id=_run_id(file), resume="allow", config=dict(config or {})
            )

    def row(self, step: int, **values: float) -> None:
        """Add a row.

        Args:
            step: Steps done.
            values: By name; what isn't known is left out.
        """
        if not self.writes:
            return
        try:
            with open(self.file, "a", encoding="utf-8") as stream:
                stream.write(dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise UserError(f"{self.file}: can't be written: {error.strerror}; make room and start again") from error
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(f"training/{name}", value, step)
            self._events.flush()
        if self._run:
            self._run.log(values, step=step)

    def close(self) -> None:
        """The run is over, or stops."""
        if self._events:
            self._events.close()
        if self._run:
            self._run.finish()


def _rows(file: Path) -> list[dict[str, Any]]:
    """The whole rows of a log; a killed process may have cut the last one off."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            found.append(loads(line))
        except ValueError:
            log.warning("%s: a row was cut off and is left out", file)
    return found


def _run_id(file: Path) -> str:
    """A name for W&B by which a run that goes on is the same run: made once, kept beside the log."""
    import secrets

    kept = file.with_name("wandb_id.txt")
    if not kept.exists():
        with atomic_open(kept) as stream:
            stream.write(secrets.token_hex(4))
    return kept.read_text(encoding="utf-8")
