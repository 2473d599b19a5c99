"""Run lm-eval's own command with this package's engine as one of its models.

    python -m falsepromise.benchmarks.lm_eval --model falsepromise --model_args pretrained=FOLDER --tasks hellaswag

All options are lm-eval's. lm-eval has no entry points for models of other packages, so this module registers ours and
then runs its command. Model arguments: `pretrained` (a model folder), `turn_tokens`
(yes or no), `mesh` (as data=2), `seed` (of tasks that sample; by default drawn from lm-eval's `--seed`).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytablewriter
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.registry import register_model

from falsepromise.benchmarks.harness import ModelLM
from falsepromise.benchmarks.model import EngineModel
from falsepromise.core import cli
from falsepromise.core.errors import UserError


@register_model("falsepromise")
class FalsePromiseLM(ModelLM):
    """A model folder as lm-eval's command makes it.

    Args:
        pretrained: The folder.
        turn_tokens: Whether each context becomes a user's message.
        seed: Of tasks that sample; None: drawn from Python's generator, which lm-eval has seeded with `--seed`.
        mesh: Devices, as "data=2".
        batch_size: Rows at once; "auto" and lm-eval's default of 1 leave it to the engine.
        max_batch_size, device: Ignored; lm-eval passes them, but the engine chooses its own.

    Raises:
        UserError: there is no such folder, or an argument is unknown.
    """

    def __init__(
        self,
        pretrained: str = "",
        turn_tokens: bool | str = False,
        seed: int | None = None,
        mesh: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **unknown: Any,
    ):
        if unknown:
            known = "pretrained, turn_tokens, seed, mesh"
            raise UserError(f"--model_args {next(iter(unknown))}: unknown; there are {known}")
        if not (Path(pretrained) / "config.json").exists():
            raise UserError(f"--model_args pretrained={pretrained}: no config.json there; expected a model folder")
        asked = str(batch_size)
        rows = int(asked) if asked.isdecimal() and int(asked) > 1 else None
        super().__init__(
            EngineModel.load(pretrained, rows, mesh=mesh),
            str(turn_tokens).lower() in ("true", "yes", "1"),
            random.getrandbits(31) if seed is None else int(seed),
        )


def _mend_tables() -> None:
    """Give the locked pytablewriter the name that lm-eval has for a table's headers, else they are A, B, C.

    It also starts a process for each core to look at a table's cells; beside JAX's threads these may never return.
    """

    def name(writer: Any, headers: list[str]) -> None:
        writer.header_list = headers
        writer._dp_extractor.max_workers = 1

    for writer in (pytablewriter.MarkdownTableWriter, pytablewriter.LatexTableWriter):
        if not hasattr(writer, "headers"):
            writer.headers = property(lambda self: self.header_list, name)


def main(argv: Sequence[str] | None = None) -> None:
    own = sys.argv
    _mend_tables()
    try:
        sys.argv = ["lm_eval", *(own[1:] if argv is None else argv)]  # lm-eval's parser reads and changes it
        cli_evaluate()
    finally:
        sys.argv = own


if __name__ == "__main__":
    cli.run(main)
