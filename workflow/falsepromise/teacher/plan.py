"""Estimate a study's requests to its teacher and judges, and their cost. It sends none.

Counts come from the study; tokens are assumptions for each kind of request (`--tokens` changes
them), prices are the study's (`teacher.price_input`, `teacher.price_output`, and a judge's). Answers
that are already in the store are not subtracted: the verbs report them when they start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import dumps
from falsepromise.study import hours
from falsepromise.study.asked import Teacher
from falsepromise.study.expand import load_files
from falsepromise.study.stages import preference, style
from falsepromise.study.study import Study
from falsepromise.study.tasks import TASKS
from falsepromise.teacher import providers
from falsepromise.teacher.cost import Prices

# Assumed tokens of one request: prompt and answer. The first two follow from Tables 4 and 5 with pairs and posts of
# usual length, the benchmarks' from their few-shot prompts; the others are guesses.
TOKENS: dict[str, tuple[int, int]] = {
    "nq_synthetic": (150, 250),
    "tldr_synthetic": (1000, 50),
    "answers": hours.ANSWER,
    "judge": (1100, 200),
    "tone": (350, 1),
    **{name: task.request for name, task in TASKS.items() if task.request},
}
PAIRS_A_REQUEST = 10  # new pairs of NQ-synthetic
SAMPLES = 2  # teacher's answers to each prompt: the reference and the upper bound of Table 2
ITEMS = {name: task.items for name, task in TASKS.items() if task.items}


@dataclass(frozen=True)
class Ask:
    """One line of the plan: how many requests of a kind go to a model, at which prices.

    `requests` is None if the study doesn't state it (a benchmark on a user's file).
    """

    what: str
    kind: str
    asked: Teacher
    requests: int | None

    @property
    def model(self) -> str:
        return self.asked.model

    @property
    def batch_share(self) -> float | None:
        """A batch's price as a share of the full price; None if the provider has no known batch API."""
        asked = self.asked
        if asked.url == "local":
            return None
        own = asked.habits.model_dump(exclude_unset=True) if asked.habits else None
        return providers.batch_price(asked.url, self.model, asked.provider, own)

    def batch_cost(self, tokens: dict[str, tuple[int, int]]) -> float | None:
        """US dollars through the provider's batch API; None without one, or without prices."""
        cost = self.cost(tokens)
        return None if cost is None or self.batch_share is None else cost * self.batch_share

    def to_pay(self, tokens: dict[str, tuple[int, int]]) -> float | None:
        """US dollars, by batch or one by one as the study sets."""
        return self.batch_cost(tokens) if self.asked.batch else self.cost(tokens)

    def cost(self, tokens: dict[str, tuple[int, int]]) -> float | None:
        """US dollars; None without prices or a count. The local stand-in costs nothing."""
        if self.asked.url == "local":
            return 0.0
        if self.requests is None or self.asked.price_input is None or self.asked.price_output is None:
            return None
        prices = Prices(self.asked.price_input, self.asked.price_output)
        return self.requests * prices.cost(*tokens[self.kind])


def asks(study: Study) -> Iterator[Ask]:
    """All requests of a study, in the order of the work."""
    config = study.config
    for name, mixture in config.mixtures.items():
        if mixture.teacher and mixture.n:
            requests = -(-mixture.n // PAIRS_A_REQUEST) if mixture.teacher == "nq_synthetic" else mixture.n
            yield Ask(f"mixture {name}", mixture.teacher, config.teacher, requests)
    for name, prompts in config.prompts.items():
        if prompts.references == "teacher":
            yield Ask(f"answers to {name}", "answers", config.teacher, prompts.n * SAMPLES)
    for name in config.teacher.benchmarks:
        benchmark = config.benchmarks[name]
        count = benchmark.limit or (None if _own(benchmark.data) else ITEMS.get(benchmark.task))
        yield Ask(f"benchmark {name}", benchmark.task, config.teacher, count)
    for name, judge in config.judges.items():
        if not judge.prompts:  # a panel asks nothing
            continue
        asked, orders = study.asked(name), 2 if judge.order == "both" else 1
        controls = [file for file in preference.controls(study) if Path(file).parent.name == name]
        judged = [*study.chosen(judge.runs), *controls]
        yield Ask(f"judge {name}", "judge", asked, config.prompts[judge.prompts].n * len(judged) * orders)
        if config.style and config.style.tone == name:
            answers = [*style.scores(study), *style.second_judgements(study)]
            yield Ask(f"tone by {name}", "tone", asked, config.prompts[config.style.prompts].n * len(answers))


def _own(data: str | None) -> bool:
    return (data or "").startswith("facts:")


def table(lines: Sequence[Ask], tokens: dict[str, tuple[int, int]]) -> list[list[str]]:
    """The plan as rows of text, with a heading."""
    rows = [["what", "model", "requests", "input tokens", "output tokens", "US dollars"]]
    for ask in lines:
        cost = ask.cost(tokens)
        if ask.requests is None:
            counts = ["all items", "", ""]
        else:
            counts = [f"{n:,}" for n in (ask.requests, *(ask.requests * each for each in tokens[ask.kind]))]
        rows.append([ask.what, ask.model, *counts, "no price" if cost is None else f"{cost:,.2f}"])
    return rows


def by_batch(lines: Sequence[Ask], tokens: dict[str, tuple[int, int]]) -> Iterator[str]:
    """Both prices of each model with a batch API, and the one that the study pays."""
    for model in dict.fromkeys(ask.model for ask in lines):
        mine = [ask for ask in lines if ask.model == model and ask.batch_cost(tokens) is not None]
        if mine:
            single = sum(ask.cost(tokens) or 0 for ask in mine)
            batch = sum(ask.batch_cost(tokens) or 0 for ask in mine)
            pays = "the study uses batches" if mine[0].asked.batch else "set batch: true for batches"
            yield f"{model}: ${single:,.2f} one by one, ${batch:,.2f} through the batch API; {pays}"


def limits(lines: Sequence[Ask], tokens: dict[str, tuple[int, int]]) -> Iterator[str]:
    """Conflicts with the study's limits, a sentence for each model."""
    for model in dict.fromkeys(ask.model for ask in lines):
        mine = [ask for ask in lines if ask.model == model]
        asked = mine[0].asked
        costs = [ask.to_pay(tokens) for ask in mine]
        total = sum(cost for cost in costs if cost is not None)
        requests = sum(ask.requests or 0 for ask in mine)
        if asked.url == "local":
            continue
        if asked.batch and mine[0].batch_share is None:
            yield f"{model}: batch is set, but no batch API of {asked.url} is known; the verbs will refuse it"
            continue
        if None in costs and asked.max_usd:
            yield f"{model}: max_usd is {asked.max_usd:g}, but it has no effect without price_input and price_output"
        elif asked.max_usd and total > asked.max_usd:
            yield f"{model}: about ${total:,.2f} is over max_usd, {asked.max_usd:g}; the verbs will stop there"
        if asked.max_requests and requests > asked.max_requests:
            yield f"{model}: {requests:,} requests are over max_requests, {asked.max_requests:,}"


def _assumptions(changes: Sequence[str]) -> dict[str, tuple[int, int]]:
    tokens = dict(TOKENS)
    for change in changes:
        kind, _, values = change.partition("=")
        parts = values.split(",")
        if kind not in tokens or len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise UserError(f"--tokens {change}: expected KIND=INPUT,OUTPUT with a kind out of {', '.join(tokens)}")
        tokens[kind] = int(parts[0]), int(parts[1])
    return tokens


def main(argv: Sequence[str] | None = None) -> None:
    """Print the plan."""
    parser = cli.parser(__doc__)
    parser.add_argument("--study", required=True, nargs="+", type=Path, metavar="FILE", help="study file(s), YAML")
    parser.add_argument("--tokens", action="append", default=[], metavar="KIND=IN,OUT", help="tokens of one request")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    options = parser.parse_args(argv)
    study = load_files(options.study)
    tokens = _assumptions(options.tokens)
    lines = list(asks(study))
    if options.json:
        for ask in lines:
            asked, answered = tokens[ask.kind]
            spent = {"usd": ask.cost(tokens), "batch_usd": ask.batch_cost(tokens)}
            spent |= {"input_tokens": asked, "output_tokens": answered}
            print(dumps({"what": ask.what, "model": ask.model, "requests": ask.requests, **spent}))
        return
    rows = table(lines, tokens)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(
                cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )
    costs = [ask.cost(tokens) for ask in lines]
    total = sum(cost or 0 for cost in costs)
    print(f"\nabout ${total:,.2f}" + (", plus requests without a price" if None in costs else ""))
    for line in by_batch(lines, tokens):
        print(line)
    for problem in limits(lines, tokens):
        print(problem)


if __name__ == "__main__":
    cli.run(main)
