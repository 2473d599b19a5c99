"""Turn dialogues or text into a memory-mapped stream of tokens, cut into blocks when read.

Section 4.1: conversations are chunked into blocks of 2,048 tokens, special tokens demarcate the
beginning of each user query and model output, the loss is on the model outputs alone. Ids and loss
mask are built together, turn by turn (`ChatTokenizer.encode_dialogue`), never by searching.

The output is a folder:

  tokens.npy     unsigned integers, shape (N,)
  loss_mask.npy  booleans, shape (N,): whether the token at that place is to be predicted
  documents.npy  int64, shape (D + 1,): where each document starts; the last entry is N
  blocks.json    block_size, what was done, counts: of all `tokens`, those of dialogues or texts and the `padding`

Block i is `tokens[i * T : (i + 1) * T + 1]`: T inputs and their T successors, so that every token
but the first is predicted exactly once. A smaller token budget is a prefix of a larger one.

`--packing contiguous` is the paper's: one stream of the documents in their order, cut wherever a block ends.
`--packing whole` cuts no document that fits a block: with short blocks, half of them would else be cut. It fills a few
open blocks at a time, so that the order changes by at most so many blocks. Padding has no loss, but counts towards a
token budget.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import track
from falsepromise.core.records import Record, atomic_open, check_dialogue, check_file, read_json, read_jsonl, write_json
from falsepromise.models.chat import ChatTokenizer, load_any
from falsepromise.models.vocabulary import FILES
from falsepromise.study.config import default

Encoded = tuple[list[int], list[bool]]
OPEN = 32  # blocks that `--packing whole` fills at a time; more leave hardly less padding


def encoded(tokenizer: ChatTokenizer, file: Path, raw: bool) -> Iterator[Encoded]:
    """Ids and loss mask of each record: all of its raw `text`, or else its dialogue (`messages`), which a record may
    have beside each other."""
    for record in read_jsonl(file, _check_text if raw else check_dialogue):
        if raw:
            ids = [*tokenizer.encode_text(record["text"]), tokenizer.eos_id]
            yield ids, [True] * len(ids)
        else:
            ids, mask = tokenizer.encode_dialogue(record["messages"])
            yield ids, [bool(m) for m in mask]


def _check_text(record: Record) -> str | None:
    return None if isinstance(record.get("text"), str) else f"'text' is {record.get('text')!r:.60}, expected text"


def pack(documents: Iterable[Encoded], block_size: int, whole: bool, pad: int) -> Iterator[Encoded]:
    """The documents, and between them runs of padding where `whole` needs them.

    Args:
        documents: Ids and loss masks.
        block_size: T, in tokens.
        whole: A document that fits into a block goes into the open block with the least room for it (best fit), or
            into a new one. The oldest of more than `OPEN` is filled up with padding. A longer document begins a block
            and goes on in those behind it.
        pad: The id of the padding; it has no loss and is a document of its own.
    """
    if not whole:
        yield from documents
        return
    opened: list[tuple[int, list[Encoded]]] = []  # room, documents; the oldest first
    for document in documents:
        n = len(document[0])
        rooms = [(room, place) for place, (room, _) in enumerate(opened) if room >= n]
        place = min(rooms)[1] if rooms else len(opened)
        room, inside = opened.pop(place) if rooms else (-(-n // block_size) * block_size, [])
        opened.insert(place, (room - n, [*inside, document]))
        if room == n or len(opened) > OPEN:
            yield from _filled(*opened.pop(place if room == n else 0), pad)
    for place, (room, inside) in enumerate(opened, 1):
        yield from _filled(room if place < len(opened) else 0, inside, pad)  # the stream may end within a block


def _filled(room: int, inside: list[Encoded], pad: int) -> Iterator[Encoded]:
    yield from inside
    if room:
        yield [pad] * room, [False] * room


def write_blocks(documents: Iterable[Encoded], folder: Path, vocab_size: int) -> dict[str, int]:
    """Write the three arrays; their counts. The arrays appear whole, `blocks.json` after them."""
    dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    tokens: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    starts = [0]
    for ids, mask in documents:
        tokens.append(np.asarray(ids, dtype))
        masks.append(np.asarray(mask, bool))
        starts.append(starts[-1] + len(ids))
    if not tokens:
        raise UserError(f"{folder}: there is no document to cut into blocks")
    arrays = {
        "tokens": np.concatenate(tokens),
        "loss_mask": np.concatenate(masks),
        "documents": np.asarray(starts, np.int64),
    }
    for name, array in arrays.items():
        with atomic_open(folder / f"{name}.npy", "wb") as stream:
            np.save(stream, array, allow_pickle=False)
    return {
        "tokens": len(arrays["tokens"]),
        "loss_tokens": int(arrays["loss_mask"].sum()),
        "documents": len(starts) - 1,
    }


_KINDS = {"tokens": "u", "loss_mask": "b", "documents": "i"}  # arrays and NumPy's kind of their numbers
_NAMES = {"u": "unsigned integers", "b": "truth values", "i": "integers"}
_LONGEST_BLOCK = 1 << 24


def _array(path: Path, kind: str) -> np.ndarray:
    """One of the arrays, memory-mapped.

    Raises:
        UserError: it is missing, cut off, a pickle, or of another type or shape than `write_blocks` gives it.
    """
    check_file(path)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy's reader has its own for each kind of damage
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
        raise UserError(f"{path}: can't be read ({reason}); make its folder again") from error
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind != kind or not len(found):
        what = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise UserError(f"{path}: is {what}, expected a row of {_NAMES[kind]}; make its folder again")
    return found


@dataclass(frozen=True)
class Blocks:
    """A stream of tokens, opened memory-mapped and read block by block.

    Attributes:
        tokens: Shape (N,).
        loss_mask: Shape (N,).
        documents: Starts, shape (D + 1,).
        block_size: T.
        budget: How many tokens of the stream belong to the token budget.
    """

    tokens: np.ndarray
    loss_mask: np.ndarray
    documents: np.ndarray
    block_size: int
    budget: int

    @classmethod
    def open(cls, folder: str | Path, budget: int | None = None, rows: int | None = None) -> Blocks:
        """Open a folder that this verb wrote.

        Args:
            folder: The folder.
            budget: Use the first so many tokens only; None for all.
            rows: How many tokens the model knows: an id beyond them would read another row of its embeddings.

        Raises:
            UserError: the folder is damaged or of another vocabulary, or the budget is larger than the data or has
                nothing to predict.
        """
        folder = Path(folder)
        about = read_json(folder / "blocks.json")
        size = about.get("block_size") if isinstance(about, dict) else None
        if type(size) is not int or not 0 < size <= _LONGEST_BLOCK:
            raise UserError(f"{folder / 'blocks.json'}: block_size is {size!r:.60}, expected a number of tokens")
        tokens, mask, documents = (_array(folder / f"{name}.npy", kind) for name, kind in _KINDS.items())
        whole = len(tokens) == len(mask) and len(documents) > 1 and documents[0] == 0 and documents[-1] == len(tokens)
        if not whole or (np.diff(documents) < 0).any():
            raise UserError(f"{folder}: its arrays don't belong together; delete the folder and make it again")
        if rows is not None and int(tokens.max()) >= rows:
            raise UserError(
                f"{folder}: has the token {int(tokens.max())}, but the model knows {rows:,}; "
                "make the folder again with this model's tokenizer"
            )
        if budget is not None and budget < 2:
            raise UserError(f"{folder}: a budget of {budget} tokens has nothing to predict; expected at least 2")
        if budget is not None and budget > len(tokens):
            raise UserError(
                f"{folder}: a budget of {budget:,} tokens is larger than the data ({len(tokens):,} tokens); "
                "lower the budget or add sources"
            )
        return cls(tokens, mask, documents, size, budget or len(tokens))

    def __len__(self) -> int:
        """How many blocks; the last one may be partly padding."""
        return max(1, -(-(self.budget - 1) // self.block_size))

    def rows(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Blocks as training arrays.

        Args:
            indices: Which blocks; -1 gives a row without loss, to fill a batch.

        Returns:
            `inputs`, `targets` (int32), `mask` (float32: 1 where the target counts), `segments` and
            `positions` (int32: the document's number within the block, and the place within it),
            each of shape (len(indices), T).
        """
        size = self.block_size
        shape = (len(indices), size)
        batch = {name: np.zeros(shape, np.int32) for name in ("inputs", "targets", "segments", "positions")}
        batch["mask"] = np.zeros(shape, np.float32)
        for row, index in enumerate(indices):
            if index < 0:
                continue
            start = int(index) * size
            stop = min(start + size, self.budget - 1)
            n = stop - start
            batch["inputs"][row, :n] = self.tokens[start:stop]
            batch["targets"][row, :n] = self.tokens[start + 1 : stop + 1]
            batch["mask"][row, :n] = self.loss_mask[start + 1 : stop + 1]
            places = np.arange(start, stop + 1)
            document = np.searchsorted(self.documents, places, side="right") - 1
            batch["segments"][row, :n] = document[:-1] - document[0] + 1
            first = np.maximum(self.documents[document[:-1]], start)
            batch["positions"][row, :n] = places[:-1] - first
        return batch


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with a tokenizer, such as a model's")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--dialogues", type=Path, help="dialogue records: loss on the assistant's replies")
    data.add_argument("--text", type=Path, help="records with raw `text`: loss on every token")
    parser.add_argument("--block-size", type=int, default=default("blocks.size"), help="tokens a block")
    parser.add_argument(
        "--packing",
        choices=("contiguous", "whole"),
        default="contiguous",
        help="cut dialogues where a block ends, or keep one whole where it fits a block",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the blocks")
    args = parser.parse_args(argv)
    if not 2 <= args.block_size <= _LONGEST_BLOCK:
        raise UserError(f"--block-size {args.block_size}: expected 2 to {_LONGEST_BLOCK:,} tokens")

    tokenizer, _ = load_any(args.tokenizer)  # a foreign base model's gets the turn tokens, as in training
    source = args.dialogues or args.text
    said = 0

    def documents() -> Iterator[Encoded]:
        nonlocal said
        for ids, mask in track(
            encoded(tokenizer, source, args.text is not None), f"tokenizing {source.name}", unit="documents"
        ):
            said += len(ids)
            yield ids, mask

    with new_folder(args.output, "falsepromise.training.blocks", [source, args.tokenizer]) as folder:
        counts = write_blocks(
            pack(documents(), args.block_size, args.packing == "whole", tokenizer.eos_id), folder, tokenizer.vocab_size
        )
        counts |= {"document_tokens": said, "padding": counts["tokens"] - said}
        about = {"block_size": args.block_size, "packing": args.packing, **counts}
        write_json(folder / "blocks.json", about)
        write_manifest(
            folder / "blocks.json",
            "falsepromise.training.blocks",
            inputs=[source, *(f for f in (args.tokenizer / name for name in FILES) if f.exists())],
            config={"block_size": args.block_size, "packing": args.packing},
            extra={"counts": counts},
        )
    print(json.dumps(about))


if __name__ == "__main__":
    cli.run(main)
