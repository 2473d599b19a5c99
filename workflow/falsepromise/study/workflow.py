"""Functions for the Snakefile: read the study, constrain wildcards, prefix the jobs' shell, check before a start."""

from __future__ import annotations

import difflib
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from falsepromise.core.code import digest as code_digest
from falsepromise.core.errors import UserError
from falsepromise.core.lock import FOLDER_VARIABLE
from falsepromise.core.place import HOME, PACKAGE, resource
from falsepromise.core.text import terminal
from falsepromise.study import files as files_of
from falsepromise.study import preflight
from falsepromise.study.expand import load, read_yaml
from falsepromise.study.study import Study

T = TypeVar("T")
KILLED = (
    "error: the job was killed by signal 9, as a system does that runs out of memory. Run fewer jobs at once, "
    "or on a machine with more memory"
)


def read_study(config: Mapping[str, Any], files: Sequence[str | Path]) -> Study:
    """The study of the configuration that Snakemake has merged from its files.

    Raises:
        UserError: one line that names the key, what was found and what was expected.
    """
    for file in files:
        if os.path.isfile(file):
            read_yaml(Path(file))  # for this function's checks; Snakemake has read it
    where = " with ".join(os.path.relpath(file) for file in files) or "the study"
    return load(files_of.find(load(config, where)), where)


def default_study(given: bool) -> str:
    """The study of a run without `--configfile`: config/config.yaml, the user's or the workflow's own.

    Args:
        given: Whether another workflow, which has this one as a module, gives the study; the file is then its own.

    Raises:
        UserError: it is damaged; Snakemake's own line doesn't say how.
    """
    file = next(file for file in (Path("config/config.yaml"), HOME / "config/config.yaml") if os.path.lexists(file))
    if not given:
        read_yaml(file)
    return str(file)


def or_exit(function: Callable[..., T], *arguments: Any) -> T:
    """Call `function`; a `UserError` ends Snakemake with one line, before any job starts."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def one_of(names: Iterable[str]) -> str:
    """A wildcard's constraint: one of these names; matches nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def options(entry: Any, *keys: str) -> str:
    """Options from keys of a section or mapping: `max_bleu: 20` -> `--max-bleu 20`; a list becomes several words."""
    words = []
    for key in keys if entry else ():
        value = entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key)
        values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if value is None or value is False or not values:
            continue
        words.append("--" + key.replace("_", "-"))
        if value is not True:
            words += [shlex.quote(f"{each:.12g}" if isinstance(each, float) else str(each)) for each in values]
    return " ".join(words)


def parts(workflow: Any, output: str, shards: int) -> list[str]:
    """The files of the jobs that share the work for an output: `STEM.1-of-8.jsonl`; empty for one job.

    An existing output keeps the number that it was made with, from Snakemake's record of its inputs: another number
    changes no result, so it reruns nothing. The new number is for outputs that don't exist.
    """
    from snakemake.io import IOFile

    stem = output.rpartition(".")[0]

    def split(number: int) -> list[str]:
        return [f"{stem}.{part}-of-{number}.jsonl" for part in range(1, number + 1)] if number > 1 else []

    if workflow.storage_settings.default_storage_provider:
        return split(shards)  # without Snakemake's records here
    recorded = workflow.persistence.input(IOFile(output))
    pattern = re.compile(re.escape(stem) + r"\.\d+-of-(\d+)\.jsonl")
    before = next((int(found[1]) for file in recorded or () if (found := pattern.fullmatch(file))), 1)
    if workflow.is_main_process:
        return split(before if recorded is not None and os.path.exists(output) else shards)
    # In a job on a node, its parts exist.
    return next((files for files in map(split, (before, shards)) if files and all(map(os.path.exists, files))), [])


def code(verb: str, *resources: str | Path) -> Callable[[Any], str]:
    """For `params:`, a digest of all that can change what a verb writes, computed only for checked jobs."""
    return lambda wildcards: digest(verb, *resources)


def digest(verb: str, *resources: str | Path, without: Collection[str] = ()) -> str:
    """`core.code.digest`, with files of resources/ by name."""
    files = [name if isinstance(name, Path) else resource(name) for name in resources]
    return code_digest(verb, *files, without=without)


def shell_prefix(deployed: bool) -> str:
    """The beginning of every job's shell.

    Args:
        deployed: Whether jobs run in their own environment or container (`--software-deployment-method`), whose Python
            comes first on the PATH. Otherwise the Python that runs Snakemake runs them too.
    """
    python = "" if deployed else f"PATH={_quoted(os.path.dirname(sys.executable))}:$PATH "
    return (
        f"set -euo pipefail; export {python}{_package()}; "
        # SLURM sends SIGTERM to all processes of a job at once. The shell and the log must outlive the program, which
        # saves its state first.
        "trap : TERM; tee() {{ trap '' TERM; command tee \"$@\"; }}; "
        f"trap '[ $? != 137 ] || echo \"{KILLED}\" >&2' EXIT; "
        f"export {FOLDER_VARIABLE}=$(pwd -P) JAX_COMPILATION_CACHE_DIR=results/.cache/jax; "
        # XLA's threads are the job's `threads`, which Snakemake tells libraries by this variable. By default XLA takes
        # all CPUs, and two jobs at once wait for each other.
        "export PJRT_NPROC=${{OMP_NUM_THREADS:-1}}; "
        "export TQDM_DISABLE=1; "  # bars of libraries, which fill logs; our own progress is lines there
    )


def _package() -> str:
    """The variable by which any Python of a job finds the package."""
    folder = PACKAGE.parent
    if HOME.parent == PACKAGE:  # installed: another Python should not see the rest of site-packages
        folder = Path(".snakemake/falsepromise").resolve()
    return f"PYTHONPATH={_quoted(str(folder))}"


def _quoted(path: str) -> str:
    """A path quoted for the shell, in a text that Snakemake formats."""
    return shlex.quote(path).replace("{", "{{").replace("}", "}}")


def link_package() -> None:
    """Make a folder with a link to the installed package, and nothing else.

    Where the file system has no links, a package of this name there has the installed one's modules.
    """
    link = Path(".snakemake/falsepromise") / PACKAGE.name
    if HOME.parent == PACKAGE and not (link.is_symlink() and link.resolve() == PACKAGE):
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        try:
            link.symlink_to(PACKAGE)
        except OSError:
            link.mkdir(exist_ok=True)
            (link / "__init__.py").write_text(f"__path__ = [{str(PACKAGE)!r}]\n", encoding="utf-8")


def own_limit(workflow: Any) -> bool:
    """Whether the user limited the rate of starting jobs (Snakemake's default: 100 a second)."""
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    return bool(limit) and (limit.max_jobs, limit.timespan) != (100, 1)


def wildcards(study: Study) -> dict[str, str]:
    """The constraints of all wildcards, each to the study's names."""
    return {
        "source": one_of(study.config.sources),
        "pool": one_of(study.config.pools),
        "mixture": one_of(["pretraining", *study.config.mixtures]),
        "base": one_of(study.base_models),
        "model": one_of(study.models),
        "tokenizer": one_of({study.tokenizer(base) for base in study.config.bases}),
        "prompts": one_of(study.config.prompts),
        "benchmark": one_of(study.config.benchmarks),
        "judge": one_of(name for name, judge in study.config.judges.items() if not judge.members),
        "source_of_votes": one_of(study.voters),
        "control": "second|itself",
        "seed": "[0-9]+",
        "part": "[0-9]+",
        "parts": "[0-9]+",
    }


def name_what_was_meant(files: Collection[str], workflow: Any) -> None:
    """Of a mistyped file or rule, name the nearest in one line. Snakemake's message speaks of rules and functions.

    Args:
        files: What users ask for by path.
    """

    def instead(record: logging.LogRecord) -> bool:
        asked = re.search(r"No rule to produce (.+) \(if you use", record.getMessage(), re.DOTALL)
        if getattr(record, "exception", None) != "MissingRuleException" or not asked:
            return True
        names = files if "/" in asked[1] else [rule.name for rule in workflow.rules]
        close = difflib.get_close_matches(asked[1], names, n=1)
        hint = f"did you mean {close[0]}?" if close else "snakemake --list-target-rules and --summary list it all"
        print(terminal(f"error: nothing in this study makes {asked[1]}; {hint}", lines=False), file=sys.stderr)
        return False

    logging.getLogger("snakemake.logging").addFilter(instead)


def tell_what_is_missing(study: Study, workflow: Any) -> None:
    """At the end of a dry run, print what the real run would lack."""
    if not workflow.dryrun or getattr(workflow, "dag", None) is None:
        return
    missing, advice = preflight.report(study, workflow)
    for line in (preflight.time_needed(study, workflow), preflight.made_again_by_time(workflow)):
        if line:
            print(f"\n{line}")
    for heading, lines in (("Missing for this run:", missing), ("Would be faster:", advice)):
        if lines:
            print("\n".join(["", heading, *(f"  - {line}" for line in lines)]))
