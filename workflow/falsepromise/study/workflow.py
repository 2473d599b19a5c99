"""What the Snakefile asks: the study of its files, the wildcards, the jobs' shell, the last checks before a start."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from falsepromise.core.claim import FOLDER_VARIABLE
from falsepromise.core.errors import UserError
from falsepromise.study.expand import load
from falsepromise.study.study import Study

T = TypeVar("T")


def read(config: Mapping[str, Any], files: Iterable[str | Path]) -> Study:
    """The study of the mapping that its files give together.

    Raises:
        UserError: one line that names the key, what was found and what was expected.
    """
    return load(config, " with ".join(os.path.relpath(file) for file in files) or "the study")


def or_exit(function: Callable[..., T], *arguments: Any) -> T:
    """Call `function`; a user's error ends Snakemake with one line, before any job starts."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def one_of(names: Iterable[str]) -> str:
    """A wildcard's constraint: one of these names, and no name at all where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def options(entry: Mapping[str, Any], *keys: str) -> str:
    """Command-line options for the keys that `entry` has: `max_bleu: 20` -> `--max-bleu 20`."""
    words = []
    for key in keys:
        value = entry.get(key)
        if value is None or value is False:
            continue
        words.append("--" + key.replace("_", "-"))
        if value is not True:
            words.append(shlex.quote(str(value)))
    return " ".join(words)


def shell_prefix(root: str, python: str) -> str:
    """What every job's shell starts with.

    Args:
        root: The checkout, where the package is.
        python: The Python that runs Snakemake, which runs the jobs as well.
    """
    path, package = shlex.quote(os.path.dirname(python)), shlex.quote(f"{root}/workflow")
    return (
        f"set -euo pipefail; export PATH={path}:$PATH PYTHONPATH={package}; "
        # SLURM sends SIGTERM to all processes of a job at once: the shell and the log must outlive the program, which
        # saves its state first.
        "trap : TERM; tee() {{ trap '' TERM; command tee \"$@\"; }}; "
        f"export {FOLDER_VARIABLE}=$(pwd -P) JAX_COMPILATION_CACHE_DIR=results/.cache/jax; "
        # One thread a job on CPU: two such jobs at once are faster than one after the other.
        "export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false; "
    )


def wildcards(study: Study) -> dict[str, str]:
    """The constraints of all wildcards: each is one of the study's names."""
    return {
        "source": one_of(study.sources),
        "pool": one_of(study.pools),
        "mixture": one_of(["pretraining", *study.mixtures]),
        "base": one_of(study.base_models),
        "model": one_of(study.models),
        "tokenizer": one_of({study.tokenizer(base) for base in study.bases}),
        "prompts": one_of(study.prompts),
        "benchmark": one_of(study.benchmarks),
        "judge": one_of(study.judges),
        "source_of_votes": one_of(study.voters),
        "seed": "[0-9]+",
    }


def check_start(study: Study) -> None:
    """What can be known only when jobs are about to start.

    Raises:
        UserError: a `file:` is missing, or a key is not in the environment.
    """
    named = {f"sources.{name}.uri": source["uri"] for name, source in study.sources.items()}
    named |= {f"bases.{name}.weights": base["weights"] for name, base in study.bases.items() if "weights" in base}
    named |= {f"mixtures.{name}.seeds": "file:" + m["seeds"] for name, m in study.mixtures.items() if "seeds" in m}
    named |= {
        f"pools.{name}.categories": "file:" + p["categories"] for name, p in study.pools.items() if "categories" in p
    }
    named |= {
        f"raters.{name}.votes.{model}.{number}": f"file:{file}"
        for name, raters in study.raters.items()
        for model, files in raters["votes"].items()
        for number, file in enumerate(files)
    }
    if "marks" in study.style:
        named["style.marks"] = f"file:{study.style['marks']}"
    for key, uri in named.items():
        if uri.startswith("file:") and not Path(uri.removeprefix("file:")).exists():
            raise UserError(
                f"{key} names the file {uri.removeprefix('file:')!r}, which is not there; put it there or change the "
                "study (config/README.md says where the paper's are from)"
            )
    for asked in (study.teacher, *({**study.teacher, **judge} for judge in study.judges.values())):
        variable = asked.get("api_key_env", "OPENAI_API_KEY")
        if asked["url"].startswith("https:") and not os.environ.get(variable):
            raise UserError(f"{asked['url']} wants a key: set it in the environment variable {variable}")
