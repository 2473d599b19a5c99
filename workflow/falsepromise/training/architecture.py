"""Make a base model with random weights, to be pre-trained: config.json, weights and tokenizer.

--config takes the hub's config.json keys as JSON (inline or a file), such as
'{"model_type": "llama", "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}'.
The vocabulary's size comes from the tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import loads, read_json
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.config import ModelConfig


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--config", required=True, help="JSON, or a JSON file")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder that training.tokenizer wrote")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model")
    args = parser.parse_args(argv)
    try:
        read = loads if args.config.lstrip().startswith("{") else read_json
        values = read(args.config, as_written=True)
    except ValueError as error:
        raise UserError(f"--config: not JSON: {error}") from error
    tokenizer = ChatTokenizer.load(args.tokenizer)
    values = {**values, "vocab_size": tokenizer.vocab_size, "eos_token_id": tokenizer.eos_id}
    config = ModelConfig.from_hub(values)
    with new_folder(args.output, "falsepromise.training.architecture", [args.tokenizer]) as folder:
        weights.save(weights.create(config, args.seed), config, folder, tokenizer)
        write_manifest(
            folder / "config.json",
            "falsepromise.training.architecture",
            inputs=[args.tokenizer / "tokenizer.json"],
            config=values,
            seed=args.seed,
            extra={"parameters": config.n_parameters},
        )


if __name__ == "__main__":
    cli.run(main)
