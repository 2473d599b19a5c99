"""The loop of a run: dispatch steps, look at their losses now and then, save the state.

Between two looks nothing waits for a device or for another process, so that steps are dispatched ahead. At a look
all processes of a job agree on what to do next: they must look, save and stop after the same step.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.models.config import ModelConfig
from falsepromise.study.planning import peak_of
from falsepromise.training.blocks import Blocks
from falsepromise.training.checkpoint import Checkpoints
from falsepromise.training.data import Batches
from falsepromise.training.log import TrainingLog
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import place_batch
from falsepromise.training.state import Start, with_losses

log = logging.getLogger(__name__)
STOPPED = 75  # EX_TEMPFAIL: a scheduler may submit the job again
LOOK_STEPS, LOOK_S = 32, 5.0  # losses are looked at after so many steps or seconds, whichever is less
Tree = Any


class StopOnSignal:
    """True once the process was asked to end (SIGTERM: a walltime, a preemption; SIGINT: a person)."""

    def __init__(self) -> None:
        self.asked = False
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._note)

    def _note(self, number: int, frame: object) -> None:
        log.warning("%s: saving the state after this step, then stopping", signal.Signals(number).name)
        self.asked = True

    def __bool__(self) -> bool:
        return self.asked


class HeldOut:
    """The loss on blocks that are not trained on: per token that counts, over all of them.

    Args:
        blocks: The blocks.
        every: Steps between two looks; the last step always has one.
    """

    def __init__(self, blocks: Blocks, every: int):
        if every < 1:
            raise UserError(f"--held-out-steps {every}: expected at least 1")
        self.blocks, self.every = blocks, every

    def prepare(self, loss_of: Callable[..., Any], recipe: Recipe, mesh: Mesh) -> None:
        """Get ready to compute with `loss_of(params, batch)`, on as many rows at once as a part of a step has."""
        self._loss_of, self._mesh = jax.jit(loss_of), mesh
        rows = recipe.batch_size // recipe.accumulate
        indices = np.arange(-(-len(self.blocks) // rows) * rows)
        self._rows = np.where(indices < len(self.blocks), indices, -1).reshape(-1, rows)

    def __call__(self, params: Tree) -> float:
        parts = [self._loss_of(params, place_batch(self._mesh, self.blocks.rows(rows))) for rows in self._rows]
        return sum(float(total) for total, _ in parts) / max(sum(float(count) for _, count in parts), 1.0)


@dataclass
class Loop:
    """One run's loop.

    Attributes:
        step: The jitted step, `(state, batch) -> (state, loss)`.
        rate_at: Learning rate by step.
        batches: The batches by step.
        config: The model's.
        mesh: The devices.
        checkpoints: Where the state is saved.
        dtype: Of the computation; it names the devices' peak.
        held_out: Blocks to look at now and then.
        begun: When the run began, by time.monotonic.
        losses: Of each step so far.
        row: The last row of the log.
    """

    step: Callable[..., Any]
    rate_at: optax.Schedule
    batches: Batches
    config: ModelConfig
    mesh: Mesh
    checkpoints: Checkpoints
    dtype: str
    held_out: HeldOut | None = None
    begun: float = field(default_factory=time.monotonic)
    losses: list[float] = field(default_factory=list)
    row: dict[str, float] = field(default_factory=dict)

    def run(self, start: Start, open_log: Callable[..., TrainingLog]) -> Tree:
        """Train to the end; the last state. The log is opened for the steps after those that are done.

        Raises:
            UserError: the loss is not a number (with the step), or a signal came (exit code `STOPPED`).
        """
        state, self.losses = start.state, start.losses
        self.records = open_log(after=start.steps)
        if start.steps:
            log.info("going on after step %d of %d", start.steps, self.batches.steps)
        stop, steps = StopOnSignal(), self.batches.steps
        alone = jax.process_count() == 1
        first, pending = len(self.losses), []
        self._first, self._last_look = first + 1, time.monotonic()
        look = first + 1  # the first step is looked at alone, so that compiling doesn't count as training
        with Progress(steps, "training", "steps") as progress:
            progress.done = first
            for done in range(first + 1, steps + 1):
                state, loss = self.step(state, place_batch(self.mesh, self.batches(done - 1)))
                pending.append(loss)
                held = self.held_out and (done == steps or done % self.held_out.every == 0)
                if not (done >= look or done == steps or held or (alone and stop)):
                    continue
                note, ahead = self._look(done, pending, state["params"] if held else None)
                progress.update(len(pending), note)
                pending.clear()
                if done == steps:
                    break  # the weights are written next: no state is needed, and none that can't be saved ends the run
                asked, due, ahead = agreed(bool(stop), self.checkpoints.due(), ahead)
                look = done + ahead
                if asked or due:
                    self.checkpoints.save(done, with_losses(state, self.losses, steps, self.mesh), wait=asked)
                if asked:
                    self.records.close()
                    raise UserError(f"stopped after step {done} of {steps}; start again to go on", STOPPED)
        self.records.close()
        self.checkpoints.close()
        return state

    def _look(self, done: int, pending: list[jax.Array], held: Tree | None) -> tuple[str, int]:
        """Fetch the losses of the steps since the last look and log them.

        Args:
            done: Steps done.
            pending: Their losses.
            held: The weights, where the held-out loss is wanted.

        Returns:
            A note for the progress bar, and how many steps may pass until the next look.
        """
        for loss in jax.device_get(pending):
            self.losses.append(float(loss))
            if not math.isfinite(self.losses[-1]):
                self.checkpoints.diverged(len(self.losses))
                raise UserError(
                    f"the loss is {self.losses[-1]} at step {len(self.losses)} of {self.batches.steps}; try a lower "
                    "learning_rate or a longer warm-up: with another recipe the run starts from the base again"
                )
        seconds = time.monotonic() - self._last_look
        tokens = math.prod(self.batches.shape)
        row = {"loss": sum(self.losses[-len(pending) :]) / len(pending)}
        row |= {"learning_rate": float(self.rate_at(done - 1)), "tokens": done * tokens}
        note, ahead = f"loss {row['loss']:.3f}", 1
        if done == self._first:
            row["first_step_s"] = round(time.monotonic() - self.begun, 2)
        else:
            ahead = max(1, min(LOOK_STEPS, int(LOOK_S * len(pending) / seconds)))
            row["tokens_per_s"] = round(len(pending) * tokens / seconds, 1)
            flops = self.config.shape.flops_per_token(self.batches.blocks.block_size)
            row["gflop_per_s"] = round(row["tokens_per_s"] * flops / 1e9, 1)
            note += f", {row['tokens_per_s']:,.0f} tokens/s, {row['gflop_per_s']:,.0f} GFLOP/s"
            if peak := peak_of(jax.devices()[0].device_kind, self.dtype):
                row["mfu"] = round(row["gflop_per_s"] * 1e9 / (peak * self.mesh.size), 4)
                note += f", MFU {row['mfu']:.1%}"
        if held is not None:
            row["held_out_loss"] = self.held_out(held)  # type: ignore[misc]  # it asked for the look
            note += f", held out {row['held_out_loss']:.3f}"
        self.records.row(done, **row)
        self.row, self._last_look = row, time.monotonic()
        return note, ahead


def agreed(stop: bool, save: bool, ahead: int) -> tuple[bool, bool, int]:
    """What a job's processes do after a look: stop or save where any wants it, look again after the least steps."""
    if jax.process_count() == 1:
        return stop, save, ahead
    said = multihost_utils.process_allgather(np.array([stop, save, -ahead])).max(axis=0)
    return bool(said[0]), bool(said[1]), -int(said[2])
