"""Compile a training step for devices that this machine need not have, and print the compiler's report.

  python -m falsepromise.training.compile --study config/paper.yaml --model llama-13b --target h100:8
  python -m falsepromise.training.compile --shape models/llama-7b/config.json --recipe '{"remat": "full"}' \\
      --mesh fsdp=2,tensor=2 --target tpu-v5p:2x2x1 --layers 2 --output step.json

It computes nothing and reads no weights. It prints the compiler's memory beside the planner's. Targets: h100, a100,
a100-40, h200, rtx-4090 and a number of devices; tpu-v4, tpu-v5e, tpu-v5p, tpu-v6e and a shape of chips; cpu and a
number of simulated devices. GPUs need the package jax[cuda12], TPUs libtpu; neither needs a device or a driver.

The bound on a step's time is the largest of three: operations over the peak, twice the memory that a step uses over
the memory's rate, bytes between devices over the links' rate. No program is faster; a real one is slower.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import loads, read_json, write_json
from falsepromise.models import weights
from falsepromise.models.attention import fused
from falsepromise.models.config import ModelConfig
from falsepromise.models.parallel import ROWS
from falsepromise.study.expand import load_files
from falsepromise.study.planning import USABLE, Shape, memory_by_part, mesh_sizes, savings
from falsepromise.study.shapes import known
from falsepromise.study.study import Study
from falsepromise.training import optimizer
from falsepromise.training.layout import stacked_graph
from falsepromise.training.program import Collective, collectives, largest, memory_of, operations
from falsepromise.training.recipe import Recipe
from falsepromise.training.sharding import check_mesh, check_rows, padded
from falsepromise.training.state import check_length, shapes
from falsepromise.training.step import make_step
from falsepromise.training.targets import GPUS_PER_HOST, Target

STEPS = 1000  # of a run, any number: the program takes it as an argument
TRIES = 3  # recipes that are compiled to find one that fits
TURNS = 3  # rows that turn tokens add to an embedding table
GB = 1e9


def traced(config: ModelConfig, recipe: Recipe, block_size: int, mesh: Mesh) -> jax.stages.Traced:
    """The training step of a model on a mesh, to be compiled: shapes only, nothing is computed.

    Raises:
        UserError: the mesh can't share the model or the batch.
    """
    check_mesh(config, mesh.shape)
    check_rows(recipe, mesh.shape)
    config = padded(config, config.vocab_size, mesh.shape)
    transformation = optimizer.make(recipe, STEPS)
    scan, model = recipe.layers == "scan", weights.abstract(config)
    graph = stacked_graph(model) if scan else nnx.split(model, nnx.Param)[0]
    state = shapes(config, mesh, transformation, scan)
    rows = NamedSharding(mesh, P(ROWS))
    batch = {
        key: jax.ShapeDtypeStruct(
            (recipe.batch_size, block_size), jnp.float32 if key == "mask" else jnp.int32, sharding=rows
        )
        for key in ("inputs", "targets", "segments", "positions", "mask")
    }
    length = [jax.ShapeDtypeStruct((), jnp.int32, sharding=NamedSharding(mesh, P()))] * 2
    return make_step(graph, recipe, partial(optimizer.make, recipe), mesh).trace(state, batch, *length)


@dataclass(frozen=True)
class Case:
    """A case to compile: a model's shape, its recipe, tokens a block, a mesh's setting and the devices."""

    name: str
    config: ModelConfig
    recipe: Recipe
    block_size: int
    mesh: str
    target: Target


def compiled(case: Case) -> dict[str, Any]:
    """The compiler's report of a case, as a record."""
    begun = time.monotonic()
    step = step_of(case)
    sizes = mesh_sizes(case.mesh)
    shape = case.config.shape
    planned = memory_by_part(shape, case.recipe.model_dump(), case.block_size, sizes, case.target.platform)
    found, text, biggest = compiled_memory(step)
    record: dict[str, Any] = {
        "model": case.name, "parameters": shape.parameters, "layers": case.config.num_layers,
        "target": case.target.name, "mesh": case.mesh, "block_size": case.block_size,
        "recipe": case.recipe.model_dump(), "shape": asdict(shape),
    }  # fmt: skip
    room = case.target.device.memory
    record["compile_s"] = round(time.monotonic() - begun, 1)
    record["largest"] = biggest
    record["memory"] = {
        "of": room if math.isfinite(room) else None, "planned": round(sum(planned.values())),
        "planned_parts": {part: round(size) for part, size in planned.items()},
        **found, "fits": found["peak"] <= USABLE * room,
    }  # fmt: skip
    record["collectives"] = [asdict(c) | {"bytes": c.bytes * c.count} for c in collectives(text)]
    record["flops_per_device"] = operations(step.jaxpr) + kernel_operations(case, sizes)
    record["bound"] = bound(record, case.target, shape)
    return record


def step_of(case: Case) -> jax.stages.Traced:
    """A case's step, to be compiled."""
    mesh = case.target.mesh(case.mesh)
    check_length(case.name, case.config, case.block_size)
    return traced(case.config, case.recipe, case.block_size, mesh)


def compiled_memory(step: jax.stages.Traced) -> tuple[dict[str, int], str, list[Any]]:
    """A step's bytes on one device by the compiler's word, its program's text, and its largest arrays."""
    try:
        done = step.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        used = re.search(r"(?:Used |HLO temporaries \()([\d.]+)([GM])", str(error))
        if "RESOURCE_EXHAUSTED" not in str(error) or not used:
            raise
        # TPU's compiler refuses what doesn't fit: all of it, with the largest allocations, or temporary arrays alone.
        peak = round(float(used[1]) * (2**30 if used[2] == "G" else 2**20))
        return {"peak": peak}, "", re.findall(r"Size: ([\d.]+[GM])\s+Operator: op_name=\"([^\"]*)", str(error))[:8]
    text = done.as_text() or ""
    return memory_of(done), text, [[f"{size / GB:.2f} GB", name] for size, name in largest(text)[:8]]


def that_fits(case: Case) -> dict[str, Any] | None:
    """The nearest change with which a case fits, compiled too; the planner chooses what to try.

    Returns:
        `change` (of the recipe, or the mesh with the number of devices), `peak` in bytes; None if nothing fits.
    """
    shape, device, sizes = case.config.shape, case.target.device, mesh_sizes(case.mesh)
    recipe = case.recipe.model_dump()
    tries = [
        (
            replace(case, recipe=Recipe.of(recipe | change)),
            ", ".join(f"{key}: {value}" for key, value in change.items()),
        )
        for change in islice(savings(shape, recipe, case.block_size, sizes, device), TRIES)
    ]
    if case.target.platform == "cuda":
        for more in (case.target.count * 2**n for n in range(1, 8)):
            mesh = {**sizes, "fsdp": sizes["fsdp"] * more // case.target.count}
            rows = mesh["data"] * mesh["fsdp"]
            if case.config.hidden_size % mesh["fsdp"] or case.recipe.batch_size % (rows * case.recipe.accumulate):
                break
            parts = memory_by_part(shape, recipe, case.block_size, mesh, case.target.platform)
            if sum(parts.values()) <= USABLE * device.memory:
                setting = ",".join(f"{axis}={n}" for axis, n in mesh.items() if n > 1)
                target = Target.of(f"{case.target.kind}:{more}")
                tries.append((replace(case, mesh=setting, target=target), f"--target {target.name} --mesh {setting}"))
                break
    for tried, words in tries:
        peak = compiled_memory(step_of(tried))[0]["peak"]
        if peak <= USABLE * device.memory:
            return {"change": words, "peak": peak}
    return None


def kernel_operations(case: Case, sizes: Mapping[str, int]) -> float:
    """Operations of fused attention on one device, which no matrix product of the program shows: half of a square of
    scores, forth (again with `remat: full`) and two and a half times back."""
    recipe = case.recipe
    kernel = recipe.attention
    if kernel == "auto":
        kernel = fused(case.target.platform, recipe.dtype, recipe.keep_documents_apart, case.config.head_dim)
    if kernel == "xla":
        return 0.0
    shape = case.config.shape
    tokens = case.recipe.batch_size * case.block_size / (sizes["data"] * sizes["fsdp"])
    forth = 4 * case.block_size * shape.query / sizes["tensor"] / 2
    return shape.layers * tokens * forth * (1 + (recipe.remat == "full") + 2.5)


def bound(record: Mapping[str, Any], target: Target, shape: Shape) -> dict[str, Any]:
    """The least seconds that a record's step can take, what limits it, and the MFU at that time."""
    recipe, memory, link = record["recipe"], record["memory"], target.link
    peak = target.device.peak[recipe["dtype"]]
    exchanges = [Collective(**{f.name: c[f.name] for f in fields(Collective)}) for c in record["collectives"]]
    seconds = {
        "arithmetic": record["flops_per_device"] / peak,
        "memory": 2 * (memory.get("arguments", 0) + memory.get("temporary", 0)) / link.memory,
        # A group of more devices than a host has reaches over hosts (on TPUs all links are alike).
        "links": sum(c.sent * c.count / (link.near if c.group <= GPUS_PER_HOST else link.far) for c in exchanges),
    }
    by = max(seconds, key=lambda key: seconds[key])
    model_flops = shape.flops_per_token(record["block_size"]) * recipe["batch_size"] * record["block_size"]
    return {
        **{f"{key}_s": round(value, 5) for key, value in seconds.items()},
        "step_s": round(seconds[by], 5), "by": by,
        "mfu": round(model_flops / (seconds[by] * peak * target.count), 4),
    }  # fmt: skip


def cases(args: Any, target: Target) -> list[Case]:
    """The cases of the command line.

    Raises:
        UserError: a model, shape or mesh that can't be.
    """
    even = f"{'data' if target.platform == 'cpu' else 'fsdp'}={target.count}"
    if args.block_size < 1:
        raise UserError(f"--block-size {args.block_size}: expected at least 1 token")
    if args.shape:
        config = sliced(shape_of(args.shape), args.layers)
        return [Case("shape", config, Recipe.read(args.recipe), args.block_size, args.mesh or even, target)]
    study = load_files(args.study)
    try:
        change = loads(args.recipe)
    except ValueError as error:
        raise UserError(f"--recipe: with a study, JSON of what is changed: {error}") from error
    found = []
    for base, config in configs(args, study).items():
        trained = next(m for m in study.trained if study.models[m].base == base and args.model in (None, base, m))
        recipe = study.recipe_of(trained) or Recipe()
        recipe = Recipe.of({**recipe.model_dump(), **change})
        theirs = study.config.bases[base].mesh or ""
        fits = theirs and math.prod(mesh_sizes(theirs).values()) == target.count
        mesh = args.mesh or (theirs if fits else even)
        found.append(Case(base, config, recipe, study.block_size(base), mesh, target))
    return found


def configs(args: Any, study: Study) -> dict[str, ModelConfig]:
    """The forms of a study's bases that it trains, or of the one that --model names."""
    chosen = dict.fromkeys(study.models[name].base for name in study.trained)
    if args.model:
        names = {base: base for base in chosen} | {name: study.models[name].base for name in study.trained}
        if args.model not in names:
            raise UserError(f"--model {args.model}: the study trains no such model; expected one of {', '.join(names)}")
        chosen = {names[args.model]: None}
    found = {}
    for base in chosen:
        entry = study.config.bases[base]
        config = ModelConfig.from_hub(known(entry, study.parameters(base), study.vocab_size), base)
        config = replace(config, vocab_size=config.vocab_size + TURNS * (entry.weights is not None))
        found[base] = sliced(config, args.layers)
    return found


def shape_of(source: str) -> ModelConfig:
    """From a hub's config.json: as JSON text, a file, or a model folder."""
    if source.lstrip().startswith("{"):
        try:
            hub = loads(source, as_written=True)
        except ValueError as error:
            raise UserError(f"--shape: not JSON: {error}") from error
        return ModelConfig.from_hub(hub, "--shape")
    path = Path(source)
    path = path / "config.json" if path.is_dir() else path
    hub = read_json(path, as_written=True)
    if not isinstance(hub, dict):
        raise UserError(f"{path}: found {type(hub).__name__}, expected a JSON object")
    return ModelConfig.from_hub(hub, str(path))


def sliced(config: ModelConfig, layers: int | None) -> ModelConfig:
    """The model with its first layers only."""
    if layers is not None and not 1 <= layers <= config.num_layers:
        raise UserError(f"--layers {layers}: the model has {config.num_layers}; expected 1 to {config.num_layers}")
    return config if layers is None else replace(config, num_layers=layers, windows=config.windows[:layers])


def show(record: Mapping[str, Any]) -> None:
    """Print a record."""
    memory, limits = record["memory"], record["bound"]
    print(f"{record['model']}, {record['layers']} layers, on {record['target']} ({record['mesh']}), ", end="")
    print(f"compiled in {record['compile_s']} s")
    print(f"  GB a device     peak {memory['peak'] / GB:.2f}", end="")
    if "arguments" in memory:
        print(f" (arguments {memory['arguments'] / GB:.2f}, temporary {memory['temporary'] / GB:.2f})", end="")
    of = "" if memory["of"] is None else f" of {memory['of'] / GB:.0f}, of which {USABLE:.0%} are for training"
    print(f"; planned {memory['planned'] / GB:.2f}{of}")
    for c in record["collectives"][:12]:
        shape = ", ".join(map(str, c["shape"]))
        print(f"  {c['count']:>6} x {c['operation']} {c['type']}[{shape}] over {c['group']}, {c['bytes'] / GB:.2f} GB")
    each = ", ".join(f"{key} {limits[f'{key}_s']:.4g} s" for key in ("arithmetic", "memory", "links"))
    print(f"  at least {limits['step_s']:.4g} s a step, by {limits['by']}: MFU at most {limits['mfu']:.1%} ({each})")
    if not memory["fits"]:
        print("  does not fit. Its largest arrays:")
        for size, name in record["largest"]:
            print(f"    {size}  {name}")
        fit = record["would_fit"]
        print("  nearest that fits: ", end="")
        print(f"{fit['change']}, compiled: {fit['peak'] / GB:.2f} GB" if fit else "none was found; take more devices")


def parser_of(description: str | None, mesh: str) -> Any:
    """The options for the case and the devices."""
    parser = cli.parser(description)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--study", type=Path, nargs="+", metavar="FILE", help="study file(s): each base, or --model")
    what.add_argument("--shape", help="a hub's config.json: JSON, file or model folder")
    parser.add_argument("--model", help="a model or base of the study; default: each base that it trains")
    parser.add_argument("--mesh", help=f"such as data=1,fsdp=4,tensor=2; default: {mesh}")
    parser.add_argument("--target", required=True, help="h100:8, a100:8, h200:4, tpu-v5p:2x2x2, tpu-v5e:4x4, cpu:8...")
    parser.add_argument("--layers", type=int, help="compile a model of so many layers only")
    parser.add_argument("--output", type=Path, help="write what was found as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Compile and print."""
    parser = parser_of(__doc__, "the study's, or fsdp over all devices")
    parser.add_argument("--recipe", default="{}", help="JSON (or a file, with --shape); of a study: what is changed")
    parser.add_argument("--block-size", type=int, default=2048, help="tokens a block, with --shape")
    args = parser.parse_args(argv)
    target = Target.of(args.target)
    target.prepare()
    records = []
    for case in cases(args, target):
        record = compiled(case)
        if not record["memory"]["fits"]:
            record["would_fit"] = that_fits(case)
        records.append(record)
        show(record)
        if args.output:  # after each: what was found is not lost with the next
            write_json(args.output, records[0] if len(records) == 1 else records)


if __name__ == "__main__":
    cli.run(main)
