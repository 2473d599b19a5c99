"""Make NQ-synthetic: question-answer pairs like Natural Questions', written by the teacher (appendix A).

Each request shows five pairs drawn at random from the seed examples (Table 3) in the prompt of
Table 4, at temperature 1.0, and asks for more. Duplicate pairs are discarded, and so are repetitions of the seed
examples, which come from the benchmark's validation set. Requests go on until there are N pairs, a limit on requests,
tokens or money is reached, or the teacher gives no new pairs (`--patience`). The log, the funnel and the manifest name
the reason.

It writes dialogues (user: the question, assistant: the answer) and a funnel of discarded pairs with reasons. The same
seed and answers give the same pairs in the same order at any concurrency.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record, read_jsonl
from falsepromise.core.text import shown
from falsepromise.curation.funnel import Funnel
from falsepromise.teacher import options as teacher_options
from falsepromise.teacher.cleaning import pairs as parse
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request
from falsepromise.teacher.ledger import LimitReached
from falsepromise.teacher.prompts import fill, load
from falsepromise.teacher.prompts import path as path_of
from falsepromise.teacher.standin import normalise
from falsepromise.teacher.store import Answer

log = logging.getLogger("falsepromise.teacher.nq_synthetic")
SHOWN = 5  # pairs in Table 4's prompt
WAVE = 64  # most requests between two checks of the count
BATCH_WAVE = 10_000  # in a batch, which takes hours at any size


def prompt(template: str, seeds: Sequence[tuple[str, str]], seed: int, index: int) -> str:
    """Request number `index` of a run: Table 4's prompt with five seed pairs drawn at random.

    Raises:
        UserError: there are fewer than five seed pairs.
    """
    if len(seeds) < SHOWN:
        raise UserError(f"{len(seeds)} seed examples, expected at least {SHOWN} to show in each request")
    drawn = random.Random(f"{seed}/{index}").sample(list(seeds), SHOWN)
    values = {}
    for place, (question, answer) in enumerate(drawn, 1):
        values[f"question {place}"], values[f"answer {place}"] = question, answer
    return fill(template, values)


def generate(
    teacher: Teacher,
    request: Callable[[int], Request],
    seeds: Sequence[tuple[str, str]],
    n: int,
    funnel: Funnel,
    patience: int,
    progress: Progress | None = None,
) -> Iterator[tuple[int, str, str]]:
    """Ask until there are `n` distinct pairs, or a limit or the patience ends it.

    Args:
        teacher: Who is asked.
        request: A function from a number (0, 1, ...) to a request.
        seeds: The seed examples, which don't count as new pairs.
        n: The number of pairs to make.
        funnel: Counts the pairs kept and dropped.
        patience: Give up after so many requests in a row without a new pair.
        progress: Counts the pairs.

    Yields:
        The number of the request, the question and the answer, in the order of the requests.
    """
    examples = {(normalise(question), normalise(answer)) for question, answer in seeds}
    seen: set[tuple[str, str]] = set()
    made = useless = index = 0
    limit: list[LimitReached] = []

    def answers(wave: range) -> Iterator[tuple[int, Answer]]:
        """The wave's answers, each with its number; if a limit ends it, those that are paid for."""
        following = wave.start
        try:
            for answer in teacher.ask_many(map(request, wave), progress, counts=False):
                yield following, answer
                following += 1
        except LimitReached as reached:
            limit.append(reached)
            paid = ((index, teacher.store.get(teacher.key(request(index)))) for index in range(following, wave.stop))
            yield from ((index, answer) for index, answer in paid if answer)

    while made < n and useless < patience and not limit:
        # As many as needed by the yield so far; pairs beyond `n` are ignored.
        expected = made / index if made else SHOWN
        most = BATCH_WAVE if teacher.batch else WAVE
        wave = range(index, index + min(most, max(1, round((n - made) / max(expected, 0.2)))))
        for index, answer in answers(wave):
            if made >= n or useless >= patience:
                continue  # already paid for: let it reach the store
            if answer.failure:
                funnel.drop("answers", answer.failure.partition(":")[0], f"request {index}")
                useless += 1
                continue
            before = made
            pairs, broken = parse(answer.text)
            said = f"request {index}: {shown(answer.text, longest=60)}"
            for _ in range(broken):
                funnel.drop("pairs", "a question without an answer", said)
            if not pairs and not broken:
                funnel.drop("pairs", "no pair in the answer", said)
            for question, reply in pairs:
                pair = normalise(question), normalise(reply)
                if pair in examples:
                    funnel.drop("pairs", "repeats a seed example", f"request {index}")
                elif pair in seen:
                    funnel.drop("pairs", "duplicate", f"request {index}")
                elif made < n:
                    seen.add(pair)
                    made += 1
                    funnel.keep("pairs")
                    yield index, question, reply
            useless = 0 if made > before else useless + 1
            if progress is not None:
                progress.update(made - before)
        index += 1
    if made < n:
        why = str(limit[0]) if limit else f"{patience} requests in a row gave no new pair"
        log.warning("%d pairs of %d wanted: %s", made, n, why)
        funnel.repair("pairs", f"fewer than the {n} wanted: {why}", "", count=made)


def check_seed(record: Record) -> str | None:
    """What is wrong with a seed example, or None."""
    for key in ("question", "answer"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            return f"'{key}' is {record.get(key)!r:.80}, expected text"
    return None


def read_seeds(path: str | Path) -> list[tuple[str, str]]:
    """Questions and answers to show the teacher.

    Raises:
        UserError: a line has none, or they are too few for a request.
    """
    seeds = [(record["question"], record["answer"]) for record in read_jsonl(path, check_seed)]
    if len(seeds) < SHOWN:
        raise UserError(f"{path}: {len(seeds)} seed examples, expected at least {SHOWN} to show in each request")
    return seeds


def main(argv: Sequence[str] | None = None) -> None:
    """Write the pairs as dialogues."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--seeds",
        type=cli.FileName,
        metavar="FILE",
        help="seed examples, {question, answer} a line; the paper's Table 3",
    )
    parser.add_argument("--n", type=teacher_options.positive, default=6000, metavar="N", help="pairs wanted")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the examples in each request")
    teacher_options.add_sampling(parser, temperature=1.0)
    parser.add_argument(
        "--patience",
        type=teacher_options.positive,
        default=50,
        metavar="N",
        help="stop after N requests without a new pair",
    )
    teacher_options.add_output(parser, "dialogues, JSON lines")
    teacher_options.add(parser)
    options = parser.parse_args(argv)

    path = options.seeds or path_of("table3_seed_examples.jsonl")
    seeds = read_seeds(path)
    parameters = teacher_options.sampling(options)
    template = load("table4_nq_synthetic.txt")

    def request(index: int) -> Request:
        text = prompt(template, seeds, options.seed, index)
        messages = [{"role": "user", "content": text}]
        return Request(messages, teacher_options.seeded(options, parameters, options.seed * 1_000_003 + index))

    funnel = Funnel("nq_synthetic")
    with teacher_options.open_teacher(options) as teacher:
        at_least = -(-options.n // SHOWN)  # as if each answer held five new pairs
        teacher.check_cost(teacher.estimate(request(index) for index in range(at_least)), refuse=False)
        with Progress(options.n, "NQ-synthetic", "pairs") as progress:
            pairs = generate(teacher, request, seeds, options.n, funnel, options.patience, progress)
            dialogues = [_dialogue(number, *pair) for number, pair in enumerate(pairs)]
        facts = teacher.facts()
    if not dialogues:
        reasons = ", ".join(filter(None, (funnel.reasons("answers"), funnel.reasons("pairs")))) or "no answers"
        raise UserError(f"{options.model} gave no question-answer pair: {reasons}; nothing was written")
    answers = Counter(dialogue["messages"][0]["content"].lower() for dialogue in dialogues)
    twice = sum(count > 1 for count in answers.values())
    made = {
        "module": "falsepromise.teacher.nq_synthetic",
        "config": {"n": options.n, **teacher_options.description(options)},
        "extra": {**facts, "pairs": len(dialogues), "questions_with_two_answers": twice},
    }
    teacher_options.save(options, dialogues, funnel, [path], **made)


def _dialogue(number: int, request: int, question: str, answer: str) -> Record:
    return {
        "id": f"nq_synthetic/{number}",
        "source": "nq_synthetic",
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        "request": request,
    }


if __name__ == "__main__":
    cli.run(main)
