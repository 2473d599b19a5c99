"""Compile prefill and decoding without a model's weights, for devices that need not be there.

  python -m falsepromise.generation.compile --study config/paper.yaml --model llama-13b --target h100:2 --rows 32

As `training.compile`, of which it has the targets; weights and cache are in the computation's type.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import write_json
from falsepromise.generation import steps
from falsepromise.generation.engine import CHUNK_ACCELERATOR, PREFILL_ROWS, PREFILL_ROWS_ACCELERATOR
from falsepromise.generation.padding import power_of_two
from falsepromise.generation.placing import decoding_sharding, default_mesh, placed
from falsepromise.generation.room import Room
from falsepromise.generation.sampling import Sampling
from falsepromise.models import weights
from falsepromise.models.config import ModelConfig
from falsepromise.models.parallel import name
from falsepromise.study.expand import load_files
from falsepromise.study.planning import USABLE, cpu_room
from falsepromise.training.compile import GB, configs, parser_of, shape_of, sliced
from falsepromise.training.program import collectives, memory_of
from falsepromise.training.sharding import check_mesh
from falsepromise.training.targets import Target


def decoding(
    config: ModelConfig, mesh: Mesh, *, rows: int, prompt: int, slots: int, dtype: Any = jnp.float32, read: int = 0
) -> dict[str, jax.stages.Lowered]:
    """The engine's prefill and its greedy decoding, to be compiled: shapes only.

    Args:
        rows: Of the batch.
        read: Of a prefill; 0: as many.
        prompt: Tokens of each prompt.
        slots: Tokens that each row has room for.
        dtype: Of weights, cache and computation.
    """
    check_mesh(config, mesh.shape)
    graph, state = nnx.split(nnx.eval_shape(lambda: weights.create(config, 0, dtype)))
    state = jax.tree_util.tree_map_with_path(
        lambda path, x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=decoding_sharding(mesh, name(path), x.shape)),
        state,
    )
    batch = jax.eval_shape(partial(steps.empty, graph, rows=rows, length=slots, dtype=dtype), state)
    batch = jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), batch, placed(mesh, batch)
    )

    def each(kind: Any, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, kind)

    i, f, u = jnp.int32, jnp.float32, jnp.uint32
    read = read or rows
    sampling = Sampling(each(f, read), each(f, read), each(i, read), each(u, read))
    lengths = each(i, read)
    return {
        "prefill": steps.prefill.lower(
            graph, state, batch, each(i, read, prompt), lengths, lengths, lengths, sampling, None, each(i), dtype
        ),
        "decode": steps.decode.lower(
            graph, state, batch, each(i, 1), each(i), each(bool, rows), CHUNK_ACCELERATOR, "greedy", False, dtype
        ),
    }


def rows_that_fit(part: str, config: ModelConfig, mesh: Mesh, room: float, **options: Any) -> int:
    """The most rows with which a part fits into `room` bytes, halved until the compiler agrees; 0 if not one does.

    Args:
        options: As `decoding`'s.
    """
    share = mesh.shape["data"] * mesh.shape["fsdp"]
    rows = options["rows"] // 2 // share * share
    while rows:
        if memory_of(decoding(config, mesh, **options | {"rows": rows})[part].compile())["peak"] <= room:
            return rows
        rows = rows // 2 // share * share
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Compile and print."""
    parser = parser_of(__doc__, "tensor over all devices as far as it divides the model, data over the rest")
    parser.add_argument("--rows", type=int, default=32, help="rows of the batch")
    parser.add_argument("--read", type=int, default=0, help="prompts that are read together; default: as many")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of each prompt")
    parser.add_argument("--slots", type=int, default=1024, help="tokens of prompt and output together")
    args = parser.parse_args(argv)
    if not 0 < args.prompt <= args.slots or args.rows < 1 or not 0 <= args.read <= args.rows:
        said = f"--rows {args.rows} --read {args.read} --prompt {args.prompt} --slots {args.slots}"
        raise UserError(f"{said}: expected at least a row, no more prompts than rows, and prompts within their slots")
    target = Target.of(args.target)
    target.prepare()
    dtype = jnp.float32 if target.platform == "cpu" else jnp.bfloat16
    if args.shape:
        models = {"shape": sliced(shape_of(args.shape), args.layers)}
    else:
        models = configs(args, load_files(args.study))
    records = []
    for model, config in models.items():
        if config.model_type == "gpt2" and args.slots > config.max_positions:
            raise UserError(f"--slots {args.slots}: {model} has {config.max_positions} positions")
        setting = args.mesh or default_mesh(config, target.count)
        mesh, room = target.mesh(setting), USABLE * target.device.memory
        options = {"rows": args.rows, "prompt": args.prompt, "slots": args.slots, "dtype": dtype, "read": args.read}
        held = config.n_parameters * jnp.dtype(dtype).itemsize / mesh.shape["tensor"]
        free = cpu_room(held) if target.platform == "cpu" else room - held
        most = Room.of(config, dtype, mesh, target.platform, free).batch(
            power_of_two(args.rows, 1), args.slots, PREFILL_ROWS.get(target.platform, PREFILL_ROWS_ACCELERATOR),
            args.prompt, 0,
        )  # fmt: skip
        print(f"{model} on {target.name} ({setting}): the engine decodes {most[0]} rows together and reads {most[1]}")
        parts = decoding(config, mesh, **options)
        for part, lowered in parts.items():
            begun = time.monotonic()
            done = lowered.compile()
            memory = memory_of(done)
            found = collectives(done.as_text() or "")
            link = target.link
            # Each token reads all weights and the cache; a loop of unknown length counts one round.
            seconds = {
                "memory": memory["arguments"] / link.memory,
                "links": sum(c.sent * c.count for c in found) / link.near,
            }
            records.append({
                "model": model, "part": part, "target": target.name, "mesh": setting, "rows": args.rows,
                "engine_rows": most[0], "engine_reads": most[1], **memory,
                "memory": target.device.memory if math.isfinite(target.device.memory) else None,
                "fits": memory["peak"] <= room, "compile_s": round(time.monotonic() - begun, 1),
                "collectives": [asdict(c) for c in found], **{f"{k}_s": v for k, v in seconds.items()},
            })  # fmt: skip
            print(f"{model}, {part} of {args.rows} rows, on {target.name} ({setting})")
            print(f"  GB a device     peak {memory['peak'] / GB:.2f}, arguments {memory['arguments'] / GB:.2f}", end="")
            if records[-1]["fits"]:
                print()
            else:
                fewer = records[-1]["rows_that_fit"] = rows_that_fit(part, config, mesh, room, **options)
                hint = f"--rows {fewer} fits" if fewer else "not one row fits: take more devices on tensor"
                print(f"; does not fit in {USABLE:.0%} of {target.device.memory / GB:.0f}: {hint}")
            for c in found[:8]:
                shape = ", ".join(map(str, c.shape))
                print(f"  {c.count:>6} x {c.operation} {c.type}[{shape}] over {c.group}")
            if part == "decode":
                print(f"  at least {max(seconds.values()) * 1e3:.3g} ms a token of each row", end="")
                print(f" (memory {seconds['memory'] * 1e3:.3g} ms, links {seconds['links'] * 1e3:.3g} ms)")
    if args.output:
        write_json(args.output, records)


if __name__ == "__main__":
    cli.run(main)
