"""Prefill and decoding of the paper's models compiled for devices that aren't here: memory, exchanges, the least token.

    PYTHONPATH=workflow python benchmarks/generation_compile.py --records FOLDER [--python PYTHON] [--only-table]
    PYTHONPATH=workflow python benchmarks/generation_compile.py --records FOLDER --rooms

Each cell is `generation.compile` in a process of its own (PYTHON has jax[cuda12] and libtpu), its record kept in
FOLDER; a record that is there isn't made again. The table of all records is printed. `--rooms` prints another one: 64
rows of 2,048 tokens, and as many as the engine takes of them there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"llama-7b": ("h100:1", "h100:2", "tpu-v5p:2x2x1"), "llama-13b": ("h100:1", "h100:2", "tpu-v5p:2x2x1")}
CELLS = [(model, target, rows) for model, targets in TARGETS.items() for target in targets for rows in (1, 32, 128)]

ROOMS = [
    ("llama-13b", "h100:1"), ("llama-13b", "h100:2"), ("llama-7b", "h100:1"), ("llama-7b", "a100-40:1"),
    ("gpt2-1.5b", "h100:1"), ("gpt2-1.5b", "rtx-4090:1"),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only-table", action="store_true", help="of the records that are there")
    parser.add_argument("--only", default="", help="cells whose file's name has this in it")
    parser.add_argument("--rooms", action="store_true", help="the rows that the engine takes of 64")
    options = parser.parse_args()
    options.records.mkdir(parents=True, exist_ok=True)
    if options.rooms:
        rooms(options.python, options.records)
        return
    columns = ["model", "devices", "rows", "prefill, GB a device", "decoding, GB a device", "fits",
               "exchanged each token", "least ms a token", "by", "compiled in, s"]  # fmt: skip
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns), flush=True)
    for model, target, rows in CELLS:
        path = options.records / f"{model}-{target.replace(':', '-')}-{rows}.json"
        if not path.exists() and not options.only_table and options.only in path.name:
            command = [options.python, "-m", "falsepromise.generation.compile", "--target", target]
            command += ["--study", str(ROOT / "config/paper.yaml"), "--model", model]
            subprocess.run([*command, "--rows", str(rows), "--output", str(path)], stdout=sys.stderr, check=False)
        if path.exists():
            row(model, target, rows, json.loads(path.read_text()))


def rooms(python: str, records: Path) -> None:
    """Print the table of what 64 long rows take, and those that the engine takes of them."""
    print("| model | devices | tokens a row | 64 rows, GB a device | the engine's rows | reads | GB a device | of |")
    print("|" + " --- |" * 8, flush=True)
    for model, target in ROOMS:
        slots = 1024 if model.startswith("gpt2") else 2048
        base = [python, "-m", "falsepromise.generation.compile", "--study", str(ROOT / "config/paper.yaml")]
        base += ["--model", model, "--target", target, "--prompt", str(slots * 3 // 4), "--slots", str(slots)]
        found = []
        for read in (16, None):
            path = records / f"room-{model}-{target.replace(':', '-')}-{'asked' if read else 'taken'}.json"
            more = ["--rows", "64", "--read", "16"]
            if not read:
                more = ["--rows", str(found[0][0]["engine_rows"]), "--read", str(found[0][0]["engine_reads"])]
            if not path.exists():
                subprocess.run([*base, *more, "--output", str(path)], stdout=sys.stderr, check=False)
            found.append(json.loads(path.read_text()))
        asked, taken = (max(part["peak"] for part in parts) / 1e9 for parts in found)
        rows, reads = found[0][0]["engine_rows"], found[0][0]["engine_reads"]
        memory = found[0][0]["memory"] / 1e9
        cells = [model, target, slots, f"{asked:.1f}", rows, reads, f"{taken:.1f}", f"{memory:.0f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def row(model: str, target: str, rows: int, parts: list[dict]) -> None:  # type: ignore[type-arg]
    """Print a cell: `parts` are the records of prefill and decoding."""
    prefill, decode = ({part["part"]: part for part in parts}[name] for name in ("prefill", "decode"))
    exchanged: Counter[str] = Counter()
    for c in decode["collectives"]:
        exchanged[f"{c['operation']} {c['type']}[{', '.join(map(str, c['shape']))}]"] += c["count"]
    said = ", ".join(f"{count} x {what}" for what, count in exchanged.most_common(2)) or "nothing"
    by = max(("memory", "links"), key=lambda limit: decode[f"{limit}_s"])
    fits = "yes" if prefill["fits"] and decode["fits"] else "decoding only" if decode["fits"] else "no"
    peaks = [f"{part['peak'] / 1e9:.1f}" for part in (prefill, decode)]
    took = f"{prefill['compile_s'] + decode['compile_s']:.0f}"
    least = f"{1e3 * decode[f'{by}_s']:.2f}"
    cells = [model, f"{target} ({decode['mesh']})", rows, *peaks, fits, said, least, by, took]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
