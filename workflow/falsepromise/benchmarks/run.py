"""Score a model on a benchmark.

The model is a folder of weights, or a server that speaks the OpenAI protocol (--base-url, or its URL as --model, with
--ask-for), which is asked through the teacher's client and store.

--shard K/N asks the model a part of the questions, and --from-shards computes the score from all parts without the
weights. A killed run resumes: a folder's replies are in OUTPUT.partial, an endpoint's in the store. The score record
has n, 95 % intervals, the value of each item, and reservations about the numbers ("limits").
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.benchmarks.model import EndpointModel, EngineModel, ModelUnderTest
from falsepromise.benchmarks.outcome import Options, Outcome, write_score
from falsepromise.benchmarks.shards import AllAsked, PartModel, RepliesModel
from falsepromise.core import cli, shards
from falsepromise.core.errors import CannotScore, UserError
from falsepromise.generation.partial import Partial, identity, is_url, portable
from falsepromise.study.tasks import TASKS

log = logging.getLogger("falsepromise.benchmarks")


def main(argv: Sequence[str] | None = None) -> None:
    args, rest = arguments().parse_known_args(argv)
    chosen = _chosen(args)
    if args.data is None and not chosen:
        raise UserError("--data is missing: the benchmark's file or folder")
    if args.data is not None and not args.data.exists():
        raise UserError(f"--data {args.data}: does not exist; give the benchmark's file or folder")
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit}: expected at least 1 item")
    if args.batch_size is not None and args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: expected at least 1 row")
    evaluate = benchmark(args.task)
    options = Options(
        args.data or Path(args.lm_eval_task),
        turn_tokens=args.turn_tokens == "yes",
        limit=args.limit,
        seed=args.seed,
        max_tokens=args.max_tokens,
        prompt=args.prompt,
        samples=args.samples,
        more={
            key: getattr(args, key)
            for key in (
                "on_no_sandbox",
                "extra_tests",
                "subjects",
                "dev",
                "scorer",
                "scorer_url",
                "scorer_file",
                "scorer_model",
                "scorer_rate",
            )
        }
        | chosen
        | {"scorer_kept": args.output.with_name(f"{args.output.stem}.toxicity.jsonl")},
    )
    with open_model(args, rest) as (model, inputs, config):
        try:
            outcome = evaluate(model, options)
            if args.shard:
                raise AllAsked
            if not outcome.metrics and "not_scored" not in outcome.extra:
                why = "; ".join(outcome.limits) or "no items"
                raise CannotScore(f"{args.task}: nothing could be scored ({why})")
        except (AllAsked, CannotScore) as error:
            if isinstance(model, PartModel):  # what can't be scored, the whole says
                of = portable(args.model)
                shards.write_part(args.output, args.shard, of, model.records, **model.facts())
                model.forget()
                return
            if not args.allow_not_scored:
                raise
            outcome = Outcome([], {}, [], {}, extra={"not_scored": str(error)})
        turn_tokens = "the endpoint's own" if model.chat_only else options.turn_tokens
        write_score(
            args.output,
            outcome,
            model=args.name or Path(model.name).name,
            benchmark=args.benchmark or args.task,
            module="falsepromise.benchmarks.run",
            inputs=[*inputs, *([args.data] if args.data else [])],
            config={"task": args.task, "turn_tokens": turn_tokens, "limit": options.limit, **config},
            seed=options.seed,
            facts=model.facts(),
        )
        model.forget()
    outcome.log()


def benchmark(task: str) -> Callable[[ModelUnderTest, Options], Outcome]:
    """The function of a task."""
    if task not in TASKS:
        raise UserError(f"--task {task}: unknown; there are {', '.join(TASKS)}")
    return TASKS[task].function


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    """What --task lm_eval alone knows."""
    if args.task != "lm_eval":
        given = next((name for name in ("lm_eval_task", "shots") if getattr(args, name) is not None), None)
        if given:
            raise UserError(f"--{given.replace('_', '-')} is for --task lm_eval; the task {args.task} has its own")
        return {}
    if not args.lm_eval_task:
        raise UserError("--lm-eval-task is missing: the name of a task of lm-eval, or a YAML file of its form")
    if args.shots is not None and args.shots < 0:
        raise UserError(f"--shots {args.shots}: expected 0 or more examples")
    from falsepromise.benchmarks.lm_eval_task import Chosen

    return {"lm_eval": Chosen(args.lm_eval_task, args.data, args.shots, args.metric)}


@contextlib.contextmanager
def open_model(
    args: argparse.Namespace, rest: list[str]
) -> Iterator[tuple[ModelUnderTest, list[Path], dict[str, Any]]]:
    """The model under test, the files that it is made of, and what of its options shapes the result."""
    url = args.model if args.model and is_url(args.model) else None
    if not (url or args.base_url):
        if rest:
            raise UserError(
                f"unknown options: {' '.join(rest)}; options of a server need --base-url or a URL as --model"
            )
        if args.model is None:
            raise UserError("--model is missing: a model folder, or a URL")
        folder = Path(args.model)
        if not (folder / "config.json").exists():
            raise UserError(f"--model {folder}: no config.json there; expected a model folder")
        if args.from_shards:
            yield RepliesModel(args.model, args.from_shards, portable(args.model)), [folder], {}
            return
        kind = PartModel if args.shard else EngineModel
        with Partial(args.output, {"weights": identity(args.model)}) as partial:
            model = kind.load(args.model, args.batch_size, partial, args.mesh)
            yield model.of(args.shard) if isinstance(model, PartModel) else model, [folder], {}
        return
    if args.shard or args.from_shards:
        raise UserError("--shard, --from-shards: for a model folder; a server is asked by one job (--concurrency)")
    from falsepromise.generation.endpoint import served_model
    from falsepromise.teacher import options as teacher_options

    parser = argparse.ArgumentParser(prog="falsepromise.benchmarks.run", allow_abbrev=False)
    teacher_options.add(parser)
    asked = ["--base-url", url or args.base_url, *rest]
    if "--store" not in rest:
        asked += ["--store", str(args.output.parent / ".answers")]
    named = args.ask_for if url else args.model
    if url and not named:
        named = served_model(url, parser.parse_args(asked).api_key_env)
    asked += ["--model", named] if named else []
    options = parser.parse_args(asked)
    parameters = teacher_options.extra_parameters(options)
    config = {"base_url": options.base_url, "model": options.model, "parameters": parameters}
    with teacher_options.open_teacher(options) as teacher:
        inputs = [Path(options.facts)] if options.facts else []
        yield EndpointModel(teacher, options.model, parameters), inputs, config


def arguments() -> argparse.ArgumentParser:
    tasks = "\n".join(f"  {name:16} {task.what}" for name, task in TASKS.items())
    parser = cli.parser(f"{__doc__}\nTasks:\n\n{tasks}\n")
    parser.allow_abbrev = False
    parser.epilog = (
        "Options of a server: --store, --api-key-env, --concurrency, --max-usd, --max-requests, --price-input, "
        "--price-output and the others of `python -m falsepromise.teacher.answer --help`."
    )
    parser.add_argument("--model", help="model folder or URL; with --base-url, the name of the served model")
    parser.add_argument("--ask-for", metavar="NAME", help="the model to ask a URL for; default: its only one")
    parser.add_argument("--base-url", metavar="URL", help="server of the OpenAI protocol, or 'local': the stand-in")
    parser.add_argument("--task", required=True, help=f"one of {', '.join(TASKS)}")
    parser.add_argument("--data", type=Path, help="the benchmark's file or folder; lm_eval: default: the task's own")
    parser.add_argument("--lm-eval-task", metavar="NAME", help="lm_eval: a task, group or tag of lm-eval, or a YAML")
    parser.add_argument("--shots", type=int, metavar="N", help="lm_eval: examples in the prompt; default: the task's")
    parser.add_argument("--metric", metavar="NAME", help="lm_eval: a metric that the result must have")
    parser.add_argument("--output", type=Path, required=True, help="score record to write")
    parser.add_argument("--name", help="the model's name in the score; default: the folder's")
    parser.add_argument("--benchmark", help="the benchmark's name in the score; default: the task's")
    parser.add_argument(
        "--turn-tokens", choices=("yes", "no"), default="no", help="add turn tokens (imitation models: yes)"
    )
    parser.add_argument("--limit", type=int, help="items to draw with the seed; default: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw, the sampling and the bootstrap")
    parser.add_argument("--mesh", metavar="AXES", help="mesh of devices, as data=2,tensor=4; default: tensor over all")
    parser.add_argument("--batch-size", type=int, help="rows that are decoded together")
    parser.add_argument("--max-tokens", type=int, help="longest answer in tokens; default: the benchmark's own")
    parser.add_argument(
        "--prompt", type=Path, help="nq, gsm8k, cnn: another prompt than the paper's, with {question}, {article}"
    )
    parser.add_argument("--samples", type=int, default=1, help="humaneval, toxicity: answers to each item")
    parser.add_argument(
        "--extra-tests", type=Path, metavar="FILE", help="humaneval: second tests, JSON lines {task_id, test}"
    )
    parser.add_argument("--subjects", nargs="+", help="mmlu: subjects to score; default: all")
    parser.add_argument(
        "--dev", type=Path, metavar="PATH", help="mmlu: the shots' file or folder; default: beside the data"
    )
    parser.add_argument("--scorer", help="toxicity: the scorer: local (default), perspective, moderation or stored")
    parser.add_argument(
        "--scorer-file", type=Path, metavar="FILE", help="toxicity: scores, JSON lines {text, toxicity}"
    )
    parser.add_argument("--scorer-url", metavar="URL", help="toxicity: address of the scorer's server")
    parser.add_argument("--scorer-model", metavar="NAME", help="toxicity: model of the moderation API")
    parser.add_argument(
        "--scorer-rate", type=float, metavar="N", help="toxicity: requests a second; default for Perspective: 1"
    )
    shards.add_options(parser, "the score")
    parser.add_argument(
        "--allow-not-scored",
        action="store_true",
        help="if this model can't be scored (no prompt fits its context), write a score with the reason",
    )
    parser.add_argument(
        "--on-no-sandbox",
        choices=("fail", "skip"),
        default="fail",
        help="humaneval: what to do without a sandbox: fail, or score nothing",
    )
    return parser


if __name__ == "__main__":
    cli.run(main)
