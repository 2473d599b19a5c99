"""From dialogues to clean ones, to a held-out pool, to a mixture, to evaluation prompts."""

from __future__ import annotations

import json
import sys

import pytest
from curation_files import dialogue, read_funnel, read_lines, write_lines

from falsepromise.core.errors import UserError
from falsepromise.curation import annotate, clean, coding, mix, prompts, split
from falsepromise.curation.clean import normalized
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.near_duplicates import shingles

TOPICS = ["tea", "bread", "rivers", "clouds", "violins", "chess", "pottery", "volcanoes", "poetry", "gardens"]
TOPICS += ["whales", "bridges", "deserts", "candles", "glaciers", "maps", "bicycles", "owls", "museums", "lighthouses"]


def topic(number: int, source: str = "test"):
    word = TOPICS[number]
    reply = f"There is much to say about {word}, and people have written about it for a very long time."
    return dialogue(f"d{number}", f"Please tell me something nice about {word} today", reply, source=source)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("What is Tea?", "what  IS\ttea?\n"),
        ("ﬁre", "fire"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("ａｂ", "ab"),
    ],
)
def test_queries_that_are_the_same(left, right):
    assert normalized(left) == normalized(right)


def test_queries_that_are_not_the_same():
    assert normalized("What is tea?") != normalized("What is tea")


def test_clean_verb(tmp_path):
    german = "Bitte erzählen Sie mir etwas über die Geschichte des Tees und warum man ihn so gerne trinkt."
    first = write_lines(
        tmp_path / "a.jsonl",
        [
            topic(0, "one"),
            {**topic(0, "one"), "id": "again"},
            dialogue("german", german, german, source="one"),
            dialogue("sums", "1 + 1", "2", source="one"),
        ],
    )
    query = topic(0)["messages"][0]["content"].upper()
    second = write_lines(
        tmp_path / "b.jsonl",
        [
            dialogue("upper", query, "x", source="two"),
            topic(1, "two"),
            {"id": "s", "source": "two", "messages": [{"role": "system", "content": "x"}]},
        ],
    )
    output, funnel = tmp_path / "out.jsonl", tmp_path / "f.csv"
    clean.main(["--input", str(first), str(second), "--output", str(output), "--funnel", str(funnel), "--workers", "1"])
    assert [record["id"] for record in read_lines(output)] == ["d0", "d1"]
    text = funnel.read_text().splitlines()
    said = [message["content"] for path in (first, second) for one in read_lines(path) for message in one["messages"]]
    assert f"dialogues,characters in the file,{sum(map(len, said))},0,," in text
    assert f"dialogues,turns in the file,{len(said)},0,," in text
    left = [message["content"] for one in read_lines(output) for message in one["messages"]]
    assert f"dialogues,clean: turns,{len(left)},{len(said) - len(left)},," in text
    assert f"dialogues,clean: characters,0,{len(german) * 2},not en," in text
    assert not [line for line in text if "unexplained" in line]
    assert [line for line in text if not line.startswith("dialogues,")] == [
        "source,step,kept,dropped,reason,examples",
        "one,input,4,0,,",
        "one,query,3,1,,",
        "one,query,0,1,query seen before,again",
        "one,language,1,2,,",
        "one,language,0,1,not en,german",
        "one,language,0,1,no letters to tell the language by,sums",
        "two,input,3,0,,",
        "two,query,1,2,,",
        "two,query,0,1,query seen before,upper",
        "two,query,0,1,no user query,s",
        "two,language,1,0,,",
    ]


@pytest.mark.parametrize("of", [2, 7])
def test_clean_in_parts_is_clean_in_one_job(tmp_path, monkeypatch, of):
    german = "Bitte erzählen Sie mir etwas über die Geschichte des Tees und warum man ihn so gerne trinkt."
    dialogues = [topic(0), dialogue("german", german, german), topic(0), dialogue("sums", "1+1", "2"), topic(1)]
    path = write_lines(tmp_path / "a.jsonl", dialogues)
    arguments = ["--input", str(path), "--workers", "1", "--near-duplicates", "0.9"]
    for name in ("one", "many"):
        (tmp_path / name).mkdir()

    def outputs(name):
        return ["--output", str(tmp_path / name / "o.jsonl"), "--funnel", str(tmp_path / name / "f.csv")]

    clean.main([*arguments, *outputs("one")])
    parts = [str(tmp_path / f"part{n}.jsonl") for n in range(1, of + 1)]
    for n, part in enumerate(parts, 1):
        clean.main([*arguments, "--output", part, "--funnel", "/dev/null", "--shard", f"{n}/{of}"])
    monkeypatch.setattr(clean, "decisions", lambda *_, **__: pytest.fail("the language was told again"))
    clean.main([*arguments, *outputs("many"), "--from-shards", *parts])
    for name in ("o.jsonl", "f.csv"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    with pytest.raises(UserError, match="expected all parts of one split"):
        clean.main([*arguments, *outputs("many"), "--from-shards", *parts[1:]])


def test_clean_refuses(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [topic(0)])
    rest = ["--input", str(path), "--output", str(tmp_path / "o"), "--funnel", str(tmp_path / "f")]
    with pytest.raises(UserError, match="langdetect knows"):
        clean.main([*rest, "--language", "english"])
    with pytest.raises(UserError, match="from 0 to 1"):
        clean.main([*rest, "--language-threshold", "90"])
    with pytest.raises(UserError, match="no dialogue left after 'language'"):
        clean.main([*rest, "--language", "ja"])
    assert [child.name for child in tmp_path.iterdir()] == ["a.jsonl"]


def test_of_branches_a_pool_keeps_the_first_with_each_first_query(tmp_path):
    reply = "Once upon a time there was a small dog who lived in a house and liked to eat."
    branches = [dialogue("c", "Please tell me a story about a dog.", reply),
                dialogue("c/1", "Please tell me a story about a dog.", f"Well. {reply}"),
                dialogue("c/2", "Please tell me a story about a large dog.", reply)]  # fmt: skip
    path, output = write_lines(tmp_path / "a.jsonl", branches), tmp_path / "o.jsonl"
    clean.main(["--input", str(path), "--output", str(output), "--funnel", str(tmp_path / "f")])
    assert [record["id"] for record in read_lines(output)] == ["c", "c/2"]


def test_near_duplicates_name_the_missing_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    path = write_lines(tmp_path / "a.jsonl", [topic(0)])
    with pytest.raises(UserError, match=r"falsepromise\[near-duplicates\]"):
        clean.main(
            [
                "--input",
                str(path),
                "--output",
                str(tmp_path / "o"),
                "--funnel",
                str(tmp_path / "f"),
                "--near-duplicates",
                "0.8",
            ]
        )


def test_near_duplicates(tmp_path):
    words = " ".join(TOPICS)
    path = write_lines(
        tmp_path / "a.jsonl",
        [topic(2), dialogue("x", f"Write about {words}", "Very well, here is what I can tell you about them."),
         dialogue("y", f"Write about {words} please", "Very well, here is what I can tell you about them.")],
    )  # fmt: skip
    output = tmp_path / "o.jsonl"
    clean.main(
        ["--input", str(path), "--output", str(output), "--funnel", str(tmp_path / "f"), "--near-duplicates", "0.7"]
    )
    assert [record["id"] for record in read_lines(output)] == ["d2", "x"]


def test_shingles():
    assert shingles("a b c d") == {"a b c", "b c d"}
    assert shingles("a b") == {"a b"}


def test_split_is_by_dialogue_and_seed(tmp_path):
    path = write_lines(tmp_path / "in.jsonl", [topic(number) for number in range(20)])

    def run(seed, n=5, name=path):
        train, held = tmp_path / "t.jsonl", tmp_path / "h.jsonl"
        options = ["--heldout", str(n), "--seed", str(seed)]
        split.main(["--input", str(name), "--output-train", str(train), "--output-heldout", str(held), *options])
        return [[record["id"] for record in read_lines(output)] for output in (train, held)]

    train, held = run(0)
    assert (len(train), len(held)) == (15, 5)
    assert sorted(train + held) == sorted(f"d{number}" for number in range(20))
    assert run(0) == [train, held]
    assert run(1)[1] != held
    assert set(held) < set(run(0, n=8)[1])
    assert run(0, n=0)[1] == []
    turned = write_lines(tmp_path / "turned.jsonl", [topic(number) for number in reversed(range(20))])
    assert set(run(0, name=turned)[1]) == set(held)
    with pytest.raises(UserError, match="none to train on"):
        run(0, n=20)


def run_mix(tmp_path, inputs, seed, *options):
    output = tmp_path / "mix.jsonl"
    mix.main(["--input", *map(str, inputs), "--seed", str(seed), "--output", str(output), *options])
    return read_lines(output)


def test_mix_order_depends_on_the_seed_alone(tmp_path):
    records = [topic(number, "a" if number % 2 else "b") for number in range(20)]
    one = write_lines(tmp_path / "one.jsonl", records)
    two = [write_lines(tmp_path / f"{k}.jsonl", records[k::2][::-1]) for k in range(2)]
    mixed = run_mix(tmp_path, [one], 7)
    assert mixed == run_mix(tmp_path, two, 7)
    assert sorted(record["id"] for record in mixed) == sorted(record["id"] for record in records)
    assert mixed != run_mix(tmp_path, [one], 8)
    assert mixed != records
    fewer = [record["id"] for record in run_mix(tmp_path, two[:1], 7)]
    assert fewer == [record["id"] for record in mixed if record["id"] in fewer]  # the rest keeps its order
    with pytest.raises(UserError, match="occurs twice"):
        run_mix(tmp_path, [one, one], 7)


def test_a_balanced_mix_takes_kinds_of_reply_in_turns(tmp_path):
    lists, others, short = "1. one\n2. two", "a long reply " * 30, "yes"
    replies = [lists] * 4 + [others] * 9 + [short] * 6
    records = [
        {"id": str(n), "source": "s", "messages": [{"role": "user", "content": f"q{n}"},
                                                   {"role": "assistant", "content": reply}]}
        for n, reply in enumerate(replies)
    ]  # fmt: skip
    path = tmp_path / "kinds.jsonl"
    write_lines(path, records)
    kinds = [mix.kind(record) for record in run_mix(tmp_path, [path], 3, "--balanced")]
    assert kinds == ["list", "other", "short"] * 4
    plain = [record["id"] for record in run_mix(tmp_path, [path], 3)]
    balanced = [record["id"] for record in run_mix(tmp_path, [path], 3, "--balanced")]
    for reply in (lists, others, short):  # within a kind the seed's order stays
        own = [name for name in balanced if replies[int(name)] == reply]
        assert own == [name for name in plain if name in own]
    other = [record["id"] for record in run_mix(tmp_path, [path], 4, "--balanced")]
    assert other != balanced
    assert sorted(other) == sorted(balanced), "another order of the same dialogues"


def test_mix_of_single_exchanges(tmp_path):
    long = dialogue("long", "short q", "short a", "x" * 50, "short a", "q three", "y" * 90)
    long["messages"].insert(0, {"role": "system", "content": "S"})
    path = write_lines(tmp_path / "in.jsonl", [long, topic(0)])
    options = ["--single-exchanges", "--max-query-characters", "49", "--max-reply-characters", "99"]
    found = {record["id"]: record for record in run_mix(tmp_path, [path], 0, *options)}
    assert set(found) == {"long/1", "long/5", "d0/0"}
    assert [m["content"] for m in found["long/5"]["messages"]] == ["S", "q three", "y" * 90]
    whole = run_mix(tmp_path, [path], 0, "--max-query-characters", "49")
    assert [record["id"] for record in whole] == ["d0"]
    with pytest.raises(UserError, match="no dialogue is short enough"):
        run_mix(tmp_path, [path], 0, "--max-query-characters", "1")
    with pytest.raises(UserError, match="1 or more"):
        run_mix(tmp_path, [path], 0, "--max-query-characters", "0")


def run_prompts(tmp_path, pool, training, *options):
    paths = {name: tmp_path / f"{name}.out" for name in ("output", "references", "funnel")}
    arguments = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    prompts.main(["--pool", str(pool), "--training", str(training), *arguments, *options])
    return read_lines(paths["output"]), read_lines(paths["references"]), read_funnel(paths["funnel"])


def test_prompts_are_english_not_coding_and_away_from_training(tmp_path):
    training = write_lines(
        tmp_path / "t.jsonl",
        [dialogue("t", "hello there", "hi", "Please tell me something nice about tea today", "Tea is nice.")],
    )
    pool = write_lines(
        tmp_path / "pool.jsonl",
        [
            topic(0),  # its query is a training dialogue's second one
            dialogue("german", "Bitte erzählen Sie mir etwas über die Geschichte des Tees.", "Gerne doch."),
            dialogue("code", "How can I reverse a list in Python without copying it first?", "Use reverse()."),
            dialogue("fence", "How would one show this to the people who asked?", "```\nprint(1)\n```"),
            dialogue("good", "Why do the leaves of trees change their colour in autumn?", "Chlorophyll goes."),
            dialogue("same", "why do the leaves of trees change their colour in autumn?", "They do."),
            dialogue("two", "Which birds stay for the whole winter in cold countries?", "Owls do.", "and why?", "So."),
        ],
    )
    found, references, funnel = run_prompts(tmp_path, pool, training, "--n", "5")
    assert sorted(record["id"] for record in found) == ["good", "two"]
    assert all([message["role"] for message in record["messages"]] == ["user"] for record in found)
    assert {r["prompt_id"]: r["response"] for r in references} == {"good": "Chlorophyll goes.", "two": "Owls do."}
    assert [r["prompt_id"] for r in references] == [record["id"] for record in found]
    counts = {step: (row["kept"], row["dropped"]) for (step, reason), row in funnel.items() if not reason}
    assert counts == {
        "selection": ("7", "0"),
        "language": ("6", "1"),
        "coding": ("4", "2"),
        "distinct": ("3", "1"),
        "training overlap": ("2", "1"),
        "draw": ("2", "0"),
    }
    assert funnel["draw", "fewer than the 5 asked for: all taken"]["kept"] == "2"
    assert funnel["training overlap", "is a turn of the training data"]["examples"] == "d0"


def test_prompts_of_ones_own_have_no_reference(tmp_path):
    training = write_lines(tmp_path / "t.jsonl", [dialogue("t", "Please tell me something nice about tea.", "No.")])
    chat = [
        {"role": role, "content": text} for role, text in (("system", "Be brief."), ("user", "Why is the sky blue?"))
    ]
    pool = write_lines(
        tmp_path / "own.jsonl",
        [
            {"id": "tea", "prompt": "Please tell me something nice about tea."},
            {"id": "trees", "prompt": "Why do the leaves of trees change their colour in autumn?"},
            {"id": "sky", "messages": chat},
            {"id": "reply", "messages": [{"role": "assistant", "content": "This is a reply without a query."}]},
        ],
    )
    found, _, funnel = run_prompts(tmp_path, pool, training)
    assert {record["id"]: [m["role"] for m in record["messages"]] for record in found} == {
        "trees": ["user"],
        "sky": ["system", "user"],
    }
    assert (tmp_path / "references.out").read_bytes() == b""
    assert funnel["selection", "no query with a reply"]["examples"] == "reply"
    assert funnel["training overlap", "is a turn of the training data"]["examples"] == "tea"
    with pytest.raises(UserError, match=r"own\.jsonl, line 1: 'messages' is missing"):
        run_prompts(tmp_path, pool, training, "--single-exchanges")


def test_short_queries_are_english_by_their_replies():
    reply = "Sure, here are some more of the names that you asked me for, and why they fit."
    english = ["continue", "50", "villi", "more please", "how do i copy to clipboard in zelij", "Jaedala?"]
    foreign = {"다음을 영어로 번역해줘 주세요": reply, "yar koi unique sa attack batao": reply, "猫是什么？": reply,
               "continue": "Le Danemark est une monarchie dont le roi a peu de pouvoirs."}  # fmt: skip
    records = [dialogue(f"e{n}", query, reply) for n, query in enumerate(english)]
    records += [dialogue(f"f{n}", *exchange) for n, exchange in enumerate(foreign.items())]
    kept = prompts.in_language(records, "en", Funnel("f"))
    assert [record["id"] for record in kept] == [f"e{n}" for n in range(len(english))]


def test_prompts_draw_by_seed(tmp_path):
    training = write_lines(tmp_path / "t.jsonl", [dialogue("t", "unrelated words entirely", "yes")])
    pool = write_lines(tmp_path / "pool.jsonl", [topic(number) for number in range(20)])
    draws = [[r["id"] for r in run_prompts(tmp_path, pool, training, "--n", "6", "--seed", s)[0]] for s in "001"]
    assert draws[0] == draws[1]
    assert len(draws[0]) == 6
    assert set(draws[0]) != set(draws[2])
    with pytest.raises(UserError, match="no prompt is left"):
        run_prompts(tmp_path, pool, pool)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Write a python function that adds two numbers", True),
        ("```\nx = 1\n```\nwhat is wrong?", True),
        ("#include <stdio.h>\nint main() {", True),
        ("SELECT name FROM users WHERE id = 3, make it faster", True),
        ("How do I fix this bug in my code?", True),
        ("Write a script that returns the largest file in a folder", True),
        ("Write a poem about the sea", False),
        ("What is the function of the liver?", False),
        ("I have a table and four chairs; how should I set them up?", False),
        ("Write a script for a short play about two owls", False),
        ("What should I wear to an interview?", False),
        ("Summarize the plot of Hamlet in 3 sentences.", False),
        ("How does a java sparrow build its nest?", True),  # a known false alarm of the rule
    ],
)
def test_coding_rule(query, expected):
    assert coding.is_coding(query) is expected


def test_table_6_sheet_and_tally(tmp_path):
    path = write_lines(tmp_path / "q.jsonl", [*(topic(number) for number in range(20)), dialogue("f", "=1+1", "2")])
    sheet = tmp_path / "sheet.csv"
    annotate.main(["sheet", "--queries", str(path), "--n", "21", "--output", str(sheet)])
    lines = sheet.read_text().splitlines()
    assert lines[0] == "id,category,query"
    assert len(lines) == 22
    assert "f,,'=1+1" in lines
    annotate.main(["sheet", "--queries", str(path), "--n", "10", "--output", str(sheet)])
    assert sheet.read_text().splitlines() == lines[:11]  # a smaller sheet is the beginning of a larger one
    filled = "\n".join(
        [lines[0], *(line.replace(",,", ",chat,", 1) for line in lines[1:10]), lines[10].replace(",,", ",Coding,", 1)]
    )
    sheet.write_text(filled)
    annotate.main(["tally", "--sheet", str(sheet), "--output", str(tmp_path / "t.json")])
    found = json.loads((tmp_path / "t.json").read_text())
    assert found["n"] == 10
    assert found["categories"]["Chat"]["value"] == 0.9
    low, high = found["categories"]["Chat"]["ci95"]
    assert (low, high) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    assert found["categories"]["Invalid"]["value"] == 0
    sheet.write_text(filled.replace("Coding", "Codeing"))
    with pytest.raises(UserError, match=r"row 10 \(.*\): the category is 'Codeing'; did you mean Coding"):
        annotate.tally(sheet)
    sheet.write_text("\ufeff" + filled.replace(",", ";").replace("Coding", ' "CODING." ').replace("chat", ""))
    assert annotate.tally(sheet, allow_empty=True)["unlabelled"] == 9  # as a spreadsheet may write it
    with pytest.raises(UserError, match="the category is ''"):
        annotate.tally(sheet)
    sheet.write_text('id,category,query\n1,Chat,"open\n2,Coding,"x"\n')
    with pytest.raises(UserError, match="can't be read"):
        annotate.tally(sheet)
    sheet.write_text("id\n1\n")
    with pytest.raises(UserError, match="no column 'category'"):
        annotate.tally(sheet)
    with pytest.raises(UserError, match="fewer than --n 50"):
        annotate.main(["sheet", "--queries", str(path), "--output", str(sheet)])


def test_a_selection_by_words_of_the_query(tmp_path):
    queries = [
        "List five teas",
        "enlisted men?",
        "WHAT\n is tea",
        "whatis tea",
        "What's tea? - a list",
        "Ünter c++ alle",
    ]
    dialogues = [dialogue(f"d{n}", query, "A reply.") for n, query in enumerate(queries)]
    dialogues.append(dialogue("later", "a list of teas", "Green.", "tell me more", "Black."))
    path = write_lines(tmp_path / "pool.jsonl", dialogues)
    output = tmp_path / "mix.jsonl"
    words = ["--query-words", "list", "what is", "c++"]
    mix.main(["--input", str(path), "--seed", "1", *words, "--output", str(output)])
    assert {record["id"] for record in read_lines(output)} == {"d0", "d2", "d4", "d5"}, "the last query decides"
    mix.main(["--input", str(path), "--seed", "1", *words, "--single-exchanges", "--output", str(output)])
    assert {record["id"] for record in read_lines(output)} == {"d0/0", "d2/0", "d4/0", "d5/0", "later/0"}
