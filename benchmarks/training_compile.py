"""The paper's models compiled for devices that aren't here: memory beside the planner's, exchanges, the least step.

    PYTHONPATH=workflow python benchmarks/training_compile.py --records FOLDER [--python PYTHON] [--only-table]

Each cell is `training.compile` of `config/paper.yaml` in a process of its own (PYTHON has jax[cuda12] and libtpu), its
record kept in FOLDER; a record that is there isn't made again. The table of all records is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CELLS = [
    ("gpt2-1.5b", "a100:1", "{}"),
    ("gpt2-1.5b", "h100:1", "{}"),
    ("gpt2-1.5b", "tpu-v4:2x2x1", "{}"),
    ("gpt2-1.5b", "a100-40:2", "{}"),
    ("llama-7b", "a100:4", "{}"),
    ("llama-7b", "h100:4", "{}"),
    ("llama-7b", "tpu-v5p:2x2x1", "{}"),
    ("llama-7b", "tpu-v4:2x2x2", "{}"),
    ("llama-7b", "a100-40:8", "{}"),
    ("llama-13b", "a100:8", "{}"),
    ("llama-13b", "h100:8", "{}"),
    ("llama-7b", "h200:2", "{}"),
    ("llama-13b", "h200:4", "{}"),
    ("llama-13b", "tpu-v5p:2x2x1", "{}"),
    ("llama-13b", "tpu-v5p:2x2x2", "{}"),
    ("llama-13b", "tpu-v4:2x2x4", "{}"),
    ("llama-13b", "a100-40:16", "{}"),
    ("llama-13b", "a100-40:8", '{"remat": "full", "accumulate": 4}'),
]


def name(model: str, target: str, change: str) -> str:
    """A cell's file."""
    return f"{model}-{target.replace(':', '-')}{'-changed' if change != '{}' else ''}.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only-table", action="store_true", help="of the records that are there")
    parser.add_argument("--only", help="cells whose name has this in it")
    options = parser.parse_args()
    options.records.mkdir(parents=True, exist_ok=True)
    for model, target, change in CELLS:
        path = options.records / name(model, target, change)
        if path.exists() or options.only_table or (options.only and options.only not in path.name):
            continue
        command = [options.python, "-m", "falsepromise.training.compile", "--study", str(ROOT / "config/paper.yaml")]
        command += ["--model", model, "--target", target, "--recipe", change, "--output", str(path)]
        print(*command[2:], file=sys.stderr, flush=True)
        subprocess.run(command, check=False)
    table(options.records)


def table(records: Path) -> None:
    """Print what the records say, each beside what the planner says now."""
    from falsepromise.study.planning import Shape, memory_by_part, mesh_sizes
    from falsepromise.training.compile import bound
    from falsepromise.training.targets import Target

    print("| model | devices | recipe changed | peak, GB a device | planned, GB | planned / peak | fits | "
          "exchanged, GB a step | least step, s | by | MFU at most | compiled in, s |")  # fmt: skip
    print("|" + " --- |" * 12)
    for model, target, change in CELLS:
        path = records / name(model, target, change)
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        memory, devices, shape = record["memory"], Target.of(target), Shape(**record["shape"])
        platform, limits = devices.platform, bound(record, devices, shape)
        parts = memory_by_part(shape, record["recipe"], record["block_size"], mesh_sizes(record["mesh"]), platform)
        planned = sum(parts.values())
        sent = sum(c["bytes"] for c in record["collectives"]) / 1e9
        print(
            f"| {model} | {target} ({record['mesh']}) | {change.strip('{}')} | {memory['peak'] / 1e9:.1f} | "
            f"{planned / 1e9:.1f} | {planned / memory['peak']:.2f} | {'yes' if memory['fits'] else 'no'} | "
            f"{sent:.0f} | {limits['step_s']:.2f} | {limits['by']} | {limits['mfu']:.0%} | {record['compile_s']:.0f} |"
        )


if __name__ == "__main__":
    main()
