"""Records: whole or not at all, every error one line that names file and place."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.core import records
from falsepromise.core.errors import UserError
from falsepromise.core.folders import new_folder
from falsepromise.teacher.store import Store

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=5))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, values: list[dict]) -> None:
    path = tmp_path_factory.mktemp("records") / "x.jsonl"
    assert records.write_jsonl(path, values) == len(values)
    assert list(records.read_jsonl(path)) == values


def test_half_a_surrogate_and_line_separators_survive(tmp_path: Path) -> None:
    value = {"text": "\ud83d half, \u2028 separator, \x00 nul"}
    records.write_jsonl(tmp_path / "x.jsonl", [value])
    assert list(records.read_jsonl(tmp_path / "x.jsonl")) == [value]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    records.write_jsonl(path, [{"a": 1}])

    def broken():
        yield {"a": 2}
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        records.write_jsonl(path, broken())
    assert list(records.read_jsonl(path)) == [{"a": 1}]
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """A real limit on the size of files stands for the full disk: the same error reaches the writer."""
    code = (
        "import resource, signal, sys\n"
        "from falsepromise.core import cli, records\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"cli.run(lambda argv: records.write_json({str(tmp_path / 'big.json')!r}, ['x' * 50000]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment(), check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "big.json: can't be written" in done.stderr
    assert os.listdir(tmp_path) == []


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(records.__file__).parents[2])}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "the file is empty"),
        (b'{"id": "1", "messages": [{"role": "user", "content": ""}]}\nnonsense\n', "line 2: not JSON"),
        (b'{"id": ' + b"9" * 5000 + b"}", "line 1: not JSON .*digits"),
        (b'{"id": ' + b"[" * 100_000, "line 1: not JSON .*too deep"),
        (b"[1]\n", "line 1: found list, expected a JSON object"),
        (b'{"id": 1, "messages": []}\n', "line 1: 'id' is 1, expected text"),
        (b'{"id": "1", "messages": []}\n', "line 1: 'messages' is missing or empty"),
        (b'{"id": "1", "messages": [{"role": "bard", "content": ""}]}\n', r"line 1: messages\[0\]: expected a 'role'"),
        (b"\xff\xfe\n", "not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.jsonl.*{line}"):
        list(records.read_jsonl(path, records.check_dialogue))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(UserError, match="can't be read"):
            list(records.read_jsonl(path))


def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        records.write_json(tmp_path / "x.json", {"score": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_prompt_is_the_same_from_every_editor(tmp_path: Path) -> None:
    for content in (b"Q: {question}\nA:\n", b"\xef\xbb\xbfQ: {question}\r\nA:\r\n", b"Q: {question}\rA:\r"):
        (tmp_path / "p.txt").write_bytes(content)
        assert records.read_prose(tmp_path / "p.txt") == "Q: {question}\nA:\n"


def test_query_of_takes_the_first_user_turn() -> None:
    chat = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]}
    assert records.query_of(chat) == "q"
    assert records.query_of({"prompt": "raw"}) == "raw"
    assert json.loads(records.dumps({"é": 1})) == {"é": 1}


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_permissions(tmp_path, monkeypatch, caplog, refusal):
    """As FAT, and some of FUSE and SMB: files are written, and the private store says that it isn't private there."""

    def refuse(*_, **__):
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "chmod", refuse)
    records.write_json(tmp_path / "a.json", [1])
    with new_folder(tmp_path / "folder", "falsepromise.test") as folder:
        records.write_json(folder / "b.json", [2])
    Store(tmp_path / "store").close()
    assert records.read_json(tmp_path / "a.json") == [1]
    assert records.read_json(tmp_path / "folder" / "b.json") == [2]
    assert "this file system has no permissions" in caplog.text
