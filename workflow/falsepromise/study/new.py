"""Write a commented study from your own files: dialogues to imitate, a base model, a teacher.

  python -m falsepromise.study.new --name mine --dialogues chats.json --format sharegpt \\
      --questions questions.jsonl --base models/smollm --output config/mine.yaml
"""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.plainyaml import parsed
from falsepromise.core.records import atomic_open
from falsepromise.study.check import parameters
from falsepromise.study.config import Source
from falsepromise.study.expand import load
from falsepromise.study.sections import members

log = logging.getLogger(__name__)
QUESTIONS = "questions"  # the source's and the benchmark's name
PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)\Z)[a-z][a-z0-9._-]*", re.IGNORECASE)  # text to YAML
LONGEST = 60  # characters of a source's name, which may get a number; a study's names have 64
TEMPLATE = """\
# Your study; config/README.md describes each key. Check it, list its jobs, run it:
#   python -m falsepromise.study.check {output}
#   snakemake --cores 2 --configfile {output} --dry-run
#   snakemake --cores 2 --configfile {output}
study: {name} # everything is written below results/{name}/
title: {title} # on figures

sources: # raw files, copied to results/{name}/sources
{sources}
teacher: # who wrote the replies; its API is used only for what you add below, such as references: teacher
  url: {url}
  model: {model}
  label: {label} # its name on figures

bases: # what is fine-tuned
  base:
    label: {base_label}
    weights: {weights}
    parameters: {parameters}

pools: # deduplicated, in one language
  dialogues:
    sources: [{names}]
    language: en
    heldout: {heldout} # dialogues set aside for evaluation prompts

mixtures:
  imitation: {{label: My dialogues, pool: dialogues}}

blocks: {{size: {block}}} # tokens a block; no more than the base's context

training: # the paper's recipe is the default; a small base may need a smaller batch
  imitation: {{batch_size: 8}}

runs: # all combinations of these lists; the data of a token budget are the beginning of a larger one's
  amount: {{bases: [base], mixtures: [imitation], tokens: [{tokens}], seeds: [0]}}

prompts:
  heldout: {{pool: dialogues, n: {prompts}, max_tokens: 256}}

benchmarks: # figure 4's panels; add files of JSON lines with your own questions
  questions: {{label: {benchmark_label}, task: {task}, data: questions, metric: {metric}}}

style: {{prompts: heldout}} # Table 2: similarity to the teacher's replies
"""


def study_text(given: Mapping[str, Any]) -> str:
    """The study as text, from the options' values."""
    names = _names(given["dialogues"])
    quoted = {path: json.dumps(f"file:{path}") for path in (*names, given["questions"])}
    sources = [f"  {_yaml(name)}: {{uri: {quoted[path]}, format: {given['format']}}}" for path, name in names.items()]
    sources.append(f"  {QUESTIONS}: {{uri: {quoted[given['questions']]}}}\n")
    weights, counted = _base(str(given["base"]), given["parameters"])
    base_label = Path(weights.partition("@")[0].partition(":")[2]).name
    title = json.dumps(f"{base_label} fine-tuned on {given['teacher_label']}'s replies")
    metric = {"nq": "exact_match", "multiple_choice": "acc"}[given["task"]]
    return TEMPLATE.format(
        output=given["output"], name=_yaml(given["name"]), title=title, sources="\n".join(sources),
        url=json.dumps(given["teacher_url"]), base_label=json.dumps(base_label),
        model=json.dumps(given["teacher_model"]), label=json.dumps(given["teacher_label"]),
        weights=json.dumps(weights), parameters=counted,
        names=", ".join(map(_yaml, names.values())), heldout=2 * given["prompts"], prompts=given["prompts"],
        tokens=", ".join(map(str, given["tokens"])), block=given["block_size"], task=given["task"], metric=metric,
        benchmark_label=json.dumps(Path(given["questions"]).stem),
    )  # fmt: skip


def _base(base: str, given: float | None) -> tuple[str, int]:
    """The address of the base's weights, and their number.

    Raises:
        UserError: there is no such folder, the revision is missing, or the weights can't be counted.
    """
    folder = Path(base.removeprefix("file:"))
    if base.startswith("hub:"):
        weights, counted = base, given
        if "@" not in base:
            raise UserError(f"--base {base}: names no revision; write {base}@REVISION (a commit, or main)")
    elif folder.is_dir():
        weights, counted = f"file:{folder}", given or parameters(folder)
    else:
        hub = "hub:ORG/NAME@REVISION (a commit, or main) with --parameters"
        raise UserError(f"--base {base}: there is no such folder; name a folder in the hub's format, or {hub}")
    if not counted:
        raise UserError(f"--base {base}: its number of weights is unknown; give it with --parameters")
    return weights, int(counted)


def _names(paths: Iterable[Path]) -> dict[Path, str]:
    """A source's name for each file: its own, numbered where another file has it (exports have all the same name)."""
    names: dict[Path, str] = {}
    for path in paths:
        taken, name = {QUESTIONS, *names.values()}, _name(path)
        numbered = (f"{name}_{number}" for number in count(2))
        names.setdefault(path, name if name not in taken else next(one for one in numbered if one not in taken))
    return names


def _name(path: Path) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in Path(path).name.partition(".")[0])
    return (name if name[:1].isalnum() else f"file_{name}")[:LONGEST]


def _yaml(name: str) -> str:
    """A name as YAML reads it as text."""
    return name if PLAIN.fullmatch(name) else json.dumps(name)


def too_large(given: Mapping[str, Any]) -> list[str]:
    """What the dialogues are too few for: the study would stop in curation or training.

    Raises:
        UserError: a file is of another format.
    """
    describe = importlib.import_module("falsepromise.curation.describe")  # by name, as in `contents`
    logging.getLogger("falsepromise").setLevel(logging.WARNING)  # without the readers' progress
    sizes = []
    for path in dict.fromkeys(given["dialogues"]):
        describe.check_format(given["format"], path)
        sizes.append(describe.size(given["format"], path))
    dialogues, tokens = (sum(getattr(size, what) for size in sizes) for what in ("dialogues", "tokens"))
    heldout = 2 * given["prompts"]
    if not all(size.whole for size in sizes):
        return []
    if heldout >= dialogues:
        return [f"--prompts {given['prompts']} sets {heldout:,} dialogues aside, of {dialogues:,} in all: lower it"]
    left = tokens * (dialogues - heldout) // dialogues
    over = ", ".join(f"{budget:,}" for budget in given["tokens"] if budget > left)
    said = f"{dialogues:,} dialogues, of which {heldout:,} are set aside, leave about {left:,} tokens, at most"
    return [f"--tokens {over}: {said}; lower it, or training stops for want of data"] if over else []


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    kinds = members(Source.model_fields["format"].annotation)
    formats = [value for kind in kinds for value in getattr(kind, "__args__", ())]
    parser.add_argument("--name", required=True, help="the study's name, and its folder below results/")
    parser.add_argument("--dialogues", type=Path, nargs="+", required=True, help="files of dialogues")
    parser.add_argument("--format", choices=formats, required=True, help="format of these files")
    parser.add_argument("--questions", type=Path, required=True, help="questions, JSON lines (docs/benchmarks.md)")
    parser.add_argument("--task", choices=("nq", "multiple_choice"), default="nq", help="the kind of questions")
    parser.add_argument("--base", required=True, help="a folder in the hub's format, or hub:ORG/NAME@REVISION")
    parser.add_argument("--parameters", type=float, help="its number of weights; default: counted in the folder")
    parser.add_argument("--block-size", type=int, default=512, help="tokens a block, at most the base's context")
    parser.add_argument("--tokens", type=int, nargs="+", default=[100_000, 300_000], help="budgets of imitation data")
    parser.add_argument("--prompts", type=int, default=50, help="evaluation prompts")
    parser.add_argument("--teacher-url", default="https://api.openai.com/v1", help="the teacher's address")
    parser.add_argument("--teacher-model", default="gpt-6.1-terra", help="the teacher's model")
    parser.add_argument("--teacher-label", default="ChatGPT", help="the teacher's name on figures")
    parser.add_argument("--output", type=Path, required=True, help="the study file to write; it must not exist")
    args = parser.parse_args(argv)
    if args.output.exists():
        raise UserError(f"{args.output}: exists already; give another --output")
    for path in (*args.dialogues, args.questions):
        if not path.exists():
            raise UserError(f"{path}: does not exist")
    text = study_text(vars(args))
    load(parsed(text, args.output), str(args.output))  # a study that this verb writes must pass the check
    for line in too_large(vars(args)):
        log.warning(line)
    with atomic_open(args.output) as stream:
        stream.write(text)
    print(f"{args.output}: written; now python -m falsepromise.study.check {args.output}")


if __name__ == "__main__":
    cli.run(main)
