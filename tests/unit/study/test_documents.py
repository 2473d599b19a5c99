"""What the documents tell users to write is accepted: studies' keys, verbs, their options, Snakemake's targets."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from falsepromise.__main__ import STAGES, verbs
from falsepromise.study import config
from falsepromise.study.asked import Habits

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    """Fenced and indented code of a page, continued lines joined."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^(?: {2,4})\S.*\n)+", text, re.MULTILINE)
    return [re.sub(r"\\\n\s*", " ", block) for block in [*fenced, *indented]]


def commands(page: Path) -> list[str]:
    """Commands in code blocks, and in backquotes where they have options."""
    lines = [line.strip().removeprefix("$ ") for block in blocks(page) for line in block.splitlines()]
    lines += re.findall(r"`((?:python -m falsepromise|snakemake)[^`]* -[^`]*)`", page.read_text(encoding="utf-8"))
    return [re.split(r"\s#|\s[|>]|&&", line)[0] for line in lines]


# Files that a page tells its reader to write.
TO_WRITE = {"curation/forum.py", "models/NAME.py", "benchmarks/trivia.py", "stages/NAME.py", "rules/NAME.smk"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_code_that_the_documents_name_exist(page: Path) -> None:
    folders = ("workflow", "executor", "tests", "benchmarks")
    there = [f"/{file.relative_to(ROOT)}" for folder in folders for file in (ROOT / folder).rglob("*.*")]
    for file in re.findall(r"`([A-Za-z0-9_/]+\.(?:py|smk))`", page.read_text(encoding="utf-8")):
        assert file in TO_WRITE or any(place.endswith(f"/{file}") for place in there), f"{page.name}: {file}"


def test_every_verb_and_habit_is_in_its_page() -> None:
    """A verb without its line in a table is found by nobody."""
    names = ("layout", "figures", "teacher")
    layout, figures, teacher = ((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in names)
    for stage in STAGES:
        lacking = [name for name, _ in verbs(stage) if f"`{name}`" not in (figures if stage == "figures" else layout)]
        assert not lacking, f"{stage}: {lacking}"
    assert not [name for name in Habits.model_fields if f"`{name}`" not in teacher]


class Parsed(Exception):
    pass


def options_of(verb: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    def stop(self: argparse.ArgumentParser, argv: Any = None, namespace: Any = None) -> None:
        raise Parsed(self)

    with monkeypatch.context() as patch:
        for method in ("parse_args", "parse_known_args"):
            patch.setattr(argparse.ArgumentParser, method, stop)
        with pytest.raises(Parsed) as stopped:
            importlib.import_module(verb).main([])
    parsers, found = [stopped.value.args[0]], set()
    for parser in parsers:
        found |= set(parser._option_string_actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_documents_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in commands(page):
        found = re.search(r"python -m (falsepromise\.[a-z0-9_.]+)(.*)", command)
        if found:
            words = re.findall(r"(?<!\S)--[a-z][a-z-]*", found[2].replace("[", " ").replace("]", " "))
            unknown = set(words) - options_of(found[1], monkeypatch)
            assert not unknown, f"{page.name}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_configfile_doesnt_swallow_the_target(page: Path) -> None:
    for command in commands(page):
        if re.match(r"\S*snakemake ", command) and "--configfile " in command:
            words = shlex.split(command)
            for word in words[words.index("--configfile") + 1 :]:
                if word.startswith("-"):
                    break
                assert word.endswith((".yaml", ".yml")), f"{page.name}: {command}: write {word} before --configfile"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_of_the_documents_are_a_studys(page: Path) -> None:
    for block in re.findall(r"^```ya?ml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        content = yaml.safe_load(block)
        if isinstance(content, dict) and set(content) & set(config.Study.model_fields):
            unknown = set(content) - set(config.Study.model_fields)
            assert not unknown, f"{page.name}: {unknown}"
            for name, value in content.items():
                TypeAdapter(config.Study.model_fields[name].annotation).validate_python(value)
