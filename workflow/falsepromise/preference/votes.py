"""Read votes on pairs of replies, and find each item's majority.

A vote is a record

    {"item", "rater", "choice": "left" | "right" | "tie" | null}

with, where they are known, `prompt_id`, the models' names in `left` and `right`, `first` (the side
that was shown first; a judge asked in both orders votes once in each), `seconds` spent, and `raw`
(what the judge wrote). `left` is the model under study and `right` what it is compared to, whatever
was shown first. A choice of null is an unreadable verdict: counted, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, read_jsonl
from falsepromise.core.text import one_spelling

CHOICES = ("left", "right", "tie")
_MIRROR = {"left": "right", "right": "left", "tie": "tie", None: None}


def item_of(vote: Record) -> str:
    """The voted item: `item`, or `prompt_id` if there is no `item`; numbers are read as text."""
    return str(vote["item"] if "item" in vote else vote["prompt_id"])


def _choice(vote: Record) -> object:
    choice = vote.get("choice", "nothing")
    return choice.strip().lower() if isinstance(choice, str) else choice


def check_vote(vote: Record) -> str | None:
    """What is wrong with a vote record, or None."""
    if not isinstance(vote.get("item", vote.get("prompt_id")), str | int):
        return f"'item' is {vote.get('item')!r}, expected the id of what was voted on"
    if not isinstance(vote.get("rater"), str | int) or not str(vote["rater"]).strip():
        return f"'rater' is {vote.get('rater')!r}, expected the rater's name or number"
    if _choice(vote) not in (*CHOICES, None):
        return f"'choice' is {vote.get('choice')!r:.80}, expected left, right, tie or null (unreadable)"
    if vote.get("first") not in (*CHOICES[:2], None):
        return f"'first' is {vote['first']!r}, expected left or right"
    for side in CHOICES[:2]:
        if not isinstance(vote.get(side), str | None):
            return f"'{side}' is {vote[side]!r:.80}, expected the model's name"
    spent = vote.get("seconds")
    if spent is not None and (isinstance(spent, bool) or not isinstance(spent, int | float) or not 0 <= spent < 1e9):
        return f"'seconds' is {spent!r:.80}, expected the time of this vote in seconds"
    return None


def read_votes(paths: Iterable[str | Path], model: str | None = None) -> list[Record]:
    """Votes of one or more files, all with the model under study on the left.

    Args:
        paths: JSON lines of vote records.
        model: The model under study, where votes name the models in `left` and `right`: a vote
            with it on the right is mirrored. Default: the `left` of the first vote that names one.

    Raises:
        UserError: a record is no vote, `model` is on neither side, the votes compare it with several
            models, or a rater voted more than once on an item in the same order.
    """
    votes: list[Record] = []
    seen: set[tuple[str, str, str | None]] = set()
    other = None
    for path in paths:
        for vote in read_jsonl(path, check_vote):
            vote = {**vote, "item": item_of(vote), "rater": one_spelling(vote["rater"]), "choice": _choice(vote)}
            if vote.get("left") and vote.get("right"):
                model = model or vote["left"]
                if model == vote["right"] != vote["left"]:
                    vote = mirrored(vote)
                if model != vote["left"]:
                    raise UserError(
                        f"{path}: item {vote['item']!r} compares {vote['left']} with {vote['right']}, expected {model} "
                        "on one side; name the model under study with --model, one file of votes a model"
                    )
                other = other or vote["right"]
                if other != vote["right"]:
                    raise UserError(
                        f"{path}: item {vote['item']!r} compares {model} with {vote['right']}, others with {other}; "
                        "expected one comparison: aggregate the votes on each by themselves"
                    )
            key = (vote["item"], vote["rater"], vote.get("first"))
            if key in seen:
                raise UserError(
                    f"{path}: rater {vote['rater']!r} voted more than once on item {vote['item']!r}"
                    + (f" with {key[2]} first" if key[2] else "")
                    + "; expected one vote a rater and item: remove the extra ones"
                )
            seen.add(key)
            votes.append(vote)
    return votes


def mirrored(vote: Record) -> Record:
    """The same vote with its sides exchanged."""
    vote = {**vote, "left": vote.get("right"), "right": vote.get("left"), "choice": _MIRROR[vote["choice"]]}
    if vote.get("first"):
        vote["first"] = _MIRROR[vote["first"]]
    return vote


def by_item(votes: Iterable[Record]) -> dict[str, dict[str, str]]:
    """Each rater's choice on each item, the unreadable votes left out.

    For a rater who voted in both orders (a judge), equal votes count; if the two differ, the choice is a tie (as in
    MT-bench). If only one order is readable, it counts.
    """
    readable: dict[str, dict[str, set[str]]] = {}
    for vote in votes:
        raters = readable.setdefault(vote["item"], {})
        if vote["choice"] is not None:
            raters.setdefault(vote["rater"], set()).add(vote["choice"])
    return {
        item: {rater: choices.copy().pop() if len(choices) == 1 else "tie" for rater, choices in raters.items()}
        for item, raters in readable.items()
    }


def majority(choices: Iterable[str]) -> str:
    """The choice of more than half of the votes; `no_majority` if there is none.

    Of three votes two decide, and 1-1-1 is `no_majority`. A tie that wins the vote is `tie`.
    """
    counts = Counter(choices)
    choice, most = counts.most_common(1)[0]
    return choice if 2 * most > counts.total() else "no_majority"
