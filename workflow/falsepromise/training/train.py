"""Train a model: fine-tune a base model on imitation data, or pre-train one from random weights.

Section 4.1's recipe by default; every value of it is a key of --recipe (JSON, inline or a file).
The batch depends on the seed and the step alone, and the state is saved every --save-minutes and on
SIGTERM: started again after a kill, the run goes on where it was and ends with the same weights, bit
for bit. Exit code 75 says "stopped by a signal after saving: start me again".

While it runs, loss, learning rate, tokens a second and MFU are a row in log.jsonl of --checkpoints every
few seconds, and in TensorBoard and W&B where asked for. MFU counts 6 N + 12 L T d operations a token
(PaLM's convention), over the devices' peak where that is known. JAX_COMPILATION_CACHE_DIR names a folder
where compiled steps are kept for the next run.

The output folder is in the hub's format (config.json, safetensors, tokenizer), with the loss of each step
(train.jsonl), the log (log.jsonl) and the manifest beside the weights.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest, sha256
from falsepromise.core.progress import Progress
from falsepromise.core.records import read_json, write_json, write_jsonl
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer, load_any
from falsepromise.models.config import ModelConfig
from falsepromise.study.planning import peak_of
from falsepromise.training import optimizer
from falsepromise.training.blocks import Blocks
from falsepromise.training.checkpoint import Checkpoints
from falsepromise.training.data import Batches
from falsepromise.training.log import TrainingLog
from falsepromise.training.loss import cross_entropy_sum
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import (
    make_mesh,
    on_every_device,
    place_batch,
    start_processes,
    weight_sharding,
)

log = logging.getLogger(__name__)
STOPPED = 75  # EX_TEMPFAIL: a scheduler may submit the job again
LOOK_STEPS, LOOK_S = 32, 5.0  # losses are looked at after so many steps or seconds
Tree = Any


def loss_function(graph: nnx.GraphDef, recipe: Recipe) -> Any:
    """`f(params, batch) -> (sum of the losses, number of tokens that count)`."""
    dtype = jnp.dtype(recipe.dtype)

    def of(params: Tree, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graph, params)
        apart = recipe.keep_documents_apart
        hidden_btd = model.hidden(
            batch["inputs"],
            segments_bt=batch["segments"] if apart else None,
            positions_bt=batch["positions"] if apart else None,
            dtype=dtype,
            attention=recipe.attention,
            remat=None if recipe.remat == "none" else recipe.remat,
        )
        mask_n = batch["mask"].reshape(-1)
        total = cross_entropy_sum(
            hidden_btd.reshape(-1, hidden_btd.shape[-1]),  # (B * T, D)
            model.unembedding().astype(dtype),
            batch["targets"].reshape(-1),
            mask_n,
            recipe.loss_chunk,
        )
        return total, mask_n.sum()

    return of


def make_step(graph: nnx.GraphDef, recipe: Recipe, transformation: optax.GradientTransformation) -> Any:
    """The jitted training step: `(state, batch) -> (state, loss)`; the state's memory is used again.

    The gradient is that of the mean over all tokens that count in the batch, whatever
    `recipe.accumulate` splits it into.
    """
    gradient_of = jax.value_and_grad(loss_function(graph, recipe), has_aux=True)

    def step(state: dict[str, Tree], batch: dict[str, jax.Array]) -> tuple[dict[str, Tree], jax.Array]:
        params = state["params"]
        if recipe.accumulate == 1:
            (total, count), gradient = gradient_of(params, batch)
        else:
            parts = jax.tree.map(
                lambda x: x.reshape(recipe.accumulate, -1, *x.shape[1:]),  # (A, B / A, T)
                batch,
            )

            def add(carry: Tree, part: dict[str, jax.Array]) -> tuple[Tree, None]:
                return jax.tree.map(jnp.add, carry, gradient_of(params, part)), None

            zero = ((jnp.zeros(()), jnp.zeros(())), jax.tree.map(jnp.zeros_like, params))
            ((total, count), gradient), _ = jax.lax.scan(add, zero, parts)
        count = jnp.maximum(count, 1.0)  # a batch without any reply has no gradient
        gradient = jax.tree.map(lambda g: g / count, gradient)
        updates, optimizer_state = transformation.update(gradient, state["optimizer"], params)
        return {"params": optax.apply_updates(params, updates), "optimizer": optimizer_state}, total / count

    return jax.jit(step, donate_argnums=0)


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

    def prepare(self, graph: nnx.GraphDef, recipe: Recipe, mesh: Mesh) -> None:
        """Get ready to compute with a model of this form."""
        self._loss_of, self._mesh = jax.jit(loss_function(graph, recipe)), mesh
        indices = np.arange(-(-len(self.blocks) // recipe.batch_size) * recipe.batch_size)
        self._rows = np.where(indices < len(self.blocks), indices, -1).reshape(-1, recipe.batch_size)

    def __call__(self, params: Tree) -> float:
        parts = [self._loss_of(params, place_batch(self._mesh, self.blocks.rows(rows))) for rows in self._rows]
        return sum(float(total) for total, _ in parts) / max(sum(float(count) for _, count in parts), 1.0)


def train(
    base: Path,
    tokenizer: ChatTokenizer,
    batches: Batches,
    recipe: Recipe,
    checkpoints: Checkpoints,
    mesh: Mesh,
    open_log: Callable[..., TrainingLog],
    held_out: HeldOut | None = None,
    save_s: float = 300.0,
) -> tuple[nnx.Module, ModelConfig, list[dict[str, float]], dict[str, float]]:
    """Train `base` on `batches`.

    Args:
        base: Folder of the base model.
        tokenizer: Its tokenizer with the turn tokens; the embedding table grows where it has no row for one.
        batches: The batches by step.
        recipe: The recipe.
        checkpoints: Where an unfinished run's state is kept.
        mesh: The devices.
        open_log: `TrainingLog`, but for `after`.
        held_out: Blocks to look at now and then.
        save_s: Seconds between saves.

    Returns:
        The trained model, its config, the loss curve (`{"step", "loss"}` a step), and the last row of the log.

    Raises:
        UserError: the loss is not a number (with the step), or a signal came (exit code `STOPPED`).
    """
    begun = time.monotonic()
    model, config = weights.load(base, partial(weight_sharding, mesh))
    model, config = weights.resize(model, config, max(config.vocab_size, tokenizer.vocab_size))
    for blocks in (batches.blocks, held_out and held_out.blocks):
        if blocks and blocks.block_size > config.max_positions:
            raise UserError(
                f"{base} has {config.max_positions} positions, the blocks have {blocks.block_size} tokens; "
                f"make the blocks with --block-size {config.max_positions}"
            )
    graph, params = nnx.split(model, nnx.Param)
    del model
    transformation = optimizer.make(recipe, batches.steps, base=params if recipe.decay_to_base else None)
    if recipe.decay_to_base:
        params = jax.tree.map(jnp.copy, params)  # the state's memory is given away, the base's must stay
    moments = jax.tree.map(  # they live where their weights do, a count of steps on every device
        lambda x: x if x.sharding.device_set == set(mesh.devices.flat) else on_every_device(mesh, x),
        transformation.init(params),
    )
    state = {"params": params, "optimizer": moments}
    step, rate_at = make_step(graph, recipe, transformation), optimizer.schedule(recipe, batches.steps)
    if held_out:
        held_out.prepare(graph, recipe, mesh)

    first, curve = 0, []
    losses = partial(_curve_array, mesh, batches.steps)
    restored = checkpoints.restore({**state, "curve": losses([])})
    if restored:
        first, saved = restored
        curve = _curve_rows(saved.pop("curve"), first)
        state = saved
        log.info("going on after step %d of %d", first, batches.steps)

    stop, records, row = StopOnSignal(), open_log(after=first), {}
    last_save = last_look = time.monotonic()
    tokens_a_step = math.prod(batches(0)["inputs"].shape)
    flops = config.shape.flops_per_token(batches.blocks.block_size)
    peak = peak_of(jax.devices()[0].device_kind, recipe.dtype)
    pending: list[jax.Array] = []
    with Progress(batches.steps, "training", "steps") as progress:
        progress.done = first
        for done in range(first + 1, batches.steps + 1):
            state, loss = step(state, place_batch(mesh, batches(done - 1)))
            pending.append(loss)
            last = done == batches.steps
            held = held_out if held_out and (last or done % held_out.every == 0) else None
            now = time.monotonic()
            asked, look, due = agreed(bool(stop), now - last_look >= LOOK_S, now - last_save > save_s)
            # Losses are fetched in groups: waiting for each would leave the device idle in between. The first
            # is fetched alone, so that compiling doesn't count as training.
            if len(pending) < LOOK_STEPS and not (last or asked or look or held or done == first + 1):
                continue
            for loss in pending:
                curve.append({"step": len(curve) + 1, "loss": float(loss)})
                if not math.isfinite(curve[-1]["loss"]):
                    raise UserError(
                        f"the loss is {curve[-1]['loss']} at step {len(curve)} of {batches.steps}; the last good "
                        "state is kept; try a lower learning_rate or a longer warm-up"
                    )
            now = time.monotonic()
            row = {"loss": sum(r["loss"] for r in curve[-len(pending) :]) / len(pending)}
            row |= {"learning_rate": float(rate_at(done - 1)), "tokens": done * tokens_a_step}
            note = f"loss {row['loss']:.3f}"
            if done == first + 1:
                row["first_step_s"] = round(now - begun, 2)
            else:
                row["tokens_per_s"] = round(len(pending) * tokens_a_step / (now - last_look), 1)
                row["gflop_per_s"] = round(row["tokens_per_s"] * flops / 1e9, 1)
                note += f", {row['tokens_per_s']:,.0f} tokens/s, {row['gflop_per_s']:,.0f} GFLOP/s"
                if peak:
                    row["mfu"] = round(row["gflop_per_s"] * 1e9 / (peak * mesh.size), 4)
                    note += f", MFU {row['mfu']:.1%}"
            if held:
                row["held_out_loss"] = held(state["params"])
                note += f", held out {row['held_out_loss']:.3f}"
            records.row(done, **row)
            progress.update(len(pending), note)
            pending.clear()
            last_look = time.monotonic()
            if last:
                break  # the weights are written next: no state is needed, and none that can't be saved ends the run
            if asked or due:
                checkpoints.save(done, {**state, "curve": losses(curve)}, wait=asked)
                last_save = now
            if asked:
                records.close()
                raise UserError(f"stopped after step {done} of {batches.steps}; start again to go on", STOPPED)
    records.close()
    checkpoints.close()
    return nnx.merge(graph, state["params"]), config, curve, row


def agreed(*flags: bool) -> list[bool]:
    """Each flag as it is in any of the job's processes, which all ask after the same step: they must look at
    losses, save and stop together."""
    if jax.process_count() == 1:
        return list(flags)
    return [bool(flag) for flag in multihost_utils.process_allgather(np.array(flags)).any(axis=0)]


def _curve_array(mesh: Mesh, steps: int, curve: list[dict[str, float]]) -> jax.Array:
    """The losses so far, as an array of fixed shape (steps,), to be saved with the state."""
    padded = [row["loss"] for row in curve] + [0.0] * (steps - len(curve))
    return on_every_device(mesh, np.asarray(padded, np.float32))


def _curve_rows(losses: jax.Array, steps: int) -> list[dict[str, float]]:
    return [{"step": index + 1, "loss": float(value)} for index, value in enumerate(losses[:steps])]


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model (hub format)")
    parser.add_argument("--blocks", type=Path, required=True, help="folder that training.blocks wrote")
    parser.add_argument("--tokens", type=int, help="token budget: the first so many tokens; all by default")
    parser.add_argument("--replay", type=Path, help="blocks of pre-training text to mix in (recipe: replay_share)")
    parser.add_argument("--recipe", default="{}", help="JSON, or a JSON file; missing keys take the paper's values")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the blocks")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder for the state of an unfinished run")
    parser.add_argument("--mesh", help="axes of devices, as data=1,fsdp=4,tensor=2; default: fsdp over all GPUs")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="time between saves")
    parser.add_argument("--held-out", type=Path, help="blocks whose loss is looked at, never trained on")
    parser.add_argument("--held-out-steps", type=int, default=100, help="steps between looks at --held-out")
    parser.add_argument("--tensorboard", type=Path, metavar="FOLDER", help="write TensorBoard's events there")
    parser.add_argument("--wandb", metavar="PROJECT", help="log to this project of Weights & Biases")
    parser.add_argument("--output", type=Path, required=True, help="folder for the trained model")
    args = parser.parse_args(argv)

    start_processes()
    recipe = Recipe.read(args.recipe)
    tokenizer, _ = load_any(args.base)
    blocks = Blocks.open(args.blocks, args.tokens)
    if recipe.replay_share and not args.replay:
        raise UserError(f"recipe: replay_share is {recipe.replay_share}, but there is no --replay")
    replay = Blocks.open(args.replay) if recipe.replay_share else None
    batches = Batches(blocks, recipe.batch_size, recipe.epochs, args.seed, replay, recipe.replay_share)
    inputs = [args.base / "config.json", *sorted(args.base.glob("*.safetensors"))]
    inputs += sorted(args.blocks.glob("*.npy")) + (sorted(args.replay.glob("*.npy")) if replay else [])
    fingerprint = {
        "inputs": {str(path): sha256(path) for path in inputs},
        "recipe": asdict(recipe),
        "tokens": blocks.budget,
        "seed": args.seed,
    }
    # JSON and back, so that the comparison with the file is of like with like.
    checkpoints = Checkpoints(args.checkpoints, json.loads(json.dumps(fingerprint)))
    log.info(
        "%s tokens in %s blocks, %s steps of %s blocks, %s of warm-up, on %s",
        f"{blocks.budget:,}", f"{len(blocks):,}", f"{batches.steps:,}", recipe.batch_size,
        recipe.warmup(batches.steps), jax.devices()[0].device_kind,
    )  # fmt: skip

    started = time.monotonic()
    held_out = HeldOut(Blocks.open(args.held_out), args.held_out_steps) if args.held_out else None
    log_file = args.checkpoints / "log.jsonl"
    open_log = partial(
        TrainingLog, log_file, tensorboard=args.tensorboard, wandb=args.wandb, name=args.output.name,
        config=asdict(recipe), writes=jax.process_index() == 0,
    )  # fmt: skip
    model, config, curve, last = train(
        args.base, tokenizer, batches, recipe, checkpoints, make_mesh(args.mesh), open_log, held_out,
        args.save_minutes * 60,
    )  # fmt: skip
    seconds = time.monotonic() - started

    unfinished = args.output.with_name(f".{args.output.name}.part")
    if jax.process_index() == 0:
        shutil.rmtree(unfinished, ignore_errors=True)
    weights.save(model, config, unfinished, tokenizer)  # type: ignore[arg-type]
    if jax.process_index() != 0:
        return  # the weights are gathered from all processes; the first one writes
    write_jsonl(unfinished / "train.jsonl", curve)
    shutil.copyfile(log_file, unfinished / "log.jsonl")
    facts = manifest(
        "falsepromise.training.train",
        inputs=inputs + (sorted(args.held_out.glob("*.npy")) if args.held_out else []),
        config={"recipe": asdict(recipe), "tokens": blocks.budget},
        seed=args.seed,
        extra={
            "base": read_json(args.base / "config.json").get("_name_or_path", args.base.name),
            "device": f"{len(jax.devices())} x {jax.devices()[0].device_kind}",
            "steps": batches.steps,
            "warmup_steps": recipe.warmup(batches.steps),
            "parameters": config.n_parameters,
            "training_s": round(seconds, 1),
            "tokens_per_s": round(batches.steps * recipe.batch_size * blocks.block_size / seconds, 1),
            **{key: last[key] for key in ("held_out_loss", "mfu") if key in last},
        },
    )
    write_json(unfinished / "manifest.json", facts)
    if args.output.exists():
        shutil.rmtree(args.output)
    os.replace(unfinished, args.output)
    shutil.rmtree(args.checkpoints, ignore_errors=True)  # the result is whole: its states are no longer needed


if __name__ == "__main__":
    cli.run(main)
