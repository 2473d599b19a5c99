"""Read a study file, check it, and write the expanded study: every model by name.

A study (config/*.yaml, described in config/README.md) names sources, base models, mixtures and the
grid of runs. Expanded, each cell of the grid is a model, `medium-sharegpt_mix-250k-s0`, and a base
model is one as well, `medium`. A model that two runs share is one model.

The rules ask a `Study` for what they need (`Study.base_of(wildcards)` and the like); the figures
read the expanded study that this verb writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import write_json
from falsepromise.core.schema import check, nearest

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "study.schema.yaml"
GROUPS = ("amount", "size", "targeted", "replay")
TEACHER = "teacher"  # the model's name under which the teacher's own scores are kept


def amount_name(tokens: int | None) -> str:
    """A token budget as names show it: 250000 -> "250k", 20000000 -> "20M", None -> "all"."""
    if tokens is None:
        return "all"
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if tokens % unit == 0:
            return f"{tokens // unit}{letter}"
    return str(tokens)


def parameters(architecture: Mapping[str, Any], vocab_size: int) -> int:
    """Weights of a LLaMA-shaped model (gated MLP, tied embeddings unless said otherwise)."""
    d = architecture["hidden_size"]
    heads = architecture["num_attention_heads"]
    keys = architecture.get("num_key_value_heads", heads)
    mlp = architecture.get("intermediate_size", 4 * d)
    layer = 2 * d * d + 2 * d * d * keys // heads + 3 * d * mlp + 2 * d
    embeddings = vocab_size * d * (1 if architecture.get("tie_word_embeddings", True) else 2)
    return embeddings + architecture["num_hidden_layers"] * layer + d


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
        if key in ("sources", "pools", "mixtures", "bases", "training", "teacher", "prompts", "benchmarks", "judges"):
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
            "mixtures": {name: {"label": self.mixture_label(name)} for name in self.mixtures},
            "models": self.models,
            "runs": self.runs,
            "teacher": {
                "name": TEACHER,
                **{key: self.teacher.get(key) for key in ("label", "model", "stand_in")},
            },
            "prompts": self.prompts,
            "judges": {
                name: {"label": judge["label"], "stand_in": judge.get("stand_in")}
                for name, judge in self.judges.items()
            },
            "benchmarks": {
                name: {
                    **{key: b[key] for key in ("task", "metric", "label")},
                    "stand_in": b.get("stand_in"),
                    "limit": b.get("limit"),
                }
                for name, b in self.benchmarks.items()
            },
        }

    def parameters(self, base: str) -> int:
        """Of a base model: as the study says, or counted from the architecture."""
        entry = self.bases[base]
        if "parameters" in entry:
            return int(entry["parameters"])
        return parameters(entry["architecture"], self.vocab_size)

    @property
    def vocab_size(self) -> int:
        return (self.config.get("tokenizer") or {}).get("vocab_size", 4096)

    def mixture_label(self, mixture: str) -> str:
        return self.mixtures[mixture].get("label", mixture)

    # Which jobs there are ------------------------------------------------------------------

    def chosen(self, entry: Mapping[str, Any], default: Sequence[str]) -> list[str]:
        """The models of the groups that a benchmark, prompt set or judge names in `runs`."""
        groups = entry.get("runs", default)
        names = [base for base in self.bases if "bases" in groups]
        names += [model for group in groups for model in self.runs.get(group, [])]
        return list(dict.fromkeys(names))

    @cached_property
    def scores(self) -> dict[str, list[str]]:
        """Every score file, by benchmark; the teacher's where the study asks for them."""
        files = {
            name: [f"{self.results}/benchmarks/{name}/{m}.json" for m in self.chosen(entry, ("bases", *GROUPS))]
            for name, entry in self.benchmarks.items()
        }
        for name in self.teacher.get("benchmarks", []):
            files[name].append(f"{self.results}/benchmarks/{name}/{TEACHER}.json")
        return files

    @cached_property
    def styles(self) -> list[str]:
        """Every style score: of all models that answer the style prompts, and of the teacher's second answer."""
        if not self.style:
            return []
        models = self.responders(self.style["prompts"])
        if self.prompts[self.style["prompts"]].get("references", "dialogue") == "teacher":
            models = [*models, TEACHER]
        return [f"{self.results}/style/{model}.json" for model in models]

    @property
    def style(self) -> dict[str, Any]:
        return self.config.get("style") or {}

    def judgements(self, judge: str) -> list[str]:
        """Every preference score of a judge."""
        models = self.chosen(self.judges[judge], ("amount", "size"))
        return [f"{self.results}/preference/{judge}/{model}.json" for model in models]

    def responders(self, prompts: str) -> list[str]:
        """The models that answer a prompt set."""
        return self.chosen(self.prompts[prompts], ("bases", *GROUPS))

    def of_task(self, *tasks: str) -> list[str]:
        """All score files of the benchmarks with these tasks."""
        return [file for name, b in self.benchmarks.items() if b["task"] in tasks for file in self.scores[name]]

    @property
    def all_scores(self) -> list[str]:
        files = [file for name in self.benchmarks for file in self.scores[name]]
        return files + self.styles + [file for judge in self.judges for file in self.judgements(judge)]

    # What one job takes, asked with its wildcards ------------------------------------------

    def model_of(self, wildcards: Any) -> str:
        """The folder of a model's weights."""
        kind = "bases" if wildcards.model in self.bases else "models"
        return f"{self.results}/training/{kind}/{wildcards.model}"

    def base_of(self, wildcards: Any) -> str:
        """The folder of the base that a trained model starts from."""
        return f"{self.results}/training/bases/{self.models[wildcards.model]['base']}"

    def blocks_of(self, wildcards: Any) -> str:
        """The token blocks that a trained model sees."""
        model = self.models[wildcards.model]
        mixture = "pretraining" if "text" in self.mixtures[model["mixture"]] else model["mixture"]
        return f"{self.results}/training/blocks/{self.tokenizer(model['base'])}/{mixture}.s{self._order(model)}"

    def _order(self, model: Mapping[str, Any]) -> int:
        """The seed of the data's order; pre-training text has one order."""
        return self.seed if "text" in self.mixtures[model["mixture"]] else model["seed"]

    def pretraining_blocks(self, base: str) -> str:
        return f"{self.results}/training/blocks/{self.tokenizer(base)}/pretraining.s{self.seed}"

    def replay_of(self, wildcards: Any) -> list[str]:
        """The pre-training blocks that a model replays, where its recipe says so."""
        model = self.models[wildcards.model]
        replays = self.recipe(model["mixture"]).get("replay_share", 0) > 0
        return [self.pretraining_blocks(model["base"])] if replays else []

    def recipe(self, mixture: str) -> dict[str, Any]:
        return self.training[self.mixtures[mixture].get("recipe", "imitation")]

    def recipe_of(self, wildcards: Any) -> str:
        """A trained model's recipe, as JSON."""
        return json.dumps(self.recipe(self.models[wildcards.model]["mixture"]))

    def tokens_of(self, wildcards: Any) -> str:
        """The option for a trained model's token budget; nothing for all tokens."""
        tokens = self.models[wildcards.model]["tokens"]
        return "" if tokens is None else f"--tokens {tokens}"

    def seed_of(self, wildcards: Any) -> int:
        return self.models[wildcards.model]["seed"]

    def tokenizer(self, base: str) -> str:
        """The name of a base's tokenizer: `study` is the one that this study trains."""
        entry = self.bases[base]
        return entry.get("tokenizer", "study" if "architecture" in entry else base)

    def tokenizer_folder(self, wildcards: Any) -> str:
        """The folder of a tokenizer by its name: the study's own, or the first base's that has it."""
        if wildcards.tokenizer == "study":
            return f"{self.results}/training/tokenizer"
        base = next(name for name in self.bases if self.tokenizer(name) == wildcards.tokenizer)
        return f"{self.results}/training/bases/{base}"

    def block_size(self, tokenizer: str) -> int:
        """Tokens a block for the bases with this tokenizer."""
        default = (self.config.get("blocks") or {}).get("size", 2048)
        sizes = {b.get("block_size", default) for name, b in self.bases.items() if self.tokenizer(name) == tokenizer}
        return next(iter(sizes))

    def mixture_file(self, wildcards: Any) -> str:
        """The dialogues of a mixture in the order of a seed."""
        return f"{self.results}/curation/mixtures/{wildcards.mixture}.s{wildcards.seed}.jsonl"

    def benchmark_data(self, wildcards: Any) -> str:
        """A benchmark's questions: a source's file, or one of the facts' (`facts:qa.jsonl`)."""
        data = self.benchmarks[wildcards.benchmark]["data"]
        if data.startswith("facts:"):
            return f"{self.results}/curation/facts/{data.removeprefix('facts:')}"
        return f"{self.results}/sources/{data}"

    def turn_tokens(self, wildcards: Any) -> str:
        """Whether prompts get the turn tokens: of imitation models (Appendix E), never of base models."""
        never = self.benchmarks[wildcards.benchmark].get("turn_tokens", "auto") == "never"
        return "no" if never or wildcards.model in self.bases else "yes"

    def judge(self, name: str) -> dict[str, Any]:
        """How a judge is asked: the teacher's settings where the judge has none of its own."""
        shared = {key: value for key, value in self.teacher.items() if key not in ("label", "stand_in", "benchmarks")}
        return {**shared, **self.judges[name]}

    # What a job costs ----------------------------------------------------------------------

    def gpus(self, base: str) -> int:
        """GPUs for a full fine-tuning: none below 100M parameters, one up to 2B, a node of 8 above.

        The weights, the two moments and the gradients in float32 are 16 bytes a parameter:
        112 GB for 7B, 208 GB for 13B, before activations.
        """
        entry = self.bases[base]
        if "gpus" in entry:
            return entry["gpus"]
        size = self.parameters(base)
        return 0 if size < 100e6 else 1 if size < 2e9 else 8

    def train_minutes(self, base: str, tokens: int | None) -> int:
        """Minutes to ask for: 6 FLOPs a parameter and token at 40 % of an A100's 312 TFLOP/s, doubled,
        and a quarter of an hour to start (a CPU: 20 GFLOP/s).
        """
        speed = self.gpus(base) * 0.4 * 312e12 or 20e9
        flops = 6 * self.parameters(base) * (tokens or 20_000_000)
        return 15 + int(2 * flops / speed / 60)

    def memory_mb(self, base: str) -> int:
        """Host memory: the weights in float32 twice (read and written), and room to run."""
        return 2000 + int(8 * self.parameters(base) / 1e6)


def load(config: Mapping[str, Any], where: str = "the study") -> Study:
    """Check a study's mapping and name its models.

    Args:
        config: The study file's mapping, as YAML gives it.
        where: What to call it in messages.

    Raises:
        UserError: one line that names the key, what was found and what was expected.
    """
    config = json.loads(json.dumps(config))  # a plain copy: Snakemake hands over its own mapping
    check(config, SCHEMA, where)
    study = Study(config)
    _check_names(study, where)
    for group, run in config["runs"].items():
        _expand(study, group, run, where)
    return Study(config, _models(study), study.runs)


def _models(study: Study) -> dict[str, dict[str, Any]]:
    bases = {
        name: {"base": name, "mixture": None, "tokens": 0, "seed": 0, "label": base["label"]}
        for name, base in study.bases.items()
    }
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
                        raise UserError(f"{where}: two models would both be called {name!r}; rename a base or a mixture")
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
        known(prompts["pool"], "pools", f"prompts.{name}.pool")
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
    for name, judge in study.judges.items():
        known(judge["prompts"], "prompts", f"judges.{name}.prompts")


def check_files(study: Study) -> None:
    """What can be known only when jobs are about to start: are the study's own files there?

    Raises:
        UserError: a `file:` that is missing, or a key that is not in the environment.
    """
    named = {f"sources.{name}.uri": source["uri"] for name, source in study.sources.items()}
    named |= {f"bases.{name}.weights": base["weights"] for name, base in study.bases.items() if "weights" in base}
    named |= {f"mixtures.{name}.seeds": "file:" + m["seeds"] for name, m in study.mixtures.items() if "seeds" in m}
    for key, uri in named.items():
        if uri.startswith("file:") and not Path(uri.removeprefix("file:")).exists():
            raise UserError(
                f"'{key}' names the file {uri.removeprefix('file:')!r}, which is not there; put it there "
                "or change the study (docs/running.md says where each comes from)"
            )
    for asked in (study.teacher, *(study.judge(name) for name in study.judges)):
        variable = asked.get("api_key_env", "OPENAI_API_KEY")
        if asked["url"] != "local" and not os.environ.get(variable):
            raise UserError(f"{asked['url']} is asked with a key; set it in the environment variable {variable}")


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
