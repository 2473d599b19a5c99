"""The help of each verb that reads or fetches data: what it does, which formats it takes, what every option is."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pytest

from falsepromise.core import code

STAGES = ("sources", "curation", "teacher")
VERBS = sorted(
    f"{file.parent.name}.{file.stem}"
    for stage in STAGES
    for file in Path(code.ROOT / code.PACKAGE / stage).glob("*.py")
    if "\ndef main(" in file.read_text(encoding="utf-8")
)
FORMATS = {
    "curation.sharegpt": ("{id, conversations: [{from, value}]}", "{items: ", "JSON lines", "gzip"),
    "curation.hc3": ("chatgpt_answers", "sub-corpora", "JSON lines", "gzip"),
    "curation.discord": ("DiscordChatExporter", "{input, output}", "JSON lines", "gzip"),
    "curation.messages": ("{id, messages: [{role, content}]}", "JSON lines", "gzip"),
    "curation.tldr": ("{id, content, summary}", "gzip"),
    "curation.cnn": ("{id, article, highlights}", "gzip"),
    "curation.superni": ("{Definition, Instances", "gzip"),
    "curation.diversity": ("prompt or dialogue records", "mean_nearest_bleu"),
    "sources.fetch": ("pypi:", "hub:", "https:", "file:", "SHA-256"),
    "sources.weights": ("hub:", "file:", "safetensors"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_a_verb_does_and_takes(verb, monkeypatch, capsys):
    parsers: list[argparse.ArgumentParser] = []
    print_help = argparse.ArgumentParser.print_help
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda p, f=None: (parsers.append(p), print_help(p, f)))
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(f"falsepromise.{verb}").main(["--help"])
    shown = capsys.readouterr().out
    assert parsers[0].description
    assert parsers[0].description.strip() in shown
    unsaid = [action.dest for action in parsers[0]._actions if not action.help and action.dest != "verb"]
    assert not unsaid, "options without a word"
    assert [words for words in FORMATS.get(verb, ()) if words not in " ".join(shown.split())] == []
