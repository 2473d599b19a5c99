"""The limit in money against what a server bills, under kills, silence and lost replies."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from falsepromise.core.errors import UserError
from falsepromise.teacher import pace
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Prices, Request, estimate_tokens
from falsepromise.teacher.ledger import Limits
from falsepromise.teacher.local import Handler, Server, serving
from falsepromise.teacher.standin import StandIn
from falsepromise.teacher.store import Store

ROOT = Path(__file__).resolve().parents[3]
PRICE = 1000.0  # US dollars for a million tokens, of either kind
TOKENS = 30  # bound on one answer
PROMPTS = [f"question {number}: {'why ' * (number % 7)}?" for number in range(80)]
RESERVE = max(estimate_tokens([{"role": "user", "content": text}]) + TOKENS for text in PROMPTS) * PRICE / 1e6
PROCESS = f"""
import json, sys
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Prices, Request
from falsepromise.teacher.ledger import Limits
from falsepromise.teacher.store import Store
url, folder, limit, concurrency = sys.argv[1:]
requests = [Request([{{"role": "user", "content": text}}], {{"max_tokens": {TOKENS}}})
            for text in json.load(open(folder + "/prompts.json"))]
with Teacher(url, "m", Store(folder), limits=Limits(usd=float(limit)), prices=Prices({PRICE}, {PRICE}),
             concurrency=int(concurrency), timeout_s=3, attempts=9) as teacher:
    list(teacher.ask_many(requests))
"""


class BillingHandler(Handler):
    """Bills a request as soon as it has read it, and loses some of the replies."""

    server: BillingServer

    def do_POST(self) -> None:
        request = json.loads(self.read_body())
        self.server.wait_at_mark()
        with self.server.lock:
            fate = self.server.rng.random()
            answered = self.server.rng.randint(1, request["max_tokens"])
            asked = estimate_tokens(request["messages"])
            if fate >= 0.1:
                self.server.billed += (asked + answered) * PRICE / 1e6
        if fate < 0.1:
            self.send_json(500, {"error": {"message": "not billed"}})
        elif fate < 0.2:
            self.server.over.wait(2.0)
            self.close_connection = True
        elif fate < 0.3:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        else:
            time.sleep(0.01)
            choice = {"index": 0, "message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": asked, "completion_tokens": answered}
            usage = {} if fate < 0.35 else {"total_tokens": asked + answered} if fate < 0.4 else usage
            self.send_json(200, {"model": "m", "choices": [choice if fate < 0.95 else {}], "usage": usage})


class BillingServer(Server):
    def __init__(self, seed: int):
        super().__init__(StandIn(), 0, BillingHandler)
        self.lock, self.over, self.rng, self.billed = threading.Lock(), threading.Event(), random.Random(seed), 0.0
        self.mark = math.inf

    def wait_at_mark(self) -> None:
        """From the mark on nothing is billed or answered until it moves: whoever asks is then in the middle of work."""
        while self.billed >= self.mark and not self.over.is_set():
            time.sleep(0.005)


def account(store: Path) -> float:
    """What the store counts: all that has ended, and the reserve of what has not."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(store / "answers.sqlite")) as db:
        return float(db.execute("SELECT coalesce(sum(usd), 0) FROM attempts").fetchone()[0])


@pytest.mark.parametrize("seed", range(6))
def test_a_bill_keeps_to_the_limit_though_replies_are_lost(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.002)
    rng = random.Random(seed)
    limit, concurrency = rng.choice([0.3, 0.8, 1.5]), rng.choice([1, 4, 16])
    server = BillingServer(seed)
    requests = [Request([{"role": "user", "content": text}], {"max_tokens": TOKENS}) for text in PROMPTS]
    with serving(server) as url:
        for _ in range(2):
            with contextlib.closing(Store(tmp_path)) as store:
                options: dict[str, Any] = {"limits": Limits(usd=limit), "prices": Prices(PRICE, PRICE)}
                options |= {"concurrency": concurrency, "timeout_s": 0.2, "attempts": 4}
                with Teacher(url, "m", store, **options) as teacher, contextlib.suppress(UserError):
                    list(teacher.ask_many(requests))
        server.over.set()
    assert server.billed <= limit + concurrency * RESERVE
    assert account(tmp_path) > limit / 2, "the limit was used"
    assert account(tmp_path) >= server.billed - 1e-9, "the account never says less than the bill"


@pytest.mark.parametrize("seed", range(3))
def test_a_bill_keeps_to_the_limit_through_kills(tmp_path: Path, seed: int) -> None:
    """Two real processes on one store, killed with -9 in the middle of their work, again and again."""
    rng = random.Random(seed)
    limit, concurrency = 1.5, 4
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    server = BillingServer(seed)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OPENAI_API_KEY": "sk-x"}
    killed = 0
    with serving(server) as url:
        command = [sys.executable, "-c", PROCESS, url, str(tmp_path), str(limit), str(concurrency)]
        for _ in range(5):
            server.mark = server.billed + rng.uniform(0.05, 0.4)
            both = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
            while server.billed < server.mark and any(process.poll() is None for process in both):
                time.sleep(0.005)
            for process in both:
                killed += process.poll() is None
                process.kill()
            ended = [process.wait() for process in both]
            server.mark = math.inf
            assert server.billed <= limit + 2 * concurrency * RESERVE
            if 1 in ended:  # the limit is reached
                break
        server.over.set()
    assert killed >= 2
    assert account(tmp_path) >= server.billed - 1e-9
