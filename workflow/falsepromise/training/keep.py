"""Write a model as a small folder to keep: bfloat16 weights, tokenizer, its manifest. `resources/bases/` was made so.

The values are rounded to bfloat16, which takes half of float32's bytes. A run that starts from the folder starts from
the rounded values.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder that training.train wrote")
    parser.add_argument("--output", type=Path, required=True, help="folder for the small model")
    args = parser.parse_args(argv)
    made = args.model / "manifest.json"
    if not made.exists():
        raise UserError(f"{args.model}: no manifest.json there; expected a folder that training.train wrote")
    model, config = weights.load(args.model)
    with new_folder(args.output, "falsepromise.training.keep", [args.model]) as folder:
        weights.save(model, config, folder, ChatTokenizer.load(args.model), dtype=jnp.bfloat16)
        shutil.copyfile(made, folder / "manifest.json")


if __name__ == "__main__":
    cli.run(main)
