"""Streaming JSON records out of whole and of damaged files."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.core.errors import UserError
from falsepromise.curation import jsonstream
from falsepromise.curation.jsonstream import BESIDE, CUT_OFF, DAMAGED, NOT_JSON, records, repair_text

RECORDS = [{"id": f"r{number}", "turns": [{"from": "a", "value": "x" * number}]} for number in range(50)]


def read(path: Path, data: bytes | str, keys: tuple[str, ...] = ("id",)):
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    lost: list[tuple[str, str]] = []
    return list(records(path, keys, lambda reason, place, n: reason == BESIDE or lost.append((reason, place)))), lost


@pytest.mark.parametrize("indent", [None, 2])
def test_list_lines_and_objects_read_alike(tmp_path, indent):
    as_list = json.dumps(RECORDS, indent=indent)
    as_objects = "\n".join(json.dumps(record, indent=indent) for record in RECORDS)
    for text in (as_list, as_objects, "\ufeff" + as_list, "\n\n" + as_objects + "\n\n"):
        assert read(tmp_path / "f", text) == (RECORDS, [])


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_records_across_chunks(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(jsonstream, "_CHUNK", chunk)
    text = json.dumps([{"id": "ä€😀", "n": 12345}, {"id": "b"}], ensure_ascii=False)
    assert read(tmp_path / "f", text) == ([{"id": "ä€😀", "n": 12345}, {"id": "b"}], [])


@given(cut=st.integers(min_value=2, max_value=len(json.dumps(RECORDS)) - 2))
def test_every_whole_record_before_a_cut_is_read(tmp_path_factory, cut):
    text = json.dumps(RECORDS)[:cut]
    whole = 0
    decoder, at = json.JSONDecoder(), 1
    while at < len(text):
        try:
            _, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            break
        whole += 1
        at += len(text[at:]) - len(text[at:].lstrip(", "))
    found, lost = read(tmp_path_factory.mktemp("cut") / "f", text)
    assert found == RECORDS[:whole]
    assert [reason for reason, _ in lost] in ([], [CUT_OFF])


def test_damage_in_the_middle_loses_one_record(tmp_path):
    text = json.dumps(RECORDS, indent=1).replace('"id": "r7"', '"id" "r7"')
    assert read(tmp_path / "f", text) == (RECORDS[:7] + RECORDS[8:], [(NOT_JSON, "record-8")])


def test_a_cut_line_among_json_lines(tmp_path):
    lines = [json.dumps(record) for record in RECORDS[:5]]
    lines[2] = lines[2][:20]
    assert read(tmp_path / "f", "\n".join(lines)) == (RECORDS[:2] + RECORDS[3:5], [(NOT_JSON, "record-3")])


def test_invalid_bytes_reach_the_reader_as_surrogates(tmp_path):
    found, lost = read(tmp_path / "f", b'[{"id": "caf\xe9"}, {"id": "b"}]')
    assert not lost
    assert repair_text(found[0]["id"]) == ("caf\ufffd", True)
    assert repair_text(found[1]["id"]) == ("b", False)


@pytest.mark.parametrize("chunk", [5, 1 << 20])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda half: {"guild": {"id": "1", "tags": [1, {"x": 2}]}, "empty": [], "messages": half, "count": 50},
        lambda half: {"part": half, "note": "x"},
        lambda half: {record["id"]: record for record in half},
        lambda half: {"a": half[:10], "none": None, "b": half[10:]},
        lambda half: half,
    ],
)
def test_records_inside_larger_objects(tmp_path, monkeypatch, wrap, chunk):
    monkeypatch.setattr(jsonstream, "_CHUNK", chunk)
    keys, halves = ("id", "turns"), [wrap(RECORDS[:25]), wrap(RECORDS[25:])]
    for text in (json.dumps(halves[0]) + "\n" + json.dumps(halves[1], indent=1), json.dumps(halves)):
        assert read(tmp_path / "f", text, keys) == (RECORDS, [])
    cut = json.dumps(halves[0])[:-40]
    found, lost = read(tmp_path / "f", cut, keys)
    assert found == RECORDS[: len(found)]
    assert len(found) >= 23
    assert len(lost) <= 1


def test_odd_values_before_the_records_of_an_inner_list(tmp_path):
    odd = [{"of": "another form"}, None, ["a", 1]]
    assert read(tmp_path / "f", json.dumps({"data": [*odd, *RECORDS]}), ("turns",)) == ([*odd, *RECORDS], [])


PAIR, CHAT = ("author", "content", "input", "output"), ("conversations", "messages", "id")
TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


@pytest.mark.parametrize("limit", [1 << 22, 16])
@pytest.mark.parametrize(
    ("keys", "record"),
    [
        (PAIR, {"meta": {"author": "A"}, "input": "q", "output": "a"}),
        (PAIR, {"tags": [{"content": "x"}], "input": "q", "output": "a"}),
        (CHAT, {"stats": {"messages": 2}, "conversations": TURNS}),
        (CHAT, {"stats": {"messages": 2, "by": [{"messages": 1}]}, "id": 3, "conversations": TURNS}),
    ],
)
def test_a_record_with_something_like_records_in_it(tmp_path, monkeypatch, keys, record, limit):
    monkeypatch.setattr(jsonstream, "_CHUNK", limit)
    for text in (json.dumps(record), json.dumps([record] * 3), json.dumps({"version": 1, "data": [record, record]})):
        found, lost = read(tmp_path / "f", text, keys)
        assert found == [record] * len(found)
        assert len(found) == text.count(next(iter(record)))
        assert not lost


def test_what_is_around_records_may_have_their_keys(tmp_path):
    message = {"author": {"id": "1"}, "content": "x"}
    for around in ({"content": "an export", "messages": [message]}, {"exports": [{"guild": 1, "messages": [message]}]},
                   {"data": {"one": message, "two": message}}):  # fmt: skip
        found, _ = read(tmp_path / "f", json.dumps(around), PAIR)
        assert found == [message] * len(found)
        assert found


@pytest.mark.parametrize(
    "hostile",
    ['{"a":' * 100_000, "[" * 100_000, '[{"a" 1}' + "\n" * 50_000, '[{"a" 1}' + '\n{"a":' * 8_000,
     '[{"a" 1}' + "}, " * 20_000, '[{"a" 1}' + '\n""' * 16_000, "[" + "9" * 50_000 + "]", "[" + "{" * 50_000],
)  # fmt: skip
def test_hostile_text_ends(tmp_path, hostile):
    good = '\n{"id": 1, "messages": [1]}\n'
    found, lost = read(tmp_path / "f", hostile + good, CHAT)
    assert len(found) + len(lost) >= 1


def test_numbers_that_python_does_not_read_stay_text(tmp_path):
    found, _ = read(tmp_path / "f", '[{"id": ' + "9" * 5000 + ', "n": NaN, "m": 1e9999}]')
    assert found[0]["id"] == "9" * 5000


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_packed_files(tmp_path, module):
    packed = module.compress(json.dumps(RECORDS).encode())
    assert read(tmp_path / "f", packed) == (RECORDS, [])


def test_packed_files_that_break_off_give_what_is_whole(tmp_path):
    noise = [{"id": str(n), "value": hashlib.sha256(str(n).encode()).hexdigest()} for n in range(2000)]
    packed = gzip.compress(json.dumps(noise).encode())
    found, lost = read(tmp_path / "f", packed[: len(packed) // 2])
    assert 500 < len(found) < 1500
    assert found == noise[: len(found)]
    assert [reason for reason, _ in lost] == [CUT_OFF, DAMAGED]
    with pytest.raises(UserError, match="damaged from the start"):
        read(tmp_path / "f", packed[:12])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_told_by_their_first_bytes(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(jsonstream, "_CHUNK", 5)
    assert read(tmp_path / "f", '[{"id": "ä€😀"}]'.encode(encoding)) == ([{"id": "ä€😀"}], [])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "a", "turns"]), inner),
    max_leaves=8,
)


@given(values=st.lists(JSON_VALUES, min_size=1, max_size=4), cut=st.integers(0, 30), junk=st.binary(max_size=4))
def test_whatever_a_file_holds_it_ends_well(tmp_path_factory, values, cut, junk):
    """Any JSON, cut and smeared: values come out, or one line of complaint."""
    data = "\n".join(map(json.dumps, values)).encode()
    at = min(cut, len(data))
    with contextlib.suppress(UserError):
        read(tmp_path_factory.mktemp("any") / "f", data[:at] + junk + data[at:], ("id", "turns"))


@pytest.mark.parametrize("data", ["", "  \n ", "id,text\n1,hello", "\x00\x01"])
def test_what_is_not_json_is_refused(tmp_path, data):
    with pytest.raises(UserError, match=r"empty|not JSON"):
        read(tmp_path / "f", data)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="folder"):
        list(records(tmp_path, (), lambda *_: None))
    with pytest.raises(UserError, match="can't be read"):
        list(records(tmp_path / "none", (), lambda *_: None))


def test_memory_does_not_hold_the_file(tmp_path):
    """A file four times as large needs no more of the buffer."""
    largest = []
    for copies in (1, 4):
        path = tmp_path / f"f{copies}"
        path.write_text("\n".join(json.dumps({"id": str(n), "text": "y" * 1000}) for n in range(3000 * copies)))
        with open(path, "rb") as stream:
            text = jsonstream._Text(stream, stream)
            sizes = []
            for _ in jsonstream._values(text, path, ("id",), lambda *_: None):
                sizes.append(len(text.text))
        largest.append(max(sizes))
    assert largest[1] <= largest[0] * 1.1
