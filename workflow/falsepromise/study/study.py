"""A checked study, its models, and values that many jobs use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from falsepromise.study import config as keys
from falsepromise.study import shapes
from falsepromise.study.config import TEACHER
from falsepromise.study.planning import Shape
from falsepromise.study.sections import Section


def amount_name(tokens: int | None) -> str:
    """A token budget as names show it: 250000 -> "250k", 20000000 -> "20M", None -> "all"."""
    if tokens is None:
        return "all"
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if tokens % unit == 0:
            return f"{tokens // unit}{letter}"
    return str(tokens)


@dataclass(frozen=True)
class Model:
    """A base model, or a model fine-tuned from one.

    Attributes:
        base: The study's name of the base.
        mixture: What it is fine-tuned on; None for a base model.
        tokens: The budget of training tokens; 0 for a base model, None for all of the mixture.
        seed: The seed of the data's order, and of the base's random weights.
        label: Its name on figures.
    """

    base: str
    mixture: str | None
    tokens: int | None
    seed: int
    label: str

    @property
    def amount(self) -> float:
        """The token budget as a number to sort by: all of a mixture sorts last."""
        return math.inf if self.tokens is None else float(self.tokens)


@dataclass(frozen=True, eq=False)
class Study:
    """A checked study and its models.

    Attributes:
        config: The study file's keys.
        models: Name -> model; base models first.
        runs: Group of runs -> names of its trained models.
    """

    config: keys.Study
    models: dict[str, Model] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.config.study

    @property
    def title(self) -> str:
        return self.config.title or self.name

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def results(self) -> str:
        """The folder of this study's files."""
        return f"results/{self.name}"

    @property
    def trained(self) -> list[str]:
        return [name for name, model in self.models.items() if model.mixture is not None]

    @property
    def base_models(self) -> list[str]:
        return [name for name, model in self.models.items() if model.mixture is None]

    def base_model(self, base: str, seed: int) -> str:
        """The base model of a run with this seed: bases that are pre-trained here have one model for each seed."""
        return f"{base}-s{seed}" if self.config.bases[base].architecture else base

    def base_of(self, model: str) -> keys.Base:
        """The study's entry of the base that a model is, or starts from."""
        return self.config.bases[self.models[model].base]

    def mixture_of(self, model: str) -> keys.Mixture:
        """The study's entry of the mixture that a trained model saw."""
        return self.config.mixtures[str(self.models[model].mixture)]

    def recipe_of(self, model: str) -> keys.Recipe | None:
        """A model's recipe; None for a base model whose weights are loaded."""
        if self.models[model].mixture is not None:
            return self.config.training[self.mixture_of(model).recipe]
        base = self.base_of(model)
        return self.config.training[base.recipe] if base.architecture else None

    @property
    def voters(self) -> dict[str, keys.Judge | keys.Raters]:
        """The judges and raters, whose votes compare answers. A panel has its members' prompts and runs."""
        judges = self.config.judges
        found: dict[str, keys.Judge | keys.Raters] = {**judges, **self.config.raters}
        for name, panel in judges.items():
            if panel.members:
                members = [judges[member] for member in panel.members]
                real = "; ".join(f"{member.label}: {member.stand_in}" for member in members if member.stand_in)
                of_members = {"prompts": members[0].prompts, "runs": members[0].runs}
                found[name] = panel.model_copy(update={**of_members, "stand_in": panel.stand_in or real or None})
        return found

    @property
    def style_prompts(self) -> str:
        return self.config.style.prompts if self.config.style else "none"

    def asks_for_references(self, prompts: str) -> bool:
        """Whether the teacher's API answers a prompt set (twice); otherwise the dialogues have the answers."""
        return prompts in self.config.prompts and self.config.prompts[prompts].references == "teacher"

    def asked(self, judge: str | None = None) -> keys.Teacher:
        """The client's settings for the teacher or a judge. A judge takes the teacher's value for a missing key, except
        for keys that belong to a model (prices, habits) or an address (the provider)."""
        teacher = self.config.teacher
        if judge is None:
            return teacher
        own = _said(self.config.judges[judge], *keys.Teacher.model_fields.keys() & keys.Judge.model_fields.keys())
        of_model = ("price_input", "price_output", "habits")
        dropped = {"model": of_model, "url": (*of_model, "provider")}
        not_its = {name: None for key, names in dropped.items() if key in own for name in names}
        return teacher.model_copy(update={**not_its, **own})

    def servers(self) -> dict[str, keys.Teacher]:
        """The servers that this study asks, by the section that names them. Dialogues that come with their replies
        ask no teacher, and a panel of judges asks nothing itself."""
        config = self.config
        asks = any(mixture.teacher for mixture in config.mixtures.values()) or bool(config.teacher.benchmarks)
        asks = asks or any(self.asks_for_references(prompts) for prompts in config.prompts)
        teacher = {"teacher": self.asked()} if asks else {}
        return teacher | {f"judges.{name}": self.asked(name) for name, judge in config.judges.items() if judge.prompts}

    def chosen(self, groups: Sequence[str] | None) -> list[str]:
        """The models that the `runs` of a benchmark, prompt set or judge name; None: all models."""
        if groups is None:
            return list(dict.fromkeys([*self.base_models, *(name for group in self.runs.values() for name in group)]))
        names = [name for name in self.base_models if "bases" in groups or self.models[name].base in groups]
        trained = [model for group in groups for model in self.runs.get(group) or self.of_role(group)]
        return list(dict.fromkeys([*names, *trained]))

    def role(self, group: str) -> str:
        """The role of a group of runs in figures and claims."""
        return self.config.runs[group].role or (group if group in keys.ROLES else "other")

    def of_role(self, role: str) -> list[str]:
        """The trained models of all groups of runs with this role."""
        models = [model for group, names in self.runs.items() if self.role(group) == role for model in names]
        return list(dict.fromkeys(models))

    def targets(self, mixture: str) -> list[str]:
        """The benchmarks that a mixture targets; empty for a broad one."""
        entry = self.config.mixtures[mixture]
        if entry.targets is not None:
            return entry.targets
        task = {"nq_synthetic": "nq", "tldr_synthetic": "cnn"}.get(entry.teacher or "")
        return [name for name, benchmark in self.config.benchmarks.items() if benchmark.task == task]

    def shape(self, base: str) -> Shape:
        """A base model's sizes: its architecture's, those of a public model with so many parameters, or a guess."""
        entry = self.config.bases[base]
        if entry.architecture:
            return Shape.of_architecture(entry.architecture.model_dump(exclude_none=True), self.vocab_size)
        return shapes.of_parameters(int(entry.parameters or 0))

    def parameters(self, base: str) -> int:
        """A base model's number of weights: as the study states, or counted from the architecture."""
        return int(self.config.bases[base].parameters or self.shape(base).parameters)

    def block_size(self, base: str) -> int:
        """The number of tokens in a block."""
        return self.config.bases[base].block_size or self.config.blocks.size

    @property
    def vocab_size(self) -> int:
        return self.config.tokenizer.vocab_size

    def mixture_label(self, mixture: str) -> str:
        return self.config.mixtures[mixture].label or mixture

    def tokenizer(self, base: str) -> str:
        """The name of a base's tokenizer; `study` is the tokenizer that this study trains."""
        entry = self.config.bases[base]
        return entry.tokenizer or ("study" if entry.architecture else base)

    def expanded(self) -> dict[str, Any]:
        """The expanded study, for figures and tables."""
        config = self.config
        return {
            "study": self.name,
            "title": self.title,
            "seed": self.seed,
            "bases": {
                name: {"label": base.label, "parameters": self.parameters(name)} for name, base in config.bases.items()
            },
            "mixtures": {
                name: {
                    "label": self.mixture_label(name),
                    **_said(mixture, "teacher", "text"),
                    "targets": self.targets(name),
                }
                for name, mixture in config.mixtures.items()
            },
            "models": {name: vars(model) for name, model in self.models.items()},
            "runs": self.runs,
            "roles": {group: self.role(group) for group in self.runs},
            "teacher": {"name": TEACHER, **_all(config.teacher, "label", "model", "stand_in")},
            "prompts": {name: prompts.model_dump(exclude_unset=True) for name, prompts in config.prompts.items()},
            "style": {
                "prompts": config.style.prompts,
                "models": self.chosen(config.prompts[config.style.prompts].runs),
            }
            if config.style
            else {},
            "judges": {name: _all(self.voters[name], "label", "stand_in", "prompts") for name in config.judges},
            "raters": {name: _all(self.voters[name], "label", "stand_in", "prompts") for name in config.raters},
            "benchmarks": {
                name: {
                    **_all(benchmark, "task", "metric", "label", "stand_in", "limit", "runs"),
                    "models": self.chosen(benchmark.runs),
                }
                for name, benchmark in config.benchmarks.items()
            },
        }


def _all(section: Section, *names: str) -> dict[str, Any]:
    return {name: getattr(section, name) for name in names}


def _said(section: Section, *names: str) -> Mapping[str, Any]:
    return {name: value for name, value in _all(section, *names).items() if value is not None}
