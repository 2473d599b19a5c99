"""Table 2's metrics between two of ChatGPT's replies to one query: the paper's "ChatGPT #2", without asking.

    python benchmarks/style_second_sample.py DIALOGUES.jsonl

DIALOGUES.jsonl is what `curation.sharegpt` makes of the ShareGPT file, duplicates and all. Taken are
the queries of more than 30 characters that came twice or more, the first two replies to each, of more
than 200 characters, where they are no near copies (difflib's ratio of their first 3,000 characters
under 0.9). Prints a table (Markdown).
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from falsepromise.core.records import check_dialogue, query_of, read_jsonl
from falsepromise.curation.clean import normalized
from falsepromise.style.compare import compare, summarise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogues", type=Path)
    args = parser.parse_args()
    replies: dict[str, list[str]] = {}
    for record in read_jsonl(args.dialogues, check_dialogue):
        query = query_of(record)
        reply = next((m["content"] for m in record["messages"] if m["role"] == "assistant"), "")
        if len(query) > 30 and len(reply) > 200:
            replies.setdefault(normalized(query), []).append(reply)
    first, second = {}, {}
    for query, (one, two, *_) in ((query, found) for query, found in replies.items() if len(found) > 1):
        if difflib.SequenceMatcher(None, one[:3000], two[:3000]).ratio() < 0.9:
            first[query], second[query] = one, two
    metrics, absent = summarise(compare(second, first))
    print("| metric | value | 95 % interval | n |\n| --- | --- | --- | --- |")
    for name, metric in metrics.items():
        low, high = metric["ci95"]
        print(f"| {name} | {metric['value']:.3f} | {low:.3f} to {high:.3f} | {metric['n']} |")
    for name, why in absent.items():
        print(f"\n{name} is absent: {why}.")


if __name__ == "__main__":
    main()
