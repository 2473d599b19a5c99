"""Precision and recall of the rule that finds coding prompts, on hand-labelled ShareGPT queries.

    python benchmarks/curation_coding.py CLEAN.jsonl

CLEAN.jsonl is what `curation.sharegpt` and `curation.clean` make of the ShareGPT file. The labels (ids
alone: the dialogues carry no licence) are in `curation_coding_labels.csv`: the rule was made while
looking at the sample `tuning`; `test` was drawn and labelled afterwards. Prints a table (Markdown).
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from falsepromise.core.records import check_dialogue, query_of, read_jsonl
from falsepromise.curation.annotate import wilson
from falsepromise.curation.coding import is_coding

LABELS = Path(__file__).with_name("curation_coding_labels.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogues", type=Path)
    args = parser.parse_args()
    with open(LABELS, newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = {(row["sample"], row["id"]): row["coding"] == "1" for row in rows}
    wanted = {name for _, name in labels}
    found: dict[str, tuple[bool, bool]] = {}
    for record in read_jsonl(args.dialogues, check_dialogue):
        if record["id"] in wanted:
            reply = next(m["content"] for m in record["messages"] if m["role"] == "assistant")
            query = query_of(record)
            found[record["id"]] = is_coding(query), is_coding(query, reply)
    print("| sample | looked at | n | coding | precision | recall |\n| --- | --- | --- | --- | --- | --- |")
    for sample in ("tuning", "test"):
        for index, looked_at in enumerate(("query", "query and reply")):
            pairs = [
                (found[name][index], truth) for (s, name), truth in labels.items() if s == sample and name in found
            ]
            hits = sum(said and truth for said, truth in pairs)
            said, true = sum(said for said, _ in pairs), sum(truth for _, truth in pairs)
            shares = [
                f"{hits / n:.2f} ({low:.2f} to {high:.2f})" for n in (said, true) for low, high in [wilson(hits, n)]
            ]
            print(f"| {sample} | {looked_at} | {len(pairs)} | {true} | {shares[0]} | {shares[1]} |")


if __name__ == "__main__":
    main()
