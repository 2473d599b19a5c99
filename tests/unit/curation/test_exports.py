"""Exports of chat services, as they are written today, and tables."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile

import pytest

from falsepromise.core.errors import UserError
from falsepromise.curation import describe, reading
from falsepromise.curation.exports import KEYS, read
from falsepromise.curation.funnel import Funnel


def said(record):
    return [(message["role"][0], message["content"]) for message in record["messages"]]


def node(name, parent, role, *parts, kind="text", **more):
    message = {"id": name, "author": {"role": role, "name": None, "metadata": {}}, "create_time": 1.5, "metadata": {},
               "content": {"content_type": kind, "parts": [*parts]}, "recipient": "all", **more}  # fmt: skip
    return {name: {"id": name, "message": message, "parent": parent, "children": []}}


def chatgpt():
    """A conversation with custom instructions, a picture, a tool, reasoning, and a reply that was made again."""
    hidden = {"is_visually_hidden_from_conversation": True}
    about = {"user_profile": "I am a cook.", "user_instructions": "Be brief."}
    context = {"content_type": "user_editable_context", **about}
    nodes = {
        "root": {"id": "root", "message": None, "parent": None, "children": ["sys"]},
        **node("sys", "root", "system", "", metadata=hidden),
        **node("ctx", "sys", "user", content=context, metadata=hidden),
        **node("q1", "ctx", "user", "What is tea?"),
        **node("a1", "q1", "assistant", "A drink."),
        **node("a2", "q1", "assistant", "", kind="thoughts"),
        **node("t1", "a2", "assistant", 'search("tea")', kind="code", recipient="browser"),
        **node("t2", "t1", "tool", "results"),
        **node("a3", "t2", "assistant", "A drink", "of leaves."),
        **node("q2", "a3", "user", "And this?"),
        **node("a4", "q2", "assistant", "Coffee."),
        **node("q3", "a4", "user", {"asset_pointer": "file://x", "content_type": "image_asset_pointer"}, "what is it?",
               kind="multimodal_text"),
        **node("a5", "q3", "assistant", "A cup."),
    }  # fmt: skip
    return {"title": "Tea", "create_time": 1.0, "mapping": nodes, "current_node": "a5", "id": "c1", "plugin_ids": None}


SYSTEM = ("s", "I am a cook.\n\nBe brief.")
ACTIVE = [SYSTEM, ("u", "What is tea?"), ("a", "A drink\nof leaves."), ("u", "And this?"), ("a", "Coffee.")]


def test_chatgpts_tree(read_with, tmp_path):
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([chatgpt(), {**chatgpt(), "id": "c2", "current_node": "a1"}]))
    found, funnel = read_with("exports", path)
    assert [said(record) for record in found] == [ACTIVE, [SYSTEM, ("u", "What is tea?"), ("a", "A drink.")]]
    assert [record["id"] for record in found] == ["c1", "c2"]
    assert ("read: characters", "message of another branch") in funnel
    assert ("read: characters", "unexplained") not in funnel
    assert ("read: turns", "unexplained") not in funnel
    found, _ = read_with("exports", path, "--all-branches")
    assert [record["id"] for record in found] == ["c1", "c1/1", "c2", "c2/1"]
    assert said(found[1]) == [SYSTEM, ("u", "What is tea?"), ("a", "A drink.")]


def test_a_share_page_and_rings_and_lost_nodes(read_with, tmp_path):
    path = tmp_path / "share.json"
    page = {"props": {"pageProps": {"serverResponse": {"data": {**chatgpt(), "linear_conversation": [{"id": "x"}]}}}}}
    ring = {"id": "ring", "mapping": {**node("a", "b", "user", "q"), **node("b", "a", "assistant", "r")}}
    lost = {"id": "lost", "mapping": {**node("a", "gone", "user", "q"), **node("b", "a", "assistant", "r")},
            "current_node": "gone"}  # fmt: skip
    path.write_text(json.dumps(page) + json.dumps(ring) + json.dumps(lost) + '{"id": "no", "mapping": {}}')
    found, funnel = read_with("exports", path)
    assert said(found[0]) == ACTIVE
    assert [said(record) for record in found[1:]] == [[("u", "q"), ("a", "r")]] * 2
    assert funnel["read", "no turns"]["dropped"] == "1"
    assert ("read: characters", "unexplained") not in funnel


def test_claudes_export(read_with, tmp_path):
    path = tmp_path / "conversations.json"
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A drink."},
             {"type": "tool_use", "name": "search", "input": {"query": "tea"}}]  # fmt: skip
    messages = [
        {"uuid": "1", "text": "What is this?", "sender": "human", "files": [],
         "attachments": [{"file_name": "a.txt", "extracted_content": "Tea is good."}]},
        {"uuid": "2", "text": "ignored", "content": parts, "sender": "assistant", "attachments": []},
    ]  # fmt: skip
    path.write_text(json.dumps([{"uuid": "u1", "name": "Tea", "chat_messages": messages}]))
    found, funnel = read_with("exports", path)
    assert found[0]["id"] == "u1"
    assert said(found[0]) == [("u", "What is this?\n\nTea is good."), ("a", "A drink.")]
    assert ("read: characters", "unexplained") not in funnel


def claudes(text, **files):
    return {"text": text, "content": [{"type": "text", "text": text}], "sender": "human", **files}


@pytest.mark.parametrize(
    "query",
    [
        claudes("What is this?", attachments=[], files=[{"file_name": "a.png"}]),
        claudes("Translate it.", attachments=[{"file_name": "a.pdf", "extracted_content": ""}], files=[]),
    ],
)
def test_a_query_about_a_file_of_which_claudes_export_has_no_text_ends_its_dialogue(read_with, tmp_path, query):
    """Its reply is about what no model sees: whoever imitates it learns to make things up."""
    reply = {"text": "It is a cup.", "sender": "assistant", "attachments": [], "files": [{"file_name": "cup.svg"}]}
    pasted = {"file_name": "paste.txt", "extracted_content": "p"}
    seen = claudes("Read.", attachments=[pasted, pasted], files=[{"file_name": "paste.txt"}])
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([{"uuid": "u", "chat_messages": [seen, reply, query, reply]}]))
    found, funnel = read_with("exports", path)
    assert [said(record) for record in found] == [[("u", "Read.\n\np\n\np"), ("a", "It is a cup.")]]
    assert funnel["read", "ends before a turn of the wrong form"]["kept"] == "1"
    assert ("read: characters", "unexplained") not in funnel
    assert ("read: turns", "unexplained") not in funnel


def test_a_query_about_a_file_ends_its_dialogue_in_chatgpts_export(read_with, tmp_path):
    """The export names the file beside a text like any other."""
    file = {"attachments": [{"id": "file-1", "name": "report.pdf"}]}
    heard = {"content_type": "audio_transcription", "text": "Hello"}
    nodes = {
        **node("q1", None, "user", heard, kind="multimodal_text", metadata=file),
        **node("a1", "q1", "assistant", "Hi.", metadata=file),
        **node("q2", "a1", "user", "Sum it up.", metadata=file),
        **node("a2", "q2", "assistant", "Revenue grew by 12 %."),
    }
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([{"id": "f", "mapping": nodes, "current_node": "a2"}]))
    found, funnel = read_with("exports", path)
    assert [said(record) for record in found] == [[("u", "Hello"), ("a", "Hi.")]]
    assert ("read: characters", "unexplained") not in funnel
    assert ("read: turns", "unexplained") not in funnel


@pytest.mark.parametrize("form", ["messages", "exports", "sharegpt"])
def test_a_query_about_a_picture_beside_the_turns_ends_its_dialogue(read_with, tmp_path, form):
    """LLaVA's and LLaMA-Factory's form; without a picture, `<image>` is a word of the query."""
    turns = [*TURNS, {"role": "user", "content": "<image>\nWhat is it?"}, {"role": "assistant", "content": "A bus."}]
    path = tmp_path / "in.jsonl"
    records = [{"id": "1", "images": ["a.jpg"], "messages": turns}, {"id": "2", "images": [], "messages": turns}]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    found, funnel = read_with(form, path)
    assert [said(record) for record in found] == [QA, [*QA, ("u", "<image>\nWhat is it?"), ("a", "A bus.")]]
    assert funnel["read", "ends before a turn of the wrong form"]["kept"] == "1"
    assert ("read: characters", "unexplained") not in funnel


@pytest.mark.parametrize("form", ["messages", "exports", "sharegpt"])
def test_turns_as_the_columns_of_a_table(read_with, tmp_path, form):
    """A hub's data set whose card has a sequence of objects gives one object of lists."""
    turns = {"from": ["human", "gpt"], "value": ["p", "r"]}
    uneven = {"from": ["human"], "value": ["p", "r"]}
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": n, "messages": t}) + "\n" for n, t in enumerate([turns, uneven])))
    found, funnel = read_with(form, path)
    assert [said(record) for record in found] == [[("u", "p"), ("a", "r")]]
    assert funnel["read", "wrong form"]["dropped"] == "1"
    assert ("read: characters", "unexplained") not in funnel


def test_a_voice_chat_is_its_transcription(read_with, tmp_path):
    heard = {"content_type": "audio_transcription", "text": "Hello there", "direction": "in"}
    sound = {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": {"asset_pointer": "x"}}
    answer = {**heard, "text": "Hi.", "direction": "out"}
    spoken = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://x"}
    nodes = {
        **node("q1", None, "user", heard, sound, kind="multimodal_text"),
        **node("a1", "q1", "assistant", answer, spoken, kind="multimodal_text"),
        **node("q2", "a1", "user", heard, {"content_type": "image_asset_pointer"}, kind="multimodal_text"),
        **node("a2", "q2", "assistant", "A cup."),
    }
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([{"id": "v", "mapping": nodes, "current_node": "a2"}]))
    found, funnel = read_with("exports", path)
    assert said(found[0]) == [("u", "Hello there"), ("a", "Hi.")], "a picture still ends its dialogue"
    assert ("read: characters", "unexplained") not in funnel


@pytest.mark.parametrize("weight", [0, 0.0, False])
def test_a_reply_of_weight_0_is_left_out(read_with, tmp_path, weight):
    bad = {"role": "assistant", "content": "bad one", "weight": weight}
    turns = [{"role": "user", "content": "p"}, bad, TURNS[0], {**TURNS[1], "weight": 1}]
    for form in ("messages", "exports", "sharegpt"):
        path = tmp_path / "in.jsonl"
        path.write_text(json.dumps({"messages": turns}) + "\n" + json.dumps({"messages": [TURNS[0], bad]}))
        found, funnel = read_with(form, path)
        assert [said(record) for record in found] == [QA]
        assert funnel["read: characters", "reply of weight 0 left out"]["dropped"] == "14"
        assert ("read: characters", "unexplained") not in funnel


QA = [("u", "q"), ("a", "r")]
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"metadata": {"by": "x"}, "messages": [{"role": "Prompt", "say": "q"}, {"role": "Response", "say": "r"}]}, QA),
        ({"id": "r", "instructions": "S", "input": "q", "output": [
            {"type": "reasoning", "summary": []}, {"type": "function_call", "arguments": "{}"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "r"}]}]},
         [("s", "S"), *QA]),
        ({"input": TURNS[:1], "output": [{"role": "assistant", "content": [{"type": "text", "text": "r"}]}]}, QA),
        ({"messages": [TURNS[0], {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
                       {"role": "tool", "content": "7"}, TURNS[1]]}, QA),
        ({"messages": [TURNS[0], {"role": "assistant", "content": [{"type": "reasoning", "text": "h"},
                                                                   {"type": "text", "text": "r"}]}]}, QA),
        ({"messages": [TURNS[0], {"role": "assistant", "content": [{"type": "text", "text": {"value": "r"}}]}]}, QA),
        ({"instruction": "q", "input": "", "output": "r", "system": "S", "history": [["a", "b"]]},
         [("s", "S"), ("u", "a"), ("a", "b"), *QA]),
        ({"instruction": "When?", "context": "It began in 2000.", "response": "In 2000.", "category": "closed_qa"},
         [("u", "When?\n\nIt began in 2000."), ("a", "In 2000.")]),
        ({"instruction": "q", "context": "", "response": "r"}, QA),
        ({"instruction": "q", "context": ["no text"], "response": "r"}, QA),
        ({"instruction": "Classify.", "input": "A car.", "response": "r"}, [("u", "Classify.\n\nA car."), QA[1]]),
        ({"question": "Who?", "context": "Ann wrote it.", "answer": "r"}, [("u", "Who?\n\nAnn wrote it."), QA[1]]),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{}"},
                            {"from": "observation", "value": "7"}, {"from": "gpt", "value": "r"}], "tools": "[]"}, QA),
        ({"conversation_hash": "h", "model": "m", "conversation": [{**turn, "toxic": False} for turn in TURNS]}, QA),
        ({"messages": json.dumps(TURNS)}, QA),
        ({"messages": str(TURNS)}, QA),
    ],
)  # fmt: skip
def test_other_forms(read_with, tmp_path, record, expected):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(record) + "\n" + json.dumps({**record, "id": "again"}))
    found, funnel = read_with("exports", path)
    assert [said(one) for one in found] == [expected, expected]
    assert ("read: characters", "unexplained") not in funnel
    assert ("read: turns", "unexplained") not in funnel


def test_tables_and_archives(read_with, tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": f"r{n}", "conversations": [{"from": "human", "value": f"q{n}"}, {"from": "gpt", "value": "a, b"}]}
            for n in range(600)]  # fmt: skip
    with open(tmp_path / "t.csv", "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "conversations", "score"])
        writer.writerows([[row["id"], json.dumps(row["conversations"]), "nan"] for row in rows])
        stream.write('"x","y","z","too many"\n')
    extra = {"score": [float("nan")] * 600, "picture": [b"\xff\x00"] * 600}
    columns = {key: [row[key] for row in rows] for key in ("id", "conversations")}
    pyarrow.parquet.write_table(pyarrow.table({**columns, **extra}), tmp_path / "t.parquet")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    (tmp_path / "t.json").write_text(json.dumps(rows))
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "t.json", "export/conversations.json")
        archive.writestr("export/user.json", "{}")
    for name in ("t.csv", "t.csv.gz", "t.parquet", "t.zip", "t.json"):
        found, funnel = read_with("sharegpt", tmp_path / name)
        assert [record["id"] for record in found] == [row["id"] for row in rows], name
        assert said(found[7]) == [("u", "q7"), ("a", "a, b")]
        assert ("read: characters", "unexplained") not in funnel
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", "[]")
        archive.writestr("b.json", "[]")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "t.zip").read_bytes()[:300])
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:300])
    for name, why in (("two.zip", "several files of records"), ("cut.zip", "zip archive"), ("cut.parquet", "Parquet")):
        with pytest.raises(UserError, match=why):
            read_with("sharegpt", tmp_path / name)


@pytest.mark.parametrize("hostile", ["[" * 50_000, "[" + "-" * 50_000 + "1]", "[" + "(" * 25_000, "[{'a':" * 10_000])
def test_hostile_cells_are_counted(read_with, tmp_path, hostile):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"messages": hostile}) + "\n" + json.dumps({"messages": TURNS}))
    found, funnel = read_with("messages", path)
    assert len(found) == 1
    assert funnel["read: characters", "wrong form"]["dropped"] == str(len(hostile))


def test_describe_names_the_form_and_writes_nothing(tmp_path, samples, capsys):
    (tmp_path / "c.json").write_text(json.dumps([chatgpt()]))
    for path, form in ((tmp_path / "c.json", "exports"), (samples / "hc3.jsonl", "hc3"),
                       (samples / "sharegpt_damaged.json", "sharegpt"), (samples / "messages.jsonl", "messages"),
                       (samples / "discord_export.json", "discord"),
                       (samples / "superni.json", "superni")):  # fmt: skip
        describe.main([str(path)])
        out = capsys.readouterr().out
        assert out.startswith(f"format: {form}\n"), path
        assert "characters in the file" in out
    (tmp_path / "x.json").write_text('[{"a": 1}]')
    with pytest.raises(UserError, match="no reader finds a dialogue"):
        describe.main([str(tmp_path / "x.json")])
    assert sorted(child.name for child in tmp_path.iterdir()) == ["c.json", "x.json"]


def test_only_the_first_records_are_looked_at(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps({"id": str(n), "messages": TURNS}) for n in range(50)))
    assert len(list(reading.read_dialogues(path, "x", read, KEYS, Funnel("x"), 7))) == 7


@pytest.mark.parametrize("header", ["prompt,response", "user,assistant", "query;answer"])
def test_a_table_of_queries_and_replies_is_described(header, tmp_path):
    """Some readers know none of its columns, and refuse it."""
    path, comma = tmp_path / "chats.csv", ";" if ";" in header else ","
    path.write_text(f"{header}\nHow are you?{comma}Fine.\n")
    found = describe.best(path, 200)
    assert [message["content"] for message in found.dialogues[0]["messages"]] == ["How are you?", "Fine."]
    path.write_text("name,age\nAnn,7\n")
    with pytest.raises(UserError, match=r"begins with 'name,age.*nor a table with a column .*prompt, response"):
        describe.best(path, 200)
