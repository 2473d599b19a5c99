"""What the rules ask of a study: which jobs there are, and what each takes.

Methods that take `wildcards` are input or parameter functions of the rules. What they return is
all that a job's result depends on: a value that they don't return can change without a rerun.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from falsepromise.core import browser
from falsepromise.core.claim import FOLDER_VARIABLE
from falsepromise.core.costs import Costs
from falsepromise.core.errors import UserError
from falsepromise.core.study import TEACHER, Study, load

T = TypeVar("T")
GROUPS = ("amount", "size", "targeted", "replay", "control")
SELECTION = ("max_query_characters", "max_reply_characters", "single_exchanges")
PRINTED = (
    "table3_seed_examples.jsonl",
    "table4_nq_synthetic.txt",
    "table5_tldr_synthetic.txt",
    "table8_natural_questions.txt",
    "table9_cnn_dailymail.txt",
)
_TASKS = "workflow/falsepromise/benchmarks/tasks/falsepromise_"
PROMPTS = {
    "nq": ["resources/prompts/table8_natural_questions.txt"],
    "cnn": ["resources/prompts/table9_cnn_dailymail.txt"],
    "gsm8k": ["resources/prompts/gsm8k_star.txt"],
    "mmlu": [_TASKS + "mmlu.yaml"],
    "multiple_choice": [_TASKS + "multiple_choice.yaml"],
}
LIMITS = ("max_usd", "max_requests", "concurrency", "requests_per_minute", "tokens_per_minute")
PRICES = ("price_input", "price_output")


def plan(config: Mapping[str, Any], files: Iterable[str | Path]) -> Jobs:
    """Check the mapping that the study files give together; the jobs that it asks for.

    Raises:
        UserError: one line that names the key, what was found and what was expected.
    """
    study = load(config, " with ".join(os.path.relpath(file) for file in files) or "the study")
    return Jobs(study.config, study.models, study.runs)


def or_exit(function: Callable[..., T], *arguments: Any) -> T:
    """Call `function`; a user's error ends Snakemake with one line, before any job starts."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def one_of(names: Iterable[str]) -> str:
    """A wildcard's constraint: one of these names, and no name at all where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def options(entry: Mapping[str, Any], *keys: str) -> str:
    """Command-line options for the keys that `entry` has: `max_bleu: 20` -> `--max-bleu 20`."""
    words = []
    for key in keys:
        value = entry.get(key)
        if value is None or value is False:
            continue
        words.append("--" + key.replace("_", "-"))
        if value is not True:
            words.append(shlex.quote(str(value)))
    return " ".join(words)


def shell_prefix(root: str, python: str) -> str:
    """What every job's shell starts with.

    Args:
        root: The checkout, where the package is.
        python: The Python that runs Snakemake, which runs the jobs as well.
    """
    path, package = shlex.quote(os.path.dirname(python)), shlex.quote(f"{root}/workflow")
    return (
        f"set -euo pipefail; export PATH={path}:$PATH PYTHONPATH={package}; "
        # SLURM sends SIGTERM to all processes of a job at once: the shell and the log must outlive the program, which
        # saves its state first.
        "trap : TERM; tee() {{ trap '' TERM; command tee \"$@\"; }}; "
        f"export {FOLDER_VARIABLE}=$(pwd -P) JAX_COMPILATION_CACHE_DIR=results/.cache/jax; "
        # One thread a job on CPU: two such jobs at once are faster than one after the other.
        "export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false; "
    )


class Jobs(Costs):
    """A study as the rules see it. Paths are relative to the checkout."""

    @property
    def as_json(self) -> str:
        return json.dumps(self.config)

    # Which jobs there are ------------------------------------------------------------------

    @property
    def wildcards(self) -> dict[str, str]:
        """The constraints of all wildcards: each is one of the study's names."""
        return {
            "source": one_of(self.sources),
            "pool": one_of(self.pools),
            "mixture": one_of(["pretraining", *self.mixtures]),
            "base": one_of(self.base_models),
            "model": one_of(self.models),
            "tokenizer": one_of({self.tokenizer(base) for base in self.bases}),
            "prompts": one_of(self.prompts),
            "benchmark": one_of(self.benchmarks),
            "judge": one_of(self.judges),
            "source_of_votes": one_of(self.voters),
            "seed": "[0-9]+",
        }

    def chosen(self, entry: Mapping[str, Any], default: Sequence[str]) -> list[str]:
        """The models of the groups that a benchmark, prompt set or judge names in `runs`."""
        groups = entry.get("runs", default)
        names = self.base_models if "bases" in groups else []
        trained = [model for group in groups for model in self.runs.get(group, [])]
        return list(dict.fromkeys([*names, *trained]))

    def scores(self, benchmark: str) -> list[str]:
        """A benchmark's score files; the teacher's with them where the study asks for it."""
        models = self.chosen(self.benchmarks[benchmark], ("bases", *GROUPS))
        if benchmark in self.teacher.get("benchmarks", []):
            models.append(TEACHER)
        return [f"{self.results}/benchmarks/{benchmark}/{model}.json" for model in models]

    def of_tasks(self, *tasks: str) -> list[str]:
        """The score files of the benchmarks with these tasks."""
        return [file for name, b in self.benchmarks.items() if b["task"] in tasks for file in self.scores(name)]

    @cached_property
    def capabilities(self) -> list[str]:
        """The score files of all benchmarks but toxicity."""
        return self.of_tasks(*({b["task"] for b in self.benchmarks.values()} - {"toxicity"}))

    @cached_property
    def styles(self) -> list[str]:
        """The style scores of all models that answer the style prompts."""
        if not self.style:
            return []
        models = self.chosen(self.prompts[self.style["prompts"]], ("bases", *GROUPS))
        return [f"{self.results}/style/{model}.json" for model in models]

    @property
    def voters(self) -> dict[str, dict[str, Any]]:
        """Who says which answers are better: the judges and the raters."""
        return {**self.judges, **self.raters}

    @cached_property
    def voted_on(self) -> dict[str, list[str]]:
        """The judges and raters of each model that has any."""
        found: dict[str, list[str]] = {}
        for name, judge in self.judges.items():
            for model in self.chosen(judge, ("amount", "size")):
                found.setdefault(model, []).append(name)
        for name, raters in self.raters.items():
            for model in raters["votes"]:
                found.setdefault(model, []).append(name)
        return found

    @cached_property
    def preferences(self) -> list[str]:
        """The preference scores of all judges and raters."""
        return [f"{self.results}/preference/{name}/{m}.json" for m, names in self.voted_on.items() for name in names]

    @cached_property
    def agreements(self) -> list[str]:
        """The models of which two say something: judges, raters, metrics of style."""
        models = [
            m for m, names in self.voted_on.items() if len(self._sharing(names)) + bool(self._style(m, names)) > 1
        ]
        return [f"{self.results}/preference/{model}.agreement.json" for model in models]

    @cached_property
    def regressions(self) -> list[str]:
        """The preferences that metrics of style may explain."""
        return [
            f"{self.results}/preference/{name}/{model}.regression.json"
            for model, names in self.voted_on.items()
            for name in names
            if self._style(model, [name])
        ]

    def _sharing(self, names: Sequence[str]) -> list[str]:
        """Those of a model's judges and raters that have its first one's prompts."""
        return [name for name in names if self.voters[name]["prompts"] == self.voters[names[0]]["prompts"]]

    def _style(self, model: str, names: Sequence[str]) -> list[str]:
        """A model's style record, where it is on the prompts that these judges and raters voted on."""
        file = f"{self.results}/style/{model}.json"
        same = file in self.styles and self.voters[names[0]]["prompts"] == self.style_prompts
        return [file] if same else []

    @cached_property
    def evaluations(self) -> list[str]:
        """Every score of the study."""
        return [*self.capabilities, *self.of_tasks("toxicity"), *self.styles, *self.preferences]

    @property
    def figures(self) -> list[str]:
        """The final figures and tables for which the study has scores."""
        tasks = {b["task"] for b in self.benchmarks.values()}
        names = {
            "figures/fig1.pdf": bool(self.voters) and "nq" in tasks,
            "figures/fig2.pdf": bool(self.styles),
            "figures/fig3.pdf": bool(self.judges),
            "figures/fig4.pdf": True,
            "figures/fig5.pdf": "toxicity" in tasks,
            "figures/fig6.pdf": bool(self.pools),
            "figures/fig7.pdf": bool(self.styles) and browser.missing() is None,
            "figures/fig_diversity.pdf": bool(self.pools),
            "figures/fig_style.pdf": bool(self.styles),
            "figures/capability_style.pdf": bool(self.styles),
            "tables/versus_paper.md": True,
            "tables/summary.csv": True,
            "tables/funnel.csv": bool(self.pools),
            "tables/overlap.csv": bool(self.overlaps),
            "tables/prompts.md": True,
            "tables/manifests.csv": True,
            "tables/table1.csv": "targeted" in self.runs and bool(tasks & {"nq", "cnn"}),
            "tables/table2.csv": bool(self.styles),
            "tables/table6.csv": self.category_sheet is not None,
            "tables/table7.csv": "cnn" in tasks,
            "tables/agreement.csv": bool(self.agreements),
            "tables/regression.csv": bool(self.regressions),
        }
        return [f"results/{name}" for name, wanted in names.items() if wanted]

    @property
    def best(self) -> str:
        """The imitation model with the most parameters and data: the one whose answers are shown."""
        broad = [name for group in ("size", "amount") for name in self.runs.get(group, [])] or self.trained
        return max(
            broad, key=lambda name: (self.parameters(self.models[name]["base"]), self.models[name]["tokens"] or 0)
        )

    @property
    def example_dialogues(self) -> str:
        """The dialogues that are shown: the first pool's training part."""
        return f"{self.results}/curation/clean/{next(iter(self.pools), 'none')}.train.jsonl"

    @property
    def category_sheet(self) -> str | None:
        """The sheet of queries that were sorted by hand, of the first pool that has one."""
        return next((pool["categories"] for pool in self.pools.values() if "categories" in pool), None)

    @property
    def category_options(self) -> str:
        """Who sorted them."""
        who = next((p.get("categories_by") for p in self.pools.values() if "categories" in p), None)
        return options({"annotator": who}, "annotator")

    @property
    def categories_of(self) -> str:
        """The sources whose queries were sorted."""
        return ", ".join(next((p["sources"] for p in self.pools.values() if "categories" in p), []))

    @property
    def funnels(self) -> list[str]:
        """The counts of curation, in order of work."""
        asked = {name: mixture for name, mixture in self.mixtures.items() if "teacher" in mixture}
        read = [source for pool in self.pools.values() for source in pool["sources"]]
        read += [mixture["posts"] for mixture in asked.values() if "posts" in mixture]
        names = [f"curation/dialogues/{source}" for source in dict.fromkeys(read)]
        names += [f"curation/clean/{pool}" for pool in self.pools]
        names += [f"teacher/{mixture}" for mixture in asked]
        names += [f"curation/prompts/{name}" for name in self.prompts]
        names += [f"teacher/answers/{name}" for name in self.prompts if self.asked_for_references(name)]
        return [f"{self.results}/{name}.funnel.csv" for name in names]

    @property
    def _mixtures_used(self) -> list[str]:
        """The mixtures that models were trained on, as their files are called: `sharegpt_mix.s0`."""
        used = {(m["mixture"], m["seed"]) for m in map(self.models.__getitem__, self.trained)}
        return [f"{name}.s{seed}" for name, seed in sorted(used) if "text" not in self.mixtures[name]]

    @property
    def documented(self) -> list[str]:
        """The artifacts whose manifests are listed: mixtures, bases, trained models, scores."""
        return [
            *(f"{self.results}/curation/mixtures/{name}.jsonl" for name in self._mixtures_used),
            *(f"{self.results}/training/bases/{name}" for name in self.base_models),
            *(f"{self.results}/training/models/{name}" for name in self.trained),
            *self.evaluations,
        ]

    # What is released ----------------------------------------------------------------------

    def scores_for_card(self, wildcards: Any) -> list[str]:
        """A model's scores, and those of the base models that its card sets beside them."""
        base = self.models[wildcards.model]["base"]
        wanted = {wildcards.model, *(name for name in self.base_models if self.models[name]["base"] == base)}
        return [file for file in self.evaluations if Path(file).stem in wanted]

    def funnels_of_mixture(self, wildcards: Any) -> list[str]:
        """What curation counted on the way to a mixture."""
        mixture = self.mixtures[wildcards.mixture]
        if "pool" not in mixture:
            return []
        pool = mixture["pool"]
        names = [*(f"dialogues/{source}" for source in self.pools[pool]["sources"]), f"clean/{pool}"]
        return [f"{self.results}/curation/{name}.funnel.csv" for name in names]

    def funnels_of_model(self, wildcards: Any) -> list[str]:
        return self.funnels_of_mixture(_Of(self.models[wildcards.model]["mixture"]))

    @property
    def released_data(self) -> list[str]:
        """The evaluation prompts, and the mixtures that models were trained on."""
        names = [*(f"prompts/{p}" for p in self.prompts), *(f"mixtures/{m}" for m in self._mixtures_used)]
        return [f"results/release/{self.name}/{name}" for name in names]

    @property
    def marks(self) -> list[str]:
        """The file of hand-made marks on figure 2's answers, where the study has one."""
        return [self.style["marks"]] if "marks" in self.style else []

    @property
    def foot(self) -> str:
        """What stands below a picture of texts."""
        return f"Study: {self.name} ({self.config.get('title', self.name)})."

    @property
    def answers_foot(self) -> str:
        """The same below the teacher's answers: what stands in for the teacher, where it was asked for them."""
        stand_in = self.teacher.get("stand_in") if self.asked_for_references(self.style_prompts) else None
        return f"{self.foot} Stand-ins: teacher: {stand_in}." if stand_in else self.foot

    @property
    def page_foot(self) -> str:
        """What stands below the picture of the rating page."""
        label, reference = self.models[self.best]["label"], self.reference_label(self.style_prompts)
        return (
            f"{self.answers_foot} One answer is the model's ({label}), one the teacher's ({reference}); raters are not "
            "told which is which."
        )

    @property
    def pool_labels(self) -> list[str]:
        """What the pools are called on figures: as the first mixture that is made of each."""
        named = {m["pool"]: self.mixture_label(name) for name, m in reversed(self.mixtures.items()) if "pool" in m}
        return [named.get(pool, pool) for pool in self.pools]

    @property
    def overlaps(self) -> list[tuple[str, str, str]]:
        """The reports of how close benchmarks come to mixtures: file, benchmark's label, mixture's label. Mixtures
        that differ in their recipe alone have the same dialogues and are reported once.
        """
        distinct: dict[str, str] = {}
        for name, mixture in self.mixtures.items():
            if "text" not in mixture:
                origin = {key: value for key, value in mixture.items() if key not in ("label", "recipe")}
                distinct.setdefault(json.dumps(origin if "pool" in mixture else name, sort_keys=True), name)
        return [
            (f"{self.results}/benchmarks/overlap/{name}/{mixture}.json", b["label"], self.mixture_label(mixture))
            for name, b in self.benchmarks.items()
            for mixture in distinct.values()
        ]

    @property
    def teacher_tally(self) -> str:
        """Options that name the teacher as who sorted queries."""
        asked = {"annotator": self.teacher["label"], "stand_in": self.teacher.get("stand_in")}
        return options(asked, "annotator", "stand_in")

    def reference_label(self, prompts: str) -> str:
        """Whose answers the references are: the teacher's, or those that the dialogues came with."""
        return self.teacher["label"] if self.asked_for_references(prompts) else "The dialogue's own reply"

    # What one job takes, asked with its wildcards ------------------------------------------

    def local_file(self, wildcards: Any) -> list[str]:
        """A `file:` source's own file, so that a change of it counts, where it is there."""
        uri = self.sources[wildcards.source]["uri"]
        path = uri.removeprefix("file:")
        return [path] if uri.startswith("file:") and Path(path).exists() else []

    def mixture_input(self, wildcards: Any) -> str:
        """The dialogues of a mixture: a pool's training part, or the teacher's."""
        mixture = self.mixtures[wildcards.mixture]
        if "pool" in mixture:
            return f"{self.results}/curation/clean/{mixture['pool']}.train.jsonl"
        return f"{self.results}/teacher/{wildcards.mixture}.jsonl"

    def prompts_input(self, wildcards: Any) -> str:
        """What evaluation prompts are drawn from: a pool's held-out part, or a source of prompts."""
        prompts = self.prompts[wildcards.prompts]
        if "source" in prompts:
            return f"{self.results}/sources/{prompts['source']}"
        return f"{self.results}/curation/clean/{prompts['pool']}.heldout.jsonl"

    def prompts_stay_away_from(self, wildcards: Any) -> list[str]:
        """The training dialogues that evaluation prompts must not resemble: their pool's, or all pools'."""
        prompts = self.prompts[wildcards.prompts]
        pools = [prompts["pool"]] if "pool" in prompts else self.pools
        return [f"{self.results}/curation/clean/{pool}.train.jsonl" for pool in pools]

    def model_of(self, wildcards: Any) -> str:
        """The folder of a model's weights."""
        kind = "bases" if wildcards.model in self.base_models else "models"
        return f"{self.results}/training/{kind}/{wildcards.model}"

    def base_of(self, wildcards: Any) -> str:
        """The folder of the base that a trained model starts from."""
        model = self.models[wildcards.model]
        return f"{self.results}/training/bases/{self.base_model(model['base'], model['seed'])}"

    def base_key(self, wildcards: Any) -> str:
        """The study's name of the base of which `wildcards.base` is one draw."""
        return self.models[wildcards.base]["base"]

    def blocks_of(self, wildcards: Any) -> str:
        """The token blocks that a trained model sees."""
        model = self.models[wildcards.model]
        if "text" in self.mixtures[model["mixture"]]:
            return self.pretraining_blocks(model["base"])
        return f"{self.results}/training/blocks/{self.tokenizer(model['base'])}/{model['mixture']}.s{model['seed']}"

    def pretraining_blocks(self, base: str) -> str:
        return f"{self.results}/training/blocks/{self.tokenizer(base)}/pretraining.s{self.seed}"

    def replay_of(self, wildcards: Any) -> list[str]:
        """The pre-training blocks that a model replays, where its recipe says so."""
        model = self.models[wildcards.model]
        replays = self.recipe(model["mixture"]).get("replay_share", 0) > 0
        return [self.pretraining_blocks(model["base"])] if replays else []

    def recipe_of(self, wildcards: Any) -> str:
        """A trained model's recipe, as JSON."""
        return json.dumps(self.recipe(self.models[wildcards.model]["mixture"]))

    def pretraining_recipe(self, wildcards: Any) -> str:
        """The recipe by which a base is pre-trained here, as JSON."""
        return json.dumps(self.training[self.bases[self.base_key(wildcards)].get("recipe", "pretraining")])

    def architecture(self, wildcards: Any) -> str:
        """The configuration of a base made here, as JSON with the hub's keys."""
        fixed = {"model_type": "llama", "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}
        own = self.bases[self.base_key(wildcards)]["architecture"]
        return json.dumps({**fixed, "tie_word_embeddings": True, **own})

    def tokens_of(self, wildcards: Any) -> str:
        """The option for a trained model's token budget; nothing for all tokens."""
        return options(self.models[wildcards.model], "tokens")

    def seed_of(self, wildcards: Any) -> int:
        return self.models[wildcards.model]["seed"]

    def tokenizer_folder(self, wildcards: Any) -> str:
        """The folder of a tokenizer by its name: the study's own, or the first base's that has it."""
        if wildcards.tokenizer == "study":
            return f"{self.results}/training/tokenizer"
        base = next(name for name in self.bases if self.tokenizer(name) == wildcards.tokenizer)
        return f"{self.results}/training/bases/{base}"

    @property
    def tokenizer_dialogues(self) -> list[str]:
        """The dialogues that the study's tokenizer is trained on, beside the pre-training text: each pool's
        first mixture, which the imitation models see."""
        first: dict[str, str] = {}
        for name, mixture in self.mixtures.items():
            if "pool" in mixture:
                first.setdefault(mixture["pool"], name)
        return [f"{self.results}/curation/mixtures/{name}.s{self.seed}.jsonl" for name in first.values()]

    def blocks_input(self, wildcards: Any) -> str:
        """The records that become tokens."""
        if wildcards.mixture == "pretraining":
            return f"{self.results}/curation/pretraining/text.jsonl"
        return f"{self.results}/curation/mixtures/{wildcards.mixture}.s{wildcards.seed}.jsonl"

    def block_options(self, wildcards: Any) -> str:
        """Size and packing of blocks. Pre-training text is one stream, cut wherever a block ends."""
        blocks = self.blocks
        bases = [base for name, base in self.bases.items() if self.tokenizer(name) == wildcards.tokenizer]
        size = bases[0].get("block_size", blocks.get("size", 2048))
        packing = "contiguous" if wildcards.mixture == "pretraining" else blocks.get("packing", "contiguous")
        return f"--block-size {size} --packing {packing}"

    def benchmark_data(self, wildcards: Any) -> str:
        """A benchmark's questions: a source's file, or one of the facts' (`facts:qa.jsonl`)."""
        data = self.benchmarks[wildcards.benchmark]["data"]
        if data.startswith("facts:"):
            return f"{self.results}/curation/facts/{data.removeprefix('facts:')}"
        return f"{self.results}/sources/{data}"

    def benchmark_prompt(self, wildcards: Any) -> list[str]:
        """The files that shape a benchmark's prompt, so that an edit of them scores again."""
        return [file for file in PROMPTS.get(self.benchmarks[wildcards.benchmark]["task"], []) if Path(file).exists()]

    def benchmark_options(self, wildcards: Any) -> str:
        """Options of one benchmark. Where there is no sandbox, HumanEval is not scored, and says so."""
        benchmark = self.benchmarks[wildcards.benchmark]
        words = options(benchmark, "limit", "samples", "max_tokens", "scorer")
        return f"{words} --on-no-sandbox skip" if benchmark["task"] == "humaneval" else words

    def turn_tokens(self, wildcards: Any) -> str:
        """Whether prompts get the turn tokens: of imitation models (Appendix E), never of base models."""
        never = self.benchmarks[wildcards.benchmark].get("turn_tokens", "auto") == "never"
        return "no" if never or wildcards.model in self.base_models else "yes"

    def references(self, prompts: str) -> str:
        """The teacher's answers to a prompt set: asked now, or the dialogues' own."""
        if self.asked_for_references(prompts):
            return f"{self.results}/teacher/answers/{prompts}.jsonl"
        return f"{self.results}/curation/prompts/{prompts}.references.jsonl"

    def judgements_of(self, wildcards: Any) -> list[str]:
        """The judge's verdicts on a model's tone, where the study names a judge for it."""
        judge = self.style.get("tone")
        return [f"{self.results}/preference/{judge}/{wildcards.model}.tone.jsonl"] if judge else []

    @property
    def second_judgements(self) -> list[str]:
        """The judge's verdicts on the tone of the teacher's second answers, where both are asked for."""
        judge = self.style.get("tone") if self.asked_for_references(self.style_prompts) else None
        return [f"{self.results}/preference/{judge}/{TEACHER}.tone.jsonl"] if judge else []

    def votes_of(self, wildcards: Any) -> list[str]:
        """The votes on a model: a judge's, or the files that hold the raters'."""
        name = wildcards.source_of_votes
        if name in self.raters:
            return self.raters[name]["votes"][wildcards.model]
        return [f"{self.results}/preference/{name}/{wildcards.model}.votes.jsonl"]

    def preferences_of(self, wildcards: Any) -> list[str]:
        """The preference scores of a model that are on the same prompts."""
        names = self._sharing(self.voted_on[wildcards.model])
        return [f"{self.results}/preference/{name}/{wildcards.model}.json" for name in names]

    def style_of(self, wildcards: Any) -> list[str]:
        """The style record of a model, where it is on the prompts that were voted on."""
        return self._style(wildcards.model, self._sharing(self.voted_on[wildcards.model]))

    def asked_for_references(self, prompts: str) -> bool:
        """Whether the teacher answers a prompt set now (twice), rather than in the dialogues."""
        return self.prompts.get(prompts, {}).get("references", "dialogue") == "teacher"

    @property
    def style_prompts(self) -> str:
        return self.style.get("prompts", "none")

    # How the teacher is asked --------------------------------------------------------------

    @property
    def facts_input(self) -> list[str]:
        """What the local stand-in knows; nothing for a teacher behind an address."""
        return [f"{self.results}/curation/facts/facts.jsonl"] if "facts" in self.config else []

    def asked(self, judge: str | None = None) -> dict[str, Any]:
        """How the teacher is asked, or a judge: the teacher's settings where it has none of its own, but
        for the prices, which belong to a model."""
        if judge is None:
            return dict(self.teacher)
        own = self.judges[judge]
        return {key: value for key, value in self.teacher.items() if key not in PRICES or "model" not in own} | own

    def teacher_options(self, judge: str | None = None) -> str:
        """Options for what shapes the answers of the teacher or of a judge."""
        asked = self.asked(judge)
        words = f"--base-url {shlex.quote(asked['url'])} {options(asked, 'model')}"
        return f"{words} --facts {self.facts_input[0]}" if asked["url"] == "local" and self.facts_input else words

    def teacher_limits(self, judge: str | None = None) -> str:
        """Options for what changes no answer: the store, the key's variable, pace and money."""
        return f"--store results/.cache/teacher {options(self.asked(judge), 'api_key_env', *LIMITS, *PRICES)}"


@dataclass(frozen=True)
class _Of:
    """A mixture as wildcards name it."""

    mixture: str


def check_start(study: Study) -> None:
    """What can be known only when jobs are about to start.

    Raises:
        UserError: a `file:` is missing, or a key is not in the environment.
    """
    named = {f"sources.{name}.uri": source["uri"] for name, source in study.sources.items()}
    named |= {f"bases.{name}.weights": base["weights"] for name, base in study.bases.items() if "weights" in base}
    named |= {f"mixtures.{name}.seeds": "file:" + m["seeds"] for name, m in study.mixtures.items() if "seeds" in m}
    named |= {
        f"pools.{name}.categories": "file:" + p["categories"] for name, p in study.pools.items() if "categories" in p
    }
    named |= {
        f"raters.{name}.votes.{model}.{number}": f"file:{file}"
        for name, raters in study.raters.items()
        for model, files in raters["votes"].items()
        for number, file in enumerate(files)
    }
    if "marks" in study.style:
        named["style.marks"] = f"file:{study.style['marks']}"
    for key, uri in named.items():
        if uri.startswith("file:") and not Path(uri.removeprefix("file:")).exists():
            raise UserError(
                f"{key} names the file {uri.removeprefix('file:')!r}, which is not there; put it there or change the "
                "study (config/README.md says where the paper's are from)"
            )
    for asked in (study.teacher, *({**study.teacher, **judge} for judge in study.judges.values())):
        variable = asked.get("api_key_env", "OPENAI_API_KEY")
        if asked["url"].startswith("https:") and not os.environ.get(variable):
            raise UserError(f"{asked['url']} wants a key: set it in the environment variable {variable}")
