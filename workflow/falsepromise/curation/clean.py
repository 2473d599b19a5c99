"""Clean dialogues as the paper does (section 3): deduplicated on the query, one language only.

First it keeps one of the dialogues whose first user queries are equal after normalisation (Unicode NFKC, case,
white space): the earliest. Then it keeps those whose whole text is in the language by langdetect (seeded). Multi-turn
dialogues stay whole. The funnel has one block a source. Language detection takes nearly all of the time, so --shard
splits this part.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import track
from falsepromise.core.records import Record, check_dialogue, query_of, read_jsonl, write_jsonl
from falsepromise.core.shards import add_options, key, of_all, read_parts, write_part
from falsepromise.curation.funnel import Funnel, said_in
from falsepromise.curation.language import UNDECIDED, decisions
from falsepromise.curation.ledger import CHARACTERS, TURNS
from falsepromise.curation.near_duplicates import normalized, reason_of, without_near_duplicates
from falsepromise.curation.reading import require
from falsepromise.study.config import default

INPUT, QUERY, NEAR, LANGUAGE = "input", "query", "near-duplicates", "language"
NO_QUERY, SEEN = "no user query", "query seen before"


def distinct(dialogues: Iterable[Record], funnel: Funnel, near: float | None) -> Iterator[Record]:
    """Keep dialogues with a new query; `near` is the least Jaccard similarity of near-duplicate queries."""
    found = _distinct(dialogues, funnel)
    return found if near is None else without_near_duplicates(found, funnel, NEAR, near)


def in_language(
    dialogues: Iterable[Record],
    funnel: Funnel,
    language: str,
    decide: Callable[[Iterable[str]], Iterator[bool | None]],
) -> Iterator[Record]:
    """Keep dialogues in the language, by `decide` of each text (None: it has no letters)."""
    waiting: deque[Record] = deque()

    def texts() -> Iterator[str]:
        for dialogue in dialogues:
            waiting.append(dialogue)
            yield text_of(dialogue)

    for decision in decide(texts()):
        dialogue = waiting.popleft()
        source = dialogue.get("source")
        if decision:
            funnel.keep(LANGUAGE, source=source)
            characters, turns = said_in(dialogue)
            funnel.ledger.kept.update({CHARACTERS: characters, TURNS: turns})
            yield dialogue
        else:
            reason = UNDECIDED if decision is None else f"not {language}"
            funnel.drop_dialogue(LANGUAGE, reason, dialogue)


def text_of(dialogue: Record) -> str:
    """All messages, one a line, for language detection."""
    return "\n".join(message["content"] for message in dialogue["messages"])


def _distinct(dialogues: Iterable[Record], funnel: Funnel) -> Iterator[Record]:
    seen: set[bytes] = set()
    for dialogue in dialogues:
        source = dialogue.get("source")
        funnel.keep(INPUT, source=source)
        characters, turns = said_in(dialogue)
        funnel.ledger.read.update({CHARACTERS: characters, TURNS: turns})
        query = normalized(query_of(dialogue))
        digest = hashlib.blake2b(query.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if not query:
            funnel.drop_dialogue(QUERY, NO_QUERY, dialogue)
        elif digest in seen:
            funnel.drop_dialogue(QUERY, SEEN, dialogue)
        else:
            seen.add(digest)
            funnel.keep(QUERY, source=source)
            yield dialogue


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="dialogue records, one or more files")
    parser.add_argument("--output", type=Path, required=True, help="the dialogues that are kept")
    parser.add_argument("--funnel", type=Path, required=True, help="CSV of the records kept and dropped, with reasons")
    parser.add_argument(
        "--language", default=default("pools.language"), help="the language to keep, by langdetect's code"
    )
    parser.add_argument(
        "--language-threshold",
        type=float,
        default=default("pools.language_threshold"),
        metavar="P",
        help="least probability of the language; 0: it must be the most probable one",
    )
    parser.add_argument(
        "--near-duplicates",
        type=float,
        default=None,
        metavar="T",
        help="drop queries whose word 3-grams have a MinHash Jaccard similarity of at least T with an earlier query",
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes for the detection")
    add_options(parser, "the dialogues")
    args = parser.parse_args(argv)
    check_language(args.language)
    for name, value in (("--language-threshold", args.language_threshold), ("--near-duplicates", args.near_duplicates)):
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"{name} {value}: expected a number from 0 to 1")
    # The steps' order in the funnel, whichever of them counts first.
    near = [reason_of(args.near_duplicates)] if args.near_duplicates is not None else []
    reasons = (NO_QUERY, SEEN, *near, UNDECIDED, f"not {args.language}")
    funnel = Funnel("dialogues", "clean", (INPUT, QUERY, NEAR, LANGUAGE), reasons)
    dialogues = (dialogue for path in args.input for dialogue in read_jsonl(path, check_dialogue))
    kept = distinct(track(dialogues, "cleaning", unit="dialogue"), funnel, args.near_duplicates)
    decide = partial(decisions, language=args.language, threshold=args.language_threshold, workers=args.workers)
    config = {"language": args.language, "threshold": args.language_threshold, "near_duplicates": args.near_duplicates}
    if args.shard:
        texts = list(map(text_of, islice(kept, args.shard.number - 1, None, args.shard.of)))
        made = [{"key": key(text), "decision": found} for text, found in zip(texts, decide(texts), strict=True)]
        write_part(args.output, args.shard, config, made)
        return
    if args.from_shards:
        found, _ = read_parts(args.from_shards, config)
        decide = partial(_decided, found=found, files=args.from_shards)
    kept = in_language(kept, funnel, args.language, decide)
    write_jsonl(args.output, require(kept, funnel, args.input[0], LANGUAGE))
    funnel.write(args.funnel)
    write_manifest(args.output, module="falsepromise.curation.clean", inputs=args.input, config=config)


def _decided(texts: Iterable[str], found: dict[str, Record], files: Sequence[Path]) -> Iterator[bool | None]:
    for text in texts:
        yield of_all(found, [key(text)], files)[0]["decision"]


def check_language(language: str) -> None:
    """Refuse a language that langdetect doesn't know."""
    from langdetect.detector_factory import PROFILES_DIRECTORY

    known = sorted(name for name in os.listdir(PROFILES_DIRECTORY) if not name.startswith((".", "_")))
    if language not in known:
        raise UserError(f"--language {language!r}: langdetect knows {', '.join(known)}")


if __name__ == "__main__":
    cli.run(main)
