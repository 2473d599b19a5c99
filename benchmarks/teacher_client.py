"""Many requests to a local server that fails a share of them: is each answered once, at what cost?

    PYTHONPATH=workflow:tests/providers python benchmarks/teacher_client.py

One process asks through the client with its store; beside it the bare `openai` client asks the same
server in a loop of tasks, with the same concurrency and as many attempts by its own retries: with the
same faults, and with none (the protocol's own cost). The server runs in the same process and shares its
cores, so that its own cost is in every row. Prints a table (Markdown) and how often each fault came; the
exit code is 1 if our client left a request unanswered, or had one answered or paid for twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence

import openai
import sides
from faulty import PASSING, FaultyServer

from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request
from falsepromise.teacher.local import serving
from falsepromise.teacher.standin import NAME, StandIn
from falsepromise.teacher.store import Store

ATTEMPTS = 12
Row = dict[str, float]


def messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Question {number}: what is the answer?"}]


def counts(server: FaultyServer, start: tuple[float, float]) -> Row:
    """What the server has seen, and what it took since `start` (wall and CPU seconds)."""
    sent = server.faults.total()
    return {
        "answered twice": sum(count > 1 for count in server.answered.values()),
        "sent": sent,
        "failed": sent - server.faults["none"],
        "wall s": time.perf_counter() - start[0],
        "cpu ms/request": 1000 * (time.process_time() - start[1]) / sent,
    }


def ours(server: FaultyServer, n: int, concurrency: int, timeout_s: float) -> Row:
    with tempfile.TemporaryDirectory() as folder, serving(server) as url, contextlib.closing(Store(folder)) as store:
        start = time.perf_counter(), time.process_time()
        with Teacher(url, NAME, store, concurrency=concurrency, timeout_s=timeout_s, attempts=ATTEMPTS) as teacher:
            answers = list(teacher.ask_many(Request(messages(i)) for i in range(n)))
        row = {"answered": sum(answer.failure is None for answer in answers), **counts(server, start)}
        again = time.perf_counter()
        with Teacher(url, NAME, store, concurrency=concurrency) as teacher:
            stored = [answer.stored for answer in teacher.ask_many(Request(messages(i)) for i in range(n))]
        return row | {"again from the store, s": time.perf_counter() - again, "again paid": n - sum(stored)}


def bare(server: FaultyServer, n: int, concurrency: int, timeout_s: float) -> Row:
    async def run(url: str) -> int:
        places = asyncio.Semaphore(concurrency)
        async with openai.AsyncOpenAI(
            base_url=url,
            api_key="none",
            max_retries=ATTEMPTS - 1,
            timeout=timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        ) as client:

            async def one(number: int) -> bool:
                async with places:
                    try:
                        reply = await client.chat.completions.create(model=NAME, messages=messages(number))  # type: ignore[arg-type]
                        return bool(reply.choices[0].message.content)
                    except (openai.APIError, ValueError, IndexError):  # what its retries let through
                        return False

            return sum(await asyncio.gather(*(one(i) for i in range(n))))

    with serving(server) as url:
        start = time.perf_counter(), time.process_time()
        return {"answered": asyncio.run(run(url)), **counts(server, start)}


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--share", type=float, default=0.3, help="of requests that fail")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds the client waits for a reply")
    options = parser.parse_args()
    sides.machine(options)

    def server(share: float, faults: Sequence[str] = PASSING) -> FaultyServer:
        return FaultyServer(StandIn(), share, faults, timeout_s=options.timeout * 1.5)

    sized = options.requests, options.concurrency, options.timeout
    failing, share = server(options.share), f"{options.share:.0%} fail"
    unhinted = [fault for fault in PASSING if "retry-after" not in fault]
    rows = {
        f"falsepromise, {share}": ours(failing, *sized),
        f"falsepromise, {share}, never retry-after": ours(server(options.share, unhinted), *sized),
        f"openai alone, {share}": bare(server(options.share), *sized),
        "falsepromise, none fail": ours(server(0.0), *sized),
        "openai alone, none fail": bare(server(0.0), *sized),
    }
    columns = list(next(iter(rows.values())))
    print("| client | " + " | ".join(columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[c]:,.4g}" if c in row else "" for c in columns) + " |")
    print("\n" + ", ".join(f"{count:,} {fault}" for fault, count in failing.faults.most_common()))
    mine = [row for name, row in rows.items() if name.startswith("falsepromise")]
    wrong = [r for r in mine if r["answered"] < options.requests or r["answered twice"] or r["again paid"]]
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
