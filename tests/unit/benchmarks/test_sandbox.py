"""The sandbox contains what it must, and lets honest programs pass."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_programs import PROMPT, SECRET_VARIABLE, TEST, hostile

from falsepromise.benchmarks import sandbox as benchmark_sandbox
from falsepromise.benchmarks.programs import Program, Verdict, verdicts
from falsepromise.benchmarks.sandbox import Limits, Sandbox, open_sandbox
from falsepromise.core.errors import UserError

KINDS = ("bubblewrap", "unshare")
MARKER = f"falsepromise-left-behind-{os.getpid()}"
QUICK = Limits(seconds=1, wall_seconds=4.0)
NAMES = sorted(hostile("", 0, ""))


def opened(kind: str, limits: Limits = QUICK) -> Iterator[Sandbox]:
    try:
        with open_sandbox(limits, (kind,)) as sandbox:
            yield sandbox
    except UserError:
        pytest.skip(f"{kind} does not work on this machine")


@pytest.fixture(params=KINDS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield from opened(request.param)


def program(completion: str, test: str = TEST, prompt: str = PROMPT, name: str = "solve") -> Program:
    return Program(prompt, completion, test, name)


class Hostile:
    """The verdicts on all hostile programs, and what they left behind."""

    def __init__(self, kind: str, folder: Path):
        secret = folder / "secret.txt"
        secret.write_text("nobody may read this")
        os.environ[SECRET_VARIABLE] = "nobody may read this either"
        temporary = set(os.listdir("/tmp"))
        mounts = Path("/proc/self/mounts").read_text()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.2)
            programs = hostile(MARKER, server.getsockname()[1], str(secret))
            for sandbox in opened(kind):
                found = list(verdicts(sandbox, [program(text) for text in programs.values()], workers=4))
                self.again = list(verdicts(sandbox, [program("    return x * x\n")]))
            try:
                server.accept()
                self.reached = True
            except TimeoutError:
                self.reached = False
        self.mounted = set(Path("/proc/self/mounts").read_text().splitlines()) - set(mounts.splitlines())
        self.verdicts: dict[str, Verdict] = dict(zip(programs, found, strict=True))
        self.new = {name for name in set(os.listdir("/tmp")) - temporary if name.startswith(("sandbox", MARKER))}
        self.secret = secret.read_text()


@pytest.fixture(scope="module")
def in_bubblewrap(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    return Hostile("bubblewrap", tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def in_unshare(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    return Hostile("unshare", tmp_path_factory.mktemp("hostile"))


def processes() -> list[str]:
    """Command lines of all processes that a sandbox of ours started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"What runs inside the sandbox" in line or MARKER.encode() in line:
                found.append(line[:100].decode(errors="replace"))
    return found


def nothing_left(run: Hostile) -> None:
    assert not run.reached, "a program reached a socket outside"
    assert not run.new, "files were left in /tmp"
    assert not [line for line in run.mounted if "sandbox-" in line], "a mount was left"
    assert run.secret == "nobody may read this"
    for path in (f"/{MARKER}", f"/dev/{MARKER}", f"/tmp/{MARKER}", f"{os.path.dirname(os.__file__)}/{MARKER}"):
        assert not os.path.exists(path)
    deadline = time.monotonic() + 60  # another test run on this machine may be at work
    while processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes() == []
    assert run.again == [Verdict(True, "passed")], "an honest program fails after the hostile ones"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_hostile_program_fails_in_bubblewrap(in_bubblewrap: Hostile, name: str) -> None:
    assert not in_bubblewrap.verdicts[name].passed


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_hostile_program_fails_in_unshare(in_unshare: Hostile, name: str) -> None:
    assert not in_unshare.verdicts[name].passed


@pytest.mark.slow
def test_hostile_programs_leave_nothing_in_bubblewrap(in_bubblewrap: Hostile) -> None:
    nothing_left(in_bubblewrap)


@pytest.mark.slow
def test_hostile_programs_leave_nothing_in_unshare(in_unshare: Hostile) -> None:
    nothing_left(in_unshare)


def test_enough_hostile_programs() -> None:
    assert len(NAMES) >= 25


def test_right_and_wrong(sandbox: Sandbox) -> None:
    right, wrong, broken = verdicts(
        sandbox, [program("    return x * x\n"), program("    return x + x\n"), program("    return (\n")]
    )
    assert right == Verdict(True, "passed")
    assert not wrong.passed
    assert wrong.reason.startswith("AssertionError")
    assert broken.reason.startswith("SyntaxError")


def test_a_program_that_kills_all_does_not_pass(sandbox: Sandbox) -> None:
    (found,) = verdicts(sandbox, [program("    import os\n    os._exit(0)\n")])
    assert not found.passed
    assert found.reason.startswith("gone")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("(1, [2.5, 'x'], {3: None})", "(1, [2.5, 'x'], {3: None})"),
        ("float('inf')", "float('inf')"),
        ("{1, 2} | frozenset([3])", "{1, 2, 3}"),
        ("10 ** 5000", "10 ** 5000"),
        ("'\\ud800 \\x00 \\u00e9'", "'\\ud800 \\x00 \\u00e9'"),
        ("b'\\xff'", "b'\\xff'"),
        ("1 + 2j", "1 + 2j"),
        ("__import__('collections').Counter('aab')", "{'a': 2, 'b': 1}"),
        ("{'a': 1}.keys()", "{'a'}"),
        ("range(3)", "range(3)"),
        ("True", "True"),
        ("__import__('decimal').Decimal('2.50')", "2.5"),
        ("[__import__('fractions').Fraction(1, 2)]", "[0.5]"),
    ],
)
def test_plain_values_cross(sandbox: Sandbox, answer: str, expected: str) -> None:
    test = f"def check(candidate):\n    assert candidate({expected}) == {expected}\n"
    test += f"    assert candidate(x=1) == {expected}\n"
    (found,) = verdicts(sandbox, [program(f"    return {answer}\n", test)])
    assert found == Verdict(True, "passed")


def test_iterators_cross_as_iterators(sandbox: Sandbox) -> None:
    test = "def check(candidate):\n    assert list(candidate(3)) == [0, 1, 2]\n    assert candidate(3) != [0, 1, 2]\n"
    (found,) = verdicts(sandbox, [program("    return (i for i in range(x))\n", test)])
    assert found.passed


def test_exceptions_cross_by_kind(sandbox: Sandbox) -> None:
    test = "def check(candidate):\n    try: candidate(1)\n    except ValueError: return\n    assert False\n"
    kinds = list(
        verdicts(sandbox, [program("    raise ValueError('no')\n", test), program("    raise KeyError\n", test)])
    )
    assert [found.passed for found in kinds] == [True, False]


def test_the_prompts_helpers_serve_the_test(sandbox: Sandbox) -> None:
    prompt = "def helper(x):\n    return x + 1\n\n\ndef solve(x):\n    '''One more.'''\n"
    test = "def check(candidate):\n    assert candidate(1) == helper(1)\n"
    (found,) = verdicts(sandbox, [program("    return helper(x)\n", test, prompt)])
    assert found.passed


def test_no_memory_beside_the_limit_and_no_packages(sandbox: Sandbox) -> None:
    """What RLIMIT_AS doesn't count is refused; a benchmark's tests may be among the installed packages."""
    body = """    import ctypes, os, platform, sys, sysconfig
    call = ctypes.CDLL(None, use_errno=True).syscall
    numbers = {"x86_64": (29, 64, 68, 319, 53), "aarch64": (194, 190, 186, 279, 199)}[platform.machine()]
    found = [call(n, 0, 1 << 20, 0o1600, 0, 0) for n in numbers[:2]] + [call(numbers[2], 0, 0o1600)]
    found.append(call(numbers[3], b"x", 0))
    found.append(call(numbers[4], 1, 1, 0, (ctypes.c_int * 2)()))
    folders = [sysconfig.get_path("purelib"), "/usr/lib/python3/dist-packages"]
    files = [name for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]
    return [found, files]
"""
    test = "def check(candidate):\n    assert candidate(1) == [[-1] * 5, []], candidate(1)\n"
    (found,) = verdicts(sandbox, [program(body, test)])
    assert found == Verdict(True, "passed")


def test_no_program_ends_the_tests_own_loop(sandbox: Sandbox) -> None:
    test = "def check(candidate):\n    assert all(map(lambda x: candidate(x) == x * x, [2, -7]))\n"
    (found,) = verdicts(sandbox, [program("    raise StopIteration\n", test)])
    assert found == Verdict(False, "RuntimeError: StopIteration:")


def test_programs_may_use_asyncio(sandbox: Sandbox) -> None:
    body = """    import asyncio
    async def part(n):
        await asyncio.sleep(0.001)
        return n
    async def whole():
        return sum(await asyncio.gather(*[part(x) for _ in range(abs(x))])) * (1 if x > 0 else -1)
    return asyncio.run(whole())
"""
    (found,) = verdicts(sandbox, [program(body)])
    assert found == Verdict(True, "passed")


def test_sources_beside_python_are_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the working directory, this package and sources lie below what a program sees."""
    shown, work = tmp_path / "shown", tmp_path / "shown/app"
    for folder in ("bin", "lib/python3/site-packages", "src/other", "app"):
        (shown / folder).mkdir(parents=True)
    monkeypatch.setattr(benchmark_sandbox, "_python", lambda: str(shown / "bin/python"))
    monkeypatch.setattr(benchmark_sandbox, "_python_folders", lambda: [str(shown)])
    monkeypatch.setattr(benchmark_sandbox, "_own_folders", lambda: [work / "package"])
    monkeypatch.chdir(work)
    covered = [Path(folder) for folder in benchmark_sandbox._package_folders()]
    assert [f for f in covered if f.is_relative_to(tmp_path)] == [
        work, shown / "lib/python3/site-packages", shown / "src"
    ]  # fmt: skip
    monkeypatch.chdir(shown)  # its own Python must stay visible
    assert shown not in [Path(folder) for folder in benchmark_sandbox._package_folders()]


def test_a_program_that_waited_runs_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from falsepromise.benchmarks import programs

    slow = program("    import time\n    time.sleep(3.0)\n    return x * x\n")
    for waited, passed in ((float("inf"), True), (0.0, False)):
        monkeypatch.setattr(programs, "waited", lambda _, waited=waited: waited)
        for sandbox in opened("bubblewrap", Limits(wall_seconds=2.0)):
            first, second = verdicts(sandbox, [slow, program("    return x * x\n")], workers=2)
            assert (first.passed, first.late, second.passed) == (passed, not passed, True)


def test_problems_whose_solutions_fail_are_not_scored() -> None:
    from falsepromise.benchmarks import humaneval

    def problem(name: str, body: str) -> dict[str, str]:
        prompt, test = "def f(xs):\n", "def check(f):\n    xs = [2, 1]\n    f(xs)\n    assert xs == [1, 2]\n"
        return {"task_id": name, "prompt": prompt, "canonical_solution": body, "test": test, "entry_point": "f"}

    problems = {"in place": problem("in place", "    xs.sort()\n")}
    fine = problem("fine", "    return sorted(xs)\n") | {"test": "def check(f):\n    assert f([2, 1]) == [1, 2]\n"}
    for _ in opened("bubblewrap"):
        able, said = humaneval.judged({**problems, "fine": fine})
        assert list(able) == ["fine"]
        assert said[0].startswith("1 of 2 problems can't be judged: their canonical solutions fail here (in place: ")


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, "works", lambda self: False)
    with pytest.raises(UserError, match="install bubblewrap"), open_sandbox():
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_canonical_solutions_pass(kind: str) -> None:
    from falsepromise.benchmarks.data import read_problems

    problems = list(read_problems(None).values())
    programs = [Program(p["prompt"], p["canonical_solution"], p["test"], p["entry_point"]) for p in problems]
    for sandbox in opened(kind, Limits()):
        found = list(verdicts(sandbox, programs))
    assert len(found) == 164
    assert [p["task_id"] for p, v in zip(problems, found, strict=True) if not v.passed] == []
