"""Tokens a second of greedy generation: the engine beside `transformers.generate`, same weights and threads.

    PYTHONPATH=workflow python benchmarks/generation_speed.py --model FOLDER [--prompts 16] [--tokens 128]

Prompts of mixed lengths are slices of the model's own vocabulary, from a seed. Both are warmed up with the same
prompts; compiling is timed on its own. Where PyTorch is not installed, the peer's column says so. `--peer-python`
names a Python that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

PEER = """
import json, sys, time, torch, transformers
torch.set_num_threads(int(sys.argv[2]))
work = json.load(sys.stdin)
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
longest = max(map(len, work["prompts"]))
ids = torch.tensor([[0] * (longest - len(p)) + p for p in work["prompts"]])
mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in work["prompts"]])
model.generation_config.eos_token_id = None  # all tokens are produced
options = dict(attention_mask=mask, max_new_tokens=work["tokens"], do_sample=False, pad_token_id=0)
times = []
for _ in range(work["rounds"]):
    start = time.perf_counter()
    out = model.generate(ids, **options)
    times.append(time.perf_counter() - start)
print(json.dumps({"s": min(times), "ids": out[:, longest:].tolist()}))
"""


def main() -> None:
    """Print one table row for each side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python", default=sys.executable)
    options = parser.parse_args()

    import numpy as np

    from falsepromise.generation.engine import Engine, Request

    engine = Engine.load(options.model)
    engine.ends = [-2]  # both sides produce all tokens
    rng = np.random.default_rng(0)
    prompts = [rng.integers(10, 250, rng.integers(8, 120)).tolist() for _ in range(options.prompts)]
    requests = [Request(prompt, options.tokens) for prompt in prompts]
    times, ids = [], {}
    for _ in range(options.rounds + 1):
        start = time.perf_counter()
        ids = {result.index: result.ids for result in engine.generate(requests)}
        times.append(time.perf_counter() - start)
    total = options.prompts * options.tokens
    best = min(times[1:])
    print(f"{options.prompts} prompts x {options.tokens} tokens, {os.cpu_count()} CPUs")
    print(f"engine        {total / best:9.0f} tokens/s; first call {times[0]:.1f} s, compiling included")
    work = json.dumps({"prompts": prompts, "tokens": options.tokens, "rounds": options.rounds})
    command = [options.peer_python, "-c", PEER, options.model, str(os.cpu_count())]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, input=work, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"transformers  not measured: {done.stderr.strip().splitlines()[-1]}")
        return
    peer = json.loads(done.stdout.strip().splitlines()[-1])
    same = sum(a == ids[i] for i, a in enumerate(peer["ids"]))
    print(f"transformers  {total / peer['s']:9.0f} tokens/s; engine is {peer['s'] / best:.2f} times as fast;"
          f" {same} of {options.prompts} outputs equal token for token")  # fmt: skip


if __name__ == "__main__":
    main()
