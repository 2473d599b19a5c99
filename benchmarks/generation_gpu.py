"""Decode speed of a 7B shape on one GPU, beside the memory-bandwidth limit and `transformers`.

    PYTHONPATH=workflow python benchmarks/generation_gpu.py [--batches 1 32 128] [--bandwidth GB_PER_S] [--small]

A decode step reads all weights and every row's cache once, so at small batches bandwidth / bytes is the limit. The
weights are random bfloat16. Each side is a process of its own, one after the other. Both get the same prompts and make
the same number of tokens, with no end token. --bandwidth is the card's own figure (an H100 SXM: 3350); without it a
copy of 4 GB is timed, and the table says so. Without a GPU it says "no GPU found" and ends.

--small is the same with a tiny model on whatever device there is: a rehearsal of the script, no measurement.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import sides

PROMPT, TOKENS = 128, 128
FEWER = 66  # tokens, for which the engine's cache has as many slots


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--bandwidth", type=float, help="GB/s of the card")
    parser.add_argument("--small", action="store_true", help="rehearse with a tiny model")
    parser.add_argument("--side", choices=["engine", "transformers"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    from falsepromise.models.config import ModelConfig

    shape = (32000, 4096, 11008, 32, 32, 32, 128) if not options.small else (512, 64, 128, 2, 4, 4, 16)
    config = ModelConfig("llama", *shape, 2048)
    if options.side:
        (engine if options.side == "engine" else transformers_)(config, options.batches, options.bandwidth)
        return
    kind = sides.gpu(options.small)
    if kind is None:
        return
    # One side's memory is free before the other starts.
    said = {side: answers(side) for side in ("engine", "transformers")}
    bandwidth, how = said["engine"].pop("bandwidth", 0.0), "given" if options.bandwidth else "measured by a copy"
    print(f"{kind}; {bandwidth:.0f} GB/s ({how}); prompts of {PROMPT}, {TOKENS} new tokens\n")
    print("| batch | engine, tokens/s | of the limit | limit, tokens/s | transformers, tokens/s | ratio |")
    print("|" + " --- |" * 6)
    for batch in options.batches:
        limit = batch * bandwidth * 1e9 / step_bytes(config, batch)
        ours, theirs = (said[side].get(str(batch)) for side in said)
        ratio = f"{ours / theirs:.1f}" if ours and theirs else ""
        cells = [f"{x:,.0f}" if x else "not measured" for x in (ours, theirs)]
        share = f"{ours / limit:.0%}" if ours else ""
        print(f"| {batch} | {cells[0]} | {share} | {limit:,.0f} | {cells[1]} | {ratio} |")


def answers(side: str) -> dict[str, float]:
    """What a side printed, tokens a second by batch; also of one that ended in an error."""
    command = [sys.executable, *sys.argv, "--side", side]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    found: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            found |= json.loads(line)
    return found


def step_bytes(config: Any, batch: int) -> float:
    """Bytes that one decode step has to read: the weights but the embedding table, and the cache half-way."""
    weights = config.n_parameters - config.vocab_size * config.hidden_size
    cache = 2 * config.num_layers * config.num_kv_heads * config.head_dim * (PROMPT + TOKENS / 2)
    return 2.0 * (weights + batch * cache)


def decode_rate(run: Callable[[int], object], batch: int, rounds: int = 3) -> float:
    """Tokens a second of decoding alone: by the difference between many tokens and fewer."""
    run(TOKENS), run(FEWER)  # compiling
    best = {}
    for tokens in (FEWER, TOKENS):
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            run(tokens)
            times.append(time.perf_counter() - start)
        best[tokens] = min(times)
    return batch * (TOKENS - FEWER) / (best[TOKENS] - best[FEWER])


def prompts(config: Any, batch: int) -> list[list[int]]:
    import numpy as np

    return np.random.default_rng(0).integers(10, config.vocab_size - 1, (batch, PROMPT)).tolist()


def engine(config: Any, batches: list[int], bandwidth: float | None) -> None:
    """Print ours."""
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from tokenizers import Tokenizer, models

    from falsepromise.generation.engine import Engine, Request
    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer, add_turn_tokens

    print(json.dumps({"bandwidth": bandwidth or copy_bandwidth()}), flush=True)
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    add_turn_tokens(tokenizer)
    graph, abstract = nnx.split(weights.abstract(config))

    @partial(jax.jit, static_argnums=0)
    def random(shape: tuple[int, ...], seed: int) -> jax.Array:
        return 0.02 * jax.random.normal(jax.random.key(seed, impl="rbg"), shape, jnp.bfloat16)

    leaves, form = jax.tree.flatten(abstract)
    made = nnx.merge(graph, form.unflatten([random(leaf.shape, i) for i, leaf in enumerate(leaves)]))
    for batch in batches:
        model = Engine(made, config, ChatTokenizer(tokenizer), batch_size=batch, dtype=jnp.bfloat16)
        model.ends = [-2]
        asked = prompts(config, batch)
        start = time.perf_counter()
        rate = decode_rate(lambda tokens: list(model.generate([Request(p, tokens) for p in asked])), batch)  # noqa: B023
        print(f"engine, {batch} rows: {time.perf_counter() - start:.0f} s in all", file=sys.stderr, flush=True)
        print(json.dumps({batch: rate}), flush=True)


def transformers_(config: Any, batches: list[int], _: float | None) -> None:
    """Print the peer's."""
    try:
        import torch
        import transformers
    except ImportError as error:
        print(f"{error.name} is not installed", file=sys.stderr)
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    hub = transformers.AutoConfig.for_model("llama", **{k: v for k, v in config.to_hub().items() if k != "model_type"})
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(hub, dtype=torch.bfloat16).eval()
    model.generation_config.eos_token_id = None
    for batch in batches:
        ids = torch.tensor(prompts(config, batch), device=device)

        def run(tokens: int) -> None:
            mask = torch.ones_like(ids)  # noqa: B023
            model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=0)  # noqa: B023
            if device == "cuda":
                torch.cuda.synchronize()

        print(json.dumps({batch: decode_rate(run, batch, rounds=1)}), flush=True)


def copy_bandwidth() -> float:
    """GB/s of reading and writing 4 GB on the device."""
    import jax
    import jax.numpy as jnp

    n = 1 << (30 if jax.default_backend() == "gpu" else 22)
    x = jnp.ones(n, jnp.float32)
    add = jax.jit(lambda a: a + 1)
    add(x).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        add(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 8 * n / min(times) / 1e9


if __name__ == "__main__":
    main()
