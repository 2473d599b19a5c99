"""Full fine-tuning steps of GPT-2 XL and LLaMA-7B on one GPU, beside `transformers` on PyTorch with flash attention.

    PYTHONPATH=workflow python benchmarks/training_gpu.py [--models gpt2-xl llama-7b] [--rows 8] [--steps 10] [--small]

Random weights (speed doesn't depend on their values), AdamW, bfloat16 computation on both sides. Each side is a process
of its own, one after the other on the same card: the memory of one is free before the other starts. Printed are tokens
a second, MFU and the allocator's peak. MFU's convention: 6 N + 12 L T d operations a token, where N leaves out tables
that are only looked up; attention counts in full, as if not causal; what the backward pass computes again does not
count; over the card's dense bfloat16 peak (989 TFLOP/s for H100 SXM and H200). Ours keeps float32 weights and moments;
PyTorch's side does as its users do: bfloat16 autocast over float32 weights where they fit, else a bfloat16 model.

Where a side runs out of memory the table says so. Without a GPU it says "no GPU found" and ends. --small is the
same with tiny models on whatever device there is: a rehearsal of the script, no measurement.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

LENGTHS = {"gpt2-xl": 1024, "llama-7b": 2048}
RECIPE = {"dtype": "bfloat16", "attention": "cudnn", "remat": "dots", "loss_chunk": 4096, "optimizer": "adamw"}


def config_of(name: str, small: bool) -> Any:
    """The model's config and the tokens of a row."""
    from falsepromise.models.config import ModelConfig

    gpt2 = {"tie_embeddings": True, "attention_bias": True, "output_bias": True}
    if name == "gpt2-xl":
        sizes = (512, 64, 256, 2, 4, 4, 16, 1024) if small else (50304, 1600, 6400, 48, 25, 25, 64, 1024)
        return ModelConfig("gpt2", *sizes, **gpt2)
    sizes = (512, 64, 128, 2, 4, 4, 16, 2048) if small else (32000, 4096, 11008, 32, 32, 32, 128, 2048)
    return ModelConfig("llama", *sizes)


def ours(name: str, rows: int, small: bool) -> tuple[Callable[[int], None], Callable[[], int]]:
    """A function that runs so many steps, and one that gives the peak of memory."""
    import jax
    import numpy as np
    from flax import nnx

    from falsepromise.models import weights
    from falsepromise.training import optimizer
    from falsepromise.training.recipe import Recipe
    from falsepromise.training.sharding import make_mesh, place_batch
    from falsepromise.training.train import make_step

    config, length = config_of(name, small), 64 if small else LENGTHS[name]
    on_gpu = jax.default_backend() == "gpu"
    recipe = Recipe.of({**RECIPE, "batch_size": rows, **({} if on_gpu else {"attention": "xla"})})
    transformation = optimizer.make(recipe, 1000)

    def state_of() -> dict[str, Any]:
        params = nnx.state(weights.create(config, 0), nnx.Param)
        return {"params": params, "optimizer": transformation.init(params)}

    graph = nnx.split(nnx.eval_shape(lambda: weights.create(config, 0)), nnx.Param)[0]
    state = jax.jit(state_of)()
    step, mesh = make_step(graph, recipe, transformation), make_mesh(None)
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (rows, length + 1), np.int32)
    batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((rows, length), np.float32)}
    batch |= {key: np.zeros((rows, length), np.int32) for key in ("segments", "positions")}

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, loss = step(state, place_batch(mesh, batch))
        float(loss)

    return run, lambda: (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def peer(name: str, rows: int, small: bool) -> tuple[Callable[[int], None], Callable[[], int]]:
    """The same of `transformers` on PyTorch."""
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config, length = config_of(name, small), 64 if small else LENGTHS[name]
    hub = {key: value for key, value in config.to_hub().items() if key not in ("model_type", "torch_dtype")}
    half = name == "llama-7b"  # float32 weights, gradients and moments of 7B are 108 GB
    attention = "flash_attention_2" if _has_flash() else "sdpa"  # sdpa takes PyTorch's own flash kernel
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(config.model_type, **{**hub, "use_cache": False}),
            dtype=torch.bfloat16 if half else torch.float32, attn_implementation=attention,
        )  # fmt: skip
    model.train()
    if half:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
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

    return run, torch.cuda.max_memory_allocated if device == "cuda" else lambda: 0


def _has_flash() -> bool:
    import importlib.util

    return importlib.util.find_spec("flash_attn") is not None


def side(which: str, name: str, rows: int, steps: int, small: bool) -> None:
    """Measure one side and print it as JSON."""
    try:
        run, peak = (ours if which == "ours" else peer)(name, rows, small)
        start = time.perf_counter()
        run(2)
        first = time.perf_counter() - start
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run(steps)
            times.append((time.perf_counter() - start) / steps)
    except ImportError as error:
        print(json.dumps({"missing": f"{error.name} is not installed"}))
    except Exception as error:  # out of memory has many names
        if "memory" not in str(error).lower() and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(json.dumps({"missing": "out of memory"}))
    else:
        print(json.dumps({"s": sorted(times)[1], "first_s": first, "peak": peak()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--rows", type=int, default=8, help="rows of a step")
    parser.add_argument("--steps", type=int, default=10, help="of each of three rounds")
    parser.add_argument("--small", action="store_true", help="rehearse with tiny models")
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(*options.side, options.rows, options.steps, options.small)
        return
    probe = "import jax; d = jax.devices()[0]; print(d.platform, d.device_kind, sep='\\t')"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    platform, kind = found.stdout.strip().split("\t")
    if platform not in ("gpu", "cuda") and not options.small:
        print(f"no GPU found (jax sees {platform}); nothing was measured")
        return
    from falsepromise.study.planning import peak_of

    peak = peak_of(kind, "bfloat16")
    print(f"{kind}; {options.rows} rows a step" + "; a rehearsal with tiny models, no measurement" * options.small)
    print("| model | side | tokens/s | MFU | peak memory, GB | ours / peer | start to second step, s |")
    print("|" + " --- |" * 7)
    for name in options.models:
        length = 64 if options.small else LENGTHS[name]
        rates = {}
        for which in ("peer", "ours"):
            words = [sys.executable, *sys.argv, "--side", which, name]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            got = json.loads(done.stdout.splitlines()[-1])
            if "missing" in got:
                print(f"| {name} | {which} | {got['missing']} | | | | |")
                continue
            rates[which] = options.rows * length / got["s"]
            flops = config_of(name, options.small).shape.flops_per_token(length)
            mfu = f"{rates[which] * flops / peak:.1%}" if peak else "unknown peak"
            ratio = f"{rates['ours'] / rates['peer']:.2f}" if len(rates) == 2 else ""
            memory = f"{got['peak'] / 1e9:.1f}"
            print(f"| {name} | {which} | {rates[which]:,.0f} | {mfu} | {memory} | {ratio} | {got['first_s']:.0f} |")


if __name__ == "__main__":
    main()
