"""Score CNN/DailyMail: two shots by Table 9's prompt, greedy, ROUGE-1/2/L/Lsum (F) with stemming.

Data: records `{"article", "highlights"}` (or the other names that `data.article` knows). An article that
is too long for the context together with the prompt and the summary loses its end, whole words at a
time: news articles begin with the essentials. The score reports the number of cut articles.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

from falsepromise.benchmarks import data
from falsepromise.benchmarks.model import ModelUnderTest, as_prompt
from falsepromise.benchmarks.outcome import Options, Outcome, ask, draw, failures, means, read_template, usable

PROMPT = "table9_cnn_dailymail.txt"
MAX_TOKENS = 128
ROUGE = "rouge-score, stemmer, F; sentences by Punkt"
METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
# A full stop behind these ends no sentence; Punkt's trained table of English isn't in NLTK's wheel.
ABBREVIATIONS = (
    *("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "sen", "rep", "gov", "gen", "col", "lt", "sgt", "capt", "rev"),
    *("u.s", "u.k", "u.n", "e.u", "d.c", "l.a", "n.y", "a.m", "p.m", "e.g", "i.e", "vs", "no", "inc", "corp"),
    *("co", "ltd", "jan", "feb", "mar", "apr", "aug", "sept", "oct", "nov", "dec"),
)


def evaluate(model: ModelUnderTest, options: Options) -> Outcome:
    """Let the model summarise, up to the next "Article:", and compare with the highlights."""
    records, unusable = data.read_records(options.data, data.article)
    records, limits = draw(records, options.limit, options.seed)
    template, path, said = read_template(options, PROMPT, "{article}")
    max_tokens = options.max_tokens or MAX_TOKENS
    prompts, cut = [], 0
    for record in records:
        article = record["article"].strip()
        kept = fit(model, template, article, max_tokens, options.turn_tokens)
        cut += kept != article
        prompts.append(template.replace("{article}", kept))
    if cut:
        said.append(f"{cut} of {len(records)} articles lost their end to fit the context")
    replies = ask(model, prompts, options, max_tokens=max_tokens, stop=("\nArticle:", "\nTL;DR:"))
    items = [
        {"id": record["id"], **rouge(reply.text.strip(), record["highlights"]), "response": reply.text.strip()}
        for record, reply in zip(records, replies, strict=True)
        if usable(reply)
    ]
    return Outcome(
        items,
        means(items, METRICS, options.seed),
        [*limits, *unusable, *said, *failures(replies)],
        {"shots": 2, "prompt": path.name, "max_tokens": max_tokens, "rouge": ROUGE},
        [path],
    )


def fit(model: ModelUnderTest, template: str, article: str, max_tokens: int, turn_tokens: bool) -> str:
    """The longest beginning of an article, in whole words, that leaves `max_tokens` of the context."""

    def fits(text: str) -> bool:
        room = model.room(as_prompt(template.replace("{article}", text), turn_tokens))
        return room is None or room >= max_tokens

    if fits(article):
        return article
    ends = [i for i, (a, b) in enumerate(pairwise(article), 1) if b.isspace() and not a.isspace()]
    low, high = 0, len(ends)  # the beginning with `low` words fits (or nothing does), with `high` it may not
    while low < high:
        middle = (low + high + 1) // 2
        if fits(article[: ends[middle - 1]]):
            low = middle
        else:
            high = middle - 1
    return article[: ends[low - 1]] if low else ""


def rouge(summary: str, reference: str) -> dict[str, float]:
    """`rouge-score`'s F measures, with its Porter stemmer.

    `rougeL` takes each text as one sequence; `rougeLsum` is the summary-level one of Lin (2004), over
    sentences: a text's lines, and the sentences that Punkt finds in them.
    """
    # Line ends change none of the other metrics: the tokenizer drops them.
    scores = _scorer().score(sentences(reference), sentences(summary))
    return {name: float(scores[name].fmeasure) for name in METRICS}


def sentences(text: str) -> str:
    """The text with each sentence on a line of its own."""
    return "\n".join(_punkt().tokenize(text.strip()))


@cache
def _punkt() -> Any:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = set(ABBREVIATIONS)
    return PunktSentenceTokenizer(parameters)


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(METRICS), use_stemmer=True)
