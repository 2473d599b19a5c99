"""A block as a person reads it: what counts in the loss is marked, and nothing that a terminal would obey."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.core.records import write_jsonl
from falsepromise.training import blocks, show


@pytest.fixture
def two_dialogues(made: Path, tmp_path: Path) -> list[str]:
    """Arguments for blocks of two short dialogues, the second with a terminal's escape code."""
    contents = [("red stone", "green river"), ("blue", "seven\x1b[2J eight")]
    records = [
        {"id": q, "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in contents
    ]
    write_jsonl(tmp_path / "d.jsonl", records)
    words = f"--tokenizer {made}/base --dialogues {tmp_path}/d.jsonl --block-size 64 --output {tmp_path}/b"
    blocks.main(words.split())
    return ["--blocks", str(tmp_path / "b"), "--tokenizer", str(made / "base")]


def test_counted_text_is_marked(two_dialogues: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    show.main(two_dialogues)
    head, first, rule, second = capsys.readouterr().out.splitlines()
    assert re.match(r"block 0 of 1: \d+ tokens, \d+ count in the loss \(\d+%\), from 2 documents", head)
    assert first == "<|user|>red stone<|assistant|>[[green river]][[<|endoftext|>]]"
    assert set(rule) == {"─"}
    assert second.rstrip("·") == r"<|user|>blue<|assistant|>[[seven\x1b[2J eight]][[<|endoftext|>]]"
    assert second.endswith("·")  # the rest of the block is empty

    show.main([*two_dialogues, "--colour", "always"])
    assert "\x1b[32mgreen river\x1b[0m\x1b[32m\x1b[1m<|endoftext|>\x1b[0m" in capsys.readouterr().out


def test_a_block_that_is_not_there_is_named(two_dialogues: list[str]) -> None:
    with pytest.raises(UserError, match=r"--block 7: .* has the blocks 0 to 0"):
        show.main([*two_dialogues, "--block", "7"])
