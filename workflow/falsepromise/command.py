"""The command `falsepromise`: a study from any folder, without a checkout. It calls Snakemake and passes everything on.

  falsepromise init DIR             make a folder with study.yaml, to be changed
  falsepromise run -d DIR study.yaml [TARGET ...]
  falsepromise plan -d DIR study.yaml     a dry run: jobs, hours, what is missing
  falsepromise check study.yaml     read and check the study file alone
  falsepromise report -d DIR study.yaml   the report of a study that was run

All words after the study are Snakemake's: files to make, --cores 4, -n, --profile DIR, --keep-going, ...
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.place import HOME
from falsepromise.core.plainyaml import read_yaml
from falsepromise.core.text import terminal

REPORT, UNFINISHED = "results/report.html", ".report.html"
STUDIES = {"quickstart": "config/config.yaml", "paper": "config/paper.yaml", "test": "config/test.yaml"}


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.allow_abbrev = False
    # argparse's own class: `core.cli`'s takes an unknown `-n` for a file's name, and here it is Snakemake's option.
    own = argparse.ArgumentParser
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=own)
    init = verbs.add_parser("init", help="make a folder with a study to change", allow_abbrev=False)
    init.add_argument("folder", type=Path)
    init.add_argument("--like", choices=tuple(STUDIES), default="quickstart", help="the study to start from")
    check = verbs.add_parser("check", help="read and check a study file", allow_abbrev=False)
    check.add_argument("study", type=Path, nargs="+")
    for verb, help_ in (("run", "run a study"), ("plan", "say what would be done"), ("report", "write its report")):
        usage = f"{parser.prog} {verb} [-d DIR] study [file to make ...] [Snakemake's options]"
        added = verbs.add_parser(verb, help=help_, allow_abbrev=False, usage=usage)
        added.add_argument("study", type=Path, help="study file; without files to make behind it, all are made")
        added.add_argument("-d", "--directory", type=Path, default=Path(), help="where results go; default: here")
    args, rest = parser.parse_known_args(argv)
    if args.verb in ("init", "check") and rest:
        raise UserError(f"unknown: {' '.join(rest)}")
    if args.verb == "init":
        lay_out(args.folder, HOME / STUDIES[args.like])
    elif args.verb == "check":
        from falsepromise.study.check import main as check_study

        check_study([str(file) for file in args.study])
    else:
        words = snakemake(args, rest)
        settle(args.directory)
        if args.verb == "report":
            report(words, args.directory / REPORT)
        else:
            os.execv(words[0], words)


def report(words: Sequence[str], target: Path) -> None:
    """Write the report under another name first: where a disk is full, Snakemake leaves half of it.

    Raises:
        UserError: there is no report; Snakemake's message comes before.
    """
    unfinished = target.with_name(UNFINISHED)
    try:
        done = subprocess.run(words, check=False)
        if done.returncode:
            raise UserError(f"{target}: not written; the reason is above", done.returncode)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def lay_out(folder: Path, study: Path) -> None:
    """Make a study's folder; nothing that is there is touched."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.yaml"
    if file.exists():
        raise UserError(f"{file} exists already; choose another folder, or remove it")
    shutil.copy(study, file)
    made, again = terminal(str(file), lines=False), shlex.join(["falsepromise", "run", "-d", str(folder), str(file)])
    print(f"{made}: change it (keys: {HOME / 'config/README.md'}), then\n  {terminal(again, lines=False)}")


def snakemake(args: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """The command line of Snakemake, with the other words as they were given: it knows which of them are its options'.

    Raises:
        UserError: there is no such study file or it is damaged (Snakemake shows a traceback or names no file), results
            can't go where they should, or the executor that a profile names is not installed.
    """
    study = next((file for file in (args.study, args.directory / args.study) if os.path.lexists(file)), None)
    if study is None:
        where = f"here or in {args.directory}"
        hint = "Snakemake's options come after it" if rest else "`falsepromise init DIR` makes one"
        raise UserError(f"{args.study}: no such study file, {where}; {hint}")
    read_yaml(study)
    try:
        args.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"-d {args.directory}: no folder for results: {error.strerror}") from error
    if "slurm-resilient" in rest and find_spec("snakemake_executor_plugin_slurm_resilient") is None:
        raise UserError("the executor slurm-resilient is not installed; from a checkout: pip install ./executor")
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(HOME / "Snakefile")]
    # A --configfile takes all words up to the next option, files to make as well.
    words += ["--configfile", str(study.absolute()), "--directory", str(args.directory.absolute())]
    named = {word.split("=")[0] if word.startswith("--") else word[:2] for word in rest}
    if not named & {"--cores", "-c", "--jobs", "-j", "--profile", "--executor", "-e"}:
        words += ["--cores", "all"]
    if args.verb == "plan":
        words.append("--dry-run")
    if args.verb == "report":
        words += ["--report", str((args.directory / REPORT).with_name(UNFINISHED).absolute())]
    return [*words, *rest]


def settle(folder: Path) -> None:
    """Give Snakemake a user's name and a home where this machine has none, as in a container, or none to write to."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
    own = folder.absolute() / ".snakemake"
    try:
        home = Path.home()
    except RuntimeError:
        home = own / "home"
        os.environ["HOME"] = str(home)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    if not os.access(cache, os.W_OK):
        os.environ["XDG_CACHE_HOME"] = str(own / "cache")


def start() -> None:
    """The entry point: errors of the user are one line."""
    cli.run(main)


if __name__ == "__main__":
    start()
