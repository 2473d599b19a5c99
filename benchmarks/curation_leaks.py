"""Recall of `curation.leaks` on leaks planted in every way, what it finds in real test sets, and what it costs.

    python benchmarks/curation_leaks.py --dialogues DIALOGUES.jsonl [--scale] [--prompts PROMPTS.jsonl ...]

DIALOGUES are real dialogues (what `curation.sharegpt` writes). Half of their first queries, of 5 words or more, are
planted in the other half's dialogues, each in another spelling or surrounding; the queries are then looked for.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from falsepromise.core.records import query_of, read_jsonl, write_jsonl
from falsepromise.curation import leaks
from falsepromise.curation.spelling import Words

WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def half(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join([*words[: (len(words) + 1) // 2], "in", "my", "opinion"])


def swapped(text: str, rng: random.Random) -> str:
    words = text.split()
    for at in rng.sample(range(len(words)), max(1, len(words) // 10)):
        words[at] = "something"
    return " ".join(words)


KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "as it is": lambda text, rng: text,
    "upper case": lambda text, rng: text.upper(),
    "full width": lambda text, rng: text.translate(WIDE),
    "zero-width characters": lambda text, rng: "\u200b".join(text),
    "other punctuation and spaces": lambda text, rng: "\u201c" + "  ".join(text.replace(",", ";").split()) + "!\u201d",
    "accents": lambda text, rng: text.replace("e", "e\u0301"),
    "quoted within a longer query": lambda text, rng: f"Somebody asked me this yesterday: {text} What would you say?",
    "with a word in ten replaced": swapped,
    "its first half": half,
}


def plant(dialogues: list[dict], folder: Path) -> tuple[list[dict], Path, list[str]]:
    """Prompts, a training file that they are planted in, and the kind of each prompt's planting."""
    rng = random.Random(0)
    rng.shuffle(dialogues)
    middle = len(dialogues) // 2
    chosen = [d for d in dialogues[:middle] if 5 <= Words([query_of(d)]).counts[0] <= 400]
    training, kinds = dialogues[middle:], [*KINDS, "in a reply", "not planted"]
    prompts, said = [], []
    for number, dialogue in enumerate(chosen):
        query, kind = query_of(dialogue), kinds[number % len(kinds)]
        prompts.append({"id": str(number), "messages": [{"role": "user", "content": query}]})
        said.append(kind)
        if kind in KINDS:
            texts = ("user", KINDS[kind](query, rng)), ("assistant", "I see.")
        elif kind == "in a reply":
            texts = ("user", "Say it."), ("assistant", f"You could ask: {query} That is it.")
        else:
            continue
        messages = [{"role": role, "content": text} for role, text in texts]
        training.append({"id": f"planted-{number}", "messages": messages})
    rng.shuffle(training)
    path = folder / "training.jsonl"
    write_jsonl(path, training)
    return prompts, path, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, nargs="*", default=[], help="test sets to look for in the dialogues")
    parser.add_argument("--scale", type=int, default=0, help="copies of the dialogues to look through, for the cost")
    args = parser.parse_args()
    dialogues = list(read_jsonl(args.dialogues))
    with tempfile.TemporaryDirectory() as folder:
        prompts, training, said = plant(list(dialogues), Path(folder))
        found, _ = leaks.find([query_of(prompt) for prompt in prompts], [training], 20.0)
        columns = leaks.REASONS[:4]
        print("| planted | n | found | " + " | ".join(columns) + " |\n" + "| --- " * (3 + len(columns)) + "|")
        for kind in dict.fromkeys(said):
            numbers = [number for number, name in enumerate(said) if name == kind]
            by = [sum(any(leak.reason == reason for leak in found.get(n, ())) for n in numbers) for reason in columns]
            share = f"{sum(n in found for n in numbers) / len(numbers):.3f}"
            cells = [kind, f"{len(numbers)}", share, *(f"{count / len(numbers):.3f}" for count in by)]
            print("| " + " | ".join(cells) + " |")
    for path in args.prompts:
        names = list(leaks.queries_in(path))
        found, _ = leaks.find([query for _, query, _ in names], [args.dialogues], 20.0)
        print(f"{path.name}: {len(found)} of {len(names)};",
              json.dumps(leaks.report(*zip(*[n[:2] for n in names], strict=True), found, 0)["by_reason"]))  # fmt: skip
    if args.scale:
        queries = [message["content"] for d in dialogues for message in d["messages"] if message["role"] == "user"]
        queries = list(dict.fromkeys(queries))[:50_000]
        turns = [leaks.Turn("", d["id"], m["role"], m["content"]) for d in dialogues for m in d["messages"]]
        for copies in (args.scale // 4, args.scale):
            start, cpu = time.perf_counter(), time.process_time()
            leaks.exact(queries, (turn for _ in range(copies) for turn in turns))
            size = copies * sum(len(turn.text) for turn in turns)
            words = copies * sum(len(turn.text.split()) for turn in turns)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            spent = f"{time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} s CPU, {memory:.2f} GB"
            print(f"{len(queries):,} queries, {size:,} characters, {words:,} words: {spent}")


if __name__ == "__main__":
    main()
