"""Full fine-tuning steps of GPT-2 XL and LLaMA-7B on one GPU, beside `transformers` on PyTorch with flash attention.

    PYTHONPATH=workflow python benchmarks/training_gpu.py [--models gpt2-xl llama-7b] [--sides ours peer] [--small]
        [--rows 8] [--recipe JSON] [--peer half,checkpoint] [--steps 10] [--profile]

Random weights, AdamW, bfloat16 computation on both sides; ours is `training.step` as `training.train` runs it. Each
side is a process of its own, one after the other on the same card: the memory of one is free before the other starts.
Printed are tokens a second, MFU, the allocator's peak and, for ours, the peak by the compiler's figures of that very
program and by the planner. MFU's convention: 6 N + 12 L T d operations a token, where N leaves out tables that are only
looked up; attention counts in full, as if not causal; what the backward pass computes again does not count; over the
card's dense bfloat16 peak (989 TFLOP/s for H100 SXM and H200). Ours keeps float32 weights and moments. PyTorch's side
does as its users do: bfloat16 autocast over float32 weights, or (`half`) a bfloat16 model, moments and all;
`checkpoint` computes each layer again. With --profile the kernels of two more steps are listed by their time.

Where a side runs out of memory the table says so. Without a GPU it says "no GPU found" and ends. --small is the
same with tiny models on whatever device there is: a rehearsal of the script, no measurement.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sides

LENGTHS = {"gpt2-xl": 1024, "llama-7b": 2048}
# What fits one card of 141 GB with float32 weights, gradients and moments.
ROWS = {"gpt2-xl": 32, "llama-7b": 4}
RECIPE = {"dtype": "bfloat16", "attention": "auto", "remat": "dots", "layers": "scan", "loss_chunk": 4096,
          "optimizer": "adamw"}  # fmt: skip
PEERS = {"gpt2-xl": "", "llama-7b": "half"}
Side = tuple[Callable[[int], None], Callable[[], dict[str, Any]]]


def config_of(name: str, small: bool) -> Any:
    """The model's config."""
    from falsepromise.models.config import ModelConfig

    gpt2 = {"tie_embeddings": True, "attention_bias": True, "output_bias": True}
    if name == "gpt2-xl":
        sizes = (512, 64, 256, 2, 4, 4, 16, 1024) if small else (50304, 1600, 6400, 48, 25, 25, 64, 1024)
        return ModelConfig("gpt2", *sizes, **gpt2)
    sizes = (512, 64, 128, 2, 4, 4, 16, 2048) if small else (32000, 4096, 11008, 32, 32, 32, 128, 2048)
    return ModelConfig("llama", *sizes)


def length_of(name: str, small: bool) -> int:
    """Tokens of a row."""
    return 64 if small else LENGTHS[name]


def ours(name: str, options: argparse.Namespace) -> Side:
    """A function that runs so many steps, and one that gives the figures of memory."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from falsepromise.study.planning import memory_by_part, mesh_sizes
    from falsepromise.training import optimizer
    from falsepromise.training.compile import STEPS, traced
    from falsepromise.training.recipe import Recipe
    from falsepromise.training.sharding import make_mesh, place_batch
    from falsepromise.training.state import shapes

    config, length, rows = config_of(name, options.small), length_of(name, options.small), options.rows or ROWS[name]
    recipe = Recipe.of({**RECIPE, "batch_size": rows, **json.loads(options.recipe)})
    mesh = make_mesh(None)
    step = traced(config, recipe, length, mesh).lower().compile()
    transformation = optimizer.make(recipe, STEPS)

    abstract = shapes(config, mesh, transformation, recipe.layers == "scan")
    leaves, form = jax.tree.flatten(abstract["params"])

    def state_of() -> dict[str, Any]:
        keys = jax.random.split(jax.random.key(0, impl="rbg"), len(leaves))
        drawn = [0.02 * jax.random.normal(key, x.shape, x.dtype) for key, x in zip(keys, leaves, strict=True)]
        params = form.unflatten(drawn)
        return {"params": params, "optimizer": transformation.init(params)}

    # All at once, so that memory has no holes.
    state = jax.jit(state_of, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, abstract))()
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (rows, length + 1), np.int32)
    batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((rows, length), np.float32)}
    batch |= {key: np.zeros((rows, length), np.int32) for key in ("segments", "positions")}

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, loss = step(state, place_batch(mesh, batch), np.int32(STEPS), np.int32(recipe.warmup(STEPS)))
        assert jnp.isfinite(loss), loss

    def memory() -> dict[str, Any]:
        found = step.memory_analysis()
        held = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
        sizes = mesh_sizes(f"fsdp={mesh.size}")
        planned = memory_by_part(config.shape, recipe.model_dump(), length, sizes, "cuda")
        return {
            "peak": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0),
            "compiled": held + found.temp_size_in_bytes,
            "planned": sum(planned.values()),
        }

    return run, memory


def peer(name: str, options: argparse.Namespace) -> Side:
    """The same of `transformers` on PyTorch."""
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config, length, rows = config_of(name, options.small), length_of(name, options.small), options.rows or ROWS[name]
    hub = {key: value for key, value in config.to_hub().items() if key not in ("model_type", "torch_dtype", "dtype")}
    if config.model_type == "gpt2":
        hub |= dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)  # ours has no dropout
    how = PEERS[name] if options.peer is None else options.peer
    half = "half" in how
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(config.model_type, **{**hub, "use_cache": False}),
            dtype=torch.bfloat16 if half else torch.float32, attn_implementation="sdpa",  # PyTorch's own flash kernel
        )  # fmt: skip
    model.train()
    if "checkpoint" in how:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    tokens = torch.randint(0, config.vocab_size, (rows, length + 1), device=device)

    def run(steps: int) -> None:
        for _ in range(steps):
            with torch.autocast(device, torch.bfloat16, enabled=not half):
                logits = model(input_ids=tokens[:, :-1]).logits
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        loss.item()

    return run, lambda: {"peak": torch.cuda.max_memory_allocated() if device == "cuda" else 0}


def side(which: str, name: str, options: argparse.Namespace) -> None:
    """Measure one side and print it as JSON."""
    try:
        start = time.perf_counter()
        run, memory = (ours if which == "ours" else peer)(name, options)
        run(2)
        first = time.perf_counter() - start
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run(options.steps)
            times.append((time.perf_counter() - start) / options.steps)
        if options.profile and which == "ours":
            kernels(run)
    except ImportError as error:
        print(json.dumps({"missing": f"{error.name} is not installed"}))
    except Exception as error:  # out of memory has many names
        if "memory" not in str(error).lower() and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(str(error)[:600], file=sys.stderr)
        print(json.dumps({"missing": "out of memory"}))
    else:
        print(json.dumps({"s": sorted(times)[1], "times": times, "first_s": first, **memory()}))


def kernels(run: Callable[[int], None], most: int = 24) -> None:
    """Print where the time of two steps goes, by kernel."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with jax.profiler.trace(folder):
            run(2)
        wall = time.perf_counter() - start
        data = jax.profiler.ProfileData.from_file(str(next(Path(folder).rglob("*.xplane.pb"))))
    total: Counter[str] = Counter()
    for plane in data.planes:
        for line in plane.lines if "GPU" in plane.name else ():
            if line.name.startswith("Stream"):
                for event in line.events:
                    total[re.sub(r"_\d+(_\d+)*$", "", event.name)[:90]] += event.duration_ns
    print(f"two steps, {wall:.2f} s with the profiler; kernels {sum(total.values()) / 1e9:.3f} s", file=sys.stderr)
    for name, ns in total.most_common(most):
        print(f"  {ns / 1e6 / 2:8.2f} ms a step  {name}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--sides", nargs="+", choices=["ours", "peer"], default=["peer", "ours"])
    parser.add_argument("--rows", type=int, help="rows of a step; default: what fits a card of 141 GB")
    parser.add_argument("--recipe", default="{}", help="JSON: what ours does differently")
    parser.add_argument("--peer", metavar="half,checkpoint", help="what the peer does: either, both or ''")
    parser.add_argument("--steps", type=int, default=10, help="of each of three rounds")
    parser.add_argument("--profile", action="store_true", help="list ours' kernels by their time")
    parser.add_argument("--small", action="store_true", help="rehearse with tiny models")
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(*options.side, options)
        return
    kind = sides.gpu(options.small)
    if kind is None:
        return
    from falsepromise.study.planning import peak_of
    from falsepromise.training.sharding import use_gpu_memory

    use_gpu_memory()
    peak = peak_of(kind, "bfloat16")
    print(f"{kind}{'; a rehearsal with tiny models, no measurement' * options.small}")
    print("| model | side | rows x tokens | how | tokens/s | MFU | peak, GB | compiled, GB | planned, GB | "
          "ours / peer | start to second step, s |\n|" + " --- |" * 11, flush=True)  # fmt: skip
    for name in options.models:
        length, rates = length_of(name, options.small), {}
        for which in options.sides:
            words = [sys.executable, *sys.argv, "--side", which, name]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
            got = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"missing": "ended in an error"}
            rows = options.rows or ROWS[name]
            ours_ = {**RECIPE, **json.loads(options.recipe)}
            peer_ = PEERS[name] if options.peer is None else options.peer
            how = f"remat {ours_['remat']}, attention {ours_['attention']}" if which == "ours" else peer_ or "autocast"
            begin = f"| {name} | {which} | {rows} x {length} | {how} |"
            if "missing" in got:
                print(f"{begin} {got['missing']} | | | | | | |", flush=True)
                continue
            rates[which] = rows * length / got["s"]
            flops = config_of(name, options.small).shape.flops_per_token(length)
            mfu = f"{rates[which] * flops / peak:.1%}" if peak else "unknown peak"
            figures = ("peak", "compiled", "planned")
            memory = " | ".join(f"{got[key] / 1e9:.1f}" if key in got else "" for key in figures)
            ratio = f"{rates['ours'] / rates['peer']:.2f}" if len(rates) == 2 else ""
            print(f"{begin} {rates[which]:,.0f} | {mfu} | {memory} | {ratio} | {got['first_s']:.0f} |", flush=True)
            print("rounds, s a step:", *(f"{t:.4f}" for t in got["times"]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
