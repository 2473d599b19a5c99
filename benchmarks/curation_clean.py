"""From the raw ShareGPT file to clean dialogues: seconds and memory, at one and at four times the data.

    python benchmarks/curation_clean.py ShareGPT_V3_unfiltered_cleaned_split.json

Four times the data is the file's whole records four times over with other ids and with a word put
before each query, so that nothing is dropped as seen before. Prints a table (Markdown).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

import sides  # noqa: E402

from falsepromise.curation.jsonstream import records  # noqa: E402


def multiplied(raw: Path, output: Path, times: int) -> None:
    """The records of `raw`, `times` times over, as JSON lines."""
    with open(output, "w", encoding="utf-8") as stream:
        for copy in range(times):
            for record in records(raw, ("conversations",), lambda *_: None):
                turns = [
                    {**turn, "value": f"({copy}) {turn['value']}"} if turn["from"] == "human" else turn
                    for turn in record["conversations"]
                ]
                stream.write(json.dumps({"id": f"c{copy}{record['id']}", "conversations": turns}) + "\n")


def measured(module: str, *options: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and the peak memory (GB) of a verb's largest process."""
    command = [sys.executable, "-m", f"falsepromise.curation.{module}", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()
    sides.machine(args)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("| data | verb | wall s | CPU s | peak memory of a process, GB |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for times in args.times:
            raw = args.raw
            if times > 1:
                raw = folder / "raw.jsonl"
                multiplied(args.raw, raw, times)
            size = f"{times} x ({raw.stat().st_size / 1e6:.0f} MB)"
            paths = [str(folder / file) for file in ("read.jsonl", "read.csv", "clean.jsonl", "clean.csv")]
            for module, options in (
                ("sharegpt", ("--input", str(raw), "--output", paths[0], "--funnel", paths[1])),
                ("clean", ("--input", paths[0], "--output", paths[2], "--funnel", paths[3], "--workers", "2")),
            ):
                wall, cpu, memory = measured(module, *options)
                print(f"| {size} | {module} | {wall:.1f} | {cpu:.1f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
