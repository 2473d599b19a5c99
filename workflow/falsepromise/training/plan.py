"""Estimate a training run before it is submitted: memory, steps, FLOPs and hours.

One run, from a model folder, a config.json, or a number of parameters; or every model of a study:

  python -m falsepromise.training.plan --base models/llama-7b --tokens 150e6 --hardware h100
  python -m falsepromise.training.plan --parameters 13e9 --tokens 20e6 --mesh fsdp=8 --hardware a100
  python -m falsepromise.training.plan --study config/paper.yaml --hardware a100

FLOPs are 6 a weight and token and 12 L T d for attention (PaLM's convention; the backward pass's second
computation does not count); hours are FLOPs over the devices' peak times the share of it that is assumed
to be reached (--mfu). Memory is that of each device at the peak of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import dumps, read_json
from falsepromise.models.config import ModelConfig
from falsepromise.study.config import default
from falsepromise.study.expand import load_files
from falsepromise.study.planning import HARDWARE, USABLE, Plan, Shape, fewest_devices, mesh_sizes, plan
from falsepromise.study.study import Study
from falsepromise.training.recipe import Recipe

GB = 1e9
MOST = 1e18  # parameters or tokens, far beyond any run


def shape_of(path: Path) -> Shape:
    """Of a model folder or its config.json."""
    file = path / "config.json" if path.is_dir() else path
    hub = read_json(file, as_written=True)
    if not isinstance(hub, dict):
        raise UserError(f"{file}: found {type(hub).__name__}, expected a JSON object")
    return ModelConfig.from_hub(hub, str(file)).shape


def of_study(study: Study, hardware: str, mfu: float | None, all_tokens: int | None) -> Iterator[dict[str, Any]]:
    """A line for each model that the study trains: its name and its plan.

    The devices are the base's `mesh`, or its `gpus` on `fsdp`, as its jobs use them; else as few as are enough.

    Args:
        study: The study.
        hardware: A name of `HARDWARE`.
        mfu: Share of the peak, or None for the usual one.
        all_tokens: What a mixture without a token budget is taken to have; None: the plan is left out.
    """
    pretrained = [name for name in study.base_models if study.base_of(name).architecture]
    for name in [*pretrained, *study.trained]:
        model = study.models[name]
        base = study.base_of(name)
        folder = Path(study.results) / "training" / "bases" / study.base_model(model.base, model.seed)
        local = Path((base.weights or "").removeprefix("file:"))
        shape = study.shape(model.base)
        if base.weights and ((folder / "config.json").exists() or (local / "config.json").exists()):
            shape = shape_of(folder if (folder / "config.json").exists() else local)
        recipe = (study.recipe_of(name) or Recipe()).model_dump()
        tokens = model.tokens or all_tokens
        line = {"model": name, "parameters": shape.parameters, "tokens": tokens, "plan": None}
        if tokens:
            size = study.block_size(model.base)
            sizes = mesh_sizes(base.mesh) if base.mesh else None
            mesh = sizes or {"fsdp": base.gpus or fewest_devices(shape, recipe, size, HARDWARE[hardware])}
            line["plan"] = plan(shape, tokens, recipe, size, mesh, HARDWARE[hardware], mfu)
        yield line


def as_json(found: Plan) -> dict[str, Any]:
    """A plan's facts; bytes, FLOPs and hours."""
    return {
        "device": found.device.label,
        "devices": found.devices,
        "memory": {part: round(size) for part, size in found.memory.items()},
        "memory_per_device": round(found.memory_per_device),
        "fits": found.fits,
        "host_memory": round(found.host_memory),
        "disk": round(found.disk),
        "steps": found.steps,
        "tokens": found.tokens,
        "flops": found.flops,
        "hours": round(found.hours, 4),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the plan."""
    parser = cli.parser(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--base", type=Path, help="model folder in the hub's format, or its config.json")
    what.add_argument("--parameters", type=float, help="size alone; the shape is guessed as LLaMA's")
    what.add_argument("--study", type=Path, nargs="+", metavar="FILE", help="study file(s): a line for each model")
    parser.add_argument("--tokens", type=float, help="tokens of data; in a study: of mixtures without a budget")
    parser.add_argument("--recipe", default="{}", help="JSON, or a JSON file; missing keys take the paper's values")
    parser.add_argument("--block-size", type=int, default=default("blocks.size"), help="tokens a block")
    parser.add_argument("--mesh", help="such as data=1,fsdp=4,tensor=2; default: as few devices on fsdp as fit")
    parser.add_argument("--hardware", choices=HARDWARE, help="default: a100 for a study, all of them for a run")
    parser.add_argument("--mfu", type=float, help="share of the peak that is reached; default: the hardware's")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    args = parser.parse_args(argv)
    if args.mfu is not None and not 0 < args.mfu <= 1:
        raise UserError(f"--mfu {args.mfu}: expected a share, more than 0 and at most 1")
    for name in ("parameters", "tokens", "block_size"):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= MOST:
            raise UserError(f"--{name.replace('_', '-')} {value:g}: expected a number from 1 to {MOST:g}")
    if args.study:
        _print_study(args)
        return
    if not args.tokens:
        raise UserError("give --tokens, the tokens of the data")
    shape = shape_of(args.base) if args.base else Shape.of_size(int(args.parameters))
    recipe = Recipe.read(args.recipe)
    plans = {}
    for name in [args.hardware] if args.hardware else HARDWARE:
        sizes = mesh_sizes(args.mesh) if args.mesh else None
        mesh = sizes or {"fsdp": fewest_devices(shape, recipe.model_dump(), args.block_size, HARDWARE[name])}
        keys, tokens = recipe.model_dump(), int(args.tokens)
        plans[name] = plan(shape, tokens, keys, args.block_size, mesh, HARDWARE[name], args.mfu)
    if args.json:
        for found in plans.values():
            print(dumps({"parameters": shape.parameters, **as_json(found)}))
    else:
        _print_run(shape, recipe, args.block_size, plans, guessed=args.base is None, mfu=args.mfu)


def _print_run(
    shape: Shape, recipe: Recipe, length: int, by_name: dict[str, Plan], guessed: bool, mfu: float | None
) -> None:
    plans = list(by_name.values())
    first = plans[0]
    guess = f" (guessed: {shape.layers} layers of {shape.hidden})" if guessed else ""
    print(f"parameters      {shape.parameters:,}{guess}")
    print(f"steps           {first.steps:,} of {recipe.batch_size} blocks of {length:,}, ", end="")
    print(f"{recipe.warmup(first.steps):,} of warm-up; {first.tokens:,} positions")
    print(f"FLOPs           {first.flops:.3g}, {shape.flops_per_token(length) / 1e9:.4g} G a token")
    print(f"host memory     {first.host_memory / GB:.0f} GB, over all hosts")
    print(f"disk            {first.disk / GB:.3g} GB, for checkpoints at most")
    parts = list(dict.fromkeys(part for found in plans for part in found.memory))
    rows = [["GB on each device", *parts, "sum", "of", "devices", "time"]]
    for name, found in by_name.items():
        sizes = [f"{found.memory.get(part, 0) / GB:.2f}" for part in parts]
        of = "" if math.isinf(found.device.memory) else f"{found.device.memory / GB:.0f}"
        short = "" if found.fits else " too few"
        row = [name, *sizes, f"{found.memory_per_device / GB:.1f}", of, f"{found.devices}{short}"]
        rows.append([*row, _time(found.hours)])
    print()
    _print_table([list(column) for column in zip(*rows, strict=True)])  # devices side by side
    print(f"\nTimes assume {_shares(plans, mfu)} of the peak. A device gives {USABLE:.0%} of its memory to training.")
    if any(not found.fits for found in plans):
        print("Where devices are too few: accumulate: 2 (or more), remat: full, loss_chunk: 4096, or a larger mesh.")


def _print_study(args: Any) -> None:
    study = load_files(args.study)
    hardware = args.hardware or "a100"
    lines = list(of_study(study, hardware, args.mfu, int(args.tokens) if args.tokens else None))
    if args.json:
        for line in lines:
            print(dumps({**line, "plan": line["plan"] and as_json(line["plan"])}))
        return
    rows = [["model", "parameters", "tokens", "steps", "FLOPs", "devices", "GB each", "time"]]
    total = 0.0
    for line in lines:
        found: Plan | None = line["plan"]
        tokens = f"{line['tokens']:,}" if line["tokens"] else "all"
        row = [line["model"], f"{line['parameters']:,}", tokens]
        if found is None:
            rows.append([*row, *"?????"])
            continue
        total += found.hours * found.devices
        short = "" if found.fits else " too few"
        row += [f"{found.steps:,}", f"{found.flops:.2g}", f"{found.devices}{short}"]
        rows.append([*row, f"{found.memory_per_device / GB:.2f}", _time(found.hours)])
    _print_table(rows)
    print(f"\n{HARDWARE[hardware].label}: about {total:,.3g} device hours", end="")
    print(f", at {(args.mfu or HARDWARE[hardware].mfu):.0%} of the peak")
    if any(line["plan"] is None for line in lines):
        print("?: a mixture without a token budget; give its tokens with --tokens")


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:,.1f} h"


def _shares(plans: list[Plan], mfu: float | None) -> str:
    return " or ".join(dict.fromkeys(f"{mfu or found.device.mfu:.0%}" for found in plans))


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]))


if __name__ == "__main__":
    cli.run(main)
