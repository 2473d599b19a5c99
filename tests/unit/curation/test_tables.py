"""Tables: whole ones as Python's writer writes them, damaged ones, and those of other programs."""

from __future__ import annotations

import csv
import io

import pytest
from curation_files import texts
from hypothesis import given
from hypothesis import strategies as st

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
