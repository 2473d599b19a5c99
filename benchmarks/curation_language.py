"""Language decisions: langdetect called one by one, against ours in one process and in two.

    python benchmarks/curation_language.py DIALOGUES.jsonl [--limit N]

Decides `en` for the whole text of every dialogue in each way, in one run on one machine, and compares
every decision. Prints a table (Markdown); the exit code is 1 if a decision differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from falsepromise.core.records import check_dialogue, read_jsonl
from falsepromise.curation.clean import text_of
from falsepromise.curation.language import Detector, decisions


def one_by_one(texts: list[str]) -> list[bool | None]:
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = 0
    found: list[bool | None] = []
    for text in texts:
        try:
            found.append(detect(text) == "en")
        except LangDetectException:
            found.append(None)
    return found


def cpu() -> float:
    """CPU seconds of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogues", type=Path)
    parser.add_argument("--limit", type=int, help="take only the first N")
    args = parser.parse_args()
    texts = [text_of(record) for record in islice(read_jsonl(args.dialogues, check_dialogue), args.limit)]
    detector = Detector()
    ways = {
        "langdetect, one by one": lambda: one_by_one(texts),
        "ours, one process": lambda: [detector.is_language(text, "en") for text in texts],
        "ours, two processes (with their start)": lambda: list(decisions(iter(texts), "en", 0.0, workers=2)),
    }
    print(f"{len(texts):,} dialogues, {sum(map(len, texts)):,} characters\n")
    print("| way | wall s | CPU s | CPU ms a dialogue | decisions that differ |\n| --- | --- | --- | --- | --- |")
    reference: list[bool | None] | None = None
    differing = 0
    for name, way in ways.items():
        wall, busy = time.perf_counter(), cpu()
        found = way()
        wall, busy = time.perf_counter() - wall, cpu() - busy
        reference = reference or found
        wrong = sum(a is not b for a, b in zip(found, reference, strict=True))
        differing += wrong
        print(f"| {name} | {wall:.1f} | {busy:.1f} | {1000 * busy / len(texts):.2f} | {wrong} |", flush=True)
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
