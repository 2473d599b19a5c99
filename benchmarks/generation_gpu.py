"""Decode speed of a 7B shape on one GPU, beside the memory-bandwidth limit and `transformers`.

    PYTHONPATH=workflow python benchmarks/generation_gpu.py [--batches 1 32 128] [--bandwidth GB_PER_S] [--small]

A decode step reads all weights and every row's cache once, so at small batches bandwidth / bytes is the limit. The
weights are random bfloat16 (speed doesn't depend on their values). Both sides get the same prompts and make the same
number of tokens, with no end token. --bandwidth is the card's own figure (an H100 SXM: 3350); without it a copy of
2 GB is timed, and the table says so. Without a GPU it says "no GPU found" and ends.

--small is the same with a tiny model on whatever device there is: a rehearsal of the script, no measurement.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

PROMPT, TOKENS = 128, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--bandwidth", type=float, help="GB/s of the card")
    parser.add_argument("--small", action="store_true", help="rehearse with a tiny model")
    options = parser.parse_args()

    import jax

    if jax.default_backend() != "gpu" and not options.small:
        print(f"no GPU found (jax sees {jax.devices()[0].platform}); nothing was measured")
        return
    from falsepromise.models.config import ModelConfig

    shape = (32000, 4096, 11008, 32, 32, 32, 128) if not options.small else (512, 64, 128, 2, 4, 4, 16)
    config = ModelConfig("llama", *shape, 2048)
    ours = {batch: engine(config, batch) for batch in options.batches}
    theirs = {batch: transformers_(config, batch) for batch in options.batches}
    bandwidth, how = (options.bandwidth, "given") if options.bandwidth else (copy_bandwidth(), "measured by a copy")
    print(f"{jax.devices()[0].device_kind}; {bandwidth:.0f} GB/s ({how}); prompts of {PROMPT}, {TOKENS} new tokens\n")
    print("| batch | engine, tokens/s | of the limit | limit, tokens/s | transformers, tokens/s | ratio |")
    print("|" + " --- |" * 6)
    for batch in options.batches:
        limit = batch * bandwidth * 1e9 / step_bytes(config, batch)
        peer = theirs[batch]
        said, ratio = (peer, "") if isinstance(peer, str) else (f"{peer:,.0f}", f"{ours[batch] / peer:.1f}")
        print(f"| {batch} | {ours[batch]:,.0f} | {ours[batch] / limit:.0%} | {limit:,.0f} | {said} | {ratio} |")


def step_bytes(config: Any, batch: int) -> float:
    """Bytes that one decode step has to read: the weights but the embedding table, and the cache half-way."""
    weights = config.n_parameters - config.vocab_size * config.hidden_size
    cache = 2 * config.num_layers * config.num_kv_heads * config.head_dim * (PROMPT + TOKENS / 2)
    return 2.0 * (weights + batch * cache)


def decode_rate(run: Callable[[int], object], batch: int) -> float:
    """Tokens a second of decoding alone: the time of many tokens less that of one."""
    run(TOKENS), run(1)  # compiling
    best = {}
    for tokens in (1, TOKENS):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run(tokens)
            times.append(time.perf_counter() - start)
        best[tokens] = min(times)
    return batch * (TOKENS - 1) / (best[TOKENS] - best[1])


def prompts(config: Any, batch: int) -> list[list[int]]:
    import numpy as np

    return np.random.default_rng(0).integers(10, config.vocab_size - 1, (batch, PROMPT)).tolist()


def engine(config: Any, batch: int) -> float:
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from tokenizers import Tokenizer, models

    from falsepromise.generation.engine import Engine, Request
    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer, add_turn_tokens

    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    add_turn_tokens(tokenizer)
    made = nnx.jit(lambda: weights.create(config, 0, param_dtype=jnp.bfloat16))()
    model = Engine(made, config, ChatTokenizer(tokenizer), batch_size=batch, dtype=jnp.bfloat16)
    model.ends = [-2]
    asked = prompts(config, batch)
    rate = decode_rate(lambda tokens: list(model.generate([Request(p, tokens) for p in asked])), batch)
    jax.clear_caches()
    return rate


def transformers_(config: Any, batch: int) -> float | str:
    try:
        import torch
        import transformers
    except ImportError as error:
        return f"not measured: {error.name} is not installed"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    hub = transformers.AutoConfig.for_model("llama", **{k: v for k, v in config.to_hub().items() if k != "model_type"})
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(hub, dtype=torch.bfloat16).eval()
    model.generation_config.eos_token_id = None
    ids = torch.tensor(prompts(config, batch), device=device)
    mask = torch.ones_like(ids)

    def run(tokens: int) -> None:
        model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        if device == "cuda":
            torch.cuda.synchronize()

    return decode_rate(run, batch)


def copy_bandwidth() -> float:
    """GB/s of reading and writing 2 GB on the device."""
    import jax
    import jax.numpy as jnp

    n = 1 << (30 if jax.default_backend() == "gpu" else 24)
    x = jnp.zeros(n, jnp.int8)
    add = jax.jit(lambda a: a + jnp.int8(1))
    add(x).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        add(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * n / min(times) / 1e9


if __name__ == "__main__":
    main()
