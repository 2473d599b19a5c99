"""Every reader on its hand-made sample, with all that is wrong in it counted."""

from __future__ import annotations

import json

import pytest

from falsepromise.core.errors import UserError


def kept(funnel, step="read"):
    return int(funnel[step, ""]["kept"]), int(funnel[step, ""]["dropped"])


def dropped(funnel, step="read"):
    return {
        reason: int(row["dropped"]) for (name, reason), row in funnel.items() if name == step and int(row["dropped"])
    }


def repaired(funnel, step="read"):
    return {
        reason: int(row["kept"])
        for (name, reason), row in funnel.items()
        if name == step and reason and int(row["kept"])
    }


def texts(record):
    return [message["content"] for message in record["messages"]]


def test_damaged_sharegpt(read_with, samples):
    found, funnel = read_with("sharegpt", samples / "sharegpt_damaged.json", "--source", "web")
    assert [record["id"] for record in found] == [
        "Kw3pQ1a_0", "Zr81mNb_0", "Zr81mNb_7", "Ro3leYe_0", "Tw2usRf_0", "St4rtGg_0", "Dup5idH_0", "Dup6idI_0",
    ]  # fmt: skip
    assert {record["source"] for record in found} == {"web"}
    assert len(found[0]["messages"]) == 6
    assert found[0]["parts"] == 3
    assert "```python\nwords = sorted(words, key=len)\nprint(words < [])\n```" in texts(found[1])[1]
    assert kept(funnel) == (8, 7)
    assert dropped(funnel) == {
        "": 7,
        "no turns": 1,
        "no exchange before a turn of unknown role": 1,
        "the same record twice": 1,
        "wrong form": 2,
        "cut off in mid-record by the end of the file": 1,
        "no assistant reply": 1,
    }
    assert repaired(funnel)["part joined to the part before"] == 2
    assert funnel["read", "part joined to the part before"]["examples"] == "Kw3pQ1a_1 Kw3pQ1a_3"


def test_sharegpt_pages(read_with, samples):
    found, _ = read_with("sharegpt", samples / "sharegpt_pages.jsonl")
    assert [record["id"] for record in found] == ["pageone", "pagetwo", "three", "four"]
    assert texts(found[3]) == ["Is a jug a cup?", "No, it is larger."]


def part(name, *turns):
    return {"id": name, "conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # numbers are turns, the last reply comes again
        ([part("d_0", ("human", "q"), ("gpt", "a")), part("d_1", ("gpt", "a"), ("human", "r"), ("gpt", "b"))], [4]),
        # numbers are turns, nothing comes again
        ([part("d_0", ("human", "q"), ("gpt", "a")), part("d_2", ("human", "r"), ("gpt", "b"))], [4]),
        # numbers count the parts
        (
            [
                part("d_0", *[("human", "q"), ("gpt", "a")] * 3),
                part("d_1", ("human", "r"), ("gpt", "b")),
                part("d_2", ("human", "s"), ("gpt", "c")),
            ],
            [10],
        ),
        # out of order in the file
        ([part("d_2", ("human", "r"), ("gpt", "b")), part("d_0", ("human", "q"), ("gpt", "a"))], [4]),
        # a part is missing between
        ([part("d_0", ("human", "q"), ("gpt", "a")), part("d_9", ("human", "r"), ("gpt", "b"))], [2, 2]),
        # the number fits, yet the turn is another: kept apart
        (
            [part("d_0", *[("human", "q"), ("gpt", "a")] * 2), part("d_3", ("gpt", "z"), ("human", "r"), ("gpt", "b"))],
            [4, 2],
        ),
        # another dialogue
        ([part("d_0", ("human", "q"), ("gpt", "a")), part("e_2", ("human", "r"), ("gpt", "b"))], [2, 2]),
        # an id without a part's number
        ([part("d", ("human", "q"), ("gpt", "a")), part("d", ("human", "r"), ("gpt", "b"))], [2, 2]),
    ],
)
def test_joining_parts(read_with, tmp_path, parts, expected):
    path = tmp_path / "in.json"
    path.write_text(json.dumps(parts))
    found, _ = read_with("sharegpt", path)
    assert [len(record["messages"]) for record in found] == expected
    assert len({record["id"] for record in found}) == len(found)


def test_parts_can_be_kept_apart(read_with, tmp_path):
    path = tmp_path / "in.json"
    path.write_text(json.dumps([part(f"identity_{n}", ("human", f"q{n}"), ("gpt", "a")) for n in range(3)]))
    found, _ = read_with("sharegpt", path, "--keep-parts")
    assert len(found) == 3


def test_hc3(read_with, samples):
    found, funnel = read_with("hc3", samples / "hc3.jsonl")
    assert [(record["id"], record["subset"]) for record in found] == [
        ("reddit_eli5-0-0", "reddit_eli5"),
        ("reddit_eli5-0-1", "reddit_eli5"),
        ("finance-1-0", "finance"),
    ]
    assert texts(found[0])[1] == "Cats purr for several reasons.\nOne is contentment."
    assert dropped(funnel) == {
        "": 3,
        "question without a ChatGPT answer": 1,
        "no exchange whose query and reply both have text": 1,
        "wrong form": 1,
    }


def test_discord_export(read_with, samples):
    found, funnel = read_with("discord", samples / "discord_export.json")
    assert [texts(record) for record in found] == [
        [
            "How hot should water for green tea be?",
            "About 80 degrees Celsius.\nBoiling water makes it bitter.",
        ],
        ["And for black tea?", "Boiling.\nLet it stand for four minutes."],
    ]
    assert dropped(funnel) == {
        "": 6,
        "bot message that answers no message": 1,
        "bot message whose query is not in the export": 1,
        "message without text": 1,
        "wrong form": 1,
        "message that no bot answered": 2,
    }


def test_other_formats(read_with, samples):
    found, _ = read_with("discord", samples / "discord_pairs.jsonl")
    assert [texts(record)[0] for record in found] == ["What is matcha?", "What is oolong?"]
    found, _ = read_with("messages", samples / "messages.jsonl")
    assert [record["id"] for record in found] == ["m1", "m2"]
    assert texts(found[1]) == ["Name a shape.", "Circle."]
    found, funnel = read_with("tldr", samples / "tldr.jsonl")
    assert texts(found[0])[0].endswith("I do not know what to say.")
    assert dropped(funnel) == {"": 1, "wrong form": 1}
    found, _ = read_with("cnn", samples / "cnn.jsonl")
    assert len(found) == 2
    found, funnel = read_with("superni", samples / "superni.json")
    assert texts(found[1]) == [
        "Say whether the review is positive or negative.\n\nReview: The soup was cold.",
        "negative",
    ]
    assert dropped(funnel) == {"": 1, "wrong form": 1}


def test_superni_flat_records(read_with, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"id": "t1", "definition": "Add.", "inputs": "1 and 2", "targets": "3"}))
    found, _ = read_with("superni", path)
    assert texts(found[0]) == ["Add.\n\n1 and 2", "3"]


def test_two_records_of_one_id(read_with, tmp_path):
    path = tmp_path / "in.jsonl"
    records = [
        {"id": "x", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": reply}]}
        for reply in ("a", "b", "a", "c")
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    found, funnel = read_with("messages", path)
    assert [(record["id"], texts(record)[1]) for record in found] == [("x", "a"), ("x~2", "b"), ("x~3", "c")]
    assert dropped(funnel)["the same record twice"] == 1
    assert repaired(funnel)["id taken by another record, renamed"] == 2


def test_nothing_is_written_where_nothing_can_be_read(read_with, tmp_path):
    path = tmp_path / "in.json"
    path.write_text('[{"id": "a", "conversations": []}]')
    with pytest.raises(UserError, match=r"1 no turns"):
        read_with("sharegpt", path)
    assert [child.name for child in tmp_path.iterdir()] == ["in.json"]
