"""What a study would ask of its teacher and judges, and what that would cost. Nothing is asked.

Counts come from the study; tokens are assumptions for each kind of request (`--tokens` changes
them), prices the study's own (`teacher.price_input`, `teacher.price_output`, and a judge's). Answers
that the store has already are not taken off: the verbs themselves say so when they start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import dumps
from falsepromise.study.expand import load_files
from falsepromise.study.stages import style
from falsepromise.study.study import Study
from falsepromise.teacher.cost import Prices

# Assumed tokens of one request: prompt and answer. The first two follow from Tables 4 and 5 with
# pairs and posts of usual length, the benchmarks' from their few-shot prompts, the rest are guesses.
TOKENS: dict[str, tuple[int, int]] = {
    "nq_synthetic": (150, 250),
    "tldr_synthetic": (1000, 50),
    "answers": (150, 400),
    "judge": (1100, 200),
    "tone": (350, 1),
    "mmlu": (700, 1),
    "multiple_choice": (100, 1),
    "nq": (130, 5),
    "gsm8k": (1000, 120),
    "humaneval": (180, 250),
    "cnn": (2100, 80),
    "toxicity": (20, 30),
}
PAIRS_A_REQUEST = 10  # new ones, of NQ-synthetic
SAMPLES = 2  # of the teacher for each prompt: the reference and the upper bound of Table 2
ORDERS = 2  # in which a judge sees each pair
ITEMS = {"mmlu": 14_042, "nq": 3_610, "gsm8k": 1_319, "humaneval": 164, "cnn": 11_490, "toxicity": 99_442}


@dataclass(frozen=True)
class Ask:
    """One line of the plan: how many requests of a kind go to a model, at which prices.

    `requests` is None where the study alone doesn't say (a benchmark on a file of one's own).
    """

    what: str
    kind: str
    asked: dict[str, Any]
    requests: int | None

    @property
    def model(self) -> str:
        return str(self.asked["model"])

    def cost(self, tokens: dict[str, tuple[int, int]]) -> float | None:
        """US dollars; None without prices or a count. The local stand-in costs nothing."""
        if self.asked["url"] == "local":
            return 0.0
        if self.requests is None or "price_input" not in self.asked or "price_output" not in self.asked:
            return None
        prices = Prices(self.asked["price_input"], self.asked["price_output"])
        return self.requests * prices.cost(*tokens[self.kind])


def asks(study: Study) -> Iterator[Ask]:
    """All that a study asks, in the order in which it is needed."""
    teacher = study.teacher
    for name, mixture in study.mixtures.items():
        kind = mixture.get("teacher")
        if kind:
            requests = -(-mixture["n"] // PAIRS_A_REQUEST) if kind == "nq_synthetic" else mixture["n"]
            yield Ask(f"mixture {name}", kind, teacher, requests)
    for name, prompts in study.prompts.items():
        if prompts.get("references", "dialogue") == "teacher":
            yield Ask(f"answers to {name}", "answers", teacher, prompts["n"] * SAMPLES)
    for name in teacher.get("benchmarks", []):
        benchmark = study.benchmarks[name]
        count = benchmark.get("limit") or (None if _own(benchmark["data"]) else ITEMS.get(benchmark["task"]))
        yield Ask(f"benchmark {name}", benchmark["task"], teacher, count)
    for name, judge in study.judges.items():
        prompts = study.prompts[judge["prompts"]]
        models = len(study.chosen(judge, ("amount", "size")))
        asked = _asked(teacher, judge)
        yield Ask(f"judge {name}", "judge", asked, prompts["n"] * models * ORDERS)
        if study.style.get("tone") == name:
            count = study.prompts[study.style["prompts"]]["n"] * len(style.scores(study))
            yield Ask(f"tone by {name}", "tone", asked, count)


def _asked(teacher: dict[str, Any], judge: dict[str, Any]) -> dict[str, Any]:
    """A judge's settings, the teacher's where it has none; not its prices if it is another model."""
    if judge.get("model", teacher["model"]) != teacher["model"] or judge.get("url", teacher["url"]) != teacher["url"]:
        teacher = {key: value for key, value in teacher.items() if not key.startswith("price_")}
    return {**teacher, **judge}


def _own(data: str) -> bool:
    return data.startswith("facts:")


def table(lines: Sequence[Ask], tokens: dict[str, tuple[int, int]]) -> list[list[str]]:
    """The plan as rows of text, a heading first."""
    rows = [["what", "model", "requests", "input tokens", "output tokens", "US dollars"]]
    for ask in lines:
        cost = ask.cost(tokens)
        if ask.requests is None:
            counts = ["all items", "", ""]
        else:
            counts = [f"{n:,}" for n in (ask.requests, *(ask.requests * each for each in tokens[ask.kind]))]
        rows.append([ask.what, ask.model, *counts, "no price" if cost is None else f"{cost:,.2f}"])
    return rows


def limits(lines: Sequence[Ask], tokens: dict[str, tuple[int, int]]) -> Iterator[str]:
    """What stands against the study's own limits, a sentence for each model."""
    for model in dict.fromkeys(ask.model for ask in lines):
        mine = [ask for ask in lines if ask.model == model]
        asked = mine[0].asked
        costs = [ask.cost(tokens) for ask in mine]
        total = sum(cost for cost in costs if cost is not None)
        requests = sum(ask.requests or 0 for ask in mine)
        if asked["url"] == "local":
            continue
        if None in costs and "max_usd" in asked:
            yield f"{model}: max_usd is {asked['max_usd']:g}, but without price_input and price_output it can't be kept"
        elif "max_usd" in asked and total > asked["max_usd"]:
            yield f"{model}: about ${total:,.2f} is over max_usd, {asked['max_usd']:g}; the verbs will stop there"
        if "max_requests" in asked and requests > asked["max_requests"]:
            yield f"{model}: {requests:,} requests are over max_requests, {asked['max_requests']:,}"


def _assumptions(changes: Sequence[str]) -> dict[str, tuple[int, int]]:
    tokens = dict(TOKENS)
    for change in changes:
        kind, _, values = change.partition("=")
        parts = values.split(",")
        if kind not in tokens or len(parts) != 2 or not all(part.isdigit() for part in parts):
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
            spent = {"usd": ask.cost(tokens), "input_tokens": tokens[ask.kind][0], "output_tokens": tokens[ask.kind][1]}
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
    print(f"\nabout ${sum(cost or 0 for cost in costs):,.2f}" + (" and what has no price" if None in costs else ""))
    for problem in limits(lines, tokens):
        print(problem)


if __name__ == "__main__":
    cli.run(main)
