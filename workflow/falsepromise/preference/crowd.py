"""Make batches for Mechanical Turk: the raters' page, the cost, the answers.

The interface is that of the paper's appendix B (figure 7): an instruction, two outputs, three choices. The seed decides
which side is first, and the batch's key records it; raters see neither models nor sides.
"""

from __future__ import annotations

import csv
import hashlib
import html
import json
import math
import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.place import resource
from falsepromise.core.records import Record, atomic_open, read_json, read_jsonl, write_json, write_jsonl
from falsepromise.preference.pairs import Pair, shuffled_sides

TEMPLATE = resource("mturk/hit.html")
COLUMNS = ("batch", "item", "user_query", "model_response1", "model_response2")
ANSWERS = {
    "Output 1 is of higher overall quality": "first",
    "Output 2 is of higher overall quality": "second",
    "Both 1 and 2 are the same in overall quality": "tie",
}
MAX_QUESTION_BYTES = 65_535  # Mechanical Turk's bound on one HIT
FEE, FEE_FROM_TEN_RATINGS, LEAST_FEE = 0.20, 0.40, 0.01  # share of the reward; US dollars
_OTHER_SIDE = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Cost:
    """The cost of a batch in US dollars."""

    items: int
    ratings: int
    reward: float

    @property
    def usd(self) -> float:
        """Rewards and Mechanical Turk's fee: 20 % (40 % from ten ratings an item), at least a cent each."""
        share = FEE if self.ratings < 10 else FEE_FROM_TEN_RATINGS
        return self.items * self.ratings * (self.reward + max(LEAST_FEE, share * self.reward))

    def __str__(self) -> str:
        return f"{self.items} items x {self.ratings} ratings x ${self.reward:.2f} with fees: ${self.usd:.2f}"


def fair_reward(hourly: float, seconds: float) -> float:
    """The reward for one rating that pays `hourly` US dollars at `seconds` a rating, rounded up to a cent."""
    return math.ceil(round(hourly * seconds / 36, 6)) / 100


def shown(text: str) -> str:
    """A text for a HIT: escaped, ASCII (uploads refuse emoji), on one line (CSV).

    Line breaks and `$` are character references, so that no part of it is a place to fill.
    """
    escaped = html.escape(text).replace("$", "&#36;").replace("\r\n", "\n")
    escaped = "".join(c if c in "\n\t" or ord(c) >= 32 else "\N{REPLACEMENT CHARACTER}" for c in escaped)
    return escaped.replace("\n", "&#10;").encode("ascii", "xmlcharrefreplace").decode()


def write_batch(
    folder: str | Path, pairs: Sequence[Pair], seed: int, cost: Cost, checks: Sequence[tuple[Pair, str]] = ()
) -> list[Record]:
    """Write `batch.csv` (to upload), `hit.html` (its template), `key.jsonl` and `batch.json`.

    Args:
        folder: Where to; made if missing.
        pairs: What to rate.
        seed: Of the sides.
        cost: The reward, ratings and items.
        checks: Planted pairs and the side that is to be chosen, which come between the others.

    Returns:
        The key: which model stands where. Its items are opaque and begin with a letter, so that no spreadsheet
        takes them for numbers; raters must not see it.

    Raises:
        UserError: an item is too long for a HIT, or the folder has another batch: without its key nobody could read
            the results that are being paid for.
    """
    folder = Path(folder)
    expected = {pair.item: side for pair, side in checks}
    pairs = [*pairs, *(pair for pair, _ in checks)]
    if checks:
        random.Random(seed).shuffle(pairs)
    first = shuffled_sides([pair.item for pair in pairs], seed)
    content = json.dumps([[vars(pair), first[pair.item]] for pair in pairs])
    batch = "b" + hashlib.sha256(content.encode()).hexdigest()[:15]
    about = read_json(folder / "batch.json") if (folder / "batch.json").exists() else {"batch": batch}
    other = about.get("batch") if isinstance(about, dict) else about
    if other != batch:
        raise UserError(f"{folder}: has batch {other!r:.80}, whose results need its key; export to another folder")
    template = TEMPLATE.read_text(encoding="utf-8")
    rows, key = [], []
    for pair in pairs:
        texts = (pair.left, pair.right) if first[pair.item] == "left" else (pair.right, pair.left)
        item = "i" + hashlib.sha256(f"{batch}/{pair.item}".encode()).hexdigest()[:15]
        row = dict(zip(COLUMNS, (batch, item, shown(pair.question), *map(shown, texts)), strict=True))
        size = len(question(template, row).encode())
        if size > MAX_QUESTION_BYTES:
            raise UserError(
                f"prompt {pair.prompt_id!r}: its HIT has {size:,} bytes, Mechanical Turk takes {MAX_QUESTION_BYTES:,}; "
                "leave this prompt out or shorten the replies"
            )
        rows.append(row)
        vote = pair.vote("", None, first[pair.item])
        entry = {"batch": batch, "hit_item": item, **{k: v for k, v in vote.items() if k not in ("rater", "choice")}}
        key.append(entry | ({"expected": expected[pair.item]} if pair.item in expected else {}))
    with atomic_open(folder / "batch.csv") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with atomic_open(folder / "hit.html") as stream:
        stream.write(template)
    write_json(folder / "batch.json", {"batch": batch, "seed": seed, **vars(cost), "usd": cost.usd})  # guards the key
    write_jsonl(folder / "key.jsonl", key)
    return key


def question(template: str, row: Record) -> str:
    """The HTMLQuestion of one row, for Mechanical Turk's API."""
    page = re.sub(r"\$\{(\w+)\}", lambda match: row[match[1]], template)
    schema = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2011-11-11/HTMLQuestion.xsd"
    head = "<!DOCTYPE html><html><head><meta charset='utf-8'></head><body>"
    content = f"<![CDATA[{head}{page}</body></html>]]>"
    body = f"<HTMLContent>{content}</HTMLContent><FrameHeight>0</FrameHeight>"
    return f'<HTMLQuestion xmlns="{schema}">{body}</HTMLQuestion>'


def read_key(folder: str | Path) -> dict[str, Record]:
    """The key of a batch by the items' opaque ids.

    Raises:
        UserError: a record is not as `write_batch` writes it.
    """
    return {record["hit_item"]: record for record in read_jsonl(Path(folder) / "key.jsonl", _check_key)}


def _check_key(entry: Record) -> str | None:
    for name in ("hit_item", "batch", "item", "prompt_id", "left", "right"):
        if not isinstance(entry.get(name), str):
            return f"'{name}' is {entry.get(name)!r:.80}, expected text; restore the batch's key"
    if entry.get("first") not in tuple(_OTHER_SIDE):
        return f"'first' is {entry.get('first')!r:.80}, expected left or right; restore the batch's key"
    return None


def vote(entry: Record, worker: str, answer: str | None, seconds: float | None) -> Record:
    """A vote from a rater's answer.

    Args:
        entry: The item's key.
        worker: The worker's id; the vote holds a pseudonym that is the same within a batch.
        answer: The chosen label, or None where there is none.
        seconds: Time spent, where known.
    """
    place = ANSWERS.get((answer or "").strip())
    first = entry["first"]
    choice = {"first": first, "second": _OTHER_SIDE[first], "tie": "tie", None: None}[place]
    made = {k: entry[k] for k in ("item", "prompt_id", "left", "right", "first")}
    made |= {"rater": hashlib.sha256(f"{entry['batch']}/{worker}".encode()).hexdigest()[:12], "choice": choice}
    if seconds is not None:
        made["seconds"] = seconds
    if choice is None:
        made["unreadable"] = f"unknown answer {answer!r}" if answer else "no answer"
    return made


def free_texts(xml: str) -> list[str]:
    """The texts in an assignment's answer (QuestionFormAnswers); none where it is no XML."""
    try:
        return [e.text or "" for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("FreeText")]
    except ElementTree.ParseError:
        return []


def planted(pairs: Sequence[Pair], count: int, seed: int) -> list[tuple[Pair, str]]:
    """Attention checks: a question with its real reply and, as the other one, a scrambled reply to another question.

    Returns:
        Pairs whose items say that they are checks, each with the side that is the real reply.

    Raises:
        UserError: there are fewer pairs than checks, or no two questions.
    """
    if count and (count > len(pairs) or len(pairs) < 2):
        raise UserError(f"--checks {count}: expected at most {len(pairs)}, one a pair, and two pairs or more")
    rng = random.Random(f"{seed}/checks")
    made = []
    telling = [pair for pair in pairs if len(pair.right.split()) >= 10]  # a scrambled word is no worse than the word
    for number, pair in enumerate(rng.sample(telling if len(telling) >= count else list(pairs), count)):
        other = rng.choice([p for p in pairs if p is not pair])
        words = other.right.split() or ["word"]
        rng.shuffle(words)
        side = rng.choice(("left", "right"))
        texts = {side: pair.right, _OTHER_SIDE[side]: " ".join(words)}
        made.append((replace(pair, item=f"check/{number}", **texts), side))
    return made
