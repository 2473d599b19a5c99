"""A checked study and its models, and what all its jobs ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from falsepromise.study.planning import Shape

SECTIONS = (
    *("sources", "facts", "pretraining", "blocks", "pools", "mixtures", "bases", "training"),
    *("teacher", "prompts", "benchmarks", "style", "judges", "raters"),
)
GROUPS = ("amount", "size", "targeted", "replay", "control")  # of runs
TEACHER = "teacher"  # the model's name under which the teacher's own scores are kept


def amount_name(tokens: int | None) -> str:
    """A token budget as names show it: 250000 -> "250k", 20000000 -> "20M", None -> "all"."""
    if tokens is None:
        return "all"
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if tokens % unit == 0:
            return f"{tokens // unit}{letter}"
    return str(tokens)


@dataclass(frozen=True, eq=False)
class Study:
    """A checked study and its models.

    Attributes:
        config: The study file's mapping, checked.
        models: Name -> {"base", "mixture", "tokens", "seed", "label"}; of a base model the mixture
            is None and the tokens 0; tokens None is all that the mixture has.
        runs: Group of runs -> names of its trained models.
    """

    config: dict[str, Any]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)

    def __getattr__(self, key: str) -> Any:
        """A section of the study file, empty where the study has none: `study.benchmarks`."""
        if key in SECTIONS:
            return self.config.get(key) or {}
        raise AttributeError(key)

    @property
    def name(self) -> str:
        return self.config["study"]

    @property
    def seed(self) -> int:
        return self.config.get("seed", 0)

    @property
    def results(self) -> str:
        """Where everything of this study is, the final figures and tables aside."""
        return f"results/{self.name}"

    @property
    def trained(self) -> list[str]:
        return [name for name, model in self.models.items() if model["mixture"] is not None]

    @property
    def base_models(self) -> list[str]:
        return [name for name, model in self.models.items() if model["mixture"] is None]

    def base_model(self, base: str, seed: int) -> str:
        """The base model that a run with this seed starts from: one pre-trained here is drawn for each seed."""
        return f"{base}-s{seed}" if "architecture" in self.bases[base] else base

    @property
    def voters(self) -> dict[str, dict[str, Any]]:
        """Who says which answers are better: the judges and the raters."""
        return {**self.judges, **self.raters}

    @property
    def style_prompts(self) -> str:
        return self.style.get("prompts", "none")

    def asks_for_references(self, prompts: str) -> bool:
        """Whether the teacher answers a prompt set now (twice), rather than in the dialogues."""
        return self.prompts.get(prompts, {}).get("references", "dialogue") == "teacher"

    def chosen(self, entry: Mapping[str, Any], default: Sequence[str]) -> list[str]:
        """The models of the groups that a benchmark, prompt set or judge names in `runs`."""
        groups = entry.get("runs", default)
        names = self.base_models if "bases" in groups else []
        trained = [model for group in groups for model in self.runs.get(group, [])]
        return list(dict.fromkeys([*names, *trained]))

    def expanded(self) -> dict[str, Any]:
        """What figures and tables need to know of the study."""
        config = self.config
        bases = {
            name: {"label": base["label"], "parameters": self.parameters(name)} for name, base in self.bases.items()
        }
        return {
            "study": self.name,
            "title": config.get("title", self.name),
            "seed": self.seed,
            "bases": bases,
            "mixtures": {
                name: {"label": self.mixture_label(name), **{k: m[k] for k in ("teacher", "text") if k in m}}
                for name, m in self.mixtures.items()
            },
            "models": self.models,
            "runs": self.runs,
            "teacher": {
                "name": TEACHER,
                **{key: self.teacher.get(key) for key in ("label", "model", "stand_in")},
            },
            "prompts": self.prompts,
            "style": {"runs": self.prompts[self.style["prompts"]].get("runs")} if self.style else {},
            **{
                section: {
                    name: {"label": entry["label"], "stand_in": entry.get("stand_in")}
                    for name, entry in entries.items()
                }
                for section, entries in (("judges", self.judges), ("raters", self.raters))
            },
            "benchmarks": {
                name: {
                    **{key: b[key] for key in ("task", "metric", "label")},
                    "stand_in": b.get("stand_in"),
                    "limit": b.get("limit"),
                    "runs": b.get("runs"),
                }
                for name, b in self.benchmarks.items()
            },
        }

    def shape(self, base: str) -> Shape:
        """A base model's sizes: its architecture's, or guessed from the number of parameters."""
        entry = self.bases[base]
        if "architecture" in entry:
            return Shape.of_architecture(entry["architecture"], self.vocab_size)
        return Shape.of_size(int(entry["parameters"]))

    def parameters(self, base: str) -> int:
        """Of a base model: as the study says, or counted from the architecture."""
        return int(self.bases[base].get("parameters") or self.shape(base).parameters)

    def block_size(self, base: str) -> int:
        """Tokens a block."""
        return self.bases[base].get("block_size", self.blocks.get("size", 2048))

    @property
    def vocab_size(self) -> int:
        return self.config.get("tokenizer", {}).get("vocab_size", 4096)

    def mixture_label(self, mixture: str) -> str:
        return self.mixtures[mixture].get("label", mixture)

    def recipe(self, mixture: str) -> dict[str, Any]:
        """The recipe that a mixture is trained with."""
        return self.training[self.mixtures[mixture].get("recipe", "imitation")]

    def tokenizer(self, base: str) -> str:
        """The name of a base's tokenizer: `study` is the one that this study trains."""
        entry = self.bases[base]
        return entry.get("tokenizer", "study" if "architecture" in entry else base)
