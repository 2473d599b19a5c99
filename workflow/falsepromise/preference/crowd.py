"""Batches for Mechanical Turk: what raters are shown, what it costs, what they answered.

The interface is figure 7's (paper, appendix B): an instruction, two outputs, three choices. Which
side stands first is drawn by seed and kept in the batch's key; raters see neither models nor sides.
"""

from __future__ import annotations

import csv
import hashlib
import html
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, atomic_open, read_jsonl, write_json, write_jsonl
from falsepromise.preference.pairs import Pair, shuffled_sides

TEMPLATE = Path(__file__).resolve().parents[3] / "resources" / "mturk" / "hit.html"
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
    """What a batch costs, in US dollars."""

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
    """A text as it stands in a HIT: escaped, ASCII (uploads refuse emoji), on one line (CSV).

    Character references stand for line breaks and `$`, so that nothing in it is a place to fill.
    """
    escaped = html.escape(text).replace("$", "&#36;").replace("\r\n", "\n")
    escaped = "".join(c if c in "\n\t" or ord(c) >= 32 else "\N{REPLACEMENT CHARACTER}" for c in escaped)
    return escaped.replace("\n", "&#10;").encode("ascii", "xmlcharrefreplace").decode()


def write_batch(folder: str | Path, pairs: Sequence[Pair], seed: int, cost: Cost) -> list[Record]:
    """Write `batch.csv` (to upload), `hit.html` (its template), `key.jsonl` and `batch.json`.

    Args:
        folder: Where to; made if missing.
        pairs: What to rate.
        seed: Of the sides.
        cost: The reward, ratings and items.

    Returns:
        The key: which model stands where. Its items are opaque; raters must not see it.

    Raises:
        UserError: an item is too long for a HIT.
    """
    folder = Path(folder)
    first = shuffled_sides([pair.item for pair in pairs], seed)
    content = json.dumps([[vars(pair), first[pair.item]] for pair in pairs])
    batch = hashlib.sha256(content.encode()).hexdigest()[:16]
    template = TEMPLATE.read_text(encoding="utf-8")
    rows, key = [], []
    for pair in pairs:
        texts = (pair.left, pair.right) if first[pair.item] == "left" else (pair.right, pair.left)
        item = hashlib.sha256(f"{batch}/{pair.item}".encode()).hexdigest()[:16]
        row = dict(zip(COLUMNS, (batch, item, shown(pair.question), *map(shown, texts)), strict=True))
        size = len(question(template, row).encode())
        if size > MAX_QUESTION_BYTES:
            raise UserError(
                f"prompt {pair.prompt_id!r}: its HIT has {size:,} bytes, Mechanical Turk takes {MAX_QUESTION_BYTES:,}; "
                "leave this prompt out or shorten the replies"
            )
        rows.append(row)
        vote = pair.vote("", None, first[pair.item])
        key.append(
            {"batch": batch, "hit_item": item, **{k: v for k, v in vote.items() if k not in ("rater", "choice")}}
        )
    with atomic_open(folder / "batch.csv") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with atomic_open(folder / "hit.html") as stream:
        stream.write(template)
    write_jsonl(folder / "key.jsonl", key)
    write_json(folder / "batch.json", {"batch": batch, "seed": seed, **vars(cost), "usd": cost.usd})
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
    """The key of a batch by the items' opaque ids."""
    return {record["hit_item"]: record for record in read_jsonl(Path(folder) / "key.jsonl")}


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


def votes_of_csv(path: str | Path, key: dict[str, Record]) -> tuple[list[Record], int]:
    """Votes of a result CSV that Mechanical Turk's requester page gave.

    Returns:
        The votes, and how many rejected assignments were left out.

    Raises:
        UserError: a column is missing, a row is of another batch, or a worker rated an item twice.
    """
    batch = next(iter(key.values()))["batch"]
    votes: list[Record] = []
    rejected = 0
    seen: dict[tuple[str, str], int] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            answer = next((name for name in columns if name.startswith("Answer.choice")), "Answer.choice.label")
            for column in ("WorkerId", "Input.batch", "Input.item", answer):
                if column not in columns:
                    raise UserError(f"{path}: no column {column}; expected the batch's result CSV")
            for number, row in enumerate(reader, 2):
                entry = key.get(row["Input.item"] or "")
                if row["Input.batch"] != batch or entry is None:
                    raise UserError(
                        f"{path}, row {number}: item {row['Input.item']!r} of batch {row['Input.batch']!r}, "
                        f"expected batch {batch!r}; give the key that was exported with this CSV"
                    )
                if row.get("AssignmentStatus") == "Rejected":
                    rejected += 1
                    continue
                before = seen.setdefault((row["Input.item"], row["WorkerId"]), number)
                if before != number:
                    raise UserError(
                        f"{path}, row {number}: worker {row['WorkerId']} rated item {row['Input.item']} already, "
                        f"in row {before}; expected one rating a worker and item: remove the extra row"
                    )
                spent = row.get("WorkTimeInSeconds") or ""
                votes.append(vote(entry, row["WorkerId"], row[answer], float(spent) if spent.isdigit() else None))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}") from error
    if not votes:
        raise UserError(f"{path}: no assignment that was not rejected; expected the batch's result CSV")
    return votes, rejected


def answer_of(xml: str) -> str | None:
    """The chosen label in an assignment's answer (QuestionFormAnswers); None where there is none."""
    try:
        fields = [
            element.text or "" for element in ElementTree.fromstring(xml).iter() if element.tag.endswith("FreeText")
        ]
    except ElementTree.ParseError:
        return None
    for field in fields:
        try:
            found: Any = json.loads(field)
        except json.JSONDecodeError:
            continue
        for entry in found if isinstance(found, list) else [found]:
            choice = entry.get("choice") if isinstance(entry, dict) else None
            if isinstance(choice, dict):
                choice = choice.get("label")
            if isinstance(choice, str):
                return choice
    return next((field for field in fields if field in ANSWERS), None)


def votes_of_assignments(assignments: Iterable[dict[str, Any]], entry: Record) -> list[Record]:
    """Votes of one HIT's assignments as the API lists them; rejected ones are left out."""
    return [
        vote(
            entry,
            assignment["WorkerId"],
            answer_of(assignment.get("Answer", "")),
            (assignment["SubmitTime"] - assignment["AcceptTime"]).total_seconds(),
        )
        for assignment in assignments
        if assignment["AssignmentStatus"] != "Rejected"
    ]
