"""Find the queries of a file (prompts, or a benchmark's questions) that training data contain.

A query leaks for any of these reasons. Comparisons ignore case, widths, accents, spaces and punctuation, and treat
each character of scripts without spaces as a word:

  equal       it is a turn of the training data
  contained   all of it, at least 5 words (8 characters of such a text), occurs in a turn; or a user's turn of
              that length is at least half of it
  13-gram     13 words in a row occur in a turn (Brown et al., 2020, appendix C)
  bleu        its BLEU with a user's turn is over --max-bleu (section 4.1, footnote 2), in the paper's
              spelling or with case folded and words as above
  minhash     with --minhash: the estimated Jaccard similarity of its word 3-grams with a user's turn's

Both files may be dialogues or prompts, JSON records with a text under one of the usual keys (question, prompt,
input, text, ...) or --field, or plain text, one query a line. System prompts are ignored. The report
is `{"n", "n_training_turns", "leaks", "share", "by_reason", "max_bleu", "items"}`; each item has the pair to read.
The cost grows with the sum of both files' sizes, except for BLEU, which compares all pairs (--no-bleu).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import track
from falsepromise.core.records import Record, atomic_open, read_jsonl, read_lines, write_json, write_jsonl
from falsepromise.curation import bleu
from falsepromise.curation.funnel import spreadsheet_text
from falsepromise.curation.spelling import Words
from falsepromise.statistics.intervals import mean_metric

EQUAL, CONTAINED, NGRAM, BLEU, MINHASH = "equal", "contained", "13-gram", "bleu", "minhash"
REASONS = (EQUAL, CONTAINED, NGRAM, BLEU, MINHASH)  # the surest first
N = 13
SHORTEST, SHORTEST_UNSPACED = 5, 8  # least words of a text that is searched for inside others
SHOWN = 300  # characters of a text in the report
FIELDS = ("question", "prompt", "query", "instruction", "input", "problem", "goal", "article", "text", "content")
_BATCH = 1 << 20  # characters
_TEXTS = 1000


@dataclass(frozen=True)
class Turn:
    """A training turn: where it is, and its text."""

    file: str
    id: str
    role: str
    text: str


@dataclass
class Leak:
    """A query that training data contain, and the turn that contains it."""

    index: int
    reason: str
    turn: Turn
    score: float | None = None


class Index:
    """An index of the queries: their keys, and the runs of words that identify them."""

    def __init__(self, queries: Sequence[str]):
        self.words = Words(queries)
        self.queries = queries
        self.keys: dict[int, list[int]] = {}
        for number, (key, count) in enumerate(zip(self.words.keys().tolist(), self.words.counts.tolist(), strict=True)):
            self.keys.setdefault(key if count else hash(queries[number].strip()), []).append(number)
        counts, shortest = self.words.counts, _shortest(self.words)
        text = np.repeat(np.arange(len(queries)), counts)
        self.text = text
        self.runs: dict[int, _Runs] = {}  # whole queries of fewer than 13 words, and all 13-grams
        self.parts: dict[int, _Runs] = {}  # runs of short queries that a whole training turn may be
        for n in range(SHORTEST, N + 1):
            hashes, at = self.words.runs(n)
            size = counts[text[at]]
            whole = (size == n) if n < N else np.ones(len(at), dtype=bool)
            self.runs[n] = _Runs(hashes, at, whole & (shortest[text[at]] <= n))
            if n < N:
                self.parts[n] = _Runs(hashes, at, (size > n) & (size <= 2 * n))


class _Runs:
    """Runs of words, looked up by hash."""

    def __init__(self, hashes: np.ndarray, at: np.ndarray, chosen: np.ndarray):
        hashes, at = hashes[chosen], at[chosen]
        order = np.argsort(hashes, kind="stable")
        self.at = at[order]
        self.hashes, self.begin = np.unique(hashes[order], return_index=True)
        self.end = np.append(self.begin[1:], len(order))
        self.seen = np.zeros(len(self.hashes), dtype=bool)
        bits = max(16, int(np.ceil(np.log2(max(len(self.hashes), 1)))) + 5)
        self.shift = np.uint64(64 - bits)
        self.filter = np.zeros(1 << bits, dtype=bool)  # most look-ups find nothing
        self.filter[self.hashes >> self.shift] = True

    def find(self, hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The places in `hashes` of runs found for the first time, and the first words of the queries' runs."""
        if not len(self.hashes):
            return
        maybe = np.flatnonzero(self.filter[hashes >> self.shift])
        place = np.minimum(np.searchsorted(self.hashes, hashes[maybe]), len(self.hashes) - 1)
        found = self.hashes[place] == hashes[maybe]
        place, maybe = place[found], maybe[found]
        distinct, first = np.unique(place, return_index=True)
        for run, where in zip(distinct.tolist(), maybe[first].tolist(), strict=True):
            if not self.seen[run]:
                self.seen[run] = True
                yield where, self.at[self.begin[run] : self.end[run]]


def _shortest(words: Words) -> np.ndarray:
    return np.where(2 * words.unspaced > words.counts, SHORTEST_UNSPACED, SHORTEST)


def exact(queries: Sequence[str], turns: Iterable[Turn]) -> list[Leak]:
    """The queries that equal a turn, are contained in one (or contain one), or share 13 words in a row with one.

    Args:
        queries: Texts.
        turns: The training data's turns; read once, as a stream, in batches.

    Returns:
        At most one leak for each query and reason.
    """
    index = Index(queries)
    found: dict[tuple[int, str], Leak] = {}
    shared = np.zeros(len(index.text), dtype=bool)  # words where a 13-gram of the training data begins
    for batch in _batches(turns):
        _scan(index, batch, found, shared)
    missing = index.words.counts - N + 1 - np.bincount(index.text[shared], minlength=len(queries))
    for (number, reason), leak in list(found.items()):
        if reason == NGRAM and not missing[number]:
            found[number, CONTAINED] = Leak(number, CONTAINED, leak.turn)
    return list(found.values())


def _scan(index: Index, batch: list[Turn], found: dict[tuple[int, str], Leak], shared: np.ndarray) -> None:
    words = Words([turn.text for turn in batch])
    text = np.repeat(np.arange(len(batch)), words.counts)
    for number, (key, count) in enumerate(zip(words.keys().tolist(), words.counts.tolist(), strict=True)):
        if batch[number].role != "user" and count < SHORTEST:
            continue  # replies of a word or two
        for query in index.keys.get(key if count else hash(batch[number].text.strip()), ()):
            if (query, EQUAL) not in found and _equal(index.words, query, words, number, index.queries, batch):
                found[query, EQUAL] = Leak(query, EQUAL, batch[number])
    whole = _shortest(words) <= words.counts
    for n, runs in index.runs.items():
        if not len(runs.hashes):
            continue
        hashes, at = words.runs(n)
        for where, firsts in runs.find(hashes):
            for first in firsts.tolist():
                if index.words.same(first, words, int(at[where]), n):
                    shared[first] |= n == N
                    query, reason = int(index.text[first]), NGRAM if n == N else CONTAINED
                    found.setdefault((query, reason), Leak(query, reason, batch[text[at[where]]]))
    for n, runs in index.parts.items():
        turns = np.flatnonzero(whole & (words.counts == n))
        turns = turns[[batch[turn].role == "user" for turn in turns]] if len(turns) else turns
        for where, firsts in runs.find(words.run_hashes(words.first[turns], n)):
            for first in firsts.tolist():
                if index.words.same(first, words, int(words.first[turns[where]]), n):
                    query = int(index.text[first])
                    found.setdefault((query, CONTAINED), Leak(query, CONTAINED, batch[turns[where]]))


def _equal(ours: Words, query: int, theirs: Words, turn: int, queries: Sequence[str], batch: list[Turn]) -> bool:
    one, two = (words.letters[slice(*words.starts[words.first[[at, at + 1]]])] for words, at in
                ((ours, query), (theirs, turn)))  # fmt: skip
    if len(one) or len(two):
        return np.array_equal(one, two)
    return queries[query].strip() == batch[turn].text.strip()


def _batches(turns: Iterable[Turn]) -> Iterator[list[Turn]]:
    batch: list[Turn] = []
    size = 0
    for turn in turns:
        batch.append(turn)
        size += len(turn.text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def by_bleu(queries: Sequence[str], turns: Sequence[Turn], max_bleu: float) -> list[Leak]:
    """The queries whose BLEU with a user's turn is over `max_bleu`: in the paper's spelling, or as normalised words.

    Args:
        queries: Texts; the hypotheses.
        turns: Users' turns.
        max_bleu: 0 to 100.
    """
    leaks: dict[int, Leak] = {}
    texts = [turn.text for turn in turns]
    for spelled in (lambda found: list(found), spaced):
        near = bleu.nearest(spelled(queries), spelled(texts), "BLEU with the training queries")
        for number, (score, at) in enumerate(zip(near.bleu.tolist(), near.index.tolist(), strict=True)):
            if score > max_bleu + 1e-9 and (number not in leaks or score > (leaks[number].score or 0.0)):
                leaks[number] = Leak(number, BLEU, turns[at], min(score, 100.0))
    return list(leaks.values())


def spaced(texts: Sequence[str]) -> list[str]:
    """Texts as normalised words separated by blanks; a text without words stays unchanged."""
    result: list[str] = []
    for begin in range(0, len(texts), _TEXTS):
        batch = texts[begin : begin + _TEXTS]
        words = Words(batch)
        letters = words.letters.tobytes().decode("utf-32-le", "surrogatepass")
        said = [letters[one:two] for one, two in pairwise(words.starts.tolist())]
        bounds = pairwise(words.first.tolist())
        result += [" ".join(said[one:two]) or text for text, (one, two) in zip(batch, bounds, strict=True)]
    return result


def by_minhash(queries: Sequence[str], turns: Sequence[Turn], threshold: float) -> list[Leak]:
    """The queries whose word 3-grams nearly equal those of a user's turn, by `datasketch`."""
    from falsepromise.curation.near_duplicates import Sketches

    said = Sketches(threshold)
    for text in spaced([turn.text for turn in turns]):
        said.add(said.sketch(text))
    leaks = []
    for number, text in enumerate(spaced(queries)):
        if near := said.like(said.sketch(text)):
            leaks.append(Leak(number, MINHASH, turns[near[0]]))
    return leaks


def find(
    queries: Sequence[str], training: Sequence[Path], max_bleu: float | None, minhash: float | None = None
) -> tuple[dict[int, list[Leak]], int]:
    """All leaks of queries into files of training data.

    Args:
        queries: Texts.
        training: Files.
        max_bleu: 0 to 100; None: don't compare by BLEU.
        minhash: 0 to 1; None: don't compare by MinHash.

    Returns:
        The leaks of each query that has any, the surest first, and the number of training turns.
    """
    said: dict[str, Turn] = {}  # each user's text once
    count = Counter[str]()

    def turns() -> Iterator[Turn]:
        for path in training:
            for turn in track(turns_in(path), f"looking through {path.name}", unit="turn"):
                count["turns"] += 1
                if turn.role == "user" and (max_bleu is not None or minhash is not None):
                    said.setdefault(turn.text, turn)
                yield turn

    leaks = exact(queries, turns())
    if max_bleu is not None:
        leaks += by_bleu(queries, list(said.values()), max_bleu)
    if minhash is not None:
        leaks += by_minhash(queries, list(said.values()), minhash)
    result: dict[int, list[Leak]] = {}
    for leak in sorted(leaks, key=lambda leak: (leak.index, REASONS.index(leak.reason))):
        result.setdefault(leak.index, []).append(leak)
    return result, count["turns"]


def turns_in(path: Path) -> Iterator[Turn]:
    """The turns of a file's dialogues or prompts without the system's; for other records, their text as a user's."""
    for name, record in _records(path):
        messages = record.get("messages")
        if isinstance(messages, list):
            for message in messages:
                text = message.get("content") if isinstance(message, dict) else None
                if isinstance(text, str) and message.get("role") != "system":
                    yield Turn(path.name, name, str(message.get("role")), text)
        else:
            yield Turn(path.name, name, "user", _text(path, name, record, None))


def queries_in(path: Path, field: str | None = None) -> Iterator[tuple[str, str, Record]]:
    """The id and the query of each record of a file (the first message of the user), and the record."""
    for name, record in _records(path):
        messages = record.get("messages")
        if field is None and isinstance(messages, list):
            asked = (m.get("content") for m in messages if isinstance(m, dict) and m.get("role") == "user")
            yield name, next((text for text in asked if isinstance(text, str)), ""), record
        else:
            yield name, _text(path, name, record, field), record


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    if path.suffix == ".txt":
        for number, line in enumerate(read_lines(path, errors="replace"), 1):
            if line.strip():
                yield f"line-{number}", {"text": line.rstrip("\r\n")}
        return
    for number, record in enumerate(read_jsonl(path), 1):
        yield str(record.get("id", f"record-{number}")), record


def _text(path: Path, name: str, record: Record, field: str | None) -> str:
    names = (field,) if field else FIELDS
    text = next((record[key] for key in names if isinstance(record.get(key), str)), None)
    if text is None:
        raise UserError(f"{path}, record {name}: no text under {' or '.join(names)}; name its key with --field")
    return text


def report(names: Sequence[str], queries: Sequence[str], leaks: dict[int, list[Leak]], n_turns: int) -> dict[str, Any]:
    """The report that the module's docstring describes."""
    return {
        "n": len(queries),
        "n_training_turns": n_turns,
        "leaks": len(leaks),
        "share": mean_metric([float(number in leaks) for number in range(len(queries))]) if queries else None,
        "by_reason": dict(Counter(leak.reason for found in leaks.values() for leak in found)),
        "items": [
            {
                "id": names[number],
                "reasons": [leak.reason for leak in found],
                "bleu": next((leak.score for leak in found if leak.reason == BLEU), None),
                "query": queries[number][:SHOWN],
                "training": {**asdict(found[0].turn), "text": shown(queries[number], found[0].turn.text)},
            }
            for number, found in leaks.items()
        ],
    }


def shown(query: str, text: str) -> str:
    """The relevant part of a training turn: around the query's beginning, or the turn's own beginning."""
    at = max(text.casefold().find(query[:20].casefold()) - SHOWN // 4, 0)
    return text[at : at + SHOWN]


def write_pairs(path: Path, items: Sequence[dict[str, Any]]) -> None:
    """The pairs as CSV: `id,reasons,bleu,query,training_file,training_id,training_text`."""
    with atomic_open(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "reasons", "bleu", "query", "training_file", "training_id", "training_text"])
        for item in items:
            turn = item["training"]
            texts = map(spreadsheet_text, (item["query"], turn["file"], turn["id"], turn["text"]))
            score = "" if item["bleu"] is None else f"{item['bleu']:.1f}"
            writer.writerow([spreadsheet_text(item["id"]), " ".join(item["reasons"]), score, *texts])


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--queries", type=Path, required=True, help="the queries that training data must not contain")
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="training data, one or more files")
    parser.add_argument("--field", help="key of a query's text, if it is not a usual one")
    parser.add_argument("--max-bleu", type=float, default=20.0, metavar="PERCENT", help="a higher BLEU is a leak")
    parser.add_argument("--no-bleu", action="store_true", help="don't compare by BLEU")
    parser.add_argument("--minhash", type=float, metavar="T", help="a Jaccard similarity of at least T is also a leak")
    parser.add_argument("--report", type=Path, required=True, help="JSON file for the leaks")
    parser.add_argument("--pairs", type=Path, help="CSV file for the pairs, to read")
    parser.add_argument("--output", type=Path, help="the records without a leak")
    args = parser.parse_args(argv)
    if not 0 <= args.max_bleu <= 100:
        raise UserError(f"--max-bleu {args.max_bleu}: expected a percentage from 0 to 100")
    if args.minhash is not None and not 0 < args.minhash <= 1:
        raise UserError(f"--minhash {args.minhash}: expected a number over 0 and up to 1")
    found = list(queries_in(args.queries, args.field))
    names, queries = [name for name, _, _ in found], [text for _, text, _ in found]
    leaks, n_turns = find(queries, args.training, None if args.no_bleu else args.max_bleu, args.minhash)
    result = {**report(names, queries, leaks, n_turns), "max_bleu": None if args.no_bleu else args.max_bleu}
    write_json(args.report, result)
    if args.pairs:
        write_pairs(args.pairs, result["items"])
    if args.output:
        if len(leaks) == len(queries):
            raise UserError(f"{args.queries}: every query is in the training data; see {args.report}")
        write_jsonl(args.output, (record for number, (_, _, record) in enumerate(found) if number not in leaks))
    config = {key: getattr(args, key) for key in ("field", "max_bleu", "no_bleu", "minhash")}
    for output in filter(None, (args.report, args.output)):
        inputs = [args.queries, *args.training]
        write_manifest(output, module="falsepromise.curation.leaks", inputs=inputs, config=config)


if __name__ == "__main__":
    cli.run(main)
