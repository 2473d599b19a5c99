"""A study whose every text and file name is an attack: what reaches the shell is one word, and nothing is executed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import STUDY, Checkout
from pydantic import BaseModel

from falsepromise.core.folders import MARK
from falsepromise.study import config as keys
from falsepromise.study.sections import members

# Each would leave a file called `pwned` where a shell read it, or become a wildcard, an option, a pattern of files.
ATTACKS = {
    "quoting": "$(touch pwned) `touch pwned` '; touch pwned; ' \"; touch pwned; \" | touch pwned & <(touch pwned) \\",
    "lines": "first\ntouch pwned\n# \té 中文 ${HOME} $HOME ~ * ? [a-z] ! %s %n",
    "braces": "{wildcards.model} {input} {output[0]} {params.code} {0} {{}} {config[study]} } { {study.name}",
    "options": "-rf",
}
WRITES_JOBS = """
import json, sys
from snakemake.executors import dryrun

def run_job(self, job, run=dryrun.Executor.run_job):
    with open("jobs.jsonl", "a") as stream:
        rules = sorted(rule.name for rule in self.workflow.rules)
        print(json.dumps([job.rule.name, job.shellcmd or "", [*map(str, job.log)], rules]), file=stream)
    return run(self, job)

dryrun.Executor.run_job = run_job
from snakemake.cli import main
main(sys.argv[1:])
"""
# In place of the programs: their arguments are written down, nothing else happens.
STUBS = r"""
note() { printf "%s\0" "$@" >> "$NOTED"; }
python() { note "$@"; }
env() { note "$@"; }
cp() { note cp "$@"; }
tee() { cat > /dev/null; }
"""


def study(text: str, folder: Path) -> dict[str, Any]:
    """The test study with a part for each rule, and `text` in each key that takes any text."""
    name = re.sub(r"[/\r\n]", "_", text)  # the same as a file's name
    files = {}
    for kind in ("dialogues", "prompts", "seeds", "query", "sheet", "marks", "votes", "scores", "task"):
        files[kind] = folder / kind / (name + (".yaml" if kind == "task" else ""))
        files[kind].parent.mkdir(exist_ok=True)
        files[kind].write_text("{}\n", encoding="utf-8")
    for kind in ("raw folder", "model"):
        files[kind] = folder / kind / name
        files[kind].mkdir(parents=True)
        (files[kind] / "config.json").write_text("{}", encoding="utf-8")
    f = {kind: str(path.relative_to(folder)) for kind, path in files.items()}
    f["seeds"] = name  # begins as the text does: a path may look like an option
    shutil.move(files["seeds"], folder / name)
    habits = {
        "path": text, "headers": {"X": text}, "query": {"q": text}, "drop": [text], "rename": {"a": text},
        "force": {"b": text}, "finish": {"done": text},
    }  # fmt: skip
    line = text.replace("\n", " ")  # addresses have no line breaks
    wheel = f"pypi:{line}=={line}"
    more: dict[str, Any] = {
        "title": text,
        "sources": {
            "sharegpt": {"uri": f"file:{f['dialogues']}", "format": "sharegpt"},
            "wheel": {"uri": wheel, "member": text, "format": "hc3"},
            "web": {"uri": f"https://a.invalid/{line}", "sha256": "0" * 64,
                    "mirrors": [f"https://b.invalid/{line}", f"file:{line}"], "format": "messages"},
            "hub": {"uri": f"hub:a/b@{line}", "split": text, "subset": text, "columns": [text, "b"],
                    "format": "exports"},
            "folder": {"uri": f"file:{f['raw folder']}", "folder": True, "format": "messages"},
            "prompts": {"uri": f"file:{f['prompts']}", "format": "tldr"},
        },
        "teacher": {"url": f"http://a.invalid/{line}", "model": text, "label": text,
                    "stand_in": text, "habits": habits, "benchmarks": ["nq", "toxicity"]},
        "pools": {"sharegpt_mix": {"sources": ["sharegpt", "wheel", "web", "hub", "folder"], "language": "fr",
                                   "categories": f["sheet"], "categories_by": text, "shards": 2}},
        "bases": {"strange": {"label": text, "weights": f"file:{f['model']}", "parameters": 1_000_000.0},
                  "unpacked": {"label": f"{text} 2", "weights": "source:prompts", "parameters": 1_000_000.0}},
        "mixtures": {
            "sharegpt_mix": {"label": text, "query_prompt": f["query"]},
            "nq_synthetic": {"label": f"{text} 2", "seeds": f["seeds"]},
            "tldr": {"label": f"{text} 3", "teacher": "tldr_synthetic", "n": 3, "posts": "prompts"},
        },
        "runs": {"own": {"bases": ["strange", "unpacked"], "mixtures": ["tldr", "sharegpt_mix"], "seeds": [0]}},
        "prompts": {"asked": {"source": "prompts", "n": 3, "references": "teacher", "language": "fr", "shards": 2}},
        "benchmarks": {
            "nq": {"label": text, "stand_in": text},
            "toxicity": {"label": text, "task": "toxicity", "data": "prompts", "metric": "nontoxicity",
                         "scorer": "stored", "scorer_file": f["scores"], "scorer_url": text, "scorer_model": text},
            "own": {"label": text, "task": "lm_eval", "name": f["task"], "metric": text},
            "cnn": {"label": text, "task": "cnn", "shards": 2, "data": "prompts", "metric": "rouge1"},
        },
        "style": {"prompts": "asked", "tone": "rule", "marks": f["marks"]},
        "judges": {
            "rule": {"label": text, "stand_in": text, "url": f"http://a.invalid/{line}",
                     "model": text, "prompts": "asked", "controls": True, "habits": habits},
            "other": {"label": f"{text} 2", "prompts": "asked", "runs": ["amount"]},
            "panel": {"label": f"{text} 3", "members": ["rule", "other"]},
        },
        "raters": {"desk": {"label": text, "stand_in": text, "prompts": "asked",
                            "votes": {"tiny-sharegpt_mix-2k-s0": [f["votes"], f["votes"]]}}},
    }  # fmt: skip
    return more


def free_texts(section: type[BaseModel], path: str = "") -> Iterator[str]:
    """The keys that take any text: what a name, a choice or a number may be can't carry an attack."""
    for name, field in section.model_fields.items():
        kinds = members(field.annotation)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from free_texts(kind, f"{path}{name}.")
        if "<class 'str'>" in repr(field.annotation) and "pattern=" not in repr(field):
            yield f"{path}{name}"


@pytest.fixture
def hostile(checkout: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    path = tmp_path / "checkout"
    shutil.copytree(checkout.path, path, ignore=shutil.ignore_patterns(".snakemake"))
    yield Checkout(path)
    assert not [*tmp_path.rglob("*pwned")], "a text of the study was executed"


def planned(folder: Path, more: dict[str, Any], *targets: str) -> list[tuple[str, str, list[str], list[str]]]:
    (folder / "more.yaml").write_text(yaml.safe_dump(more, allow_unicode=True), encoding="utf-8")
    (folder / "writes_jobs.py").write_text(WRITES_JOBS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "writes_jobs.py", "-n", "-p", "--cores", "2", "--forceall", "--configfile", "config/test.yaml",
         "more.yaml", "--", *targets],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH"))},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return [tuple(json.loads(line)) for line in (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_rules_command_is_words_and_nothing_else(attack: str, hostile: Checkout, tmp_path: Path) -> None:
    text = ATTACKS[attack]
    line = text.replace("\n", " ")
    more = study(text, hostile.path)
    jobs = planned(
        hostile.path, more, "all", "release", "results/test/curation/categories/sharegpt_mix.by_teacher.json",
        "results/tables/leaks.csv", "results/tables/table6.csv",
    )  # fmt: skip
    all_rules = set(jobs[0][3]) - {"all"}
    assert {rule for rule, *_ in jobs} >= all_rules, all_rules - {rule for rule, *_ in jobs}
    noted: dict[str, list[list[str]]] = {}
    for number, (rule, command, logs, _) in enumerate(jobs):
        for log in logs:
            (tmp_path / "run" / log).parent.mkdir(parents=True, exist_ok=True)
        file = tmp_path / f"{number}.noted"
        done = subprocess.run(["bash", "-euc", STUBS + command], cwd=tmp_path / "run", capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "NOTED": str(file)}, check=False)  # fmt: skip
        assert done.returncode == 0, f"{rule}: {command}\n{done.stderr}"
        if command:
            assert file.exists(), f"{rule}: {command}"
            noted.setdefault(rule, []).append(file.read_bytes().decode().split("\0")[:-1])
    left = {str(path.relative_to(tmp_path / "run")).split("/")[0] for path in (tmp_path / "run").rglob("*")}
    assert left == {"logs"}, "a command wrote elsewhere"
    name = re.sub(r"[/\r\n]", "_", text)

    def given(rule: str, option: str) -> list[str]:
        return [words[words.index(option) + 1] for words in noted[rule] if option in words]

    assert f"pypi:{line}=={line}" in given("fetch", "--uri")
    assert {text} == {*given("fetch", "--split"), *given("fetch", "--subset")}
    assert given("fetch", "--columns") == [text]
    assert set(given("nq_synthetic", "--seeds")) == {name}
    assert f"query/{name}" in given("mix", "--query-prompt")
    assert given("nq_synthetic", "--model") == given("judge_tone_of_teacher", "--model") == [text]
    assert set(given("category_tally", "--annotator")) == {text}
    assert f"task/{name}.yaml" in given("score", "--lm-eval-task")
    assert f"scores/{name}" in given("score", "--scorer-file")
    assert f"file:model/{name}" in given("weights", "--uri")
    assert f"file:raw folder/{name}" in given("fetch_folder", "--uri")
    assert any(f"votes/{name}" in words for words in noted["aggregate"]) or attack == "braces"
    assert json.loads(given("study", "--json")[0])["title"] == text


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["quoting", "braces", "options"])
def test_files_with_hostile_names_are_read(attack: str, hostile: Checkout) -> None:
    name = ATTACKS[attack].replace("/", "_")
    folder = hostile.path
    shutil.copytree(folder / "resources/samples", folder / f"{name}.d")
    shutil.copy(folder / "resources/samples/sharegpt.json", folder / name)
    shutil.copy(folder / "resources/prompts/table8_natural_questions.txt", folder / f"{name}.txt")
    more = {
        "sources": {
            "sharegpt": {"uri": f"file:{name}", "format": "sharegpt"},
            "folder": {"uri": f"file:{name}.d", "folder": True},
        },
        "mixtures": {"sharegpt_mix": {"query_prompt": f"{name}.txt"}},
    }
    (folder / "more.yaml").write_text(yaml.safe_dump(more), encoding="utf-8")
    targets = ("results/test/curation/mixtures/sharegpt_mix.s0.jsonl", "results/test/sources/folder")
    done = hostile.snakemake("--cores", "2", *STUDY, "more.yaml", "--", *targets)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    copied = {path.name for path in (folder / "results/test/sources/folder").iterdir()} - {".snakemake_timestamp", MARK}
    assert copied == {path.name for path in (folder / "resources/samples").iterdir()}


def test_a_control_character_is_one_line(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text('title: "\\e]0;pwned"\n')
    done = checkout.snakemake("-n", *STUDY, str(tmp_path / "more.yaml"))
    assert done.returncode != 0
    assert r"'title' has the character '\x1b'; delete it" in done.stderr
    assert "\x1b]0" not in done.stdout + done.stderr


def test_every_key_that_takes_any_text_is_attacked(tmp_path: Path) -> None:
    def at(found: Any, path: list[str]) -> bool:
        if not path:
            return found is not None
        if isinstance(found, dict) and path[0] in found:
            return at(found[path[0]], path[1:])
        return isinstance(found, dict) and any(at(entry, path) for entry in found.values())

    more = study("text", tmp_path)
    missing = {key for key in free_texts(keys.Study) if not at(more, key.split("."))}
    assert not missing, "give these a text in `study`"
