"""Write one page with every answer of a study, side by side with the teacher's.

The HTML file needs no network and no server. It shows any prompt of a prompt set with all models' answers, each
answer's style marks and scores, and the answers of benchmarks that stored them, with keys, a search and a filter. All
texts are untrusted: the page contains them as JSON and shows them only as text, and its policy allows no other
script and no loading.

A prompt set's name is its file's, up to the first dot; responses are `.../<prompt set>/<model>.jsonl`.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.benchmarks import data
from falsepromise.core import cli, text
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.place import PACKAGE
from falsepromise.core.records import Record, atomic_open, check_prompt, dumps, read_json, read_jsonl
from falsepromise.figures.study import Study, read_study
from falsepromise.preference.pairs import question_of
from falsepromise.style.compare import OURS

log = logging.getLogger(__name__)
PAGE = Path(__file__).resolve().parent / "page"
SHEETS = (PACKAGE / "preference/page/style.css", PAGE / "browse.css")
TEACHER = "teacher"
OWN_REPLY = "The dialogue's own reply"
NOT_MARKS = ("id", "prompt_id", "response", "completions", "failure")
EXACT = ("exact_match", "contains_answer", "exact_match_strict", "exact_match_flexible", "acc")  # 1.0 is yes
VERDICTS = {"left": "prefers this one", "right": "prefers the teacher's", "tie": "tie", "no_majority": "no majority"}
Answer = dict[str, Any]


class Room:
    """Prompt sets with their questions and answers, in the page's form."""

    def __init__(self, study: Study):
        self.study = study
        self.questions: dict[str, dict[str, str]] = {}  # set -> prompt -> question, in order
        self.answers: dict[str, dict[str, dict[str, list[Answer]]]] = {}  # set -> model -> prompt -> samples

    def ask(self, name: str, prompt: str, question: str) -> None:
        """Add a prompt to a set; an existing one keeps its place and text."""
        self.questions.setdefault(name, {}).setdefault(prompt, text.terminal(question))

    def answer(self, name: str, model: str, prompt: str, response: str, marks: Mapping[str, Any]) -> None:
        """Add an answer with its marks by name: true or false, a number, or words."""
        samples = self.answers.setdefault(name, {}).setdefault(model, {}).setdefault(prompt, [])
        samples.append({"t": text.terminal(response), "m": {}})
        self.mark(name, model, prompt, marks, len(samples) - 1)

    def mark(self, name: str, model: str, prompt: str, marks: Mapping[str, Any], sample: int = 0) -> None:
        """Add marks to an answer, if there is such an answer; a number that isn't finite marks nothing."""
        samples = self.answers.get(name, {}).get(model, {}).get(prompt, [])
        for key, value in marks.items() if sample < len(samples) else ():
            if isinstance(value, float):
                value = round(value, 4) if math.isfinite(value) else None
            if isinstance(value, str | bool | int | float):
                label = text.terminal(key.replace("_", " "), lines=False)
                samples[sample]["m"][label] = text.terminal(value, lines=False) if isinstance(value, str) else value

    def page_data(self) -> Record:
        """The whole content: sets, each with its columns (the teacher first) and its items."""
        study = self.study
        order = {name: place for place, name in enumerate([TEACHER, *study.models])}
        sets = []
        for name, questions in self.questions.items():
            given = self.answers.get(name, {})
            models = sorted(given, key=lambda model: (order.get(model, len(order)), model))
            items = [
                {"id": text.terminal(prompt, lines=False), "q": question, "a": [given[m].get(prompt) for m in models]}
                for prompt, question in questions.items()
            ]
            label = study.benchmarks.get(name, {}).get("label") or name
            asked = study.prompts.get(name, {"references": "teacher"})  # else: a benchmark
            own = asked.get("references", "dialogue") == "dialogue"
            labels = [OWN_REPLY if own and model == TEACHER else self._label(model) for model in models]
            stand_in = study.teacher.get("stand_in") if TEACHER in models and not own else None
            note = f"The teacher is a stand-in: {stand_in}." if stand_in else ""
            named = {"name": str(label), "note": note}
            shown = {key: text.terminal(value, lines=False) for key, value in named.items()}
            sets.append({**shown, "columns": [text.terminal(label, lines=False) for label in labels], "items": items})
        title = f"{study.name}: {study.title}" if study.title != study.name else study.name
        return {"title": text.terminal(title, lines=False), "sets": sets}

    def _label(self, model: str) -> str:
        if model == TEACHER:
            return self.study.teacher_label
        found = self.study.models.get(model, {})
        if not found:
            return model
        label, seed = str(found.get("label") or model), found.get("seed")
        alike = sum(str(other.get("label") or name) == label for name, other in self.study.models.items())
        return f"{label}, seed {seed}" if alike > 1 and seed is not None else label


def read_room(
    study: Study,
    prompts: Sequence[Path],
    reference: Sequence[Path],
    responses: Sequence[Path],
    scores: Sequence[Path] = (),
    questions: Mapping[str, Path] | None = None,
) -> Room:
    """The page's content.

    Args:
        study: The expanded study.
        prompts, reference, responses: Prompt sets, the teacher's answers to them, the models'.
        scores: Score files: style, preference, benchmarks. Files without items add nothing.
        questions: A benchmark's name -> the file of its questions.

    Raises:
        UserError: a file has another form, or answers a prompt set that isn't among `prompts`.
    """
    room = Room(study)
    for path in prompts:
        for record in read_jsonl(path, check_prompt):
            room.ask(set_name(path), record["id"], question_of(record))
    for path in reference:
        _read_answers(room, set_name(path), TEACHER, path)
    for path in responses:
        _read_answers(room, path.parent.name, path.stem, path)
    for name, path in (questions or {}).items():
        form, key = data.FORMS.get(str(study.benchmarks.get(name, {}).get("task")), (None, ""))
        for record in data.read_records(path, form)[0] if form else ():
            asked = str(record[key])
            right = record.get("answer", record.get("highlights"))
            right = record["choices"][right] if isinstance(right, int) else right
            right = right if isinstance(right, str) else " / ".join(map(str, right or ()))
            room.ask(name, record["id"], f"{asked}\n\nRight: {right}")
    for path in scores:
        _read_score(room, path)
    # Questions without answers are left out: the benchmark's limit excluded them.
    for name, asked_of in room.questions.items():
        answered = {prompt for by_prompt in room.answers.get(name, {}).values() for prompt in by_prompt}
        room.questions[name] = {prompt: question for prompt, question in asked_of.items() if prompt in answered}
    room.questions = {name: asked_of for name, asked_of in room.questions.items() if asked_of}
    return room


def set_name(path: Path) -> str:
    """The prompt set of a file: `heldout.references.jsonl` -> "heldout"."""
    return path.name.partition(".")[0]


def _read_answers(room: Room, name: str, model: str, path: Path) -> None:
    if name not in room.questions:
        raise UserError(
            f"{path}: answers the prompt set {name!r}, but --prompts has {', '.join(room.questions) or 'none'}; "
            "expected .../<prompt set>/<model>.jsonl"
        )
    for record in read_jsonl(path, _check_answer):
        prompt = str(record["prompt_id"])
        if prompt not in room.questions[name]:
            raise UserError(f"{path}: answers the prompt {prompt!r}, which the prompt set {name} doesn't have")
        marks = {"tokens": record.get("n_tokens")}
        if record.get("finish_reason") == "length":
            marks["cut at the limit"] = True
        room.answer(name, model, prompt, record["response"], marks)


def _check_answer(record: Record) -> str | None:
    if isinstance(record.get("prompt_id"), bool) or not isinstance(record.get("prompt_id"), str | int):
        return f"'prompt_id' is {record.get('prompt_id')!r:.80}, expected the prompt's id"
    return None if isinstance(record.get("response"), str) else f"'response' is {record.get('response')!r:.80}"


def _read_score(room: Room, path: Path) -> None:
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("model"), str):
        raise UserError(f"{path}: not a score record with a 'model'; give files of style/, benchmarks/, preference/")
    study, name = room.study, str(record.get("benchmark"))
    model = TEACHER if record["model"] in study.teacher_names else record["model"]
    voter = study.judges.get(name) or study.raters.get(name)
    # The score file names the responses that it is about.
    manifest = record.get("manifest") or {}
    inputs = manifest.get("inputs") or {}
    whole = (manifest.get("config") or {}).get("sample") is None  # a style item is the mean of a prompt's samples
    named = {Path(file).parent.name for file in inputs} & set(room.questions)
    where = sorted(named) or list(room.questions)
    for item in record.get("items") or ():
        if not isinstance(item, dict) or not isinstance(item.get("id"), str | int):
            raise UserError(f"{path}: an item without an 'id': {item!r:.80}")
        prompt = str(item.get("prompt_id") or item["id"])
        marks = {key: value for key, value in item.items() if key not in NOT_MARKS}
        if name == "style":
            theirs = {key: value for key, value in marks.items() if key.startswith("reference_")}
            for those in where:
                n = len(room.answers.get(those, {}).get(model, {}).get(prompt, ())) if whole else 1
                named_so = {k: f"mean of {n} samples: {k}" if n > 1 and k in OURS else k for k in marks}
                room.mark(those, model, prompt, {named_so[k]: v for k, v in marks.items() if k not in theirs})
                room.mark(those, TEACHER, prompt, {k.removeprefix("reference_"): v for k, v in theirs.items()})
        elif "majority" in item:
            said = VERDICTS.get(str(item["majority"]), str(item["majority"]))
            for those in where:
                room.mark(those, model, prompt, {str((voter or {}).get("label") or name): said})
        elif isinstance(item.get("response"), str):
            room.ask(name, prompt, prompt)
            exact = {k: bool(v) if k in EXACT and v in (0, 1) else v for k, v in marks.items()}
            room.answer(name, model, prompt, item["response"], exact)


def html(content: Record) -> str:
    """The page, whose policy allows only its own style and script, by their hashes."""
    style = "".join(sheet.read_text("utf-8") for sheet in SHEETS)
    script = (PAGE / "browse.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    # Without "<" no text can end its element or open a comment in it.
    held = dumps(content).replace("<", "\\u003c")
    page = (PAGE / "browse.html").read_text("utf-8")
    parts = {"TITLE": text.html(content["title"]), "POLICY": policy, "STYLE": style, "SCRIPT": script, "DATA": held}
    pieces = page.split("@@")  # the template's own marks; inserted texts are not searched
    return "".join(parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the expanded study (JSON)")
    parser.add_argument("--prompts", type=Path, nargs="*", default=[], help="prompt sets")
    parser.add_argument("--reference", type=Path, nargs="*", default=[], help="the teacher's answers to them")
    parser.add_argument("--responses", type=Path, nargs="*", default=[], help="<prompt set>/<model>.jsonl")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="style, preference and benchmark scores")
    parser.add_argument("--benchmarks", nargs="*", default=[], metavar="NAME", help="benchmarks of --questions")
    parser.add_argument("--questions", type=Path, nargs="*", default=[], help="files of --benchmarks' questions")
    parser.add_argument("--output", type=Path, default=Path("browse.html"), help="the page to write")
    args = parser.parse_args(argv)
    if len(args.benchmarks) != len(args.questions):
        parser.error(f"{len(args.benchmarks)} --benchmarks, {len(args.questions)} --questions: give as many of each")
    questions = dict(zip(args.benchmarks, args.questions, strict=True))
    study = read_study(args.study)
    room = read_room(study, args.prompts, args.reference, args.responses, args.scores, questions)
    content = room.page_data()
    with atomic_open(args.output) as stream:
        stream.write(html(content))
    inputs = [args.study, *args.prompts, *args.reference, *args.responses, *args.scores, *args.questions]
    write_manifest(args.output, module="falsepromise.figures.browse", inputs=inputs, config={})
    count = sum(bool(a) for s in content["sets"] for item in s["items"] for a in item["a"])
    log.info("%s: %d prompt sets, %d answers", args.output, len(content["sets"]), count)


if __name__ == "__main__":
    cli.run(main)
