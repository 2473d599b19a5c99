"""Blocks: nothing lost, loss on replies alone, budgets nested, batches a function of seed and step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_jsonl, write_json, write_jsonl
from falsepromise.training import tokenizer, train
from falsepromise.training.blocks import OPEN, Blocks, main, pack, write_blocks
from falsepromise.training.data import Batches

DOCUMENTS = [([5, 6, 7], [False, True, True]), ([8, 9], [False, True]), ([1] * 9, [True] * 9), ([4], [True])]


def opened(folder: Path, documents: list, size: int, budget: int | None = None) -> Blocks:
    write_blocks(documents, folder, vocab_size=100)
    write_json(folder / "blocks.json", {"block_size": size})
    return Blocks.open(folder, budget)


def test_every_token_but_the_first_is_predicted_once(tmp_path: Path) -> None:
    blocks = opened(tmp_path, DOCUMENTS, 4)
    rows = blocks.rows(np.arange(len(blocks)))
    stream = [token for ids, _ in DOCUMENTS for token in ids]
    mask = [m for _, masks in DOCUMENTS for m in masks]
    n = len(stream) - 1
    assert rows["targets"].ravel()[:n].tolist() == stream[1:]
    assert rows["inputs"].ravel()[:n].tolist() == stream[:-1]
    assert rows["mask"].ravel()[:n].astype(bool).tolist() == mask[1:]
    assert not rows["mask"].ravel()[n:].any()


def test_segments_and_positions_follow_the_documents(tmp_path: Path) -> None:
    blocks = opened(tmp_path, DOCUMENTS, 8)
    row = blocks.rows(np.array([0]))
    assert row["segments"][0].tolist() == [1, 1, 1, 2, 2, 3, 3, 3]
    assert row["positions"][0].tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    following = blocks.rows(np.array([1]))  # the long document goes on: its positions start with the block
    assert following["segments"][0, :6].tolist() == [1, 1, 1, 1, 1, 1]
    assert following["positions"][0, :6].tolist() == [0, 1, 2, 3, 4, 5]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(2, 12))
def test_packing_cuts_no_document_that_fits_a_block(lengths: list[int], size: int) -> None:
    """And leaves no two blocks whose documents one could hold."""
    documents = [([index + 1] * length, [True] * length) for index, length in enumerate(lengths)]
    packed = list(pack(iter(documents), size, whole=True, pad=0))
    assert sorted(d for d in packed if d[0][0] != 0) == documents
    position = 0
    used: dict[int, int] = {}  # of each block
    for ids, mask in packed:
        if ids[0] == 0:
            assert not any(mask)
        else:
            if len(ids) <= size:
                assert position // size == (position + len(ids) - 1) // size  # in one block
            for place in range(position, position + len(ids)):
                used[place // size] = used.get(place // size, 0) + 1
        position += len(ids)
    assert packed[-1][0][0] != 0  # the stream ends with a document
    if max(lengths) <= size and len(used) > 1:
        assert sum(sorted(used.values())[:2]) > size


def test_packing_looks_at_a_few_blocks() -> None:
    """A document moves by so many blocks at most, and short and long ones in turns leave no padding."""
    documents = [([index + 1] * n, [True] * n) for index, n in enumerate([9, 3, 6, 2] * 100)]
    packed = list(pack(iter(documents), 12, whole=True, pad=0))
    position = 0
    for ids, _ in packed:
        if ids[0]:
            moved = position // 12 - sum(len(d[0]) for d in documents[: ids[0] - 1]) // 12
            assert abs(moved) <= OPEN
        position += len(ids)
    assert position == sum(len(d[0]) for d in documents)


def test_a_smaller_budget_is_a_prefix(tmp_path: Path) -> None:
    whole = opened(tmp_path, DOCUMENTS, 4)
    part = Blocks.open(tmp_path, 9)
    assert len(part) == 2 < len(whole)
    for name, values in part.rows(np.arange(2)).items():
        np.testing.assert_array_equal(values, whole.rows(np.arange(2))[name], err_msg=name)


def test_a_budget_beyond_the_data_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, DOCUMENTS, 4)
    with pytest.raises(UserError, match=r"larger than the data \(15 tokens\)"):
        Blocks.open(tmp_path, 16)


def changed(folder: Path, name: str, change) -> None:
    np.save(folder / f"{name}.npy", change(np.load(folder / f"{name}.npy")))


DAMAGE = {
    "cut off": lambda folder: (folder / "tokens.npy").write_bytes((folder / "tokens.npy").read_bytes()[:-3]),
    "head cut off": lambda folder: (folder / "loss_mask.npy").write_bytes((folder / "tokens.npy").read_bytes()[:50]),
    "empty": lambda folder: (folder / "tokens.npy").write_bytes(b""),
    "not NumPy": lambda folder: (folder / "tokens.npy").write_bytes(b"<html>" * 50),
    "a pickle": lambda folder: np.save(folder / "tokens.npy", np.array([{}] * 15), allow_pickle=True),
    "an archive": lambda folder: (np.savez(folder / "x", a=1), (folder / "x.npz").rename(folder / "tokens.npy")),
    "half an archive": lambda folder: (folder / "tokens.npy").write_bytes(b"PK\x03\x04" + b"0" * 50),
    "missing": lambda folder: (folder / "documents.npy").unlink(),
    "a folder": lambda folder: ((folder / "tokens.npy").unlink(), (folder / "tokens.npy").mkdir()),
    "a head that lies": lambda folder: (folder / "tokens.npy").write_bytes(
        (folder / "tokens.npy").read_bytes().replace(b"(15,), ", b"(1" + b"0" * 3 + b",)")
    ),
    "a head that nests": lambda folder: (folder / "tokens.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 8999 + b"\n"
    ),
    "fractions": lambda folder: changed(folder, "tokens", lambda a: a.astype(np.float32)),
    "signed": lambda folder: changed(folder, "tokens", lambda a: a.astype(np.int64) - 20),
    "text": lambda folder: changed(folder, "tokens", lambda a: a.astype(str)),
    "two axes": lambda folder: changed(folder, "tokens", lambda a: a.reshape(3, 5)),
    "a weight without a value": lambda folder: changed(folder, "loss_mask", lambda a: np.full(len(a), np.nan)),
    "lengths": lambda folder: changed(folder, "loss_mask", lambda a: a[:-1]),
    "no documents": lambda folder: changed(folder, "documents", lambda a: a[:0]),
    "a late start": lambda folder: changed(folder, "documents", lambda a: a[1:]),
    "backwards": lambda folder: changed(folder, "documents", lambda a: np.array([0, 9, 3, 15])),
    "another end": lambda folder: changed(folder, "documents", lambda a: a + (a == a[-1])),
    "size 0": lambda folder: write_json(folder / "blocks.json", {"block_size": 0}),
    "size of a text": lambda folder: write_json(folder / "blocks.json", {"block_size": "8"}),
    "size beyond memory": lambda folder: write_json(folder / "blocks.json", {"block_size": 10**15}),
    "a list": lambda folder: write_json(folder / "blocks.json", [8]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_one_line(tmp_path: Path, damage: str) -> None:
    assert opened(tmp_path, DOCUMENTS, 4).budget == 15
    DAMAGE[damage](tmp_path)
    with pytest.raises(UserError, match=f"^{tmp_path}"):
        Blocks.open(tmp_path)


@pytest.mark.parametrize(("budget", "rows"), [(0, None), (-5, None), (1, None), (None, 9)])
def test_what_a_model_can_not_learn_from_is_refused(tmp_path: Path, budget: int | None, rows: int | None) -> None:
    """The largest token is 9: of a table with 9 rows, jax would read the last one instead."""
    opened(tmp_path, DOCUMENTS, 4)
    Blocks.open(tmp_path, None, 10)
    with pytest.raises(UserError, match=r"nothing to predict|has the token 9, but the model knows 9"):
        Blocks.open(tmp_path, budget, rows)


def test_batches_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    blocks = opened(tmp_path / "a", [([i + 1] * 4, [True] * 4) for i in range(25)], 4)
    replay = opened(tmp_path / "b", [([99] * 4, [True] * 4) for _ in range(3)], 4)
    batches = Batches(blocks, 4, 2, seed=3, replay=replay, replay_share=0.25)
    assert batches.steps == 18  # 25 blocks (the last partly filled) in 9 batches of 3, twice
    again = Batches(blocks, 4, 2, seed=3, replay=replay, replay_share=0.25)
    for step in (11, 4, 17):
        for name, values in batches(step).items():
            np.testing.assert_array_equal(values, again(step)[name])
    seen = [batches(step)["inputs"][row] for step in range(9) for row in range(3)]
    assert sorted(int(row.max()) for row in seen) == [0, 0, *range(1, 26)]  # an epoch meets each block once
    assert all((batches(step)["inputs"][3, :3] == 99).all() for step in range(18))
    other = Batches(blocks, 4, 2, seed=4, replay=replay, replay_share=0.25)
    assert any((batches(step)["inputs"] != other(step)["inputs"]).any() for step in range(9))
    longer = opened(tmp_path / "c", [([99] * 5, [True] * 5) for _ in range(3)], 5)
    with pytest.raises(UserError, match="the blocks have 4 tokens, those of --replay 5"):
        Batches(blocks, 4, 2, seed=3, replay=longer, replay_share=0.25)


@pytest.mark.parametrize(("packing", "padded"), [("whole", True), ("contiguous", False)])
def test_padding_is_counted_apart_from_what_dialogues_say(
    made: Path, tmp_path: Path, packing: str, padded: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token budget counts both; the reference is the tokenizer of the base's own files."""
    words = f"--tokenizer {made}/base --dialogues {made}/dialogues.jsonl --block-size 64 --packing {packing}"
    main([*words.split(), "--output", str(tmp_path / "b")])
    about = json.loads(capsys.readouterr().out)
    assert about == json.loads((tmp_path / "b" / "blocks.json").read_text())
    plain = Tokenizer.from_file(str(made / "base" / "tokenizer.json"))
    said = 0
    for record in read_jsonl(made / "dialogues.jsonl"):
        spoken = [len(plain.encode(message["content"], add_special_tokens=False)) for message in record["messages"]]
        said += sum(spoken) + 3  # two turn tokens, one end
    assert about["document_tokens"] == said
    assert about["padding"] == len(np.load(tmp_path / "b" / "tokens.npy")) - said
    assert (about["padding"] > 0) == padded


def test_the_option_says_whether_text_or_dialogues_are_read(made: Path, tmp_path: Path) -> None:
    """Many published sets have both in a record: `text` is the dialogue in the form of another template."""
    both = [record | {"text": "<|im_start|>user"} for record in read_jsonl(made / "dialogues.jsonl")]
    write_jsonl(tmp_path / "both.jsonl", both)
    for option, masked in (("--dialogues", True), ("--text", False)):
        main(["--tokenizer", f"{made}/base", option, f"{tmp_path}/both.jsonl", "--output", f"{tmp_path}/{option[2:]}"])
        assert np.load(tmp_path / option[2:] / "loss_mask.npy").all() != masked
    for option, name, said in (("--text", "dialogues", "'text' is None"), ("--dialogues", "texts", "'messages' is")):
        write_jsonl(tmp_path / "texts.jsonl", [{"id": "a", "text": "b"}])
        file = made / "dialogues.jsonl" if name == "dialogues" else tmp_path / "texts.jsonl"
        with pytest.raises(UserError, match=rf"{name}\.jsonl, line 1: {said}"):
            main(["--tokenizer", f"{made}/base", option, str(file), "--output", f"{tmp_path}/none"])


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        (main, "--tokenizer b --text t --block-size 99999999 --output o", "--block-size 99999999: expected 2 to"),
        (tokenizer.main, "--text t --vocab-size -1 --output o", "--vocab-size -1: expected 300 to"),
        (tokenizer.main, "--text t --vocab-size 100 --output o", "--vocab-size 100: expected 300 to"),
        (tokenizer.main, "--text t --characters 0 --output o", "--characters 0: expected at least 1"),
        (train.main, "--base b --blocks c --checkpoints d --output o --seed -1", "--seed -1: expected 0 or more"),
        (train.main, "--base b --blocks c --checkpoints d --output o --save-minutes nan", "--save-minutes nan"),
    ],
)
def test_numbers_out_of_bounds_are_one_line(verb: Callable[[list[str]], None], words: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        verb(words.split())
