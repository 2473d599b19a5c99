"""Check a study before anything runs: keys, names, counts, files, and the base models' files.

  python -m falsepromise.study.check my_study.yaml

Snakemake checks keys, names and counts itself whenever it reads a study, and stops at the first mistake. This verb
lists all mistakes, one line each. If keys and names are right, it also checks the files: whether they exist and are
what their jobs read, whether `parameters` equals the number of weights, whether a benchmark's prompt fits into a base's
context. It exits with 1 if it found a mistake.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.place import resource
from falsepromise.core.records import loads
from falsepromise.core.text import masked, terminal
from falsepromise.study import config, contents, files, names, preflight, schema
from falsepromise.study.expand import load, read_files
from falsepromise.study.study import Study
from falsepromise.study.tasks import TASKS

CHARACTERS = 5  # of English text a token, a high estimate: a prompt has at least as many tokens as this gives


def problems(study: Study) -> Iterator[str]:
    """All mistakes that can be found without running a job, beyond those found when a study is read."""
    for file in files.missing(study):
        yield file.absent
    yield from contents.damaged(study)
    for where, asked in study.servers().items():
        if asked.url.startswith("https:") and not os.environ.get(asked.api_key_env):
            yield f"'{where}' asks {asked.url}: set its key in the environment variable {asked.api_key_env}"
        if asked.max_usd and (asked.price_input is None or asked.price_output is None) and asked.url != "local":
            yield f"'{where}.max_usd' can't be kept without prices: write price_input and price_output"
    yield from preflight.refused(study)
    for base in study.config.bases:
        yield from _weights(study, base)
        yield from _contexts(study, base)


def _weights(study: Study, base: str) -> Iterator[str]:
    said, folder = study.config.bases[base].parameters, folder_of(study, base)
    counted = parameters(folder) if folder else None
    if said and counted and not math.isclose(said, counted, rel_tol=0.01):
        yield f"'bases.{base}.parameters' is {said:,.0f}, but the weights in {folder} have {counted:,}; write {counted}"


def _contexts(study: Study, base: str) -> Iterator[str]:
    context, size = context_of(study, base), study.block_size(base)
    if context and size > context:
        yield f"blocks have {size} tokens, 'bases.{base}' has a context of {context}; write its block_size: {context}"
    for name, benchmark in study.config.benchmarks.items():
        task = TASKS[benchmark.task]
        if context is None or task.beside is None:
            continue
        prompt = len(resource(str(task.prompts[0])).read_text(encoding="utf-8")) // CHARACTERS
        answer = benchmark.max_tokens or task.beside
        if prompt + answer > context:
            yield (
                f"'benchmarks.{name}' needs at least {prompt} tokens of prompt and {answer} of answer; 'bases.{base}' "
                f"has a context of {context}: take another base, or leave the benchmark out of its runs"
            )


def context_of(study: Study, base: str) -> int | None:
    """The longest sequence of a base in tokens, if its architecture or its files state it."""
    architecture = study.config.bases[base].architecture
    if architecture:
        return architecture.max_position_embeddings
    folder = folder_of(study, base)
    try:
        hub = loads((folder / "config.json").read_text(encoding="utf-8")) if folder else {}
    except (OSError, ValueError):
        return None
    found = (hub.get("max_position_embeddings") or hub.get("n_positions")) if isinstance(hub, dict) else None
    return found if isinstance(found, int) else None


def folder_of(study: Study, base: str) -> Path | None:
    """The folder of a base's weights on this machine: the one that the study names, or its copy from an earlier run."""
    uri, fetched = study.config.bases[base].weights or "", Path(study.results, "training/bases", base)
    own = Path(uri.removeprefix("file:")) if uri.startswith("file:") else None
    if own and own.is_dir():
        return own
    try:
        origin = loads((fetched / "source.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a folder from a GGUF file has none
        origin = None
    other = isinstance(origin, dict) and origin.get("uri") != uri  # the study named another base then
    return fetched if fetched.is_dir() and not other else None


def parameters(folder: Path) -> int | None:
    """The number of weights in a folder's safetensors files, from their headers; None without such files."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for file in folder.glob("*.safetensors"):
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="np") as tensors:
                total += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
        except (OSError, SafetensorError):
            return None
    return total or None


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("study", type=Path, nargs="+", metavar="FILE", help="study file; a later one changes keys")
    args = parser.parse_args(argv)
    where, content = ", ".join(map(str, args.study)), read_files(args.study)
    found = schema.problems(config.Study, content) or list(names.problems(config.Study.model_validate(content)))
    if not found:
        study = load(files.find(load(content, where)), where)
        found = list(problems(study))
    for problem in found:
        print(masked(terminal(f"{where}: {problem}", lines=False)), file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"{where}: no mistakes; {len(study.base_models)} base models and {len(study.trained)} models to train")


if __name__ == "__main__":
    cli.run(main)
