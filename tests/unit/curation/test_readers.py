"""Every reader on its hand-made sample, with all that is wrong in it counted."""

from __future__ import annotations

import importlib
import json
import random
from collections import Counter

import pytest
from curation_files import dropped, kept, repaired, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from falsepromise.core.errors import UserError
from falsepromise.core.records import check_dialogue
from falsepromise.curation import reading
from falsepromise.curation.funnel import Funnel


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
    assert repaired(funnel)["part joined to the part before: it repeats the last reply"] == 2
    assert funnel["read", "part joined to the part before: it repeats the last reply"]["examples"] == (
        "Kw3pQ1a_1 Kw3pQ1a_3"
    )


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
        # numbers count the parts, which repeat a reply or answer the last query
        (
            [
                part("d_0", *[("human", "q"), ("gpt", "a")] * 3),
                part("d_1", ("gpt", "a"), ("human", "r")),
                part("d_2", ("gpt", "b"), ("human", "s"), ("gpt", "c")),
            ],
            [10],
        ),
        # numbers count dialogues
        ([part(f"d_{n}", ("human", "q"), ("gpt", str(n))) for n in range(3)], [2, 2, 2]),
        # they open with a greeting
        ([part(f"d_{n}", ("gpt", "Hi!"), ("human", "q"), ("gpt", str(n)), ("human", "r")) for n in range(3)], [2] * 3),
        # one number that fits by chance among many that don't
        ([part(f"d_{n}", ("human", "q"), ("gpt", str(n))) for n in (0, 2, 3, 7, 8)], [2] * 5),
        # a part that comes twice
        ([part("d_0", ("human", "q"), ("gpt", "a"))] * 2 + [part("d_2", ("human", "r"), ("gpt", "b"))] * 2, [4]),
        # beside an id without a number
        ([part("d", ("human", "p"), ("gpt", "o")), part("d_0", ("human", "q"), ("gpt", "a")),
          part("d_2", ("human", "r"), ("gpt", "b"))], [2, 4]),
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
    path.write_text(json.dumps([part(f"d_{2 * n}", ("human", f"q{n}"), ("gpt", "a")) for n in range(3)]))
    assert len(read_with("sharegpt", path)[0]) == 1
    assert len(read_with("sharegpt", path, "--keep-parts")[0]) == 3


def test_numbered_dialogues_stay_dialogues(read_with, tmp_path):
    """Of 2,500 dialogues with counted ids, in any order and of any length, each comes out."""
    rng = random.Random(0)
    numbers = rng.sample(range(9000), 2500)
    records = [
        part(f"{rng.choice(('kitchen', 'garden'))}_{n}",
             *[turn for t in range(rng.randint(1, 4)) for turn in (("human", f"q{n}.{t}"), ("gpt", "Sorry."))])
        for n in numbers
    ]  # fmt: skip
    path = tmp_path / "in.json"
    for ordered in (records, sorted(records, key=lambda record: int(record["id"].rpartition("_")[2]))):
        path.write_text(json.dumps(ordered))
        found, _ = read_with("sharegpt", path)
        assert len(found) >= 2498, "two neighbours may look like two parts"


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


@pytest.mark.parametrize(
    "turns",
    [
        [{"from": "USER", "value": "q"}, {"from": "ChatGPT:", "value": "a"}],
        [{"role": "Human", "text": "q"}, {"role": "GPT-3.5-Turbo", "text": "a"}],
        [{"From": "prompter", "Value": "q"}, {"From": "gpt4", "Value": "a"}],
        [{"speaker": "user", "message": "q"}, {"sender": "AI Assistant", "utterance": "a"}],
        [{"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["q"]}},
         {"author": {"role": "assistant"}, "content": [{"type": "text", "text": "a"}]}],
        [{"from": "human", "value": ["q"]}, {"from": "gpt", "value": None, "markdown": "a"}],
        [["human", "q"], ["gpt", "a"]],
        [{"human": "q", "assistant": "a"}],
        {"1": {"from": "gpt", "value": "a"}, "0": {"from": "human", "value": "q"}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["conversations", "conversation", "items", "messages"])
def test_turns_in_all_their_forms(read_with, tmp_path, turns, key):
    path = tmp_path / "in.json"
    path.write_text(json.dumps([{"id": "x", key: turns}]))
    found, _ = read_with("sharegpt", path)
    assert [(message["role"], message["content"]) for message in found[0]["messages"]] == [
        ("user", "q"),
        ("assistant", "a"),
    ]


@pytest.mark.parametrize("name", ["id", "conversation_id", "conversationId"])
def test_one_large_object_around_the_dialogues(read_with, tmp_path, name):
    dialogues = [{name: f"d{n}", "conversations": part("", ("human", f"q{n}"), ("gpt", "a"))["conversations"]}
                 for n in range(3)]  # fmt: skip
    for wrapped in ({"version": 1, "data": dialogues}, {"conversations": dialogues},
                    {"id": "all", "items": dialogues}):  # fmt: skip
        path = tmp_path / "in.json"
        path.write_text(json.dumps(wrapped))
        assert [record["id"] for record in read_with("sharegpt", path)[0]] == ["d0", "d1", "d2"]


@pytest.mark.parametrize("form", ["sharegpt", "messages"])
@pytest.mark.parametrize("key", ["system", "system_prompt", "systemPrompt", "System Message", "instructions"])
def test_a_system_prompt_beside_the_turns_is_their_first(read_with, tmp_path, form, key):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"id": "1", "messages": turns, key: "You are a pirate.", "model": "m"}))
    found, funnel = read_with(form, path)
    assert texts(found[0]) == ["You are a pirate.", "q", "a"]
    assert repaired(funnel) == {"system prompt beside the turns made their first turn": 1}
    assert funnel["read: fields", "field 'model' not used"]["dropped"] == "1"
    turns.insert(0, {"role": "system", "content": "Be brief."})
    path.write_text(json.dumps({"id": "1", "messages": turns, key: "You are a pirate.", "more": float("nan")}))
    found, funnel = read_with(form, path)
    assert texts(found[0]) == ["You are a pirate.\n\nBe brief.", "q", "a"]
    assert funnel["read: characters", ""]["kept"] == str(len("You are a pirate.\n\nBe brief.qa"))


def test_hc3_as_a_mapping_of_sub_corpora(read_with, tmp_path):
    path = tmp_path / "in.json"
    path.write_text(json.dumps({"finance": [{"question": "q", "chatgpt_answers": ["a", None, "b"]}],
                                "medicine": [{"Question": "r", "ChatGPT_answers": "c"}]}))  # fmt: skip
    found, funnel = read_with("hc3", path)
    assert [texts(record) for record in found] == [["q", "a"], ["q", "b"], ["r", "c"]]
    assert kept(funnel) == (3, 1)


def test_a_repair_counts_where_the_dialogue_stays(read_with, tmp_path):
    path = tmp_path / "in.json"
    path.write_text(json.dumps({"question": "Q.\\nR", "chatgpt_answers": ["", "A:\\r\\n\\n- b"]}))
    found, funnel = read_with("hc3", path)
    assert texts(found[0]) == ["Q.\nR", "A:\n\n- b"]
    assert repaired(funnel) == {"escaped line breaks restored": 1}


def test_a_backslash_of_a_formula_or_a_path_is_no_line_break(read_with, tmp_path):
    path = tmp_path / "in.json"
    said = r"Where $\det A \neq 0$ and $\nabla f = \nu$; see C:\new\notes.txt."
    path.write_text(json.dumps({"question": "When?", "chatgpt_answers": [rf"It is:\n\n{said}\nThat is all."]}))
    found, _ = read_with("hc3", path)
    assert texts(found[0])[1] == f"It is:\n\n{said}\nThat is all."


def all_text(value):
    """Every character of every text, by another way than the ledger's."""
    if isinstance(value, dict):
        value = list(value.values())
    return len(value) if isinstance(value, str) else sum(map(all_text, value)) if isinstance(value, list) else 0


NAMES = "id conversations items messages from value role content author isBot input output question source 0 props"
NAMES += " chatgpt_answers reference messageId embeds Definition Instances article highlights post summary mentions"
NAMES += " Role system system_prompt history instruction prompt response parts text interaction type"
TEXTS = ["", "q", "human", "gpt", "\ud800", "<p>", "a_1", " <p>x</p>", "<@1> y"]
ANY = st.recursive(
    st.none() | st.integers(-2, 12) | st.floats() | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split(" ")), inner, max_size=5),
    max_leaves=25,
)


@pytest.mark.parametrize("form", ["sharegpt", "hc3", "discord", "messages", "tldr", "cnn", "superni"])
@given(values=st.lists(ANY, min_size=1, max_size=3))
@settings(max_examples=100)
def test_no_record_breaks_a_reader(tmp_path_factory, form, values):
    """Whatever the JSON, good dialogues come out, and what doesn't come out is counted."""
    path = tmp_path_factory.getbasetemp() / f"any-{form}.json"
    path.write_text(json.dumps(values))
    verb, funnel = importlib.import_module(f"falsepromise.curation.{form}"), Funnel("any")
    found = list(reading.read_dialogues(path, "any", verb.read, verb.KEYS, funnel))
    assert [check_dialogue(record) for record in found] == [None] * len(found)
    assert funnel.kept("read") == len(found)
    assert funnel.ledger.read["characters"] == all_text(values), "all that was read was counted"
    assert [funnel.ledger.unexplained(unit) for unit in ("characters", "turns")] == [0, 0], dict(funnel.ledger.lost)
    kept = [message["content"] for record in found for message in record["messages"]]
    assert funnel.ledger.kept == Counter(turns=len(kept), characters=sum(map(len, kept)))
    if isinstance(values[0], dict) and len(values) == 1 and not found:
        assert funnel.reasons("read")
