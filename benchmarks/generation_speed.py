"""Tokens a second of greedy generation: the engine beside `transformers.generate` and llama.cpp.

    PYTHONPATH=workflow python benchmarks/generation_speed.py --model FOLDER [--gguf FILE] [--prompts 16] [--tokens 128]

Prompts of mixed lengths are slices of the model's own vocabulary, from a seed; all sides produce all tokens.
The engine and transformers (PyTorch) compute in float32 with the same weights, and their outputs are compared token
by token; transformers gets all prompts as one padded batch. llama.cpp (xllamacpp, continuous batching) reads its own
file, mostly quantised: its row says what is to be had, not the same computation. What isn't installed is said.
"""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import sides


def main() -> None:
    parser = sides.options(__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--gguf", help="the model for llama.cpp")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    prompts = [rng.integers(10, 250, rng.integers(8, 120)).tolist() for _ in range(options.prompts)]
    make = {"engine": engine, "transformers": transformers_, "llama.cpp": llama}
    if options.side:
        sides.serve(lambda: make[options.side](options, prompts))
        return
    found = sides.compare(["engine", "transformers", *(["llama.cpp"] if options.gguf else [])], options)
    rows, ours = [], found["engine"]
    for name, side in found.items():
        if side.missing:
            rows.append({"side": name, "tokens/s": f"not measured: {side.missing}"})
            continue
        total = options.prompts * options.tokens
        same = sum(a == b for a, b in zip(side.result, ours.result, strict=True))
        rows.append({
            "side": name if name != "llama.cpp" else f"llama.cpp, {Path(options.gguf).name}",
            "prompts x tokens": f"{options.prompts} x {options.tokens}",
            "tokens/s": f"{total / side.s:.0f}", "times as long": f"{side.s / ours.s:.1f}",
            "tokens a CPU s": f"{total / side.cpu_s:.0f}", "times the CPU": f"{side.cpu_s / ours.cpu_s:.1f}",
            "equal outputs": f"{same} of {options.prompts}", "warm-up, CPU s": f"{side.first_cpu:.1f}",
        })  # fmt: skip
    sides.table(rows)


def engine(options: Any, prompts: list[list[int]]):  # type: ignore[no-untyped-def]
    from falsepromise.generation.engine import Engine, Request

    model = Engine.load(options.model)
    model.ends = [-2]  # all tokens are produced
    requests = [Request(prompt, options.tokens) for prompt in prompts]

    def work() -> list[list[int]]:
        results = {result.index: result.ids for result in model.generate(requests)}
        return [results[index] for index in range(len(prompts))]

    return work, work


def transformers_(options: Any, prompts: list[list[int]]):  # type: ignore[no-untyped-def]
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None  # all tokens are produced
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])

    def work(tokens: int = options.tokens) -> list[list[int]]:
        made = model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        return made[:, longest:].tolist()

    return (lambda: work(4)), work  # PyTorch has nothing to compile


def llama(options: Any, prompts: list[list[int]]):  # type: ignore[no-untyped-def]
    import xllamacpp

    slots = min(len(prompts), 64)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.gguf
    parameters.n_parallel, parameters.n_ctx = slots, slots * 512
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = options.threads
    server = xllamacpp.Server(parameters)

    def one(prompt: list[int], tokens: int) -> list[int]:
        asked = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "return_tokens": True,
                 "cache_prompt": False}  # fmt: skip
        reply = server.handle_completions(asked)
        reply = json.loads(reply) if isinstance(reply, str | bytes) else reply
        reply = reply[0] if isinstance(reply, list) else reply
        return reply.get("tokens", [])

    def work(tokens: int = options.tokens) -> list[list[int]]:
        with ThreadPoolExecutor(slots) as pool:
            return list(pool.map(one, prompts, itertools.repeat(tokens)))

    return (lambda: work(2)), work


if __name__ == "__main__":
    main()
