"""The workflow started from any folder, used as a module, and installed from its wheel."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, Checkout

from falsepromise import command
from falsepromise.core.errors import UserError
from falsepromise.study import workflow

ODD = 'the study\'s {new} "copy" of ümlauts'
# From raw dialogues to a figure and a table, by prompts and code of the workflow's own.
TARGETS = ("results/figures/fig6.pdf", "results/tables/prompts.md")
MODULE = """\
configfile: "study.yaml"


module falsepromise:
    snakefile:
        {snakefile!r}
    config:
        config


use rule * from falsepromise as fp_*


onstart:
    falsepromise.onstart()


rule mine:
    default_target: True
    input:
        "results/figures/fig6.pdf",
        "results/tables/prompts.md",
    output:
        "mine.txt",
    shell:
        "cp {{input[1]}} {{output}}"
"""


def call(*words: str, folder: Path, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH"))}
    done = subprocess.run(words, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def snakemake(*words: str, folder: Path, **environment: str) -> str:
    return call(sys.executable, "-m", "snakemake", "--cores", "2", *words, folder=folder, **environment)


def made(folder: Path) -> dict[str, str]:
    """The digests of the targets' contents."""
    for name in TARGETS:
        assert (folder / "results/test" / Path(name).relative_to("results")).exists()
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in TARGETS}


def contents(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def expected(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a checkout makes in its own folder."""
    path = tmp_path_factory.mktemp("own") / "checkout"
    shutil.copytree(checkout.path, path, ignore=shutil.ignore_patterns(".snakemake"))
    snakemake("--configfile", "config/test.yaml", "--", *TARGETS, folder=path)
    return made(path)


@pytest.mark.slow
def test_from_another_folder_in_an_odd_place(checkout: Checkout, expected: dict[str, str], tmp_path: Path) -> None:
    code, work = tmp_path / ODD / "code", tmp_path / ODD / "work"
    shutil.copytree(checkout.path, code, ignore=shutil.ignore_patterns(".snakemake"))
    work.mkdir()
    before = contents(code)
    study = str(code / "config/test.yaml")
    words = ("--snakefile", str(code / "Snakefile"), "--configfile", study, "--directory", str(work), "--", *TARGETS)
    snakemake(*words, folder=tmp_path)
    assert made(work) == expected
    assert contents(code) == before, "nothing is written beside the code"
    assert "Nothing to be done" in snakemake("-n", *words, folder=tmp_path)
    planned = snakemake("-n", *words[:-2], "results/figures/fig4.pdf", folder=tmp_path)
    assert re.search(r"^train +6$", planned, re.MULTILINE)


@pytest.mark.slow
def test_as_a_module(checkout: Checkout, expected: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(ROOT / "config/test.yaml", tmp_path / "study.yaml")
    text = MODULE.format(snakefile=str(checkout.path / "workflow/Snakefile"))
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    snakemake(folder=tmp_path)
    assert made(tmp_path) == expected
    assert (tmp_path / "mine.txt").read_text() == (tmp_path / TARGETS[1]).read_text()


def test_a_modules_prefix_reaches_every_file(checkout: Checkout, tmp_path: Path) -> None:
    """Jobs read and write below the prefix; caches and checkpoints, which no rule declares, are shared."""
    shutil.copy(ROOT / "config/test.yaml", tmp_path / "study.yaml")
    text = MODULE.format(snakefile=str(checkout.path / "workflow/Snakefile"))
    text = text.replace("    config:\n", "    prefix:\n        'fp'\n    config:\n")
    (tmp_path / "Snakefile").write_text(text.replace("results/", "fp/results/"), encoding="utf-8")
    planned = snakemake("--dry-run", "--printshellcmds", "fp/results/figures/fig4.pdf", folder=tmp_path)
    commands = [line for line in planned.splitlines() if line.startswith("Shell command: ")]
    files = re.findall(r"[^\s'\"()=]*results/[^\s'\"()]*", " ".join(commands))
    assert len(files) > 100
    outside = {file for file in files if not file.startswith("fp/")}
    assert all(re.match(r"results/(\.cache/|test/training/checkpoints/)", file) for file in outside), outside


def test_from_a_file_system_that_is_read_only(checkout: Checkout, tmp_path: Path) -> None:
    """All but the working directory is mounted read-only, for root as well."""
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir(), other.mkdir()
    bwrap = ("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp")
    sealed = (*bwrap, "--ro-bind", str(tmp_path.parent), str(tmp_path.parent), "--bind", str(work), str(work))
    for seen in (sys.prefix, str(checkout.path)):  # where they are below /tmp, too
        sealed += ("--ro-bind", seen, seen)
    sealed += ("--setenv", "HOME", str(work))
    if not shutil.which("bwrap") or subprocess.run([*bwrap, "true"], capture_output=True, check=False).returncode:
        pytest.skip("bubblewrap can't make a name space here")
    words = (sys.executable, "-m", "snakemake", "--cores", "1", "-s", str(checkout.path / "Snakefile"))
    words += ("--configfile", str(checkout.path / "config/test.yaml"))
    call(*sealed, *words, "-d", str(work), "results/test/curation/clean/sharegpt_mix.jsonl", folder=tmp_path)
    assert (work / "results/test/curation/clean/sharegpt_mix.jsonl").exists()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH"))}
    done = subprocess.run([*sealed, *words, "-d", str(other), "results/test/study.json"], env=kept, cwd=tmp_path,
                          capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last.endswith("Read-only file system; choose a folder that you can write to (--directory)"), done.stderr


def test_a_module_checks_before_it_starts(checkout: Checkout, tmp_path: Path) -> None:
    """A key that is missing ends the run with one line, and no job starts."""
    study = (ROOT / "config/test.yaml").read_text(encoding="utf-8")
    asked = "url: local\n  model: local-stand-in\n  label: Teacher"
    assert asked in study
    study = study.replace(asked, asked.replace("url: local", "url: https://x.org/v1"))
    (tmp_path / "study.yaml").write_text(study, encoding="utf-8")
    text = MODULE.format(snakefile=str(checkout.path / "workflow/Snakefile"))
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH", "OPENAI"))}
    words = [sys.executable, "-m", "snakemake", "--cores", "1"]
    done = subprocess.run(words, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "error: https://x.org/v1 needs a key: set it in the environment variable OPENAI_API_KEY" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_from_the_wheel(expected: dict[str, str], tmp_path: Path) -> None:
    """The wheel, built and unpacked where nothing else is; its command lays out a study, plans it and runs it."""
    source, site, work = tmp_path / "source", tmp_path / "site", tmp_path / "work"
    parts = ("config", "envs", "profiles", "resources", "slurm", "workflow")
    for part in parts:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("LICENSE", "MANIFEST.in", "README.md", "Snakefile", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / file, source / file)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), ".", folder=source)
    wheel = next(tmp_path.glob("falsepromise-*.whl"))
    call(*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel), folder=tmp_path)
    shutil.rmtree(source)
    falsepromise, here = (str(site / "bin/falsepromise"),), {"PYTHONPATH": str(site)}
    before = contents(site)
    said = call(*falsepromise, "init", str(work), "--like", "test", folder=tmp_path, **here)
    assert str(work / "study.yaml") in said
    call(*falsepromise, "check", str(work / "study.yaml"), folder=tmp_path, **here)
    asked = ("-d", str(work), str(work / "study.yaml"))
    assert "fig6" in call(*falsepromise, "plan", *asked, TARGETS[0], folder=tmp_path, **here)
    call(*falsepromise, "run", *asked, *TARGETS, "--keep-going", folder=tmp_path, **here)
    assert made(work) == expected
    assert contents(site) == before, "an installation may be read-only"
    assert (work / ".snakemake/falsepromise/falsepromise").resolve() == site / "falsepromise"


def test_a_user_without_a_name_or_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose user is any number: Snakemake itself asks for both."""
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # it has its value again after the test
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_011)
    with pytest.raises(RuntimeError):
        Path.home()
    command.settle(tmp_path)
    assert getpass.getuser() == "user-2000000011"
    assert Path.home() == tmp_path / ".snakemake" / "home"
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    command.settle(tmp_path)
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / ".snakemake" / "cache")


def test_a_study_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "falsepromise.command", "run", "nosuch.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "workflow")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == ("error: nosuch.yaml: no such study file, here or in .; `falsepromise init DIR` makes one\n")


STUDIES = {
    "a folder": "Is a directory",
    "\ta: 1": "not YAML as a study has it",
    "a: 1\n---\nb: 2": "another document",
    "{{{": "not YAML as a study has it",
    "": "has no keys; expected a study (a mapping)",
    "name": "expected a study (a mapping), found str",
    "a: &a [*a]": "refers to what it is in",
    "\udcff": "not UTF-8 text at byte 0",
}


@pytest.mark.parametrize("content", list(STUDIES))
def test_a_damaged_study_is_one_line(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the launcher, and for the file that plain `snakemake` takes without an option."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("Snakemake was started"))
    file = tmp_path / "config" / "config.yaml"
    if content == "a folder":
        file.mkdir(parents=True)
    else:
        file.parent.mkdir()
        file.write_text(content, encoding="utf-8", errors="surrogateescape")
    for call in (
        lambda: command.main(["run", str(file)]),
        lambda: workflow.read_study({}, [workflow.default_study(given=False)]),
    ):
        with pytest.raises(UserError, match=re.escape(STUDIES[content])) as caught:
            call()
        assert "config.yaml: " in str(caught.value)
    assert workflow.default_study(given=True) == "config/config.yaml"  # a parent workflow's, which isn't read


@pytest.mark.parametrize(
    ("given", "cores", "targets"),
    [
        ("STUDY", None, []),
        ("STUDY -n", None, []),
        ("STUDY fig4.pdf -k -p", None, ["fig4.pdf"]),
        ("STUDY -j4 fig4.pdf", None, ["fig4.pdf"]),
        ("-d DIR STUDY -c 2", 2, []),
        ("STUDY -c 2 -d DIR fig4.pdf fig1.pdf", 2, ["fig4.pdf", "fig1.pdf"]),
        ("STUDY fig4.pdf --cores=3 --set-threads train=2", 3, ["fig4.pdf"]),
        ("STUDY -n -- fig4.pdf", None, ["fig4.pdf"]),
    ],
)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_the_launchers_other_words_are_snakemakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, given: str, cores: int | None, targets: list[str]
) -> None:
    """Options of one dash were files to make: `run -n` looked for a rule that makes the file `-n`."""
    from snakemake.cli import get_argument_parser

    said: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: said.append(words))
    monkeypatch.setattr(command, "settle", lambda _: None)
    study = str(ROOT / "config/test.yaml")
    command.main([verb, *given.replace("STUDY", study).replace("DIR", str(tmp_path)).split()])
    words = said[0][said[0].index("snakemake") + 1 :]
    read = get_argument_parser().parse_args(words)
    assert ([*read.targets], [str(file) for file in read.configfile]) == (targets, [study])
    ours = "--cores all" in " ".join(words)
    assert (ours, None if ours else read.cores) == (cores is None and "-j4" not in given, cores)
    assert read.jobs == (4 if "-j4" in given else None)
    assert read.dryrun == (verb == "plan" or "-n" in given)
    assert (read.keep_going, read.printshellcmds) == ("-k" in given, "-p" in given)
    assert Path(read.directory) == (tmp_path if "DIR" in given else Path.cwd())


def test_results_that_can_t_go_somewhere_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("Snakemake was started"))
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(UserError, match="no folder for results: "):
            command.main(["run", "-d", str(place), str(ROOT / "config" / "test.yaml")])


@pytest.mark.parametrize("code", [0, 3])
def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Snakemake leaves half of it on a full disk."""
    target = tmp_path / "results" / "report.html"
    target.parent.mkdir()
    target.write_text("old")
    program = f"import sys; open({str(target.with_name(command.UNFINISHED))!r}, 'w').write('new'); sys.exit({code})"
    if code:
        with pytest.raises(UserError, match=r"report\.html: not written; the reason is above") as caught:
            command.report([sys.executable, "-c", program], target)
        assert caught.value.exit_code == code
    else:
        command.report([sys.executable, "-c", program], target)
    assert target.read_text() == ("old" if code else "new")
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_an_installed_package_is_found_where_no_links_are_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with SMB, exFAT and some FUSE file systems: jobs see this package, and nothing beside it."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    package = tmp_path / "site" / "falsepromise"
    shutil.copytree(ROOT / "workflow" / "falsepromise", package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(workflow, "PACKAGE", package)
    monkeypatch.setattr(workflow, "HOME", package / "_workflow")
    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # a second run
        workflow.link_package()
    seen = "import falsepromise.core.text as t; print(t.__file__)"
    found = call(sys.executable, "-c", seen, folder=tmp_path, PYTHONPATH=str(tmp_path / ".snakemake/falsepromise"))
    assert Path(found.strip()) == package / "core" / "text.py"
    monkeypatch.undo()


def test_make_quickstart_writes_the_report_whole_and_once(tmp_path):
    """With a script for Snakemake, which here writes a report or leaves half of one."""
    (tmp_path / "envs").mkdir()
    (tmp_path / "results/figures").mkdir(parents=True)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "envs/timed", tmp_path / "envs")
    script = tmp_path / ".venv/bin/snakemake"
    figure, report = tmp_path / "results/figures/fig4.pdf", tmp_path / "results/report.html"

    def make(code):
        script.write_text(f'#!/bin/sh\n[ "$1" = --report ] || exit 0\necho $$ > "$2"\nexit {code}\n')
        script.chmod(0o755)
        done = subprocess.run(["make", "-o", "env", "quickstart"], cwd=tmp_path, capture_output=True, text=True)
        assert not (tmp_path / "results/.report.html").exists()
        return done.returncode, done.stderr

    figure.touch()
    assert make(1)[0] != 0
    assert not report.exists()
    assert make(0) == (0, "")
    first = report.read_text()
    assert make(0) == (0, ""), "again, with nothing to do"
    assert report.read_text() == first
    os.utime(report, (1, 1))
    assert make(1)[0] != 0
    assert report.read_text() == first, "the old one stays"
    assert make(0) == (0, "")
    assert report.read_text() != first
