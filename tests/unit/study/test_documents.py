"""What the documents tell users to write is accepted: studies' keys, verbs, their options, Snakemake's targets."""

from __future__ import annotations

import argparse
import ast
import importlib
import itertools
import re
import shlex
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from falsepromise.__main__ import STAGES, verbs
from falsepromise.core.place import PACKAGE
from falsepromise.preference import mturk
from falsepromise.study import config
from falsepromise.study.asked import Habits
from falsepromise.study.tasks import TASKS
from falsepromise.teacher import plan

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = (".", "config", "docs", "executor", "results", "resources/*", "benchmarks")
PAGES = [page for folder in FOLDERS for page in sorted(ROOT.glob(f"{folder}/*.md"))]
VERBS = [PACKAGE / stage / f"{name}.py" for stage in STAGES for name, _ in verbs(stage)]


def text_of(page: Path) -> str:
    """A page, or the description at the head of a module."""
    text = page.read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "") + "\n" if page.suffix == ".py" else text


def blocks(page: Path) -> list[str]:
    """Fenced and indented code of a page, continued lines joined."""
    text = text_of(page)
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^ {2,}\S.*\n)+", text, re.MULTILINE)
    return [re.sub(r"\\\n\s*", " ", block) for block in [*fenced, *indented]]


def commands(page: Path) -> list[str]:
    """Commands in code blocks, and in backquotes where they have options."""
    lines = [line.strip().removeprefix("$ ") for block in blocks(page) for line in block.splitlines()]
    quoted = re.findall(r"`((?:python -m falsepromise|snakemake)[^`]*\s-[^`]*)`", text_of(page))
    lines += [" ".join(command.split()) for command in quoted]
    return [re.split(r"\s#|\s[|>]|&&", line)[0] for line in lines]


# Options that a verb's description names though they are another program's.
OF_OTHERS = {"--set-resources", "--judgements", "--base-url", "--seed"}
# Files that a page tells its reader to write.
TO_WRITE = {"curation/forum.py", "models/NAME.py", "benchmarks/trivia.py", "stages/NAME.py", "rules/NAME.smk"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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


def test_the_tutorials_sizes_are_those_that_plans_assume() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d,]+) tokens[^|]*\| (?:([\d,]+) \w+)?", text_of(ROOT / "docs/tutorial.md"), re.MULTILINE
    )
    assert {name for name, *_ in rows} == {name for name, task in TASKS.items() if task.request}
    for name, tokens, items in rows:
        asked = sum(TASKS[name].request or ())
        assert abs(asked - number(tokens)) <= 0.05 * asked, f"{name}: {asked}"
        assert number(items) == (TASKS[name].items or 0), name


def test_the_papers_dollars_are_those_of_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    plan.main(["--study", str(ROOT / "config/paper.yaml")])
    printed = re.findall(r"^(mixture|answers|benchmark|judge|tone) .* ([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    judge = "GPT-4 as judge, and of tone"
    sums = {"the teacher": 0.0, "its benchmarks": 0.0, judge: 0.0}
    for kind, dollars in printed:
        sums[{"benchmark": "its benchmarks", "judge": judge, "tone": judge}.get(kind, "the teacher")] += float(dollars)
    stated = dict(re.findall(r"^\| (.*?) \| (\d+) dollars", text_of(ROOT / "docs/cluster.md"), re.MULTILINE))
    assert stated == {name: f"{dollars:.0f}" for name, dollars in sums.items()}


def test_the_raters_dollars_are_those_of_the_batch(capsys: pytest.CaptureFixture[str]) -> None:
    page = text_of(ROOT / "docs/raters.md")
    [items], [dollars] = re.findall(r"cost --items (\d+)", page), re.findall(r"--spend-usd (\d+)", page)
    mturk.main(["cost", "--items", items])
    assert f"${dollars}.00" in capsys.readouterr().out


def number(text: str) -> int:
    return int(text.replace(",", "") or 0)


class Parsed(Exception):
    pass


def parser_of(verb: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    def stop(self: argparse.ArgumentParser, argv: Any = None, namespace: Any = None) -> None:
        raise Parsed(self)

    with monkeypatch.context() as patch:
        for method in ("parse_args", "parse_known_args"):
            patch.setattr(argparse.ArgumentParser, method, stop)
        with pytest.raises(Parsed) as stopped:
            importlib.import_module(verb).main([])
    return stopped.value.args[0]  # type: ignore[no-any-return]


def chosen(parser: argparse.ArgumentParser, words: list[str]) -> list[argparse.ArgumentParser]:
    """A verb's parser and, of a verb with verbs of its own, the one that a command names, else all."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            named = [inner for name, inner in action.choices.items() if name in words]
            found += named or action.choices.values()
    return found


@pytest.mark.parametrize("page", [*PAGES, *VERBS], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_documents_can_be_copied(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their options exist, and none is missing without which the verb only says so."""
    for command in commands(page):
        found = re.search(r"python -m (falsepromise\.[a-z0-9_.]+)(.*)", command)
        if found:
            given = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", found[2].replace("[", " ").replace("]", " ")))
            parsers = chosen(parser_of(found[1], monkeypatch), found[2].split())
            unknown = given - {option for parser in parsers for option in parser._option_string_actions}
            assert not unknown, f"{page.name}: {command}: {unknown}"
            if "--help" in given:
                continue
            for parser in parsers:
                asked = [{*action.option_strings} for action in parser._actions if action.required]
                groups = [group for group in parser._mutually_exclusive_groups if group.required]
                asked += [{o for action in group._group_actions for o in action.option_strings} for group in groups]
                lacking = [options for options in asked if options and not options & given]
                assert not lacking, f"{page.name}: {command}: {lacking}"


@pytest.mark.parametrize("page", VERBS, ids=lambda page: str(page.relative_to(PACKAGE)))
def test_options_that_a_verbs_description_names_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = re.sub(r"python -m .*(?:\\\n.*)*", "", text_of(page))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - OF_OTHERS
    parsers = chosen(parser_of(f"falsepromise.{page.parent.name}.{page.stem}", monkeypatch), [])
    assert not named - {option for parser in parsers for option in parser._option_string_actions}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_option_swallows_the_target(page: Path) -> None:
    """Snakemake takes all words behind these options as theirs."""
    forms = {
        "--configfile": r"FILE|.*\.ya?ml",
        "--resources": ".*=.*",
        "--set-resources": ".*=.*",
        "--set-threads": ".*=.*",
    }
    for command in commands(page):
        option = ""
        for word in shlex.split(command) if re.match(r"\S*snakemake ", command) else []:
            option = word if word.startswith("-") else option
            form = forms.get(option, ".*")
            assert word == option or re.fullmatch(form, word), f"{page.name}: {command}: write {word} before {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_keys_of_the_documents_are_a_studys(page: Path) -> None:
    text = text_of(page)
    whole = re.findall(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    whole += map(textwrap.dedent, re.findall(r"(?:^ {4,}\S.*\n)+", text, re.MULTILINE))
    for block in whole:
        for name, value in keys(block).items():
            TypeAdapter(config.Study.model_fields[name].annotation).validate_python(value)
    for block in re.findall(r"`([a-z_]+: \{[^`]*\})`", text):
        for name, value in keys(block).items():
            assert not wrong(name, value), f"{page.name}: {block}: {wrong(name, value)}"


def wrong(name: str, value: Any) -> list[object]:
    """Keys that a section lacks or doesn't know: a value may be `...` or left out; `...` stands for further keys."""
    try:
        TypeAdapter(config.Study.model_fields[name].annotation).validate_python(value)
    except ValidationError as error:
        found = [e for e in error.errors() if e["type"] in {"missing", "extra_forbidden", "unknown_key"}]
        return [e["loc"] for e in found if "..." not in (*e["loc"], *as_keys(e["input"]))]
    return []


def as_keys(value: Any) -> list[Any]:
    return [*value] if isinstance(value, dict) else []


def keys(block: str) -> dict[str, Any]:
    """The content of a block if it is a part of a study, else nothing."""
    try:
        content = yaml.safe_load(block)
    except yaml.YAMLError:
        return {}
    if not isinstance(content, dict) or not set(content) & set(config.Study.model_fields):
        return {}
    assert not set(content) - set(config.Study.model_fields), block
    return content


def test_packages_with_an_exact_version_are_in_their_page() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *pyproject["dependencies"],
        *(one for extra in pyproject["optional-dependencies"].values() for one in extra),
    ]
    head = text_of(ROOT / "docs/dependencies.md").partition("\n## ")[0].replace("the SLURM plugin", "slurm")
    for package in wanted:
        name = re.split(r"[\[=<>]", package)[0]
        exact, bounded = "==" in package, "==" in package or (">=" in package and "<" in package.replace("<=", ""))
        assert not exact or name.removeprefix("snakemake-executor-plugin-") in head, f"{package}: pinned, for no reason"
        assert bounded or name in head, f"{package}: has one bound, for no reason"


def test_the_figures_options_are_in_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = re.findall(r"^\| (`.*?) \| .* \| (.*?) \|$", text_of(ROOT / "docs/figures.md"), re.MULTILINE)
    for names, said in rows:
        for name in re.findall(r"`(\w+)`", names):
            parser = parser_of(f"falsepromise.figures.{name}", monkeypatch)
            options = {option for action in parser._actions for option in action.option_strings if option != "-h"}
            of_all = {"--help", "--output"} | (set() if "no study" in said else {"--study", "--scores"})
            assert options == set(re.findall(r"--[a-z-]+", said)) | of_all, name
    assert len(rows) > 20


def test_the_tables_of_what_reading_keeps_add_up() -> None:
    text = text_of(ROOT / "docs/data.md")
    rows = re.findall(
        r"^\| ([^|]*) \| ([\d,]+) \| ([\d,]*) ?\| ([^|]*) \|$", text.partition("\n| step |")[2], re.MULTILINE
    )
    assert len(rows) == 5
    for (_, before, *_), (step, kept, dropped, why) in itertools.pairwise(rows):
        lost = number(dropped) or number(why.partition(" ")[0])  # joined, not dropped
        assert number(before) - lost == number(kept), step
        parts = [number(count) for count in re.findall(r"(?:^|, )([\d,]+) ", why)]
        assert not parts or sum(parts) == lost, step
    assert f"({rows[2][1]} dialogues)" in text, "the table of turns and characters is of the same file"
