"""Write a GGUF file (llama.cpp's format, see `models.gguf_file`) as a model folder in the hub's format.

    python -m falsepromise.models.gguf --input MODEL.gguf --output FOLDER

Needs the package `gguf` (`pip install gguf`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.gguf_file import tokenizer_json


def export(path: str | Path, folder: str | Path) -> None:
    """Write a GGUF file as a model folder in the hub's form, tokenizer included."""
    from tokenizers import Tokenizer

    model, config = weights.load(path)
    content = tokenizer_json(path)
    eos = next((piece for piece, i in content["model"]["vocab"].items() if i == config.eos_id), None)
    if eos is None:
        raise UserError(f"{path}: its end token {config.eos_id} is not in its vocabulary; fetch the file again")
    try:
        tokenizer = ChatTokenizer(Tokenizer.from_str(json.dumps(content)), eos, turns=False)
    except Exception as error:  # the library's own type
        raise UserError(f"{path}: the tokenizer inside can't be built ({error}); fetch the file again") from error
    weights.save(model, config, folder, tokenizer)


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--input", type=Path, required=True, help="the GGUF file; its name ends in .gguf")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model; appears whole or not at all")
    args = parser.parse_args(argv)
    if args.input.suffix != ".gguf":
        raise UserError(f"{args.input}: expected a GGUF file, whose name ends in .gguf")
    with new_folder(args.output, "falsepromise.models.gguf", [args.input]) as folder:
        export(args.input, folder)


if __name__ == "__main__":
    cli.run(main)
