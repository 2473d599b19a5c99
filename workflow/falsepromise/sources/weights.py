"""Fetch a base model's folder (config.json, safetensors, tokenizer, licence) unchanged.

Addresses:

  hub:ORG/NAME@REVISION   a model of the Hugging Face hub at a pinned revision
  file:PATH               a folder of this machine; its large files are linked, not copied

Pickled weights (`.bin`, `.pt`) are never fetched: a pickle runs code when it is read.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.core.records import check_file, write_json
from falsepromise.sources import hub, hubclient
from falsepromise.sources.room import check_room

TERMS = ("LICENSE*", "LICENCE*", "License*", "NOTICE*", "Notice*", "USE_POLICY*")  # what goes wherever the weights go
# All but `consolidated*.safetensors`: in Mistral's repositories the same weights once more, under other names.
WEIGHTS = ("[!c]*.safetensors", "c[!o]*.safetensors")
WANTED = ("*.json", *WEIGHTS, "tokenizer.model", "merges.txt", "vocab.txt", "*.jinja", *TERMS)


def fetch(uri: str, folder: Path) -> None:
    """Put the model's files into `folder`, which exists and is empty.

    Raises:
        UserError: the address has an unknown form, or there is no model.
    """
    kind, _, rest = uri.partition(":")
    if kind == "hub" and (match := re.fullmatch(r"([^@/\s]+/[^@/\s]+)@(\S+)", rest)):
        _from_hub(match[1], match[2], folder)
    elif kind == "file" and rest:
        _from_folder(Path(rest), folder)
    else:
        raise UserError(f"--uri {uri}: expected hub:ORG/NAME@REVISION or file:PATH")


def _from_hub(name: str, revision: str, folder: Path) -> None:
    name, commit = hub.commit(f"{name}@{revision}", "model")
    with hubclient.errors(f"hub:{name}@{revision}"):
        hubclient.download(name, "model", commit, folder, patterns=WANTED)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _from_folder(source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise UserError(f"file:{source}: no such folder; expected config.json, safetensors and a tokenizer in it")
    for file in sorted({path for pattern in WANTED for path in source.glob(pattern) if not path.is_dir()}):
        check_file(file, "file:")
        if file.suffix == ".safetensors":
            try:
                (folder / file.name).symlink_to(file.resolve())
            except OSError:  # a file system without links
                check_room(folder, file.stat().st_size, f"file:{file}")
                shutil.copyfile(file, folder / file.name)
        else:
            shutil.copyfile(file, folder / file.name)


def check(folder: Path, uri: str) -> None:
    """Refuse an incomplete folder.

    Raises:
        UserError: a part is missing; the message names it.
    """
    missing = [what for what in ("config.json", "*.safetensors") if not list(folder.glob(what))]
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        missing.append("tokenizer.json")
    if missing:
        raise UserError(f"{uri}: {' and '.join(missing)} missing; expected a model folder in the hub's format")


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--uri", required=True, help="address of the model")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model; appears whole or not at all")
    args = parser.parse_args(argv)
    source = Path(args.uri.removeprefix("file:")) if args.uri.startswith("file:") else None
    with new_folder(args.output, "falsepromise.sources.weights", [source]) as folder:
        fetch(args.uri, folder)
        check(folder, args.uri)
        write_json(folder / "source.json", {"made_by": "falsepromise.sources.weights", "uri": args.uri})


if __name__ == "__main__":
    cli.run(main)
