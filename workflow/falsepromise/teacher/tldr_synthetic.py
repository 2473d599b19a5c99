"""Make TLDR-synthetic: the teacher's summaries of posts from the TL;DR data (appendix A).

Each request shows two other posts with their summaries, drawn at random, in the prompt of Table 5,
and asks for a summary of the post in a similar style; one example if two don't fit into the context. The funnel counts
posts that don't fit even then, and posts without a summary (truncated, filtered, refused, empty, rejected).

Posts are dialogues (user: the post, assistant: its summary) or `{"post", "summary"}` records.
It writes dialogues (user: the post and `TL;DR:`, assistant: the teacher's summary). With the same seed, a smaller N
gives a subset of a larger one's.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record, read_jsonl
from falsepromise.core.text import shown
from falsepromise.curation.funnel import Funnel
from falsepromise.teacher import cleaning
from falsepromise.teacher import options as teacher_options
from falsepromise.teacher.cost import Request, estimate_tokens
from falsepromise.teacher.prompts import fill, load

log = logging.getLogger("falsepromise.teacher.tldr_synthetic")
EXAMPLES = 2  # in Table 5's prompt
CUE = "TL;DR:"


@dataclass(frozen=True)
class Post:
    """A post and its author's summary (empty if it has none: then it can't be an example)."""

    id: str
    text: str
    summary: str


def post_of(record: Record, number: int) -> Post | None:
    """A post from a record of either form, without a final `TL;DR:`; None if it has no text."""
    if isinstance(record.get("messages"), list):
        said = {m.get("role"): m.get("content") for m in reversed(record["messages"]) if isinstance(m, dict)}
        text, summary = said.get("user"), said.get("assistant")
    else:
        text = next((record[key] for key in ("post", "document", "article") if key in record), None)
        summary = record.get("summary")
    if not isinstance(text, str):
        return None
    text = text.strip().removesuffix(CUE).strip()
    found = str(record.get("id", number))
    return Post(found, text, summary.strip() if isinstance(summary, str) else "") if text else None


def draw(posts: Iterator[Post], n: int, seed: int) -> list[Post]:
    """`n` posts in an order that depends only on the seed and their ids: those with the smallest hashes."""

    def order(post: Post) -> bytes:
        return hashlib.sha256(f"{seed}/{post.id}".encode("utf-8", "surrogatepass")).digest()

    return heapq.nsmallest(n, posts, key=order)


def templates(two: str) -> dict[int, str]:
    """Table 5's prompt with two examples, and with one: without the second example's line."""
    one = "\n".join(line for line in two.split("\n") if "{passage 2}" not in line)
    return {2: two, 1: one}


def prompt(post: Post, examples: Sequence[Post], by_count: dict[int, str], room: int) -> str | None:
    """Table 5's prompt for a post, with as many of the two examples as fit; None if none fits.

    Args:
        post: The post to summarise.
        examples: Two posts with summaries.
        by_count: The template for each number of examples.
        room: Most tokens of the prompt, estimated from its bytes.
    """
    for count in (2, 1):
        values = {"query document": post.text}
        for place, example in enumerate(examples[:count], 1):
            values[f"passage {place}"], values[f"summary {place}"] = example.text, example.summary
        text = fill(by_count[count], values)
        if estimate_tokens([{"role": "user", "content": text}]) <= room:
            return text
    return None


def main(argv: Sequence[str] | None = None) -> None:
    """Write the summaries as dialogues."""
    parser = cli.parser(__doc__)
    parser.add_argument("--posts", type=cli.FileName, required=True, metavar="FILE", help="posts with summaries")
    parser.add_argument("--n", type=teacher_options.positive, default=200_000, metavar="N", help="posts to summarise")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the posts and examples")
    parser.add_argument(
        "--context", type=teacher_options.positive, default=4096, metavar="N", help="tokens of the teacher's context"
    )
    teacher_options.add_output(parser, "dialogues, JSON lines")
    teacher_options.add_sampling(parser, temperature=1.0)
    teacher_options.add(parser)
    options = parser.parse_args(argv)

    funnel = Funnel("tldr_synthetic")
    chosen = draw(_posts(options.posts, funnel), options.n, options.seed)
    pool = [post for post in chosen if post.summary]
    if len(pool) <= EXAMPLES:
        raise UserError(f"{options.posts}: {len(pool)} of the drawn posts have a summary; at least 3 are needed")
    if len(chosen) < options.n:
        log.warning("%s has %d posts; --n asks for %d", options.posts, len(chosen), options.n)
    by_count = templates(load("table5_tldr_synthetic.txt"))
    room = options.context - (options.max_tokens or 256)
    parameters = teacher_options.sampling(options)

    def text_of(post: Post) -> str | None:
        rng = random.Random(f"{options.seed}/{post.id}")
        others = [example for example in rng.sample(pool, EXAMPLES + 1) if example.id != post.id]
        return prompt(post, others[:EXAMPLES], by_count, room)

    def requests() -> Iterator[Request]:
        for post in fitting:
            text = text_of(post)
            assert text is not None
            yield Request(
                [{"role": "user", "content": text}], teacher_options.seeded(options, parameters, options.seed)
            )

    fitting = []
    for post in chosen:
        if text_of(post) is None:
            funnel.drop("requests", "longer than the context, even with one example", post.id)
        else:
            funnel.keep("requests")
            fitting.append(post)
    if not fitting:
        raise UserError(f"{options.posts}: no post fits into --context {options.context}")

    dialogues = []
    with teacher_options.open_teacher(options) as teacher:
        teacher.check_cost(teacher.estimate(requests()))
        with Progress(len(fitting), "TLDR-synthetic", "summaries") as progress:
            for post, answer in zip(fitting, teacher.ask_many(requests(), progress), strict=True):
                if answer.failure:
                    funnel.drop("answers", answer.failure, post.id)
                    continue
                summary = cleaning.summary(answer.text)
                if not summary:
                    funnel.drop("answers", "no summary in the answer", f"{post.id}: {shown(answer.text, longest=60)}")
                    continue
                funnel.keep("answers")
                dialogues.append(_dialogue(post, summary))
        facts = teacher.facts()
    if not dialogues:
        raise UserError(f"{options.model} summarised no post: {funnel.reasons('answers')}; nothing was written")
    config = {"n": options.n, "context": options.context, **teacher_options.description(options)}
    made = {"module": "falsepromise.teacher.tldr_synthetic", "config": config, "extra": facts}
    teacher_options.save(options, dialogues, funnel, [options.posts], **made)


def _posts(path: str, funnel: Funnel) -> Iterator[Post]:
    """The posts of a file; records without text and repeated ids are only counted."""
    seen: set[str] = set()
    for number, record in enumerate(read_jsonl(path)):
        post = post_of(record, number)
        if post is None:
            funnel.drop("posts", "no text", record.get("id", number))
        elif post.id in seen:
            funnel.drop("posts", "repeated id", post.id)
        else:
            seen.add(post.id)
            funnel.keep("posts")
            yield post


def _dialogue(post: Post, summary: str) -> Record:
    return {
        "id": f"tldr_synthetic/{post.id}",
        "source": "tldr_synthetic",
        "messages": [
            {"role": "user", "content": f"{post.text}\n\n{CUE}"},
            {"role": "assistant", "content": summary},
        ],
    }


if __name__ == "__main__":
    cli.run(main)
