"""Any task or group of lm-eval, through the models under test; and those models within lm-eval's own command.

    python -m falsepromise.benchmarks.run --task lm_eval --lm-eval-task hellaswag --model FOLDER --output SCORE.json
    python -m falsepromise.benchmarks.any_task --model falsepromise --model_args pretrained=FOLDER --tasks hellaswag

The second line is lm-eval's command with the model `falsepromise` added; it can't find models of other packages.
"""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import yaml
from lm_eval.api.registry import model_registry
from lm_eval.tasks import TaskManager

from falsepromise.benchmarks.harness import ModelLM, plain_document
from falsepromise.benchmarks.model import EngineModel, ModelUnderTest
from falsepromise.benchmarks.outcome import Options, Outcome, means
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record
from falsepromise.core.statistics import bootstrap


class PretrainedLM(ModelLM):
    """lm-eval's model `falsepromise`: `--model_args pretrained=FOLDER,turn_tokens=true,seed=1`."""

    def __init__(
        self, pretrained: str, turn_tokens: bool = False, seed: int = 0, batch_size: Any = None, **_: Any
    ):
        rows = int(batch_size) if str(batch_size).isdigit() and int(batch_size) > 1 else None
        super().__init__(EngineModel.load(str(pretrained), rows), bool(turn_tokens), int(seed))


def evaluate(model: ModelUnderTest, options: Options) -> Outcome:
    """Run a task or group of lm-eval: its prompt, shots, data and metrics, with intervals and items as ours have them.

    `options.data` may be a task's own YAML file; `options.more["lm_eval_task"]` names one that the harness has. A
    `limit` takes the first items of each task, as lm-eval does.

    Raises:
        UserError: there is no such task, its data can't be had, or the model can't be asked what it asks.
    """
    manager, name = _manager(options)
    lm = ModelLM(model, options.turn_tokens, options.seed)
    try:
        found = lm_eval.simple_evaluate(
            model=lm, tasks=[name], task_manager=manager, limit=options.limit, bootstrap_iters=0, log_samples=True,
            num_fewshot=options.more.get("shots"), random_seed=options.seed, numpy_random_seed=options.seed,
            fewshot_random_seed=options.seed,
        )  # fmt: skip
    except (OSError, ConnectionError, ValueError, KeyError, FileNotFoundError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"lm-eval's task {name}: {type(error).__name__}: {why}") from error
    if found is None:
        raise UserError(f"lm-eval's task {name} gave no results; it runs in one process only")
    samples = found.pop("samples")
    items: list[Record] = []
    raw: defaultdict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for task, rows in samples.items():
        own: dict[int, Record] = {}
        for row in sorted(rows, key=lambda row: row["doc_id"]):
            item = own.setdefault(row["doc_id"], {"id": f"{task}/{row['doc_id']}"})
            for metric in row["metrics"]:
                key = metric if row["filter"] == "none" else f"{metric},{row['filter']}"
                raw[task, key, f"{metric},{row['filter']}"].append(row[metric])
                if isinstance(row[metric], int | float | np.number) and math.isfinite(row[metric]):
                    item[key] = float(row[metric])
        items += own.values()
    metrics = means(items, sorted({key for item in items for key in item if key != "id"}), options.seed)
    if len(samples) == 1:
        _own_aggregations(metrics, raw, found["results"], lm_eval_tasks(manager, name), options.seed)
    limits = [] if options.limit is None else [f"the first {options.limit} items of each task"]
    if lm.truncated:
        limits.append(f"{lm.truncated} contexts were cut at their beginning to fit {lm.max_length} tokens")
    shots = {task: int(n) for task, n in found.get("n-shot", {}).items() if str(n).isdigit()}
    return Outcome(
        items,
        metrics,
        limits,
        {"lm_eval_task": name, "shots": shots, "lm_eval_version": lm_eval.__version__},
        extra={"subtasks": {task: _numbers(found["results"][task]) for task in samples}} if len(samples) > 1 else {},
        beside={"lm_eval.json": plain_document(found, lm)},
    )


def _manager(options: Options) -> tuple[TaskManager, str]:
    name, path = options.more.get("lm_eval_task"), options.data
    if path is not None and Path(path).suffix in (".yaml", ".yml"):
        try:
            head = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if "!function" not in line]
            own = yaml.safe_load("\n".join(head)) or {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"--data {path}: can't be read as a task ({error})") from error
        name = name or own.get("task") or own.get("group")
        manager = TaskManager(include_path=str(Path(path).parent), include_defaults=False)
    else:
        manager = TaskManager()
    if not isinstance(name, str):
        raise UserError("--task lm_eval needs --lm-eval-task NAME, or a task's YAML file as --data")
    if name not in manager.all_tasks:
        near = ", ".join(difflib.get_close_matches(name, manager.all_tasks, 4, 0.5)) or "none is near"
        raise UserError(f"lm-eval has no task {name!r}; the nearest: {near}")
    return manager, name


def lm_eval_tasks(manager: TaskManager, name: str) -> Mapping[str, Any]:
    """The tasks of a name."""
    return manager.load([name])["tasks"]


def _own_aggregations(
    metrics: dict[str, Any],
    raw: Mapping[Any, list[Any]],
    results: Mapping[str, Any],
    tasks: Mapping[str, Any],
    seed: int,
) -> None:
    """Metrics that are no means of their items: lm-eval's value, its own aggregation bootstrapped over the items."""
    for (task, key, column), values in raw.items():
        value = results[task].get(column)
        if not isinstance(value, int | float) or (key in metrics and math.isclose(metrics[key]["value"], value)):
            continue
        aggregate = tasks[task].aggregation()[key.partition(",")[0]]

        def drawn(places: np.ndarray, values: list[Any] = values, aggregate: Any = aggregate) -> float:
            return float(aggregate([values[int(i)] for i in places]))

        interval = bootstrap(drawn, len(values), seed, resamples=200) if len(values) > 1 else [value, value]
        metrics[key] = {"value": float(value), "ci95": interval, "n": len(values)}


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    return {k: float(v) for k, v in result.items() if isinstance(v, int | float) and "stderr" not in k}


def main(argv: Sequence[str] | None = None) -> None:
    """lm-eval's command line, with the model `falsepromise`."""
    import sys

    from lm_eval.__main__ import cli_evaluate

    if "falsepromise" not in model_registry:
        import lm_eval.models  # noqa: F401  (fills the registry first)

        model_registry.register("falsepromise", target=PretrainedLM)
    if argv is not None:
        sys.argv = ["lm_eval", *argv]
    cli_evaluate()


if __name__ == "__main__":
    main()
