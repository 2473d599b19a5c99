"""What `describe` says of a file before a run: its format, its size, what it is if it has no dialogues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.curation import describe


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("prompt,response\nWhy?,So.\n", "exports"),
        ("user,assistant\nWhy?,So.\n", "exports"),
        ('{"id": "1", "query": "Why?", "answer": "So."}\n', "exports"),
        ('{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}\n', "messages"),
        ('{"question": "Why?", "chatgpt_answers": ["So."], "human_answers": ["No."]}\n', "hc3"),
    ],
)
def test_single_exchanges_are_exports(tmp_path: Path, text: str, form: str) -> None:
    """Discord's reader reads a table of exchanges too, and was named although nothing is Discord's in it."""
    path = tmp_path / "chats"
    path.write_text(text)
    found = describe.best(path, 200)
    assert (found.form, len(found.dialogues)) == (form, 1)


def test_the_size_is_the_whole_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n:06}", "response": "r" * 94}) + "\n" for n in range(500)))
    describe.main([str(path), "--records", "10"])
    out = capsys.readouterr().out
    assert "\nsize: 500 dialogues, 50,000 characters, about 12,500 tokens\n" in out
    assert "dialogues of the first records: 10\n" in out
    monkeypatch.setattr(describe, "MOST", 999)
    assert str(describe.size("exports", path)).startswith("more than 10 dialogues, more than 1,000 characters")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "1", "prompt": "Why?"}\n', "the keys id, prompt: these are prompts without replies; name"),
        ("id,prompt\n1,Why?\n", "these are prompts without replies"),
        ('{"left": "a", "right": "b"}\n', r"the first has the keys left, right$"),
        ("[1, 2]", "the first is int$"),
    ],
)
def test_a_file_without_dialogues(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "chats"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        describe.best(path, 200)


@pytest.mark.parametrize(
    ("text", "form", "said"),
    [
        ('{"prompt": "Why?", "response": "So."}\n', "exports", None),
        ('{"prompt": "Why?", "response": "So."}\n', "hc3", r"format hc3 \(1 wrong form\); write format: exports$"),
        ("prompt,response\nWhy?,So.\n", "hc3", r"format hc3 \(.*nor a table with a column.*\); write format: exports$"),
        ("name,age\nAnn,7\n", "exports", "nor a table with a column"),
        ('{"author": {"name": "a"}, "content": "no bot yet"}\n', "discord", None),
    ],
)
def test_a_format_that_is_not_the_files(tmp_path: Path, text: str, form: str, said: str | None) -> None:
    path = tmp_path / "chats"
    path.write_text(text)
    if said is None:
        describe.check_format(form, path)
        return
    with pytest.raises(UserError, match=said):
        describe.check_format(form, path)
