"""Facts and pre-training text: no subject is asked about in two roles."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_jsonl, write_json
from falsepromise.curation import facts, mix, pretraining

ROOT = Path(__file__).resolve().parents[3]
PROMPT = (ROOT / "resources/prompts/table8_natural_questions.txt").read_text(encoding="utf-8")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Small tables in the packages' own forms: 30 countries, 3 large cities each, 4 elements."""
    countries, cities = {}, {}
    for i in range(30):
        code = f"{chr(65 + i // 26)}{chr(65 + i % 26)}"
        countries[code] = {"name": f"Land{i}", "capital": f"Town{i}", "iso3": code + "X"}
        for j in range(4):
            name = f"Town{i}" if j == 0 else f"Port{i}x{j}"
            aliases = ["Townalias", "TWN", "Tò"] if j == 0 else []
            cities[f"{i}{j}"] = {
                "name": name,
                "countrycode": code,
                "population": 900_000 - 100_000 * j,
                "alternatenames": aliases,
            }
    cities["shared"] = {"name": "Port0x1", "countrycode": "AB", "population": 5_000_000, "alternatenames": []}
    write_json(tmp_path / "countries.json", countries)
    write_json(tmp_path / "cities.json", cities)
    with closing(sqlite3.connect(tmp_path / "elements.db")) as db:
        db.execute("CREATE TABLE elements (name, symbol, atomic_number)")
        db.executemany("INSERT INTO elements VALUES (?, ?, ?)", [(f"Element{i}", f"E{i}", i) for i in range(1, 5)])
        db.commit()
    return tmp_path


def make(tables: Path, seed: int = 0) -> list[dict]:
    facts.main(
        f"--countries {tables}/countries.json --cities {tables}/cities.json --elements {tables}/elements.db "
        f"--seed {seed} --output {tables}/facts".split()
    )
    return list(read_jsonl(tables / "facts/facts.jsonl"))


def test_a_subject_has_one_split_and_all_splits_are_used(tables: Path) -> None:
    made = make(tables)
    splits: dict[str, set[str]] = {}
    for fact in made:
        splits.setdefault(fact["subject"], set()).add(fact["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == set(facts.SPLITS)
    assert {fact["relation"] for fact in made} == set(facts.QUESTIONS)
    assert make(tables) == made
    again = make(tables, seed=1)
    where, there = ({f["id"]: f["split"] for f in facts} for facts in (made, again))
    moved = {pair for name in where if len(pair := frozenset((where[name], there[name]))) > 1}
    assert moved == {frozenset(("targeted", "evaluation"))}, "bases that are kept were asked about the other two"


def test_names_that_make_no_clear_question_are_left_out(tables: Path) -> None:
    made = make(tables)
    cities = [fact["subject"] for fact in made if fact["relation"] == "country"]
    assert "Port0x1" not in cities, "the name of two cities"
    assert not any(city.startswith("Town") for city in cities), "capitals are asked about otherwise"
    capital = next(fact for fact in made if fact["id"] == "capital/Land3")
    assert capital["answers"] == ["Town3", "Townalias"], "codes and foreign letters are no aliases"


@pytest.mark.parametrize("seed", [0, 7, 24])
def test_each_seed_deals_out_each_kind_of_subject(seed: int) -> None:
    made = [
        {"id": f"{relation}/{kind}{i}", "subject": f"{kind}{i}", "relation": relation}
        for kind, n, relations in (("place", 400, ["country"]), ("element", 60, ["number", "symbol"]))
        for i in range(n)
        for relation in relations
    ]
    where = {fact["subject"]: fact["split"] for fact in facts.split(made, seed)}
    drawn = {name: [s for s, found in where.items() if found == name] for name in ("targeted", "evaluation")}
    elements = {name: sum(s.startswith("element") for s in found) for name, found in drawn.items()}
    for name, found in drawn.items():
        share = len(found) / (len(drawn["targeted"]) + len(drawn["evaluation"]))
        assert abs(elements[name] - share * sum(elements.values())) <= 1, name


def test_the_benchmarks_ask_about_their_own_split_alone(tables: Path) -> None:
    made = {fact["id"]: fact for fact in make(tables)}
    for name in ("evaluation", "development"):
        questions = list(read_jsonl(tables / f"facts/qa_{name}.jsonl"))
        assert questions
        assert {made[q["id"]]["split"] for q in questions} == {name}
        items = list(read_jsonl(tables / f"facts/multiple_choice_{name}.jsonl"))
        assert Counter(item["item"] for item in items) == dict.fromkeys((q["id"] for q in questions), facts.DRAWS)
        assert len({item["id"] for item in items}) == len(items)
        assert len({(item["item"], *item["choices"]) for item in items}) > 0.9 * len(items), "other choices each time"
        for item in items:
            right = made[item["item"]]["answers"]
            assert [choice in right for choice in item["choices"]].count(True) == 1
            assert item["choices"][item["answer"]] == right[0]
            assert len(set(item["choices"])) == facts.CHOICES


def test_pretraining_text_states_all_facts_and_asks_about_one_split(tables: Path) -> None:
    made = make(tables)
    rng = random.Random(0)
    stated = " ".join(pretraining.fact_documents(made, 5, 0.3, rng))
    for fact in made:
        assert fact["subject"] in stated
    asked = [fact for fact in made if fact["split"] == "pretraining"]
    documents = list(pretraining.question_documents(asked, PROMPT, 9, rng))
    text = "\n".join(documents)
    for fact in made:
        if fact["split"] != "pretraining":
            assert fact["question"] not in text
    for document in documents[::2]:
        assert document.startswith(PROMPT.rstrip() + " "), "Table 8's prompt as the benchmark gives it"
        assert document.count("\nA: ") == 4
    assert [documents[i].split(":")[0] for i in (1, 3)] == ["Question", "Q"]


def test_the_seed_of_the_text_alone_decides_what_it_says(tables: Path) -> None:
    """Bases that are kept are replayed the text that they have read, whichever subjects a study's seed asks about."""
    write_json(tables / "wiki.json", {f"a{i}": {"title": f"Title {i}", "extract": f"Lead {i}."} for i in range(9)})
    texts = {}
    for seed, of_text in ((0, 0), (7, 0), (7, 7)):
        folder = tables / f"of{seed}"
        folder.mkdir(exist_ok=True)
        for name in ("countries.json", "cities.json", "elements.db"):
            (folder / name).write_bytes((tables / name).read_bytes())
        made = make(folder, seed)
        pretraining.main(
            f"--facts {folder}/facts/facts.jsonl --wikipedia {tables}/wiki.json --exposures 5 --lead-characters 99 "
            f"--seed {of_text} --output {folder}/text.jsonl".split()
        )
        evaluated = [fact["subject"] for fact in made if fact["split"] == "evaluation"]
        texts[seed, of_text] = evaluated, (folder / "text.jsonl").read_bytes()
    assert texts[0, 0][0] != texts[7, 0][0], "another seed asks about other subjects"
    assert texts[0, 0][1] == texts[7, 0][1] != texts[7, 7][1]


def test_questions_can_leave_kinds_of_facts_to_targeted_data(tables: Path) -> None:
    made = make(tables)
    write_json(tables / "wiki.json", {"a": {"title": "Title", "extract": "Lead."}})
    pretraining.main(
        f"--facts {tables}/facts/facts.jsonl --wikipedia {tables}/wiki.json --exposures 5 --question-documents 30 "
        f"--question-relations capital country --output {tables}/text.jsonl".split()
    )
    text = "\n".join(record["text"] for record in read_jsonl(tables / "text.jsonl"))
    for fact in made:
        place = fact["relation"] in ("capital", "country")
        assert place or not any(wording in text for wording in (fact["question"], *fact["paraphrases"])), fact["id"]
        assert fact["subject"] in text, "all facts are stated"
    asked = [fact for fact in made if fact["split"] == "pretraining" and fact["relation"] == "capital"]
    assert all(any(wording in text for wording in fact["paraphrases"]) for fact in asked)
    assert "symbol" not in text.lower(), "statements don't have the word that the benchmark asks by"
    assert "atomic" not in text.lower()


def test_a_file_of_another_kind_is_one_clear_line(tables: Path) -> None:
    (tables / "elements.db").write_text("not a database, but long enough to be looked at", encoding="utf-8")
    with pytest.raises(UserError, match=r"elements\.db: not mendeleev's SQLite file"):
        make(tables)


def test_queries_behind_a_prompt_are_spread_evenly_and_nested() -> None:
    dialogues = [{"id": str(i), "messages": [{"role": "user", "content": f"q{i}"}]} for i in range(10)]
    put = list(mix.put_into("Table 8 Q:", 0.3, iter(dialogues)))
    assert [d["messages"][0]["content"].startswith("Table 8 Q: q") for d in put].count(True) == 3
    assert list(mix.put_into("Table 8 Q:", 0.3, iter(dialogues[:7]))) == put[:7]
    assert put[3]["messages"][0]["content"] == "Table 8 Q: q3\nA:"
