"""Read result files of a batch: Mechanical Turk's download, one saved by a spreadsheet, Prolific's.

Commas, semicolons or tabs, UTF-8 or UTF-16, columns in any order and spelling. The answer is in
`Answer.choice.label`, in the JSON of `Answer.taskAnswers`, or in a column for each choice. Assignments that
were rejected (by status or by a text in `Reject`) are counted and left out, so that a worker whose first one
was rejected may have handed in another.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, loads
from falsepromise.preference import crowd

_COLUMNS = {
    "worker": ("workerid", "participantid", "prolificpid", "prolificid"),
    "item": ("inputitem", "item"),
    "batch": ("inputbatch", "batch"),
    "status": ("assignmentstatus", "status"),
    "rejected": ("reject",),
    "assignment": ("assignmentid", "submissionid", "sessionid"),  # to a survey, Prolific names a submission SESSION_ID
    "seconds": ("worktimeinseconds", "timetaken", "seconds"),
}
_LEFT_OUT = ("rejected", "returned", "timedout", "screenedout")
_NOTHING = ("", "false", "0", "nan", "none", "null")  # what programs write where no reason for a rejection is given
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls
_NUMBERED = re.compile(r"[0-9]+([.,][0-9]+)?(E\+?[0-9]+)?|INF|#+", re.IGNORECASE)


@dataclass
class Ratings:
    """The content of a result file.

    Attributes:
        votes: On the pairs of the batch.
        rejected: How many assignments were left out as rejected, returned or timed out.
        again: How many rows repeat an assignment that was read.
        checks: Attention checks passed and failed by each rater (a pseudonym).
    """

    votes: list[Record] = field(default_factory=list)
    rejected: int = 0
    again: int = 0
    checks: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, entry: Record, vote: Record) -> None:
        """Take a vote on an item of the key; one on a planted pair is a check."""
        if "expected" not in entry:
            self.votes.append(vote)
            return
        passed = vote["choice"] == entry["expected"]
        self.checks.setdefault(vote["rater"], Counter())["passed" if passed else "failed"] += 1

    @property
    def inattentive(self) -> list[str]:
        """The raters who failed more checks than they passed."""
        return sorted(rater for rater, counts in self.checks.items() if counts["failed"] > counts["passed"])


def read_table(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by its own column names; each row has all of them.

    Raises:
        UserError: it can't be read, or has no header and rows.
    """
    try:
        raw = Path(path).read_bytes()
        if raw.startswith(_WORKBOOKS):
            raise UserError(f"{path}: is a spreadsheet's workbook; save it as CSV and give that file")
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = raw.decode("utf-16")
        else:
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = raw.decode("cp1252")  # a spreadsheet's, under Windows
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: can't be read: {why}") from error
    first = text.lstrip().partition("\n")[0]
    if re.fullmatch(r"sep=.\r?", first):  # a spreadsheet's note to itself
        text = text.lstrip().partition("\n")[2]
        first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UserError(f"{path}: can't be read as CSV: {error}") from error
    if not rows:
        raise UserError(f"{path}: no row below a header; expected the batch's result CSV")
    # A row may be shorter than the header, the first one too: its last cells are empty.
    return [{name.strip(): value or "" for name, value in row.items() if isinstance(name, str)} for row in rows]


def _name(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.casefold())


def votes_of_csv(path: str | Path, key: Mapping[str, Record], submissions: str | Path | None = None) -> Ratings:
    """The ratings of a result file.

    Args:
        path: The file.
        key: Of the batch, as `crowd.read_key` gives it.
        submissions: Prolific's list of submissions, where its status and times are not in the file itself.

    Raises:
        UserError: a column is missing, a row is of another batch or of nobody, a worker rated an item twice, or nothing
            was read.
    """
    rows = read_table(path)
    named = {_name(column): column for column in rows[0]}
    columns = {what: next((named[n] for n in names if n in named), "") for what, names in _COLUMNS.items()}
    answers = [c for c in rows[0] if _name(c).startswith("answer") or _name(c) == "choice"]
    for what, example in (("worker", "WorkerId"), ("item", "Input.item")):
        if not columns[what]:
            raise UserError(f"{path}: no column {example}; expected the batch's result CSV, with its header")
    if not answers:
        raise UserError(f"{path}: no column Answer.choice.label or Answer.taskAnswers; expected the batch's result CSV")
    people = _participants(submissions) if submissions else {}
    batch = next(iter(key.values()))["batch"]
    found = Ratings()
    seen: dict[tuple[str, str], tuple[int, str, str | None]] = {}
    for number, row in enumerate(rows, 2):
        given = {what: row.get(column, "").strip() if column else "" for what, column in columns.items()}
        if not any(given.values()):
            continue  # a spreadsheet's empty line
        entry = key.get(given["item"])
        if entry is None or (given["batch"] or batch) != batch:
            raise UserError(
                f"{path}, row {number}: item {given['item']!r} of batch {given['batch']!r}, expected batch {batch!r}; "
                + ("a spreadsheet made a number of the id: import the file as it was downloaded"
                   if _NUMBERED.fullmatch(given["item"]) else "give the key that was exported with this CSV")
            )  # fmt: skip
        if not given["worker"]:
            raise UserError(
                f"{path}, row {number}: {columns['worker']} is empty; expected the rater's id; correct or remove it"
            )
        statuses = people.get(given["assignment"]) or people.get(given["worker"]) or [given["status"]]
        if given["rejected"].casefold() not in _NOTHING or all(_name(status) in _LEFT_OUT for status in statuses):
            found.rejected += 1
            continue
        answer = _answer(row, answers)
        before = seen.get((given["item"], given["worker"]))
        if before and before[1] == given["assignment"] != "" and before[2] == answer:
            found.again += 1
            continue
        if before:
            raise UserError(
                f"{path}, row {number}: worker {given['worker']} rated item {given['item']} already, "
                f"in row {before[0]}; expected one rating a worker and item: remove the extra row"
            )
        seen[given["item"], given["worker"]] = number, given["assignment"], answer
        found.add(entry, crowd.vote(entry, given["worker"], answer, _seconds(given["seconds"])))
    if not found.votes:
        raise UserError(f"{path}: has no rating that was accepted; expected the batch's result CSV")
    if all(vote["choice"] is None for vote in found.votes):
        raise UserError(
            f"{path}: none of its {len(found.votes)} answers could be read, the first being "
            f"{found.votes[0]['unreadable']}; expected one of: {'; '.join(crowd.ANSWERS)}"
        )
    return found


def _participants(path: str | Path) -> dict[str, list[str]]:
    """The statuses in Prolific's list of submissions, by submission and by participant, who may have several.

    A rating that names no submission counts if one of its participant's does.
    """
    rows = read_table(path)
    named = {_name(column): column for column in rows[0]}
    columns = [next((named[n] for n in _COLUMNS[w] if n in named), "") for w in ("worker", "status", "assignment")]
    worker, status, submission = columns
    if not worker or not status:
        raise UserError(f"{path}: no columns 'Participant id' and 'Status'; expected Prolific's export of submissions")
    found: dict[str, list[str]] = {}  # its times are whole sessions', no item's
    for row in rows:
        for name in {row[worker].strip(), row[submission].strip() if submission else ""} - {""}:
            found.setdefault(name, []).append(row[status])
    return found


def _seconds(text: str) -> float | None:
    if re.fullmatch("[1-9][0-9]{0,2},[0-9]{3}", text):
        return None  # thousands, or a decimal comma and thousandths
    try:
        seconds = float(text.replace(",", "."))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _answer(row: Mapping[str, str], columns: list[str]) -> str | None:
    """The chosen label of a row; what stands there where it is none of the labels."""
    said = [row.get(column, "").strip() for column in columns]
    chosen = [label for text in said if (label := label_of(text))]
    chosen += [
        label
        for column, text in zip(columns, said, strict=True)
        for label in crowd.ANSWERS
        if column.casefold().endswith(f".{label}".casefold()) and text.casefold() in ("true", "on", "1", "x")
    ]
    if len(set(chosen)) == 1:
        return chosen[0]
    return " / ".join(sorted(set(chosen))) or next(filter(None, said), None)


def label_of(text: str) -> str | None:
    """The label in a text: the text itself, or what its JSON holds under `choice`."""
    if text in crowd.ANSWERS:
        return text
    if text[:1] not in ("[", "{"):
        return None
    try:
        found: Any = loads(text)
    except (ValueError, RecursionError):
        return None
    for entry in found if isinstance(found, list) else [found]:
        choice = entry.get("choice") if isinstance(entry, dict) else None
        if isinstance(choice, dict) and "label" not in choice:
            ticked = [label for label, on in choice.items() if on is True]
            choice = ticked[0] if len(ticked) == 1 else None
        if isinstance(choice, dict):
            choice = choice.get("label")
        if isinstance(choice, str):
            return choice.strip()
    return None
