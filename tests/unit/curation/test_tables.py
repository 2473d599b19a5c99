"""Tables: whole ones as Python's writer writes them, damaged ones, and those of other programs."""

from __future__ import annotations

import csv
import io
import json

import pytest
from curation_files import texts
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.core.errors import UserError
from falsepromise.curation import tables

CELL = st.text(st.sampled_from('ab ,;\t"\n\r\\'), max_size=8)


def rows(text: str):
    lost: list[tuple[str, str, int]] = []
    return list(tables.rows(io.StringIO(text, newline=""), lambda *what: lost.append(what))), lost


@given(table=st.lists(st.tuples(CELL, CELL), max_size=6), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_pythons_writer_writes_is_read_unchanged(table, quoting):
    made = io.StringIO(newline="")
    writer = csv.writer(made, quoting=quoting)
    writer.writerows([("prompt", "response"), *table])
    assert rows(made.getvalue()) == ([{"prompt": one, "response": two} for one, two in table], [])


def test_of_two_columns_of_one_name_none_is_lost():
    assert rows("prompt,response,response\nq,r,s\n") == ([{"prompt": "q", "response": "r", "response.2": "s"}], [])


WHOLE = [f'{n},"How, {n}?","Step 1, wait.\nStep 2, go.\n\nSay ""done"", then rest."\r\n' for n in range(9)]


@pytest.mark.parametrize(
    ("damaged", "more"),
    [
        ('5,"How, 5?,Go.\r\n', 0),
        ('5,"How, 5?","Step 1, wait.\nStep 2, go.\nAt last, rest.\r\n', 2),
        ('5,"Say \\"done\\", please.","Yes.\nNo, no.\nDone, done"\r\n', 2),
    ],
)
def test_a_quote_that_is_not_closed_costs_its_row_alone(read_with, tmp_path, damaged, more):
    path = tmp_path / "t.csv"
    text = "".join(["id,prompt,response\n", *WHOLE[:5], damaged, *WHOLE[6:]])
    path.write_text(text, newline="")
    found, funnel = read_with("exports", path)
    assert [record["id"] for record in found] == ["0", "1", "2", "3", "4", "6", "7", "8"]
    assert {texts(record)[1] for record in found} == {'Step 1, wait.\nStep 2, go.\n\nSay "done", then rest.'}
    why = next(row for (_, reason), row in funnel.items() if reason.startswith("not a row of the table"))
    assert (why["dropped"], why["examples"].split()[0]) == ("1", "row-7")
    after = funnel.get(("read", "perhaps the rest of a damaged row"), {"dropped": "0"})
    assert int(after["dropped"]) == more
    assert ("read: characters", "unexplained") not in funnel


def test_a_line_of_a_damaged_reply_is_no_record(read_with, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('prompt,response\na,b\nq,"Well, now.\n\nFirst, this.\nThat is all.\n\nc,d\ne,f\n')
    assert [texts(record) for record in read_with("exports", path)[0]] == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_a_cell_of_a_tsv_that_only_begins_with_a_quote(read_with, tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('prompt\tresponse\n5" nails\tx\n"quoted start only\ty\n' + "third\tz\n" * 2)
    found, funnel = read_with("exports", path)
    assert [texts(record)[0] for record in found] == ['5" nails', "third", "third"]
    assert funnel["read: characters", "not a row of the table: unexpected end of data"]["dropped"] == "21"


@pytest.mark.parametrize("line", ['x","y\n', '"a,b\n', '1,"b\n'])
def test_many_lines_that_open_a_quote_are_read_a_few_times_only(monkeypatch, line):
    read = []
    replaced = tables._Lines.__next__
    monkeypatch.setattr(tables._Lines, "__next__", lambda lines: read.append(replaced(lines)) or read[-1])
    text = "prompt,response\n" + line * 20_000
    assert rows(text)[1]
    assert sum(map(len, read)) <= len(text) * (tables._MOST_AGAIN + 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("header", ["prompt,response", "Prompt,Response", "prompt, response", '"Prompt" ,"Response"'])
def test_tables_of_other_programs(read_with, tmp_path, header, encoding):
    path, blank = tmp_path / "t.csv", " " if ", " in header else ""
    text = f'{header}\r\n"Wie, heißt du?",{blank}"Ich bin ""Bob"", 😀.\r\nJa."\r\nq,{blank}a\r\n'
    path.write_bytes(text.encode(encoding))
    found, funnel = read_with("exports", path)
    assert [texts(record) for record in found] == [["Wie, heißt du?", 'Ich bin "Bob", 😀.\r\nJa.'], ["q", "a"]]
    assert ("read: characters", "unexplained") not in funnel


def test_columns_that_readers_know_in_another_case(read_with, tmp_path):
    path = tmp_path / "t.csv"
    turns = json.dumps([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]).replace('"', '""')
    path.write_text(f'ID,Conversations\nx,"{turns}"\n')
    assert [(record["id"], texts(record)) for record in read_with("sharegpt", path)[0]] == [("x", ["q", "a"])]


def test_files_that_were_put_together(read_with, tmp_path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    whole = ["\ufeff" + json.dumps({"id": str(n), "messages": turns}) + "\n" for n in range(5)]
    path = tmp_path / "all.jsonl"
    path.write_text("".join([*whole[:4], whole[0][:60], "\n", whole[4]]), encoding="utf-8")
    assert [record["id"] for record in read_with("messages", path)[0]] == ["0", "1", "2", "3", "4"]
    path = tmp_path / "all.csv"
    path.write_text("".join(f"\ufeffprompt,response\nq{n},a{n}\n" for n in range(3)), encoding="utf-8")
    found, funnel = read_with("exports", path)
    assert [texts(record) for record in found] == [[f"q{n}", f"a{n}"] for n in range(3)]
    assert funnel["read", "header again"]["dropped"] == "2"


def test_kinds_of_files_that_are_not_read_are_named(read_with, tmp_path):
    import pyarrow
    import pyarrow.feather

    table = pyarrow.table({"prompt": ["q"], "response": ["a"]})
    pyarrow.feather.write_feather(table, tmp_path / "t.feather", compression="uncompressed")
    with pyarrow.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pyarrow.CompressedOutputStream(str(tmp_path / "t.jsonl.zst"), "zstd") as sink:
        sink.write(b'{"prompt": "q", "response": "a"}\n')
    arrow = r"an Arrow \(Feather\) file; convert it to Parquet$"
    for name, what in (("t.feather", arrow), ("t.arrow", arrow), ("t.jsonl.zst", "unpack it with zstd -d$")):
        with pytest.raises(UserError, match=what):
            read_with("exports", tmp_path / name)
