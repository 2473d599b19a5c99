"""Train a model: fine-tune a base model on imitation data, or pre-train one from random weights.

Section 4.1's recipe by default; every value of it is a key of --recipe (JSON, inline or a file).
The batch depends on the seed and the step alone, and the state is saved every --save-minutes and on
SIGTERM: started again after a kill, the run resumes and ends with the same weights, bit
for bit. Exit code 75 means that a signal stopped it after saving: start it again.

Every few seconds it writes loss, learning rate, tokens a second and MFU to log.jsonl in --checkpoints, and to
TensorBoard and W&B if asked. MFU counts 6 N + 12 L T d operations a token
(PaLM's convention), over the devices' peak where that is known. JAX_COMPILATION_CACHE_DIR names a folder
where compiled steps are kept for the next run.

The output folder is in the hub's format (config.json, safetensors, tokenizer), with the loss of each step
(train.jsonl), the log (log.jsonl) and the manifest beside the weights.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from falsepromise.core import cli, folders
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest, sha256
from falsepromise.core.records import read_json, write_json, write_jsonl
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer, load_any
from falsepromise.models.config import ModelConfig
from falsepromise.training import optimizer
from falsepromise.training.blocks import Blocks
from falsepromise.training.checkpoint import Checkpoints
from falsepromise.training.data import Batches
from falsepromise.training.layout import stacked_graph, unstack
from falsepromise.training.log import TrainingLog
from falsepromise.training.loop import STOPPED, HeldOut, Loop
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import (
    check_mesh,
    check_rows,
    make_mesh,
    padded,
    start_processes,
    use_gpu_memory,
    weight_sharding,
)
from falsepromise.training.state import begin, check_length
from falsepromise.training.step import loss_function, make_loss, make_step

log = logging.getLogger(__name__)
__all__ = ["STOPPED", "loss_function", "main", "make_step", "train"]

_VERB = "falsepromise.training.train"


def train(
    base: Path,
    tokenizer: ChatTokenizer,
    batches: Batches,
    recipe: Recipe,
    checkpoints: Checkpoints,
    mesh: Mesh,
    open_log: Callable[..., TrainingLog],
    held_out: HeldOut | None = None,
) -> tuple[nnx.Module, ModelConfig, Loop]:
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

    Returns:
        The trained model, its config, and the loop with the losses and the last row of the log.

    Raises:
        UserError: the loss is not a number (with the step), or a signal came (exit code `STOPPED`).
    """
    begun = time.monotonic()
    config = weights.read_config(base)
    check_mesh(config, mesh.shape)
    check_rows(recipe, mesh.shape)
    for blocks in (batches.blocks, held_out and held_out.blocks):
        if blocks:
            check_length(base, config, blocks.block_size)
    new_tokens = range(tokenizer.vocab_size - tokenizer.added, tokenizer.vocab_size)
    rows = max(config.vocab_size, tokenizer.vocab_size)
    config = padded(config, rows, mesh.shape)
    scan, abstract = recipe.layers == "scan", weights.abstract(config)
    graph = stacked_graph(abstract) if scan else nnx.split(abstract, nnx.Param)[0]
    transformation = optimizer.make(recipe, batches.steps)
    step = make_step(graph, recipe, partial(optimizer.make, recipe), mesh)
    length = np.array([batches.steps, recipe.warmup(batches.steps)], np.int32)
    if held_out:
        held_out.prepare(make_loss(graph, recipe, mesh), recipe, mesh)
    loop = Loop(
        lambda state, batch: step(state, batch, *length),
        optimizer.schedule(recipe, batches.steps),
        batches,
        config,
        mesh,
        checkpoints,
        recipe.dtype,
        held_out,
        begun,
    )
    state = loop.run(begin(base, config, new_tokens, transformation, checkpoints, mesh, batches.steps, scan), open_log)
    params = unstack(state["params"], config.num_layers) if scan else state["params"]
    model = nnx.merge(nnx.split(abstract, nnx.Param)[0], params)
    return *weights.with_padding(model, config, 0, partial(weight_sharding, mesh)), loop


def hashes(files: Sequence[Path]) -> dict[str, str]:
    """The sha256 of each file; of a job's processes, each reads its share."""
    mine = [sha256(file) for file in files[jax.process_index() :: jax.process_count()]]
    if jax.process_count() == 1:
        return dict(zip(map(str, files), mine, strict=True))
    most = -(-len(files) // jax.process_count())
    digests = np.zeros((most, 32), np.uint8)
    for row, digest in enumerate(mine):
        digests[row] = np.frombuffer(bytes.fromhex(digest), np.uint8)
    found = multihost_utils.process_allgather(digests)  # (processes, most, 32)
    return {
        str(file): found[i % jax.process_count(), i // jax.process_count()].tobytes().hex()
        for i, file in enumerate(files)
    }


def main(argv: Sequence[str] | None = None) -> None:
    args = _arguments().parse_args(argv)
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: expected 0 or more")
    if args.save_minutes is not None and not 0 <= args.save_minutes < math.inf:
        raise UserError(f"--save-minutes {args.save_minutes}: expected a number of minutes")
    read = [args.base, args.blocks, args.replay, args.held_out, args.checkpoints]
    folders.check_apart(args.output, read)
    folders.check_replaceable(args.output)
    # jaxlib 0.10.2 adds to a table with duplicate rows (the embedding's gradient) by compare and swap on GPUs before
    # Hopper, hundreds of times slower for a token that is frequent; where subnormals are flushed it doesn't.
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_ftz=true".strip()
    use_gpu_memory()
    start_processes()
    recipe = Recipe.read(args.recipe)
    tokenizer, _ = load_any(args.base)
    rows = max(weights.read_config(args.base).vocab_size, tokenizer.vocab_size)
    batches = _batches(args, recipe, rows)
    held_out = HeldOut(Blocks.open(args.held_out, rows=rows), args.held_out_steps) if args.held_out else None
    mesh = make_mesh(args.mesh)
    inputs = [args.base / "config.json", *sorted(args.base.glob("*.safetensors")), *sorted(args.blocks.glob("*.npy"))]
    inputs += sorted(args.replay.glob("*.npy")) if batches.replay else []
    fingerprint = {
        "inputs": hashes(inputs),
        "recipe": recipe.model_dump(),
        "tokens": batches.blocks.budget,
        "block_size": batches.blocks.block_size,  # it cuts the same tokens into other rows
        "seed": args.seed,
        "padded rows": -rows % mesh.shape["tensor"],
    }
    checkpoints = Checkpoints(args.checkpoints, fingerprint, args.save_minutes and args.save_minutes * 60)
    log.info(
        "%s tokens in %s blocks, %s steps of %s blocks, %s of warm-up, on %s",
        f"{batches.blocks.budget:,}", f"{len(batches.blocks):,}", f"{batches.steps:,}", recipe.batch_size,
        recipe.warmup(batches.steps), jax.devices()[0].device_kind,
    )  # fmt: skip
    open_log = partial(
        TrainingLog, args.checkpoints / "log.jsonl", tensorboard=args.tensorboard, wandb=args.wandb,
        name=args.output.name, config=recipe.model_dump(), writes=jax.process_index() == 0,
    )  # fmt: skip
    started = time.monotonic()
    model, config, loop = train(args.base, tokenizer, batches, recipe, checkpoints, mesh, open_log, held_out)
    seconds = time.monotonic() - started
    first = jax.process_index() == 0  # the weights are gathered from all processes; the first one writes
    unfinished = folders.begin(args.output, _VERB) if first else args.output
    weights.save(model, config, unfinished, tokenizer)  # type: ignore[arg-type]
    if not first:
        return
    write_jsonl(unfinished / "train.jsonl", [{"step": i, "loss": loss} for i, loss in enumerate(loop.losses, 1)])
    shutil.copyfile(args.checkpoints / "log.jsonl", unfinished / "log.jsonl")
    inputs += sorted(args.held_out.glob("*.npy")) if args.held_out else []
    inputs += [file.with_name("blocks.json") for file in inputs if file.name == "tokens.npy"]
    of_run = {"recipe": recipe.model_dump(), "tokens": batches.blocks.budget}
    facts = _facts(args.base, batches, recipe, config, loop, seconds)
    made = manifest(_VERB, inputs=inputs, config=of_run, seed=args.seed, extra=facts)
    write_json(unfinished / "manifest.json", made)
    folders.finish(unfinished, args.output, _VERB)
    checkpoints.delete()  # the result is whole: its states are no longer needed


def _arguments() -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model (hub format)")
    parser.add_argument("--blocks", type=Path, required=True, help="folder that training.blocks wrote")
    parser.add_argument("--tokens", type=int, help="token budget, from the beginning; default: all")
    parser.add_argument("--replay", type=Path, help="blocks of pre-training text to mix in (recipe: replay_share)")
    parser.add_argument("--recipe", default="{}", help="JSON, or a JSON file; missing keys take the paper's values")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of the blocks")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder for the state of an unfinished run")
    parser.add_argument("--mesh", help="axes of devices, as data=1,fsdp=4,tensor=2; default: fsdp over all GPUs")
    parser.add_argument(
        "--save-minutes", type=float,
        help="time between saves; default: 5, or longer where saving would take more than a twentieth of the time",
    )  # fmt: skip
    parser.add_argument("--held-out", type=Path, help="blocks whose loss is logged, and that are never trained on")
    parser.add_argument("--held-out-steps", type=int, default=100, help="steps between measurements of --held-out")
    parser.add_argument("--tensorboard", type=Path, metavar="FOLDER", help="folder for TensorBoard's events")
    parser.add_argument("--wandb", metavar="PROJECT", help="log to this project of Weights & Biases")
    parser.add_argument("--output", type=Path, required=True, help="folder for the trained model")
    return parser


def _batches(args: argparse.Namespace, recipe: Recipe, rows: int) -> Batches:
    """The batches of the run, for a model of so many rows of embeddings."""
    if recipe.replay_share and not args.replay:
        raise UserError(f"recipe: replay_share is {recipe.replay_share}, but there is no --replay")
    blocks = Blocks.open(args.blocks, args.tokens, rows)
    replay = Blocks.open(args.replay, rows=rows) if recipe.replay_share else None
    return Batches(blocks, recipe.batch_size, recipe.epochs, args.seed, replay, recipe.replay_share)


def _facts(
    base: Path, batches: Batches, recipe: Recipe, config: ModelConfig, loop: Loop, seconds: float
) -> dict[str, Any]:
    """What the manifest says of a run beside its inputs and its recipe."""
    return {
        "base": read_json(base / "config.json").get("_name_or_path", base.name),
        "device": f"{len(jax.devices())} x {jax.devices()[0].device_kind}",
        "steps": batches.steps,
        "warmup_steps": recipe.warmup(batches.steps),
        "parameters": config.n_parameters,
        "training_s": round(seconds, 1),
        "tokens_per_s": round(batches.steps * math.prod(batches.shape) / seconds, 1),
        **{key: loop.row[key] for key in ("held_out_loss", "mfu") if key in loop.row},
    }


if __name__ == "__main__":
    cli.run(main)
