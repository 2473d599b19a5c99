"""Draw evaluation prompts from held-out dialogues, or from a list of prompts (section 4.1, footnote 2).

Candidates are the first query of each held-out dialogue (with --single-exchanges, each query), and prompts without a
reply: {"id", "prompt"}, as in the paper's released test set, or {"id", "messages"} that ends with the user. It drops,
in this order: candidates in another language; coding ones (by `curation.coding`); repeated ones; and leaks, which
equal a training turn but for spelling, are contained in one, share 13 words in a row with one, or have a BLEU over
--max-bleu with one (see `curation.leaks`; --leaks writes the pairs). From the rest, the seed draws N. If fewer
are left, all are taken, and the funnel reports it.

A dialogue's own reply becomes the reference response, under the model name `<teacher>`. A prompt without a reply has
no reference; the teacher's API has to answer it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import (
    Record,
    check_dialogue,
    check_prompt,
    query_of,
    read_jsonl,
    write_json,
    write_jsonl,
)
from falsepromise.curation import leaks, selection
from falsepromise.curation.clean import check_language
from falsepromise.curation.coding import is_coding
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.language import UNDECIDED, decisions
from falsepromise.curation.near_duplicates import normalized
from falsepromise.curation.order import shuffled
from falsepromise.study.config import default

TEACHER = "<teacher>"
_WORDS = (
    "the a an of to and in is it you that for on with as are this be i have what how do my can at or not if from by me"
    " so about there which when who why we your more please give write make tell your was will would should"
)
_COMMON = frozenset(_WORDS.split())


def check(record: Record) -> str | None:
    """What is wrong with a record of the pool, or None."""
    return check_prompt(record) if "prompt" in record else check_dialogue(record)


def candidates(pool: Iterable[Record], funnel: Funnel) -> Iterator[Record]:
    """The first exchange of each dialogue (the prompt and its reply); prompts without a reply unchanged."""
    for record in pool:
        if "prompt" in record:
            yield {"id": record["id"], "messages": [{"role": "user", "content": record["prompt"]}]}
        elif record["messages"][-1]["role"] == "user":
            yield record
        elif first := next(selection.exchanges(record), None):
            yield {**first, "id": record["id"]}
        else:
            funnel.drop(selection.STEP, "no query with a reply", record["id"])


def reply_of(record: Record) -> str | None:
    """The candidate's own reply, if it has one."""
    last = record["messages"][-1]
    return last["content"] if last["role"] == "assistant" else None


def in_language(records: Sequence[Record], language: str, funnel: Funnel, workers: int = 2) -> list[Record]:
    """Keep candidates in `language` by langdetect, from query and reply together: a short query alone is too little.

    A query in another script is dropped whatever the reply. For English, so is a query of five words or more without
    any of the most common words that langdetect takes for another language.
    """
    texts = ("\n".join(filter(None, (query_of(record), reply_of(record)))) for record in records)
    found = decisions(texts, language, 0.0, workers)
    doubtful = [language == "en" and _no_common_word(query_of(record)) for record in records]
    alone = (query_of(record) for record, doubt in zip(records, doubtful, strict=True) if doubt)
    own = decisions(alone, language, 0.0, 1)
    kept = []
    for record, decision, doubt in zip(records, found, doubtful, strict=True):
        foreign = (doubt and next(own) is False) or _other_script(query_of(record), reply_of(record) or "")
        if decision and not foreign:
            funnel.keep("language")
            kept.append(record)
        else:
            funnel.drop("language", UNDECIDED if decision is None else f"not {language}", record["id"])
    return kept


def _no_common_word(query: str) -> bool:
    words = re.findall(r"[^\W\d_]+", query.casefold())
    return len(words) >= 5 and not _COMMON.intersection(words)


def _other_script(query: str, reply: str) -> bool:
    """Whether a query's letters are mostly of another script than its reply's."""
    latin, reply_latin = _latin(query), _latin(reply)
    return latin is not None and reply_latin is not None and (latin < 0.75) != (reply_latin < 0.75)


def _latin(text: str) -> float | None:
    letters = [character for character in text if character.isalpha()]
    return sum(character < "\u0250" for character in letters) / len(letters) if letters else None


def not_coding(records: Iterable[Record], funnel: Funnel) -> Iterator[Record]:
    """Keep candidates that neither ask for code nor are answered with code."""
    for record in records:
        if is_coding(query_of(record), reply_of(record) or ""):
            funnel.drop("coding", "about programming", record["id"])
        else:
            funnel.keep("coding")
            yield record


def distinct(records: Iterable[Record], funnel: Funnel) -> Iterator[Record]:
    """Keep candidates with a new query."""
    seen: set[str] = set()
    for record in records:
        query = normalized(query_of(record))
        if query in seen:
            funnel.drop("distinct", "query seen before", record["id"])
        else:
            seen.add(query)
            funnel.keep("distinct")
            yield record


def away_from(
    records: Sequence[Record], training: Sequence[Path], max_bleu: float, funnel: Funnel
) -> tuple[list[Record], dict[str, Any]]:
    """Keep candidates that don't leak by any measure of `curation.leaks`; and its report."""
    asked = [(number, text) for number, record in enumerate(records) for text in _asked(record)]
    texts = [text for _, text in asked]
    found, n_turns = leaks.find(texts, training, max_bleu)
    why: dict[int, str] = {}
    for place in found:
        why.setdefault(asked[place][0], found[place][0].reason)
    reasons = {
        leaks.EQUAL: "is a turn of the training data",
        leaks.CONTAINED: "is within a turn of the training data",
        leaks.NGRAM: "has 13 words in a row of the training data",
        leaks.BLEU: f"BLEU over {max_bleu:g} with a training query",
    }
    kept = []
    for number, record in enumerate(records):
        if number in why:
            funnel.drop("training overlap", reasons[why[number]], record["id"])
        else:
            funnel.keep("training overlap")
            kept.append(record)
    return kept, leaks.report([records[number]["id"] for number, _ in asked], texts, found, n_turns)


def _asked(record: Record) -> list[str]:
    """The texts to check for leaks: the first query, and later ones of more than a few words."""
    later = [m["content"] for m in record["messages"] if m["role"] == "user"][1:]
    return [query_of(record), *(text for text in later if len(text.split()) >= leaks.SHORTEST)]


def draw(records: Sequence[Record], n: int, seed: int, funnel: Funnel) -> list[Record]:
    """`n` records drawn by the seed, or all if there are fewer."""
    ordered = shuffled(records, seed)
    drawn, rest = ordered[:n], ordered[n:]
    funnel.keep("draw", len(drawn))
    for record in rest:
        funnel.drop("draw", "not drawn", record["id"])
    if len(drawn) < n:
        funnel.repair("draw", f"fewer than the {n} asked for: all taken", "", count=len(drawn))
    return drawn


def prompt_of(record: Record) -> Record:
    """The prompt record of a candidate: its messages up to the reply."""
    messages = record["messages"]
    return {"id": record["id"], "messages": messages if reply_of(record) is None else messages[:-1]}


def reference_of(record: Record) -> Record:
    """The response record of an exchange's own reply."""
    return {
        "prompt_id": record["id"],
        "model": TEACHER,
        "sample": 0,
        "response": reply_of(record),
        "finish_reason": "stop",
        "n_tokens": None,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="held-out dialogues, or prompts")
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="training dialogues, one or more files")
    parser.add_argument("--n", type=int, default=255, help="number of prompts to draw")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument(
        "--max-bleu",
        type=float,
        default=default("prompts.max_bleu"),
        metavar="PERCENT",
        help="highest BLEU with training",
    )
    parser.add_argument("--language", default=default("pools.language"), help="language to keep, by langdetect's code")
    parser.add_argument("--output", type=Path, required=True, help="prompt records")
    parser.add_argument("--references", type=Path, required=True, help="response records: the dialogues' own replies")
    parser.add_argument("--funnel", type=Path, required=True, help="CSV file for each step's counts")
    parser.add_argument("--leaks", type=Path, help="JSON file for the candidates that leak, with the pairs")
    selection.add_options(parser)
    args = parser.parse_args(argv)
    check_language(args.language)
    if args.n < 1 or not 0 <= args.max_bleu <= 100:
        raise UserError(f"--n {args.n}, --max-bleu {args.max_bleu}: expected n of 1 or more and a BLEU from 0 to 100")
    funnel = Funnel("prompts")
    if args.single_exchanges:
        found: Iterable[Record] = read_jsonl(args.pool, check_dialogue)
    else:
        found = candidates(read_jsonl(args.pool, check), funnel)
    chosen = list(selection.select(found, args, funnel))
    chosen = in_language(chosen, args.language, funnel)
    chosen = list(distinct(not_coding(chosen, funnel), funnel))
    chosen, report = away_from(chosen, args.training, args.max_bleu, funnel)
    chosen = draw(chosen, args.n, args.seed, funnel)
    if not chosen:
        steps = "; ".join(filter(None, map(funnel.reasons, ("selection", "language", "coding", "training overlap"))))
        raise UserError(f"{args.pool}: no prompt is left ({steps}); use a larger pool or wider limits")
    write_jsonl(args.output, map(prompt_of, chosen))
    write_jsonl(args.references, (reference_of(record) for record in chosen if reply_of(record) is not None))
    funnel.write(args.funnel)
    if args.leaks:
        write_json(args.leaks, {**report, "max_bleu": args.max_bleu})
    config = {"n": args.n, "max_bleu": args.max_bleu, "language": args.language, **selection.options(args)}
    for output in (args.output, args.references):
        write_manifest(
            output,
            module="falsepromise.curation.prompts",
            inputs=[args.pool, *args.training],
            config=config,
            seed=args.seed,
        )


if __name__ == "__main__":
    cli.run(main)
