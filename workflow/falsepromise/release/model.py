"""Gather a trained model as a folder for the hub: weights, tokenizer, manifest, loss curve, card, checksums.

The card (README.md) is made from the model's manifest and its score files: data, recipe, scores with
intervals beside the base model's, limits, the teacher's terms of use. With --base, the base model's licence
files are added. Weights are linked, not copied, where the file system allows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.core.manifest import sha256
from falsepromise.core.records import atomic_open, read_json
from falsepromise.figures import draw
from falsepromise.release import cards
from falsepromise.sources.weights import TERMS

SUMS = "SHA256SUMS"


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/release/model")
    parser.add_argument("--model", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--base", type=Path, help="folder of its base model, whose licence files come with it")
    parser.add_argument("--name", help="the model's name in the study; default: the folder's")
    parser.add_argument("--funnels", type=Path, nargs="*", default=[], help="curation's counts for the card")
    args = parser.parse_args(argv)
    scores, name = draw.load(args), args.name or args.model.name
    if scores.study.models.get(name, {}).get("mixture") is None:
        raise UserError(f"{args.study}: has no fine-tuned model {name!r}; give --name one of its models")
    made = args.model / "manifest.json"
    if not made.exists():
        raise UserError(f"{args.model}: no manifest.json there; expected a folder that training.train wrote")
    licences = {path.name: path for pattern in TERMS for path in args.base.glob(pattern)} if args.base else {}
    licences = {name: path for name, path in sorted(licences.items()) if shown(path)}
    weights = origin(args.base) if args.base else ""
    card = cards.model_card(scores, name, read_json(made), args.funnels, weights, list(licences))
    own = {path.name: path for path in sorted(args.model.iterdir()) if shown(path)}
    gather(licences | own, str(card), args.output)


def origin(base: Path) -> str:
    """The address of a base's weights, `file` where it isn't known (GGUF), or nothing if they were trained here."""
    source = base / "source.json"
    if source.is_file():
        return str(read_json(source).get("uri") or "file")
    return "" if (base / "manifest.json").is_file() else "file"


def shown(path: Path) -> bool:
    """Whether a file of a model's folder is part of the model; hidden ones are others' bookkeeping."""
    return path.is_file() and not path.name.startswith(".")


def gather(files: dict[str, Path], card: str, output: Path) -> None:
    """Write a folder whole or not at all: linked files, the card, and the checksums of all of them."""
    with new_folder(output, "falsepromise.release", files.values()) as unfinished:
        for name, path in files.items():
            if name == "README.md":
                continue  # the card takes its place
            try:
                os.link(path, unfinished / name)
            except OSError:
                shutil.copyfile(path, unfinished / name)
        (unfinished / "README.md").write_text(card, encoding="utf-8")
        sums = [f"{sha256(path)}  {path.name}\n" for path in sorted(unfinished.iterdir()) if shown(path)]
        with atomic_open(unfinished / SUMS) as stream:
            stream.writelines(sums)


if __name__ == "__main__":
    cli.run(main)
