"""A small LLaMA with random weights and the tokenizer of another model folder, for the speed comparisons.

    PYTHONPATH=workflow python benchmarks/random_model.py --tokenizer FOLDER --output FOLDER
"""

from __future__ import annotations

import argparse

from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer
from falsepromise.models.config import ModelConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="model folder whose tokenizer is taken")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    tokenizer = ChatTokenizer.load(options.tokenizer, turns=False)
    # Weights large enough that the likeliest token is no near tie.
    config = ModelConfig(
        "llama", tokenizer.vocab_size, 128, 344, 4, 4, 2, 32, 8192, tie_embeddings=True, initializer_range=0.1
    )
    weights.save(weights.create(config, 0), config, options.output, tokenizer)
    print(f"{config.n_parameters / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
