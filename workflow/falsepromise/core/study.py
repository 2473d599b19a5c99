"""Read a study file, check it, and write the expanded study: every model by name.

A study (config/*.yaml, described in config/README.md) names sources, base models, mixtures and the
grid of runs. Expanded, each cell of the grid is a model, `medium-sharegpt_mix-250k-s0`, and a base
model is one as well: `medium`, or, if it is pre-trained here, `medium-s0`, one for each seed of its
runs, so that what a run shows doesn't hang on one draw of a base. A model that two runs share is one
model.

The figures read the expanded study that this verb writes; the rules ask `core.jobs`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.planning import Shape, mesh_sizes
from falsepromise.core.records import write_json
from falsepromise.core.schema import check, nearest

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "study.schema.yaml"
SECTIONS = (
    *("sources", "facts", "pretraining", "blocks", "pools", "mixtures", "bases", "training"),
    *("teacher", "prompts", "benchmarks", "style", "judges", "raters"),
)
TEACHER = "teacher"  # the model's name under which the teacher's own scores are kept


def amount_name(tokens: int | None) -> str:
    """A token budget as names show it: 250000 -> "250k", 20000000 -> "20M", None -> "all"."""
    if tokens is None:
        return "all"
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if tokens % unit == 0:
            return f"{tokens // unit}{letter}"
    return str(tokens)


@dataclass(frozen=True)
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

    def parameters(self, base: str) -> int:
        """Of a base model: as the study says, or counted from the architecture."""
        entry = self.bases[base]
        if "parameters" in entry:
            return int(entry["parameters"])
        return Shape.of_architecture(entry["architecture"], self.vocab_size).parameters

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


def load(config: Mapping[str, Any], where: str = "the study") -> Study:
    """Check a study's mapping and name its models.

    Args:
        config: The study file's mapping, as YAML gives it.
        where: What to call it in messages.

    Raises:
        UserError: one line that names the key, what was found and what was expected.
    """
    plain: dict[str, Any] = json.loads(json.dumps(config))  # a plain copy: Snakemake hands over its own mapping
    check(plain, SCHEMA, where)
    study = Study(plain)
    _check_names(study, where)
    for group, run in plain["runs"].items():
        _expand(study, group, run, where)
    expanded = Study(plain, _models(study), study.runs)
    for name, raters in study.raters.items():
        for model in raters["votes"]:
            if model not in expanded.trained:
                hint = nearest(model, expanded.trained)
                raise UserError(f"{where}: 'raters.{name}.votes' names {model!r}, which is no trained model; {hint}")
    return expanded


def _models(study: Study) -> dict[str, dict[str, Any]]:
    bases = {}
    for name, base in study.bases.items():
        of_runs = sorted({model["seed"] for model in study.models.values() if model["base"] == name})
        for seed in (of_runs or [study.seed]) if "architecture" in base else [0]:
            model = {"base": name, "mixture": None, "tokens": 0, "seed": seed, "label": base["label"]}
            bases[study.base_model(name, seed)] = model
    return bases | study.models


def _expand(study: Study, group: str, run: Mapping[str, Any], where: str) -> None:
    names = study.runs.setdefault(group, [])
    for base in run["bases"]:
        for mixture in run["mixtures"]:
            for tokens in run.get("tokens") or [None]:
                for seed in run.get("seeds", [0]):
                    amount = amount_name(tokens)
                    name = f"{base}-{mixture}-{amount}-s{seed}"
                    model = {"base": base, "mixture": mixture, "tokens": tokens, "seed": seed}
                    label = f"{study.bases[base]['label']}, {study.mixture_label(mixture)}, {amount}"
                    known = study.models.setdefault(name, {**model, "label": label})
                    if {key: known[key] for key in model} != model or name in study.bases:
                        raise UserError(
                            f"{where}: two models would both be called {name!r}; rename a base or a mixture"
                        )
                    if name not in names:
                        names.append(name)


def _check_names(study: Study, where: str) -> None:
    """Every name that a part of the study mentions is there."""

    def known(name: str, section: str, key: str, wanted: Callable[[dict[str, Any]], bool] | None = None) -> None:
        entries = study.config.get(section) or {}
        if name not in entries:
            raise UserError(f"{where}: '{key}' names {name!r}, which is not in '{section}'; {nearest(name, entries)}")

    config = study.config
    for name, pool in study.pools.items():
        for source in pool["sources"]:
            known(source, "sources", f"pools.{name}.sources")
            if "format" not in study.sources[source]:
                raise UserError(f"{where}: 'pools.{name}' reads the source {source!r}, whose 'format' is missing")
    for section, reserved in (("mixtures", "pretraining"), ("bases", TEACHER)):
        if reserved in config[section]:
            raise UserError(f"{where}: '{section}.{reserved}' is a name that the workflow uses itself; take another")
    for name, mixture in study.mixtures.items():
        kinds = [kind for kind in ("pool", "teacher", "text") if kind in mixture]
        if len(kinds) != 1:
            raise UserError(
                f"{where}: 'mixtures.{name}' has {' and '.join(kinds) or 'no origin'}, expected just one of pool, "
                "teacher, text"
            )
        if "pool" in mixture:
            known(mixture["pool"], "pools", f"mixtures.{name}.pool")
        if "teacher" in mixture and "n" not in mixture:
            raise UserError(f"{where}: 'mixtures.{name}.n' is missing: how many examples the teacher writes")
        if mixture.get("teacher") == "tldr_synthetic":
            known(mixture.get("posts", ""), "sources", f"mixtures.{name}.posts")
        if "text" in mixture and "pretraining" not in config:
            raise UserError(f"{where}: 'mixtures.{name}.text' needs the section 'pretraining'")
        known(mixture.get("recipe", "imitation"), "training", f"mixtures.{name}.recipe")
        if study.recipe(name).get("replay_share") and "pretraining" not in config:
            raise UserError(f"{where}: the recipe of 'mixtures.{name}' replays, which needs the section 'pretraining'")
    for name, base in study.bases.items():
        if ("architecture" in base) == ("weights" in base):
            raise UserError(f"{where}: 'bases.{name}' needs either 'weights' or 'architecture'")
        if "weights" in base and "parameters" not in base:
            raise UserError(f"{where}: 'bases.{name}.parameters' is missing: how many parameters the weights have")
        devices = math.prod(mesh_sizes(base["mesh"]).values()) if "mesh" in base else base.get("gpus")
        if base.get("gpus", devices) != devices:
            raise UserError(f"{where}: 'bases.{name}.mesh' is for {devices} devices, 'gpus' says {base['gpus']}")
        if "architecture" in base:
            known(base.get("recipe", "pretraining"), "training", f"bases.{name}.recipe")
            for section in ("facts", "pretraining"):
                if section not in config:
                    raise UserError(f"{where}: 'bases.{name}.architecture' needs the section '{section}'")
    sizes: dict[str, Any] = {}
    for name, base in study.bases.items():
        size = base.get("block_size")
        if sizes.setdefault(study.tokenizer(name), size) != size:
            raise UserError(f"{where}: 'bases.{name}.block_size' differs from another base's with the same tokenizer")
    for group, run in config["runs"].items():
        for base in run["bases"]:
            known(base, "bases", f"runs.{group}.bases")
        for mixture in run["mixtures"]:
            known(mixture, "mixtures", f"runs.{group}.mixtures")
    for key, source in (config.get("facts") or {}).items():
        known(source, "sources", f"facts.{key}")
    if "pretraining" in config:
        known(config["pretraining"]["wikipedia"], "sources", "pretraining.wikipedia")
    for name, prompts in study.prompts.items():
        if ("pool" in prompts) == ("source" in prompts):
            raise UserError(f"{where}: 'prompts.{name}' needs either 'pool' or 'source'")
        for key, section in (("pool", "pools"), ("source", "sources")):
            if key in prompts:
                known(prompts[key], section, f"prompts.{name}.{key}")
        if "source" in prompts and (prompts.get("references") != "teacher" or prompts.get("single_exchanges")):
            raise UserError(
                f"{where}: 'prompts.{name}.source' has prompts without replies: set 'references: teacher', and no "
                "'single_exchanges'"
            )
        if not study.pools:
            raise UserError(f"{where}: 'prompts.{name}' needs 'pools': the prompts stay away from their training part")
    for name, benchmark in study.benchmarks.items():
        if benchmark["data"].startswith("facts:"):
            if "facts" not in config:
                raise UserError(f"{where}: 'benchmarks.{name}.data' needs the section 'facts'")
        else:
            known(benchmark["data"], "sources", f"benchmarks.{name}.data")
    for name in study.teacher.get("benchmarks", []):
        known(name, "benchmarks", "teacher.benchmarks")
    if study.style:
        known(study.style["prompts"], "prompts", "style.prompts")
        if "tone" in study.style:
            known(study.style["tone"], "judges", "style.tone")
    for section in ("judges", "raters"):
        for name, entry in (config.get(section) or {}).items():
            known(entry["prompts"], "prompts", f"{section}.{name}.prompts")
    for name in study.raters:
        if name in study.judges:
            raise UserError(f"{where}: {name!r} is in 'judges' and in 'raters'; give one of them another name")


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", help="study file; a later one changes an earlier one's keys")
    parser.add_argument("--json", help="the study as JSON text, instead of --config")
    parser.add_argument("--output", type=Path, help="the expanded study; default: print a summary")
    args = parser.parse_args(argv)
    if (args.config is None) == (args.json is None):
        raise UserError("give either --config FILE or --json TEXT")
    study = load(json.loads(args.json), "--json") if args.json else load_files(args.config)
    if args.output:
        write_json(args.output, study.expanded())
    else:
        print(f"{study.name}: {len(study.bases)} base models, {len(study.trained)} trained models")
        print("\n".join(study.models))


def load_files(files: Sequence[Path]) -> Study:
    """Read study files, a later one changing an earlier one's keys, as `snakemake --configfile` does.

    Raises:
        UserError: a file is missing or not YAML, or the study is not as it should be.
    """
    import yaml

    merged: dict[str, Any] = {}
    for file in files:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{file}: can't be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: not YAML: {error}") from error
        if not isinstance(content, dict):
            raise UserError(f"{file}: expected a study (a mapping), found {type(content).__name__}")
        merged = _merge(merged, content)
    return load(merged, ", ".join(map(str, files)))


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), dict)
        base[key] = _merge(base[key], value) if both else value
    return base


if __name__ == "__main__":
    cli.run(main)
