"""Tokens a second of a full training step: ours beside `transformers` on PyTorch eager, on CPU threads.

    PYTHONPATH=workflow python benchmarks/training_speed.py [--sizes 1M 4M 16M 135M] [--threads 1 2] [--rounds 7]

A step is forward pass, backward pass, clipping and AdamW, in float32, from a NumPy batch to the loss as a number:
the same architecture, batch, sequence length and number of threads on both sides. Two processes take turns within
each round, so that other work on the machine meets both; the ratio is that of the medians. Seconds of CPU time are
measured as well: on a shared machine their ratio is the steadier one. `ours (paper)` is the same step with the
paper's optimizer, which PyTorch does not have. All sides have the settings of malloc that the workflow gives its jobs
(`study.costs.KEEP_FREED`); `--malloc plain` has glibc's own. `--instructions avx2` holds both sides to AVX2
(`instructions.py`); the rate of each side's own matrix product shows whether it took effect. Above a load of 1 only
`--busy` gives a table.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import instructions
import sides

from falsepromise.study.costs import KEEP_FREED

# name -> sizes of a LLaMA, rows, tokens a row
SIZES: dict[str, tuple[dict[str, int], int, int]] = {
    "0.4M": ({"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3, "num_attention_heads": 4}, 4, 288),
    "0.7M": ({"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}, 4, 288),
    "1M": ({"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 3, "num_attention_heads": 4}, 4, 288),
    "4M": ({"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8}, 4, 256),
    "16M": ({"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 4, "num_attention_heads": 8,
             "vocab_size": 8192}, 4, 256),
    "135M": ({"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
              "num_key_value_heads": 3, "vocab_size": 49152}, 2, 256),
}  # fmt: skip


def hub_config(name: str) -> dict[str, object]:
    """The hub's config.json of a size."""
    sizes = SIZES[name][0]
    fixed = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 4096, "rms_norm_eps": 1e-5}
    return {**fixed, "max_position_embeddings": 2048, "tie_word_embeddings": True, **sizes}


def ours(name: str, optimizer: str) -> Callable[[int], None]:
    """A function that runs so many of our training steps."""
    import numpy as np
    from flax import nnx

    from falsepromise.models import weights
    from falsepromise.models.config import ModelConfig
    from falsepromise.training import optimizer as optimizers
    from falsepromise.training.recipe import Recipe
    from falsepromise.training.sharding import make_mesh, place_batch
    from falsepromise.training.train import make_step

    _, rows, length = SIZES[name]
    recipe = Recipe(optimizer=optimizer, batch_size=rows)
    graph, params = nnx.split(weights.create(ModelConfig.from_hub(hub_config(name)), 0), nnx.Param)
    transformation = optimizers.make(recipe, 1000)
    state = {"params": params, "optimizer": transformation.init(params)}
    step, mesh = make_step(graph, recipe, transformation), make_mesh(None)
    tokens = np.random.default_rng(0).integers(0, hub_config(name)["vocab_size"], (rows, length + 1), np.int32)
    batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((rows, length), np.float32)}
    batch |= {key: np.zeros((rows, length), np.int32) for key in ("segments", "positions")}

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, loss = step(state, place_batch(mesh, batch))
        float(loss)

    return run


def peer(name: str, threads: int) -> Callable[[int], None]:
    """A function that runs so many steps of `transformers` on PyTorch eager."""
    import numpy as np
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(threads)
    _, rows, length = SIZES[name]
    hub = {key: value for key, value in hub_config(name).items() if key not in ("model_type", "architectures")}
    model = LlamaForCausalLM(LlamaConfig(**hub, use_cache=False)).float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    tokens = np.random.default_rng(0).integers(0, hub["vocab_size"], (rows, length + 1))

    def run(steps: int) -> None:
        for _ in range(steps):
            inputs, targets = torch.from_numpy(tokens[:, :-1]), torch.from_numpy(tokens[:, 1:])
            logits = model(input_ids=inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        loss.item()

    return run


def product(side: str) -> Callable[[int], None]:
    """A function that makes so many products of two matrices of 1024 x 1024 with a side's library."""
    if side == "peer":
        import torch

        a = torch.ones(1024, 1024)

        def run(times: int) -> None:
            for _ in range(times):
                torch.nn.functional.linear(a, a)

        return run
    import jax
    import jax.numpy as jnp

    multiply, b = jax.jit(lambda x, y: x @ y), jnp.ones((1024, 1024))

    def run_ours(times: int) -> None:
        for _ in range(times):
            multiply(b, b).block_until_ready()

    return run_ours


def serve(side: str, name: str, threads: int, held: str) -> None:
    """Run steps on request: a number a line on standard input, wall and CPU seconds a line back."""
    if held == "avx2" and side != "peer":
        instructions.hold_ynnpack()
    run = product(side) if name == "product" else steps_of(side, name, threads)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        run(int(line))
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


def steps_of(side: str, name: str, threads: int) -> Callable[[int], None]:
    """A side's steps."""
    return peer(name, threads) if side == "peer" else ours(name, "adamw" if side == "ours" else "scaled_adamw")


class Side:
    """A process that runs one side's steps, on cores of its own number of threads."""

    def __init__(self, side: str, name: str, threads: int, malloc: str, held: str):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        environment["JAX_PLATFORMS"] = "cpu"
        if malloc == "kept":
            name_of, value = KEEP_FREED.split("=", 1)
            environment[name_of] = value
        if held == "avx2":
            environment |= instructions.SETTINGS
            environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {instructions.XLA_FLAGS}"
        if threads == 1:
            environment["XLA_FLAGS"] = environment.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
        cores = sorted(os.sched_getaffinity(0))[:threads]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", side, name, str(threads), held],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip

    def steps(self, n: int) -> tuple[float, float]:
        """Wall and CPU seconds of `n` steps."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        wall, cpu = self.process.stdout.readline().split()
        return float(wall), float(cpu)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def products(names: list[str], malloc: str, held: str) -> None:
    """Print the rate of each side's own product of matrices, on one thread."""
    rates = {}
    for side in names:
        process = Side(side, "product", 1, malloc, held)
        process.steps(2)
        rates[side] = 2 * 1024**3 / min(process.steps(1)[1] for _ in range(8)) / 1e9
        process.close()
    print(f"instructions: {held}; a product of matrices, GFLOP in a second of CPU time: ", end="")
    print(", ".join(f"{side} {rate:.0f}" for side, rate in rates.items()) + "\n", flush=True)


def compare(name: str, threads: int, rounds: int, seconds: float, names: list[str], malloc: str, held: str) -> None:
    """Print one row: tokens a second of each side, and the ratios."""
    running = {side: Side(side, name, threads, malloc, held) for side in names}
    wall: dict[str, list[float]] = {side: [] for side in names}
    cpu: dict[str, list[float]] = {side: [] for side in names}
    counts = {}
    for side, process in running.items():
        process.steps(2)  # compiles, allocates
        counts[side] = max(1, round(seconds / process.steps(2)[0] * 2))
    for _ in range(rounds):
        for side, process in running.items():
            spent = process.steps(counts[side])
            wall[side].append(spent[0] / counts[side])
            cpu[side].append(spent[1] / counts[side])
    for process in running.values():
        process.close()
    tokens = SIZES[name][1] * SIZES[name][2]
    cells = [f"{tokens / statistics.median(wall[side]):,.0f}" for side in names]
    if "peer" in names:
        for times in (wall, cpu):
            peers = statistics.median(times["peer"])
            cells += [f"{peers / statistics.median(times[side]):.2f}" for side in names if side != "peer"]
    print(f"| {name} | {SIZES[name][1]} x {SIZES[name][2]} | {threads} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a table."""
    if "--serve" in sys.argv:
        _, _, side, name, threads, held = sys.argv
        serve(side, name, int(threads), held)
        return
    parser = sides.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["1M", "4M", "16M", "135M"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each side in each round, about")
    parser.add_argument("--malloc", choices=("kept", "plain"), default="kept", help="freed memory stays or goes")
    parser.add_argument("--instructions", choices=("all", "avx2"), default="all", help="that both sides may use")
    options = parser.parse_args()
    sides.machine(options)
    names = ["ours", "ours (paper)"]
    if importlib.util.find_spec("torch"):
        names.insert(1, "peer")
    else:
        print("PyTorch is not installed: ours alone (pip install torch)")
    heads = [f"{side}, tokens/s" for side in names]
    if "peer" in names:
        others = [side for side in names if side != "peer"]
        heads += [f"{side} / peer" for side in others] + [f"{side} / peer, CPU time" for side in others]
    print(f"malloc: {options.malloc}\n")
    products([side for side in names if side != "ours (paper)"], options.malloc, options.instructions)
    print("| size | rows x tokens | threads | " + " | ".join(heads) + " |")
    print("| " + " | ".join(["---"] * (3 + len(heads))) + " |")
    for name in options.sizes:
        for threads in options.threads:
            compare(name, threads, options.rounds, options.seconds, names, options.malloc, options.instructions)


if __name__ == "__main__":
    main()
