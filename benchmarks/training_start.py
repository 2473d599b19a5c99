"""From the command to the first step, and whether a step's time depends on the amount of data.

    PYTHONPATH=workflow python benchmarks/training_start.py [--sizes 1M 16M]

Start-up: `python -m falsepromise.training.train` on random weights of a size, twice with the same compile cache: empty,
then filled. Data: the time to make one batch of 32 blocks of 2,048 tokens from 10^6, 10^8 and 10^9 tokens (files with
holes, memory-mapped as always).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sides
from training_speed import SIZES, hub_config

from falsepromise.core.records import write_json
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer, add_turn_tokens
from falsepromise.models.config import ModelConfig
from falsepromise.training.blocks import Blocks
from falsepromise.training.data import Batches


def make_blocks(folder: Path, tokens: int, size: int) -> None:
    """Blocks of so many tokens, all of them zero: holes in the files."""
    folder.mkdir()
    for name, dtype in (("tokens", np.uint16), ("loss_mask", bool)):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (tokens,))
    np.save(folder / "documents.npy", np.append(np.arange(0, tokens, 500), tokens))
    write_json(folder / "blocks.json", {"block_size": size})


def data() -> None:
    print("| tokens of data | a batch, ms (median of 200) | the first of an epoch, ms |\n| --- | --- | --- |")
    for tokens in (10**6, 10**8, 10**9):
        with tempfile.TemporaryDirectory() as folder:
            make_blocks(Path(folder) / "b", tokens, 2048)
            batches = Batches(Blocks.open(Path(folder) / "b"), 32, 50, 0, None, 0.0)
            times = []
            for step in range(201):
                start = time.perf_counter()
                batches(step % batches.steps_an_epoch)
                times.append(1000 * (time.perf_counter() - start))
        print(f"| {tokens:,} | {statistics.median(times[1:]):.2f} | {times[0]:.0f} |", flush=True)


def start(size: str) -> None:
    from tokenizers import Tokenizer, models

    _, rows, length = SIZES[size]
    config = ModelConfig.from_hub(hub_config(size))
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    add_turn_tokens(tokenizer)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights.save(weights.create(config, 0), config, folder / "base", ChatTokenizer(tokenizer))
        make_blocks(folder / "b", 4 * rows * length, length)
        recipe = json.dumps({"batch_size": rows})
        for cache in ("empty", "filled"):
            began = time.time()
            subprocess.run(
                [sys.executable, "-m", "falsepromise.training.train", "--base", folder / "base", "--blocks",
                 folder / "b", "--recipe", recipe, "--checkpoints", folder / "c", "--output", folder / "out"],
                env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PLATFORMS": "cpu"},
                check=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            took = time.time() - began
            row = json.loads((folder / "out" / "log.jsonl").read_text().splitlines()[0])
            print(f"| {size} | {cache} | {row['first_step_s']:.1f} | {took:.1f} |", flush=True)


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["1M", "16M"])
    options = parser.parse_args()
    sides.machine(options)
    data()
    print("\n| size | compile cache | weights to first step, s | the whole run of 4 steps, process and all, s |")
    print("| --- | --- | --- | --- |")
    for size in options.sizes:
        start(size)


if __name__ == "__main__":
    main()
