"""Write a commented study from your own files: dialogues to imitate, a base model, a teacher.

  python -m falsepromise.study.new --name mine --dialogues chats.json --format sharegpt \\
      --questions questions.jsonl --base models/smollm --output config/mine.yaml
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import atomic_open
from falsepromise.study.check import parameters
from falsepromise.study.config import Source
from falsepromise.study.expand import load
from falsepromise.study.sections import members

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
    quoted = {path: json.dumps(f"file:{path}") for path in (*given["dialogues"], given["questions"])}
    sources = [f"  {_name(path)}: {{uri: {quoted[path]}, format: {given['format']}}}" for path in given["dialogues"]]
    sources.append(f"  questions: {{uri: {quoted[given['questions']]}}}\n")
    base = str(given["base"])
    local = Path(base).is_dir()
    counted = given["parameters"] or (parameters(Path(base)) if local else None)
    if not counted:
        lacks = "its number of weights is unknown" if local or base.startswith("hub:") else "no such folder"
        raise UserError(f"--base {base}: {lacks}; name a folder with safetensors, or hub:ORG/NAME with --parameters")
    base_label = Path(base).name.partition("@")[0]
    title = json.dumps(f"{base_label} fine-tuned on {given['teacher_label']}'s replies")
    metric = {"nq": "exact_match", "multiple_choice": "acc"}[given["task"]]
    return TEMPLATE.format(
        output=given["output"], name=given["name"], title=title, sources="\n".join(sources),
        url=json.dumps(given["teacher_url"]), base_label=json.dumps(base_label),
        model=json.dumps(given["teacher_model"]), label=json.dumps(given["teacher_label"]),
        weights=json.dumps(base if base.startswith(("hub:", "file:")) else f"file:{base}"), parameters=int(counted),
        names=", ".join(map(_name, given["dialogues"])), heldout=2 * given["prompts"], prompts=given["prompts"],
        tokens=", ".join(map(str, given["tokens"])), block=given["block_size"], task=given["task"], metric=metric,
        benchmark_label=json.dumps(Path(given["questions"]).stem),
    )  # fmt: skip


def _name(path: Path) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in Path(path).name.partition(".")[0])
    return name if name and name[0].isalnum() and not name.isdecimal() else f"file_{name}"


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
    parser.add_argument("--teacher-model", default="gpt-3.5-turbo-0125", help="the teacher's model")
    parser.add_argument("--teacher-label", default="ChatGPT", help="the teacher's name on figures")
    parser.add_argument("--output", type=Path, required=True, help="the study file to write; it must not exist")
    args = parser.parse_args(argv)
    if args.output.exists():
        raise UserError(f"{args.output}: exists already; give another --output")
    for path in (*args.dialogues, args.questions):
        if not path.exists():
            raise UserError(f"{path}: does not exist")
    text = study_text(vars(args))
    import yaml

    load(yaml.safe_load(text), str(args.output))  # a study that this verb writes must pass the check
    with atomic_open(args.output) as stream:
        stream.write(text)
    print(f"{args.output}: written; now python -m falsepromise.study.check {args.output}")


if __name__ == "__main__":
    cli.run(main)
