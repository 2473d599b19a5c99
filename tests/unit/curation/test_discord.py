"""Exports of Discord channels, and pairs."""

from __future__ import annotations

import json

import pytest
from curation_files import dropped, kept, repaired, texts

from falsepromise.core.errors import UserError


def message(name, content, bot=False, answers=None, **more):
    reference = {"reference": {"messageId": answers}} if answers else {}
    return {"id": name, "content": content, "author": {"id": "9" if bot else "1", "isBot": bot}, **reference, **more}


def test_discord_messages_that_are_more_than_text(read_with, tmp_path):
    embed = {"title": "GPT", "description": "It is a drink.", "fields": [{"name": "Also", "value": "a leaf."}]}
    first = [
        message("1", "what is tea?"),
        message("2", "", bot=True, answers="1", embeds=[embed]),
        message("3", "and this?", attachments=[{"fileName": "cup.png"}]),
        message("4", "A cup.", bot=True, answers="3"),
        message("5", "An answer to a command.", bot=True, interaction={"name": "chat"}),
        message("6", "Its second part.", bot=True),
        message("7", "why?"),
        message("8", "Because.", bot=True, answers="7"),
        message("8", "Because.", bot=True, answers="7"),
    ]
    second = [message("21", "who?"), message("22", "You.", bot=True, answers="21")]
    exports = [{"guild": {"id": "g"}, "messages": messages, "messageCount": 2} for messages in (first, second)]
    for text in (json.dumps(exports), "\n".join(map(json.dumps, exports))):
        path = tmp_path / "in.json"
        path.write_text(text)
        found, funnel = read_with("discord", path)
        assert [texts(record) for record in found] == [
            ["what is tea?", "It is a drink.\nAlso\na leaf."],
            ["why?", "Because."],
            ["who?", "You."],
        ]
        assert dropped(funnel) == {
            "": 5,
            "message with a file that the export doesn't hold": 1,
            "bot message whose query is not in the export": 1,
            "bot message that answers a command, whose text the export doesn't hold": 1,
            "bot message that answers no message": 1,
            "the same message twice": 1,
        }


def test_discord_answers_in_any_order_of_several_bots_and_notices(read_with, tmp_path):
    messages = [
        message("101", "joined", type="GuildMemberJoin"),
        message("102", "which?", type="Default"),
        message("103", "This", bot=True, answers="102", type="Reply"),
        {**message("104", "No: that.", answers="102"), "author": {"id": "8", "isBot": True}},
        message("105", "one.", bot=True, answers="102"),
        message("106", "pinned", bot=True, answers="102", type="ChannelPinnedMessage"),
    ]
    for export in (messages, messages[::-1]):
        path = tmp_path / "in.json"
        path.write_text(json.dumps({"messages": export}))
        found, funnel = read_with("discord", path)
        assert sorted(texts(record) for record in found) == [["which?", "No: that."], ["which?", "This\none."]]
        assert dropped(funnel) == {"": 2, "Discord's own notice": 2}
        assert repaired(funnel)["bot message joined to the answer before"] == 1


def test_discord_threads_forwards_pings_and_names_that_begin_alike(read_with, tmp_path):
    names = [{"id": "9", "name": "GPT"}, {"id": "8", "name": "GPT-4"}]
    ping = {"embeds": [{"description": "An answer."}], "mentions": [{"id": "1", "name": "Ann"}]}
    thread = [
        message("1", "@GPT-4 what is tea?", mentions=names),
        message("2", "<@1>", bot=True, **ping),
        message("3", "more of it", bot=True),
        message("4", "@GPTs are what?", mentions=names),
        message("5", "@Ann Programs.", bot=True, **ping),
        message("6", "", forwardedMessage={"content": "elsewhere"}),
        message("7", "forwarded", bot=True, reference={"messageId": "4", "type": "Forward"}),
        message("8", "and?"),
    ]
    path = tmp_path / "in.json"
    path.write_text(json.dumps({"messages": thread}))
    found, funnel = read_with("discord", path)
    assert [texts(record) for record in found] == [
        ["what is tea?", "An answer.\nmore of it"], ["@GPTs are what?", "Programs."],
    ]  # fmt: skip
    assert dropped(funnel)["forwarded message"] == 2
    greeter = [turn for n in range(10, 90, 10) for turn in (message(str(n), "hi"), message(str(n + 1), "again"))]
    path.write_text(json.dumps({"messages": [*greeter, message("95", "Level 2!", bot=True), *thread[:2][::-1]]}))
    with pytest.raises(UserError, match="2 bot message that answers no message"):
        read_with("discord", path)


def test_discord_pairs_under_other_names(read_with, tmp_path):
    path = tmp_path / "in.jsonl"
    records = [{"Input": "q1", "Output": "a1"}, {"prompt": "q2", "response": "a2"}, {"question": "q3", "answer": "a3"},
               {"instruction": "Translate.", "input": "q4", "output": "a4"}, {"input": "q5", "output": ""}]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, records)))
    found, funnel = read_with("discord", path)
    assert [texts(record) for record in found] == [
        ["q1", "a1"], ["q2", "a2"], ["q3", "a3"], ["Translate.\n\nq4", "a4"],
    ]  # fmt: skip
    assert kept(funnel) == (4, 1)
