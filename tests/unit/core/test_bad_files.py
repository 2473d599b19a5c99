"""What every verb says to files that are not what it reads: one line with the file's name, no traceback."""

import argparse
import importlib
import os
from pathlib import Path

import pytest

from falsepromise.core.cli import FileName
from falsepromise.core.code import ROOT
from falsepromise.core.errors import UserError

FILES = {
    "missing": None,
    "of another form": b'{"a": 1}\n',
    "a list": b"[1, 2]\n",
    "binary": bytes(range(256)),
    "a pipe": os.mkfifo,  # nobody writes to it: whoever opens it waits for ever
    "a circle of links": lambda path: path.symlink_to(path),
    "what a verb writes": b'{"a": 1}\n',
}
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
    assert "\n" not in str(said.value)
    if kind == "what a verb writes":
        assert file.read_bytes() == content, "written over"
    assert not [f for f in tmp_path.rglob("out/*") if f.is_file()], "nothing is half written"
