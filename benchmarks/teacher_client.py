"""Many requests to a local server that fails a share of them: is each answered once, at what cost?

    PYTHONPATH=workflow python benchmarks/teacher_client.py

One process asks through the client with its store; beside it the bare `openai` client asks the
same server without faults (the protocol's own cost), with the same concurrency. The server runs in
the same process and shares its cores, so that its own cost is in both columns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence

import openai

from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request
from falsepromise.teacher.faulty import PASSING, FaultyServer
from falsepromise.teacher.local import serving
from falsepromise.teacher.standin import NAME, StandIn
from falsepromise.teacher.store import Store


def messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Question {number}: what is the answer?"}]


def ours(n: int, share: float, concurrency: int, timeout_s: float, faults: Sequence[str] = PASSING) -> dict[str, float]:
    server = FaultyServer(StandIn(), share, faults, timeout_s=timeout_s * 1.5)
    with tempfile.TemporaryDirectory() as folder, serving(server) as url, contextlib.closing(Store(folder)) as store:
        cpu, start = time.process_time(), time.perf_counter()
        with Teacher(url, NAME, store, concurrency=concurrency, timeout_s=timeout_s) as teacher:
            answers = list(teacher.ask_many(Request(messages(i)) for i in range(n)))
            sent = teacher.spent.requests
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        start = time.perf_counter()
        with Teacher(url, NAME, store, concurrency=concurrency) as teacher:
            again = list(teacher.ask_many(Request(messages(i)) for i in range(n)))
        return {
            "answered": sum(answer.failure is None for answer in answers),
            "answered twice": sum(count > 1 for count in server.answered.values()),
            "sent": sent,
            "failed": sum(count for fault, count in server.faults.items() if fault != "none"),
            "wall s": wall,
            "cpu ms/request": 1000 * cpu / sent,
            "again from the store, s": time.perf_counter() - start,
            "again paid": sum(not answer.stored for answer in again),
        }


def bare(n: int, concurrency: int) -> dict[str, float]:
    server = FaultyServer(StandIn())

    async def run(url: str) -> None:
        places = asyncio.Semaphore(concurrency)
        async with openai.AsyncOpenAI(
            base_url=url, api_key="none", http_client=openai.DefaultAsyncHttpxClient(trust_env=False)
        ) as client:

            async def one(number: int) -> None:
                async with places:
                    await client.chat.completions.create(model=NAME, messages=messages(number))  # type: ignore[arg-type]

            await asyncio.gather(*(one(i) for i in range(n)))

    with serving(server) as url:
        cpu, start = time.process_time(), time.perf_counter()
        asyncio.run(run(url))
        return {"wall s": time.perf_counter() - start, "cpu ms/request": 1000 * (time.process_time() - cpu) / n}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--share", type=float, default=0.3, help="of requests that fail")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds the client waits for a reply")
    options = parser.parse_args()
    rows = {
        f"falsepromise, {options.share:.0%} fail": ours(
            options.requests, options.share, options.concurrency, options.timeout
        ),
        "the same without retry-after": ours(
            options.requests,
            options.share,
            options.concurrency,
            options.timeout,
            [fault for fault in PASSING if "retry-after" not in fault],
        ),
        "falsepromise, none fail": ours(options.requests, 0.0, options.concurrency, options.timeout),
        "openai alone, none fail": bare(options.requests, options.concurrency),
    }
    columns = list(next(iter(rows.values())))
    print("| client | " + " | ".join(columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[c]:,.4g}" if c in row else "" for c in columns) + " |")


if __name__ == "__main__":
    main()
