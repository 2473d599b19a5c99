"""Precision and recall of the detectors of lists and summary paragraphs, on hand-labelled ShareGPT replies.

    python benchmarks/style_detectors.py CLEAN.jsonl
    python benchmarks/style_detectors.py --answers FILE.jsonl ...

CLEAN.jsonl is what `curation.sharegpt` and `curation.clean` make of the ShareGPT file. The labels (ids
alone: the dialogues carry no licence) are in `style_detectors_labels.csv`, made by one reader who had
not seen the detectors' answers: the detectors were changed after the sample `tuning`, `test` was drawn
and labelled afterwards. Prints a table (Markdown).

With --answers the same, model by model, on answers of several models to Vicuna's 80 questions, as the authors
of QLoRA published them (eval/generations/vicuna in their repository): `style_detectors_models.csv` has the
labels by the answers' sha256, 200 in the sample `tuning`, 60 in `test`, labelled before the changed detectors saw them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from falsepromise.core.records import check_dialogue, read_jsonl
from falsepromise.statistics.intervals import wilson
from falsepromise.style.detectors import has_list, has_summary_paragraph

LABELS = Path(__file__).with_name("style_detectors_labels.csv")
MODELS = Path(__file__).with_name("style_detectors_models.csv")
DETECTORS = {"list": has_list, "summary_paragraph": has_summary_paragraph}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogues", type=Path, nargs="?")
    parser.add_argument("--answers", type=Path, nargs="+", default=[], help="answers of several models, JSON lines")
    parser.add_argument("--wrong", action="store_true", help="print the ids on which a detector and the label differ")
    args = parser.parse_args()
    if args.answers:
        return of_models(args.answers, args.wrong)
    if not args.dialogues:
        parser.error("give CLEAN.jsonl, or --answers")
    with open(LABELS, newline="") as stream:
        rows = list(csv.DictReader(stream))
    wanted = {row["id"] for row in rows}
    replies: dict[str, str] = {}
    shares: dict[str, list[bool]] = {name: [] for name in DETECTORS}
    for record in read_jsonl(args.dialogues, check_dialogue):
        reply = next(m["content"] for m in record["messages"] if m["role"] == "assistant")
        for name, detector in DETECTORS.items():
            shares[name].append(detector(reply))
        if record["id"] in wanted:
            replies[record["id"]] = reply
    print("| sample | detector | replies | have one | precision | recall |\n| --- | --- | --- | --- | --- | --- |")
    for sample in ("tuning", "test"):
        for name, detector in DETECTORS.items():
            chosen = [row for row in rows if row["sample"] == sample and row["id"] in replies]
            found = {row["id"]: (detector(replies[row["id"]]), row[name] == "1") for row in chosen}
            hits = sum(said and truth for said, truth in found.values())
            said, true = (sum(column) for column in zip(*found.values(), strict=True))
            texts = [
                f"{hits} of {n}, {hits / n:.2f} ({low:.2f} to {high:.2f})"
                for n in (said, true)
                for low, high in [wilson(hits, n)]
            ]
            print(f"| {sample} | {name} | {len(chosen)} | {true} | {texts[0]} | {texts[1]} |")
            if args.wrong:
                for prompt, (detected, truth) in found.items():
                    if detected != truth:
                        print(f"{prompt}: detected {detected}, labelled {truth}", file=sys.stderr)
    for name, found_in in shares.items():
        print(f"\nOf all {len(found_in):,} first replies {sum(found_in) / len(found_in):.1%} have a {name}.")


def of_models(files: list[Path], wrong: bool) -> None:
    """The table on answers of several models."""
    answers = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    texts = [answer.get("generation") or answer["text"] for answer in answers]
    by_hash = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}
    with open(MODELS, newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["sha256"] in by_hash]
    print("| sample | model | detector | replies | have one | precision | recall |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for sample in ("tuning", "test"):
        models = sorted({row["model"] for row in rows if row["sample"] == sample})
        for model in ["all", *models]:
            for name, detector in DETECTORS.items():
                chosen = [row for row in rows if row["sample"] == sample and model in ("all", row["model"])]
                found = [(detector(by_hash[row["sha256"]]), row[name] == "1") for row in chosen]
                hits = sum(said and truth for said, truth in found)
                said, true = (sum(column) for column in zip(*found, strict=True))
                print(f"| {sample} | {model} | {name} | {len(chosen)} | {true} | {hits} of {said} | {hits} of {true} |")
                if wrong and model != "all":
                    for row, (detected, truth) in zip(chosen, found, strict=True):
                        if detected != truth:
                            print(f"{model}, question {row['question_id']}: detected {detected}", file=sys.stderr)


if __name__ == "__main__":
    main()
