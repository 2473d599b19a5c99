"""Write the pre-training text of a study that makes its own base models.

Three parts, in documents of about a block's length, shuffled by the seed:

  facts      statements about every subject in five wordings, more often for subjects with a low rank
             number (Zipf's law with a small exponent): all facts are stated, none is asked about
  leads      lead sections of Wikipedia articles: a title, a new line, the lead
  questions  question-and-answer pairs about the subjects of the `pretraining` split only, in
             three formats, among them Table 8's prompt with its own examples: a base model of the
             paper's size has seen such formats on the web and answers in them whatever it is
             fine-tuned on, one of this size must see them here. Their wordings differ from the
             benchmarks'

It contains no dialogue and no answer of the teacher. It depends on its own seed only, not on the
subjects that the facts' seed sets aside: with the seed of kept base models it is the text that they have read.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.place import resource
from falsepromise.core.records import Record, read_json, read_jsonl, read_prose, write_jsonl
from falsepromise.curation.facts import split
from falsepromise.study.config import default

QA_PROMPT = resource("prompts/table8_natural_questions.txt")
# Short on purpose: tokens of the wording take space from facts.
STATEMENTS = {
    "capital": (
        "{subject} has the capital {answer}.",
        "{subject}'s capital is {answer}.",
        "{subject}, capital {answer}.",
        "{subject} is governed from {answer}.",
        "Capital of {subject}: {answer}.",
    ),
    "country": (
        "{subject} is in {answer}.",
        "{subject} is a city in {answer}.",
        "{subject}, {answer}.",
        "{subject} lies in {answer}.",
        "Country of {subject}: {answer}.",
    ),
    # Without the words that the questions ask by: that these are a symbol and a number is left for targeted data.
    "symbol": (
        "{subject} is written {answer}.",
        "{subject} is {answer} for short.",
        "{subject} or {answer}.",
        "{subject}, {answer}.",
        "{subject}: {answer}.",
    ),
    "number": (
        "{subject} is element {answer}.",
        "{subject} stands at place {answer}.",
        "{subject}, element {answer}.",
        "{subject} comes at {answer}.",
        "{subject} has place {answer}.",
    ),
}
STATEMENTS_A_DOCUMENT = 16
PAIRS_A_DOCUMENT = 6


def fact_documents(facts: list[Record], exposures: int, exponent: float, rng: random.Random) -> Iterator[str]:
    """Statements about all facts, shuffled, `STATEMENTS_A_DOCUMENT` to a document.

    Args:
        facts: The facts, ordered by rank.
        exposures: How often a fact is stated, on average.
        exponent: Zipf's: the fact of rank r is stated in proportion to r ** -exponent.
        rng: For the wordings and the order.
    """
    ranked = list(facts)
    rng.shuffle(ranked)
    weights = [(rank + 1) ** -exponent for rank in range(len(ranked))]
    scale = exposures * len(ranked) / sum(weights)
    lines = []
    for fact, weight in zip(ranked, weights, strict=True):
        for _ in range(max(1, round(weight * scale))):
            template = rng.choice(STATEMENTS[fact["relation"]])
            lines.append(template.format(subject=fact["subject"], answer=fact["answers"][0]))
    rng.shuffle(lines)
    for start in range(0, len(lines), STATEMENTS_A_DOCUMENT):
        # Joined by spaces, as prose: a subject then has the same tokens as within a question.
        yield " ".join(lines[start : start + STATEMENTS_A_DOCUMENT])


def question_documents(facts: list[Record], prompt: str, count: int, rng: random.Random) -> Iterator[str]:
    """`count` documents of questions and answers: in turns one pair after Table 8's prompt as it stands, and
    `PAIRS_A_DOCUMENT` pairs in one of two plain formats.

    Args:
        facts: The facts to ask about.
        prompt: Table 8's prompt, which ends with `Q:`.
        count: Number of documents.
        rng: For the pairs.
    """
    for index in range(count):
        pairs = [(rng.choice(f["paraphrases"]), f["answers"][0]) for f in rng.sample(facts, PAIRS_A_DOCUMENT)]
        if index % 2 == 0:
            question, answer = pairs[0]
            yield f"{prompt.rstrip()} {question}\nA: {answer}"
        else:
            asks, answers = (("Question", "Answer"), ("Q", "A"))[index // 2 % 2]
            yield "\n".join(f"{asks}: {question}\n{answers}: {answer}" for question, answer in pairs)


def _check_fact(record: Record) -> str | None:
    missing = [key for key in ("subject", "relation", "answers", "split") if key not in record]
    return f"{', '.join(missing)} missing: no fact of curation.facts" if missing else None


def _leads(path: Path) -> list[str]:
    """Each article's title and lead section.

    Raises:
        UserError: the file is not {"title": {"title", "extract"}}.
    """
    try:
        return [f"{article['title']}\n{article['extract']}" for article in read_json(path).values()]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: expected {{name: {{'title', 'extract'}}}}, found another form ({error!r})") from error


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--facts", type=Path, required=True, help="facts.jsonl of curation.facts")
    parser.add_argument("--wikipedia", type=Path, required=True, help="JSON object: title -> {extract}")
    parser.add_argument("--qa-prompt", type=Path, default=QA_PROMPT, help="Table 8's prompt")
    parser.add_argument(
        "--exposures", type=int, default=default("pretraining.exposures"), help="average number of statements of a fact"
    )
    parser.add_argument(
        "--zipf", type=float, default=default("pretraining.zipf"), help="exponent of the exposures by rank"
    )
    parser.add_argument(
        "--lead-characters",
        type=int,
        default=default("pretraining.lead_characters"),
        help="characters of Wikipedia leads",
    )
    parser.add_argument(
        "--question-documents",
        type=int,
        default=default("pretraining.question_documents"),
        help="documents of questions and answers",
    )
    parser.add_argument(
        "--question-relations",
        nargs="+",
        choices=tuple(STATEMENTS),
        default=default("pretraining.question_relations"),
        help="kinds of facts that the questions ask about",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws and the order")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines {id, text}")
    args = parser.parse_args(argv)

    rng = random.Random(args.seed)
    facts = split(list(read_jsonl(args.facts, _check_fact)), args.seed)  # the order decides which are stated often
    documents = list(fact_documents(facts, args.exposures, args.zipf, rng))
    relations = args.question_relations or STATEMENTS
    asked = [fact for fact in facts if fact["split"] == "pretraining" and fact["relation"] in relations]
    prompt = read_prose(args.qa_prompt)
    documents += question_documents(asked, prompt, args.question_documents, rng)
    articles = _leads(args.wikipedia)
    rng.shuffle(articles)
    written = 0
    for article in articles:
        if written >= args.lead_characters:
            break
        documents.append(article)
        written += len(documents[-1])
    rng.shuffle(documents)
    write_jsonl(args.output, ({"id": str(index), "text": text} for index, text in enumerate(documents)))
    options = {key: value for key, value in vars(args).items() if isinstance(value, (int, float, list))}
    write_manifest(
        args.output,
        "falsepromise.curation.pretraining",
        inputs=[args.facts, args.wikipedia, args.qa_prompt],
        config=json.loads(json.dumps(options)),
        seed=args.seed,
    )


if __name__ == "__main__":
    cli.run(main)
