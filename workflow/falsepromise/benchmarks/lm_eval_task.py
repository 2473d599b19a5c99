"""Score any task of lm-eval: a registered task, group or tag, or a user's YAML file.

The task's own prompt, few-shot count, filters, metrics and aggregation are lm-eval's, and so is each number of the
score; added are its interval (a bootstrap over items, within the tasks of a group) and the items. Data come from the
hub, or from a local folder (`datasets.load_dataset` reads it) or file.

A metric is called as in lm-eval's results, without ",none": `acc_norm`, `exact_match,strict-match`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import yaml
from lm_eval.api.metrics import aggregate_subtask_metrics
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry, Kind, TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml
from lm_eval.tasks.manager import TaskDict

from falsepromise.benchmarks import files, harness
from falsepromise.benchmarks.model import ModelUnderTest
from falsepromise.benchmarks.outcome import Options, Outcome, draw
from falsepromise.core.errors import CannotScore, UserError
from falsepromise.core.records import Record
from falsepromise.statistics.intervals import bootstrap, mean_metric, partition

YAML = (".yaml", ".yml")
SHOT_SEED = 1234  # lm-eval's own, so that the shots are those of everybody's prompts
SLOW = ("bleu", "chrf", "chrf++", "ter")  # fewer draws, as in lm-eval
Rows = Sequence[Mapping[str, Any]]
Statistic = Callable[[Sequence[Any]], float]


@dataclass(frozen=True)
class Chosen:
    """Which task.

    Attributes:
        name: A registered task, group or tag, or a YAML file.
        data: A folder or file instead of the task's own data set.
        shots: Examples in the prompt; None: the task's own count.
        metric: The metric that has to be there; None: any.
    """

    name: str
    data: Path | None = None
    shots: int | None = None
    metric: str | None = None


def evaluate(model: ModelUnderTest, options: Options) -> Outcome:
    """Run the task that `options.more["lm_eval"]` chooses.

    Raises:
        UserError: there is no such task or metric, or its data can't be had.
        CannotScore: the task needs what the model hasn't (log-probabilities of a chat endpoint).
    """
    chosen: Chosen = options.more["lm_eval"]
    loaded = load(chosen.name, chosen.data)
    tasks = loaded["tasks"]
    limits = _prepare(tasks, chosen, options)
    _check(model, chosen, tasks)
    places = [(name, place) for name, task in tasks.items() for place in range(len(task.eval_docs))]
    places, drawn = draw(places, options.limit, options.seed)
    samples: dict[str, list[int]] = {}
    for name, place in places:
        samples.setdefault(name, []).append(place)
    lm = harness.ModelLM(model, options.turn_tokens, options.seed)
    loaded["tasks"] = {name: tasks[name] for name in samples}
    rows, document = harness.evaluate(lm, loaded, samples if drawn else None)
    found = {name: _by_metric(rows[name]) for name in samples}
    each = {name: _task_metrics(tasks[name], found[name], document["results"][name], options.seed) for name in samples}
    metrics, said = next(iter(each.values())), list[str]()
    if len(tasks) > 1 or loaded.get("groups"):
        metrics, said = _group_metrics(loaded, found, document, options.seed)
    gone = sorted({metric for values in found.values() for metric in values} - metrics.keys())
    said += [f"{metric}: no finite number over these items" for metric in gone if metric not in said]
    shots = {int(task.config.num_fewshot or 0) for task in loaded["tasks"].values()}
    better = {metric: up for task in tasks.values() for metric, up in task.higher_is_better().items()}
    higher = {key: better.get(key.partition(",")[0], True) for key in metrics}
    return Outcome(
        [item for name in samples for item in _items(f"{name}/" if len(tasks) > 1 else "", rows[name], each[name])],
        metrics,
        [*drawn, *limits, *said, *lm.limits()],
        {"lm_eval": chosen.name, "shots": max(shots)},
        [Path(chosen.name)] if Path(chosen.name).suffix in YAML else [],
        extra={"higher_is_better": higher} | ({"tasks": each} if len(tasks) > 1 else {}),
        beside={"lm_eval.json": document},
    )


def load(name: str, data: Path | None = None) -> TaskDict:
    """lm-eval's tasks and groups of a name; their data are fetched, or read from `data`.

    Raises:
        UserError: see `evaluate`.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager, entry = _find(name)
    changes: dict[str, Any] = {}
    if data is not None and data.is_dir():
        changes = {"dataset_path": str(data), "dataset_kwargs": None}
        if not (data / "README.md").exists():  # where a copy of a hub repository lists its subsets
            changes["dataset_name"] = None
    elif data is not None:
        changes = {"custom_dataset": _of_file(data, _split(manager, entry, name)), "dataset_kwargs": {}}
    try:
        built = manager._factory.build(entry, overrides=changes or None, registry=manager.task_index)
        return manager.load(built if isinstance(built, list) else [built])
    except UserError:
        raise
    except Exception as error:  # of `datasets`, of the hub's client, or of the task's own code
        where = f"{data}" if data is not None else "its data set (from the hub, or give --data FOLDER)"
        raise UserError(
            f"lm-eval's task {name}: can't be made from {where}: {type(error).__name__}: {_line(error)}"
        ) from error


def questions(name: str, data: Path | None) -> Iterator[tuple[str, str]]:
    """The ids and the questions of a task, as the score has the ids."""
    tasks = load(name, data)["tasks"]
    for task_name, task in tasks.items():
        prefix = f"{task_name}/" if len(tasks) > 1 else ""
        for place, doc in enumerate(task.eval_docs):
            text = task.doc_to_text(doc)
            if not isinstance(text, str) or not text.strip():  # several contexts, or a whole text to predict
                text = " ".join(task.doc_to_choice(doc)) if isinstance(text, int) else str(task.doc_to_target(doc))
            yield f"{prefix}{place}", text


def _find(name: str) -> tuple[TaskManager, Entry]:
    path = Path(name)
    if path.suffix in YAML:
        if not path.is_file():
            raise UserError(f"{path}: does not exist; give a YAML file of lm-eval's form, or the name of a task")
        index: dict[str, Entry] = {}
        try:
            TaskIndex.process_cfg(load_yaml(path, resolve_func=False), path.resolve(), index)
        except (KeyError, TypeError, ValueError, OSError, yaml.YAMLError) as error:
            raise UserError(f"{path}: no task of lm-eval's form: {_line(error)}") from error
        entry = next(entry for entry in index.values() if entry.kind is not Kind.TAG)
        group = entry.kind is Kind.GROUP  # whose members may be registered, or be beside it
        manager = TaskManager(include_path=str(path.parent) if group else None, include_defaults=group)
        manager.task_index[entry.name] = entry
        return manager, entry
    manager = TaskManager()
    found = manager.task_index.get(name)
    if found is None:
        close = difflib.get_close_matches(name, manager.all_tasks, n=3, cutoff=0.5)
        near = f"the nearest are {', '.join(close)}" if close else "`lm-eval ls tasks` lists all"
        raise UserError(f"lm-eval has no task {name!r}; {near}")
    return manager, found


def _split(manager: TaskManager, entry: Entry, name: str) -> str:
    """The split that a task is scored on."""
    if entry.kind is not Kind.TASK:
        raise UserError(f"{name}: has several tasks; give --data a folder, since one file has the items of one task")
    config = manager._factory._load_full_config(entry)
    return str(config.get("test_split") or config.get("validation_split") or "test")


def _of_file(path: Path, split: str) -> Callable[..., dict[str, datasets.Dataset]]:
    found = list(files.records(path))
    for where, record in found:
        if isinstance(record, str):
            raise UserError(f"{path}, {where}: {record}")
    table = datasets.Dataset.from_list([record for _, record in found])
    return lambda **_: {split: table}


def _prepare(tasks: Mapping[str, Task], chosen: Chosen, options: Options) -> list[str]:
    """Set the shots and the answer's length, as lm-eval's command does; return sentences about them."""
    fixed = 0
    for task in tasks.values():
        own = task.get_config("num_fewshot")
        if chosen.shots is not None and own == 0 and chosen.shots:
            fixed += 1
        elif chosen.shots is not None:
            task.set_config(key="num_fewshot", value=chosen.shots)
        elif own is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=SHOT_SEED)
        if options.max_tokens and task.OUTPUT_TYPE == "generate_until":
            task.set_config(key="generation_kwargs", value={"max_gen_toks": options.max_tokens}, update=True)
    return [f"{fixed} of {len(tasks)} tasks fix 0 shots, which {chosen.shots} can't change"] * bool(fixed)


def _check(model: ModelUnderTest, chosen: Chosen, tasks: Mapping[str, Task]) -> None:
    for name, task in tasks.items():
        if getattr(task, "UNSAFE_CODE", False):
            raise UserError(f"{name}: runs programs of the model outside of a sandbox; score `--task humaneval`")
        if getattr(task, "MULTIMODAL", False):
            raise UserError(f"{name}: has images or sound, which these models don't take")
        if not model.likelihoods and task.OUTPUT_TYPE != "generate_until":
            raise CannotScore(f"{name}: needs log-probabilities, which {model.name} (a chat endpoint) doesn't give")
    if chosen.metric is not None:
        known = dict.fromkeys(
            _key(metric, filters.name)
            for task in tasks.values()
            for metric in task.aggregation()
            for filters in getattr(task, "_filters", [])
        )
        if known and chosen.metric not in known:
            raise UserError(f"{chosen.name}: has no metric {chosen.metric!r}; it has {', '.join(known)}")


def _key(metric: str, filters: str) -> str:
    return metric if filters == "none" else f"{metric},{filters}"


def _by_metric(rows: Rows) -> dict[str, list[Any]]:
    """Metric -> its values over the items that have it."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for metric in row["metrics"]:
            found.setdefault(_key(metric, row["filter"]), []).append(row[metric])
    return found


def _statistic(task: Task, key: str) -> Statistic:
    """The aggregation of a metric, as lm-eval takes it: the mean where the task names none."""
    found: Statistic = task.aggregation().get(key.partition(",")[0], np.mean)
    return found


def _value(results: Mapping[str, Any], key: str) -> float | None:
    """lm-eval's number; None if it isn't one."""
    found = results.get(key if "," in key else f"{key},none")
    return float(found) if isinstance(found, int | float) and np.isfinite(found) else None


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float | np.number | np.bool_) for value in values)


def _is_mean(values: Sequence[Any], value: float) -> bool:
    return _numbers(values) and abs(float(np.mean(values)) - value) < 1e-9


def _task_metrics(
    task: Task, found: Mapping[str, Sequence[Any]], results: Mapping[str, Any], seed: int
) -> dict[str, dict[str, Any]]:
    """lm-eval's number of each metric, with an interval over items."""
    metrics = {}
    for key, values in found.items():
        value = _value(results, key)
        if value is None:
            continue
        if _is_mean(values, value):
            interval = mean_metric(values, seed)["ci95"]
        else:
            statistic = _statistic(task, key)
            interval = _interval(_of_one(statistic), [values], key, seed)
        metrics[key] = {"value": value, "ci95": interval, "n": len(values)}
    return metrics


def _of_one(statistic: Statistic) -> Callable[[Sequence[Sequence[Any]]], float]:
    return lambda parts: statistic(parts[0])


def _group_metrics(
    loaded: TaskDict, found: Mapping[str, Mapping[str, Sequence[Any]]], document: Mapping[str, Any], seed: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """A group's own aggregates; without them, the mean of its tasks, with a note."""
    tasks, groups = loaded["tasks"], loaded.get("groups") or {}
    inner = {child for children in (loaded.get("group_map") or {}).values() for child in children}
    group = next((group for name, group in groups.items() if name not in inner), None)
    results = document.get("groups", {}).get(group.name, {}) if group else {}
    by_size = {entry.metric: entry.weight_by_size for entry in (group.aggregate_metric_list or [])} if group else {}
    metrics: dict[str, dict[str, Any]] = {}
    ours = []
    for key in dict.fromkeys(key for values in found.values() for key in values):
        own = {name: values[key] for name, values in found.items() if values.get(key)}
        value = _value(results, key)
        weighted = bool(by_size.get(key.partition(",")[0])) and value is not None
        sizes = [len(values) for values in own.values()]

        def over(parts: Sequence[Sequence[Any]], key: str = key, own: Any = own, weighted: bool = weighted) -> float:
            each = [float(_statistic(tasks[name], key)(part)) for name, part in zip(own, parts, strict=True)]
            return float(aggregate_subtask_metrics(each, [len(part) for part in parts], weighted))

        if value is None:
            if len(own) < len(found):
                continue  # a mean over some of the tasks is no number of the group
            each = [number for name in own if (number := _value(document["results"][name], key)) is not None]
            if len(each) < len(own):
                continue
            value = float(np.mean(each))
            ours.append(key)
        everything = [value for values in own.values() for value in values]
        if _numbers(everything) and len(set(map(float, everything))) == 1:
            interval = mean_metric(everything, seed)["ci95"]
        else:
            interval = _interval(over, list(own.values()), key, seed)
        metrics[key] = {"value": value, "ci95": interval, "n": sum(sizes), "groups": len(own)}
    said = [f"{', '.join(ours)}: the mean of {len(found)} tasks; lm-eval has no number of their group"] if ours else []
    return metrics, said


def _interval(
    statistic: Callable[[Sequence[Sequence[Any]]], float], parts: Sequence[Sequence[Any]], key: str, seed: int
) -> list[float]:
    """A bootstrap that draws items within each part."""
    strata = partition(k for k, part in enumerate(parts) for _ in part)
    everything = [value for part in parts for value in part]
    flat: Any = np.asarray(everything) if _numbers(everything) else everything

    def over(drawn: np.ndarray) -> float:
        if isinstance(flat, np.ndarray):
            return float(statistic([flat[drawn[group]] for group in strata]))
        return float(statistic([[flat[place] for place in drawn[group]] for group in strata]))

    draws = 100 if key.partition(",")[0] in SLOW else 1000
    return bootstrap(over, len(everything), seed, resamples=draws, strata=strata)


def _items(prefix: str, rows: Rows, metrics: Mapping[str, Any]) -> list[Record]:
    """An item for each document: its value of the metrics that are means, the parts of others, what was generated."""
    means = {key for key in metrics if _is_mean(_by_metric(rows)[key], metrics[key]["value"])}
    items: dict[int, Record] = {}
    for row in rows:
        item = items.setdefault(row["doc_id"], {"id": f"{prefix}{row['doc_id']}"})
        for metric in row["metrics"]:
            key, value = _key(metric, row["filter"]), row[metric]
            if key in means:
                item[key] = float(value)
            elif key in metrics:
                item.setdefault("parts", {})[key] = harness.plain(value)
        first = row["resps"][0][0]
        if isinstance(first, str):
            item["response"] = first.strip()
    return list(items.values())


def _line(error: BaseException) -> str:
    return f"{(str(error).strip() or type(error).__name__).splitlines()[0]:.300}"
