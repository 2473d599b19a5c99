"""The planner's memory beside a real run's: what XLA reserves for the step, and what the process takes at its peak.

    PYTHONPATH=workflow python benchmarks/training_memory.py [--sizes 4M 16M 135M]

On a CPU a device's memory is the process's own: the peak of its anonymous memory over three steps, less what it had
before the model was made. On a GPU it is the allocator's peak. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import sides
from training_speed import SIZES, hub_config

RECIPES: dict[str, dict[str, object]] = {
    "plain": {},
    "accumulate 2": {"accumulate": 2},
    "remat full, loss_chunk 128": {"remat": "full", "loss_chunk": 128},
}


def anonymous() -> int:
    """Bytes that this process has made, without the pages of files that it maps."""
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def measure(size: str, change: str) -> None:
    """Print a row."""
    import jax
    import numpy as np
    from flax import nnx

    from falsepromise.models import weights
    from falsepromise.models.config import ModelConfig
    from falsepromise.study.planning import memory_by_part
    from falsepromise.training import optimizer
    from falsepromise.training.recipe import Recipe
    from falsepromise.training.sharding import make_mesh, place_batch
    from falsepromise.training.train import make_step

    _, rows, length = SIZES[size]
    recipe = Recipe(batch_size=rows, **RECIPES[change])  # type: ignore[arg-type]
    config = ModelConfig.from_hub(hub_config(size))
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (rows, length + 1), np.int32)
    batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((rows, length), np.float32)}
    batch |= {key: np.zeros((rows, length), np.int32) for key in ("segments", "positions")}
    mesh, transformation = make_mesh("data=1"), optimizer.make(recipe, 1000)

    def state_of() -> tuple[nnx.GraphDef, dict[str, object]]:
        graph, params = nnx.split(weights.create(config, 0), nnx.Param)
        return graph, {"params": params, "optimizer": transformation.init(params)}

    graph, shapes = nnx.split(nnx.eval_shape(lambda: weights.create(config, 0)), nnx.Param)
    abstract = {"params": shapes, "optimizer": jax.eval_shape(transformation.init, shapes)}
    step = make_step(graph, recipe, transformation).lower(abstract, place_batch(mesh, batch)).compile()
    found = step.memory_analysis()
    reserved = found.argument_size_in_bytes + found.temp_size_in_bytes

    before, over, peak = anonymous(), threading.Event(), 0

    def watch() -> None:
        nonlocal peak
        while not over.is_set():
            peak = max(peak, anonymous())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, state = state_of()
    for _ in range(3):
        state, loss = step(state, place_batch(mesh, batch))
        float(loss)
    over.set()
    watcher.join()
    if jax.default_backend() == "gpu":
        before, peak = 0, jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    planned = sum(memory_by_part(config.shape, recipe.model_dump(), length, {}, "cpu").values())
    taken = peak - before
    cells = [f"{n / 1e6:,.0f}" for n in (planned, reserved, taken)]
    print(f"| {size}, {rows} x {length} | {change} | " + " | ".join(cells) + f" | {planned / taken:.2f} |", flush=True)


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["4M", "16M", "135M"])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(*options.one)
        return
    sides.machine(options)
    print("| size, rows x tokens | recipe | planned, MB | XLA reserves, MB | peak of the run, MB | planned / peak |")
    print("|" + " --- |" * 6, flush=True)
    for size in options.sizes:
        for change in RECIPES:
            subprocess.run([sys.executable, __file__, "--one", size, change], check=True)


if __name__ == "__main__":
    main()
