"""Train a byte-level BPE tokenizer for a study that pre-trains its base models.

The alphabet is all bytes, so no text is out of vocabulary. The turn tokens are added when a base
model is made (`falsepromise.models.chat`); this verb reserves their rows in the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import Record, check_dialogue, read_jsonl
from falsepromise.models.chat import END_TOKEN, TURN_TOKENS, ChatTokenizer
from falsepromise.study.config import default

MOST = 10_000_000  # entries


def texts(files: Sequence[Path], characters: int | None = None) -> Iterator[str]:
    """Raw texts (`text`) and all contents of dialogues (`messages`) in files of JSON lines.

    Args:
        files: The files.
        characters: Read no more than so many characters of each file; None: all.
    """
    for file in files:
        left = math.inf if characters is None else characters
        for record in read_jsonl(file, _check):
            found = [record["text"]] if "text" in record else [message["content"] for message in record["messages"]]
            yield from found
            left -= sum(map(len, found))
            if left <= 0:
                break


def _check(record: Record) -> str | None:
    return None if isinstance(record.get("text"), str) else check_dialogue(record)


def train(corpus: Iterator[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer of `vocab_size` entries, the special tokens included."""
    tokenizer = Tokenizer(models.BPE())
    # A space before every text, as LLaMA's tokenizer puts one: a word that opens a turn has then the
    # same tokens as within a sentence, and what was learnt of it holds in both places.
    tokenizer.normalizer = normalizers.Prepend(" ")
    # Digits one by one, as LLaMA has them: numbers are then spelt, not memorised as words.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*TURN_TOKENS.values(), END_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="JSON lines with `text` or `messages`")
    parser.add_argument(
        "--vocab-size", type=int, default=default("tokenizer.vocab_size"), help="entries, special tokens included"
    )
    parser.add_argument("--characters", type=int, help="characters to read of each file; default: all")
    parser.add_argument("--output", type=Path, required=True, help="folder for tokenizer.json and its config")
    args = parser.parse_args(argv)
    if not 300 <= args.vocab_size <= MOST:  # all bytes and the special tokens take 260
        raise UserError(f"--vocab-size {args.vocab_size}: expected 300 to {MOST:,} entries")
    if args.characters is not None and args.characters < 1:
        raise UserError(f"--characters {args.characters}: expected at least 1")
    with new_folder(args.output, "falsepromise.training.tokenizer", args.text) as folder:
        ChatTokenizer(train(texts(args.text, args.characters), args.vocab_size)).save(folder)
        write_manifest(
            folder / "tokenizer.json",
            "falsepromise.training.tokenizer",
            inputs=args.text,
            config={"vocab_size": args.vocab_size, "characters": args.characters},
        )


if __name__ == "__main__":
    cli.run(main)
