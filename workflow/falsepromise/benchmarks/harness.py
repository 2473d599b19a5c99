"""Run lm-eval's tasks on the models under test: the adapter, and the one way in which tasks run.

The tasks are `tasks/*.yaml`, which anybody can run with `lm_eval --include_path` where this package can be
imported, and lm-eval's own (`lm_eval_task`). Importing lm-eval takes seconds, so this module is imported by
the tasks alone that go through it.
"""

from __future__ import annotations

import logging
import pkgutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import lm_eval
import numpy as np
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks.manager import TaskDict
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from falsepromise.benchmarks.model import EngineModel, ModelUnderTest, as_prompt
from falsepromise.benchmarks.outcome import answer_of
from falsepromise.core.errors import UserError

if TYPE_CHECKING:
    from falsepromise.generation.encoder import Encoder

TASKS = Path(__file__).resolve().parent / "tasks"
Pair = tuple[tuple[str, str], list[int], list[int]]
# Keys of a task's generation that a model is told, or that change nothing; others are left out, and the score says so.
TOLD = ("until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k", "use_cache")
NEUTRAL = {"num_beams": 1, "num_return_sequences": 1, "repetition_penalty": 1.0}


class ModelLM(TemplateLM):
    """lm-eval's model class over a model under test; log-likelihoods need a model folder.

    Args:
        model: The model.
        turn_tokens: Whether a context becomes a user's message and the continuation the model's
            output, which then begins without the delimiter's space.
        seed: Of tasks that sample: each request has its own from it.

    Attributes:
        truncated: Contexts of log-likelihoods that lost their beginning.
        ends: How often a generation ended in each way; None is a whole answer.
        left_out: Keys of generation that the model can't be told, as the task has them.
        tasks: Those that ask; `told`: the kinds of requests that they have made.
    """

    def __init__(self, model: ModelUnderTest, turn_tokens: bool = False, seed: int = 0):
        super().__init__()
        self.model, self.turn_tokens, self.seed = model, turn_tokens, seed
        self.truncated = 0
        self.ends: Counter[str | None] = Counter()
        self.left_out: dict[str, Any] = {}
        self.tasks: list[Task] = []
        self.told: set[str] = set()

    @property
    def encoder(self) -> Encoder:
        if not isinstance(self.model, EngineModel):
            raise UserError(f"{self.model.name}: log-likelihoods through lm-eval need a model folder")
        return self.model.encoder

    @property
    def eot_token_id(self) -> int:
        return self.encoder.ends[0]

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without a context: the opening token where there is one, as in lm-eval's `hf`."""
        return self.encoder.encode("")[0]

    @property
    def max_length(self) -> int:
        return self.encoder.max_length

    @property
    def tokenizer_name(self) -> str:
        return self.model.name.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        opening = add_special_tokens is None or add_special_tokens
        return self.encoder.tokenizer.encode_text(string, bos=opening)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        if not self.turn_tokens:
            return super()._encode_pair(context, continuation)
        prompt = self.encoder.encode(as_prompt(context, True))
        return prompt, self.tok_encode(continuation.lstrip(), add_special_tokens=False)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        self._told("loglikelihood")
        return found

    def _loglikelihood_tokens(self, requests: Sequence[Pair], **_: Any) -> list[tuple[float, bool]]:
        pairs = [(context, continuation) for _, context, continuation in requests]
        # The last token is only predicted, so context and continuation may be one token longer.
        self.truncated += sum(len(a) + len(b) > self.max_length + 1 for a, b in pairs)
        return self.model.loglikelihood(pairs)  # type: ignore[arg-type]  # ids: the engine takes them as they are

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Log-probability of whole texts, in windows that predict each token once."""
        windows: list[tuple[list[int], list[int]]] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            ids = self.tok_encode(request.args[0], add_special_tokens=False)
            rolling = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1)
            for window in map(make_disjoint_window, rolling):
                windows.append(window)
                owners.append(owner)
        totals = [0.0] * len(requests)
        for owner, (logprob, _) in zip(owners, self.model.loglikelihood(windows), strict=True):  # type: ignore[arg-type]
            totals[owner] += logprob
        self._told("loglikelihood_rolling")
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Continuations up to a stop string; greedy unless a task asks to sample.

        Stop strings of a chat model are applied to its answer alone: its reasoning may hold them too.
        """
        chat = self.turn_tokens or self.model.chat_only
        texts = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(repr(sorted(request.args[1].items(), key=str)), []).append(place)
        for places in groups.values():
            given = {key: value for key, value in requests[places[0]].args[1].items() if value is not None}
            wanted: dict[str, Any] = {**normalize_gen_kwargs(given, 256)}
            sampled = wanted["do_sample"] and wanted.get("temperature", 0.0) > 0
            top_k = max(int(wanted.get("top_k", 0)), 0) if sampled else 0  # some servers call all of them -1
            told = TOLD if self.model.likelihoods or not top_k else [key for key in TOLD if key != "top_k"]
            self.left_out |= {k: v for k, v in wanted.items() if k not in told and NEUTRAL.get(k) != v}
            stops = [stop for stop in wanted["until"] if stop]
            replies = self.model.generate(
                [as_prompt(requests[place].args[0], chat) for place in places],
                wanted["max_gen_toks"],
                () if chat else stops,
                temperature=float(wanted["temperature"]) if sampled else 0.0,
                top_p=float(wanted.get("top_p", 1.0)),
                top_k=top_k,
                seeds=[self.seed * 1_000_003 + place for place in places],
            )
            for place, reply in zip(places, replies, strict=True):
                answer = answer_of(reply, stops)
                texts[place] = answer.text
                self.ends[answer.failure] += 1
        self._told("generate_until")
        return texts

    def _told(self, kind: str) -> None:
        """Tell the model when all kinds of requests that the tasks have were made."""
        self.told.add(kind)
        if {instance.request_type for task in self.tasks for instance in task.instances} <= self.told:
            self.model.asked()

    def limits(self) -> list[str]:
        """The limits of the numbers that lm-eval computed from these answers."""
        said = []
        if self.truncated:
            said.append(f"{self.truncated} contexts were cut at their beginning to fit {self.max_length} tokens")
        if self.left_out:
            named = ", ".join(f"{key}={value!r:.40}" for key, value in self.left_out.items())
            said.append(f"{named}: the model can't be told these keys of the task's generation; they were left out")
        for failure, count in self.ends.items():
            if failure is not None:
                reason = failure.replace("_", " ")
                said.append(f"{count} of {self.ends.total()} replies: {reason} (lm-eval scores them as they are)")
        return said


def plain(value: Any) -> Any:
    """A document as JSON has it: functions by their names, numbers of NumPy and tuples as Python's."""
    if isinstance(value, dict):
        return {str(key): plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(child) for child in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return value if isinstance(value, str | int | float | None) else str(value)


class _Loader(yaml.SafeLoader):
    """YAML with lm-eval's `!function MODULE.NAME`."""


def _function(_: yaml.SafeLoader, node: yaml.Node) -> Any:
    module, _dot, name = node.value.rpartition(".")
    return pkgutil.resolve_name(f"{module}:{name}")


_Loader.add_constructor("!function", _function)


def build(name: str, splits: Mapping[str, Sequence[Mapping[str, Any]]], alias: str = "", **changes: Any) -> Task:
    """A task of ours over records in memory.

    Args:
        name: The task's name in `tasks/`.
        splits: Split -> records.
        alias: Another name for it, where one definition serves several tasks.
        changes: Keys of the definition to change.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tables = {split: datasets.Dataset.from_list(list(records)) for split, records in splits.items()}

    def dataset(**_: Any) -> dict[str, datasets.Dataset]:
        return tables

    definition = yaml.load((TASKS / f"{name}.yaml").read_text(encoding="utf-8"), _Loader)
    definition |= {"custom_dataset": dataset, "dataset_kwargs": {}, "task": alias or name, **changes}
    return ConfigurableTask(config=definition)


def evaluate(
    lm: ModelLM, tasks: Sequence[Task] | TaskDict, samples: Mapping[str, list[int]] | None = None
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Run tasks, or tasks and groups as lm-eval's `TaskManager` loads them.

    Args:
        lm: The model.
        tasks: The tasks.
        samples: Task -> places of the documents to ask; None: all.

    Returns:
        Task -> samples as lm-eval logs them, in the order of its records; and lm-eval's results
        document, without samples and without its intervals (the score has its own).

    Raises:
        UserError: a continuation is longer than the model's context.
    """
    if not isinstance(tasks, dict):
        tasks = {"tasks": {task.config.task: task for task in tasks}, "groups": {}, "group_map": {}}
    lm.tasks, lm.told = list(tasks["tasks"].values()), set()
    results = lm_eval.evaluate(lm, tasks, samples=samples, bootstrap_iters=0, log_samples=True)
    if results is None:
        raise UserError("lm-eval gave no results; it runs in one process only")
    logged = results.pop("samples")
    for config in results["configs"].values():
        for key in ("custom_dataset", "dataset_kwargs"):
            config.pop(key, None)
        (config.get("metadata") or {}).pop("config_source", None)
    document = {
        **plain(results),
        "config": {"model": lm.model.name, "model_args": {"turn_tokens": lm.turn_tokens}, "bootstrap_iters": 0},
        "lm_eval_version": lm_eval.__version__,
        **({"max_length": lm.max_length} if lm.model.likelihoods else {}),
    }
    return {name: sorted(rows, key=lambda row: row["doc_id"]) for name, rows in logged.items()}, document
