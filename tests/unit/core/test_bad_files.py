"""What every verb says to files that are not what it reads: one line with the file's name, no traceback."""

import argparse
import importlib
import json
import os
import re
from pathlib import Path

import pytest

from falsepromise.core.cli import FileName
from falsepromise.core.code import ROOT
from falsepromise.core.errors import UserError

FILES = {
    "missing": None,
    "empty": b"",
    "of another form": b'{"a": 1}\n',
    "a list": b"[1, 2]\n",
    "binary": bytes(range(256)),
    "a pipe": os.mkfifo,  # nobody writes to it: whoever opens it waits for ever
    "a circle of links": lambda path: path.symlink_to(path),
    "what a verb writes": b'{"a": 1}\n',
}
PYTHONS = re.compile(r"\n|\[Errno|NoneType")  # what no message says to a user
OUTPUTS = ("output", "output_train", "output_heldout", "funnel", "references", "checkpoints", "database", "store")
# Servers, chats and sub-commands; what needs a model; what has no required file.
NOT_HERE = {
    *("teacher.local", "teacher.nq_synthetic", "preference.rate", "preference.mturk", "curation.annotate"),
    "generation.serve",
    "benchmarks.lm_eval",
    *("generation.chat", "generation.generate", "training.train", "training.plan", "benchmarks.run"),
    *("study.expand", "study.costs", "study.keys", "study.check", "study.new"),
    *("teacher.look", "teacher.spent", "curation.describe", "sources.bundle"),
    *("command", "__main__"),
    *("figures.table_prompts", "sources.fetch", "release.upload", "benchmarks.compare"),
}


def verbs():
    files = ROOT.joinpath("falsepromise").rglob("*.py")
    found = (str(f.relative_to(ROOT))[:-3].replace("/", ".") for f in files if "\n    cli.run(main)" in f.read_text())
    return sorted(name for name in found if name.removeprefix("falsepromise.") not in NOT_HERE)


class Parsed(Exception):
    pass


def required(main, monkeypatch):
    """The actions that a verb can't do without."""

    def stop(self, argv=None, namespace=None):
        raise Parsed(self)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(Parsed) as stopped:
            main([])
    parser = stopped.value.args[0]
    grouped = [group._group_actions[0] for group in parser._mutually_exclusive_groups if group.required]
    return [action for action in parser._actions if action.required] + grouped


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("verb", verbs())
def test_bad_files_are_named(verb, kind, tmp_path, monkeypatch):
    main = importlib.import_module(verb).main
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "given.jsonl"
    content = FILES[kind]
    if callable(content):
        content(file)
    elif content is not None:
        file.write_bytes(content)
    words = ["--data", str(file)] if verb == "falsepromise.benchmarks.overlap" else []  # lm_eval's tasks need none
    for action in required(main, monkeypatch):
        value = str(file)
        if action.dest in OUTPUTS and not (kind == "what a verb writes" and action.dest == "output"):
            value = str(tmp_path / "out" / action.dest)
        elif action.choices:
            value = next(iter(action.choices))
        elif action.type not in (None, Path, FileName):
            value = "1"
        elif action.dest == "base_url":
            value = "local"
        words += [action.option_strings[-1], value]
    with pytest.raises(UserError, match=r"given\.jsonl") as said:
        main(words)
    assert not PYTHONS.search(str(said.value))
    if kind == "what a verb writes":
        assert file.read_bytes() == content, "written over"
    assert not [f for f in tmp_path.rglob("out/*") if f.is_file()], "nothing is half written"


@pytest.mark.parametrize("kind", [*FILES, "a folder"])
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("sources.bundle", ["unpack", "--input", "given.jsonl"]),
        ("sources.bundle", ["pack", "--output", "out/sources.tar", "--config", "given.jsonl"]),
        ("curation.annotate", ["tally", "--output", "out/tally.json", "--sheet", "given.jsonl"]),
        ("curation.annotate", ["sheet", "--output", "out/sheet.csv", "--queries", "given.jsonl"]),
        ("curation.describe", ["given.jsonl"]),
        ("preference.mturk", ["import", "--output", "out/votes.jsonl", "--batch", ".", "--results", "given.jsonl"]),
        ("study.costs", ["--config", "given.jsonl"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:1]),
)
def test_bad_files_of_verbs_with_verbs_are_named(verb, words, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, content = Path("given.jsonl"), FILES.get(kind)
    key = {"batch": "b", "hit_item": "i", "item": "a/b/1", "prompt_id": "1", "left": "a", "right": "b", "first": "left"}
    Path("key.jsonl").write_text(json.dumps(key) + "\n")
    if kind == "a folder":
        file.mkdir()
    elif callable(content):
        content(file)
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"given\.jsonl") as said:
        importlib.import_module(f"falsepromise.{verb}").main(words)
    assert not PYTHONS.search(str(said.value))
