"""The keys of the teacher, the judges and the raters. `study.config` has the other sections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from falsepromise.study.sections import Count, Groups, Money, Name, Number, Section, Url, Variable, key


class Habits(Section):
    """`habits`: where a server differs from its provider's API; docs/teacher.md explains each (`teacher.providers`)."""

    path: str | None = key("the API's path, if `url` has none", None)
    headers: dict[str, str] | None = key("headers of each request, with `{key}` for the key", None)
    query: dict[str, str] | None = key("query parameters of each request's address, with `{key}` for the key", None)
    drop: list[str] | None = key("parameters that are not sent", None)
    rename: dict[str, str] | None = key("parameters that are sent under another name", None)
    force: dict[str, Any] | None = key("parameters that are sent with this value; `null`: not sent", None)
    system: Literal["system", "developer", "user"] | None = key(
        "the role of a system message; `user`: put before the next user's message", None, otherwise="`system`"
    )
    finish: dict[str, str] | None = key(
        'meaning of finish reasons, for example `{"done": stop}`; without it, only `stop` is an answer', None
    )
    think: bool | None = key("remove `<think>` at the head of an answer", None, otherwise="true")
    batch: Literal["", "openai", "azure"] | None = key("the form of its batch API, empty for none", None)
    batch_price: Number | None = key("price of a batch, as a share of the full price", None, otherwise="half")
    batch_requests: Count | None = key("most requests of a batch", None)
    batch_bytes: Count | None = key("most bytes of a batch", None)


class Asked(Section):
    """How a model behind an API is asked: the teacher's and the judges' common keys."""

    stand_in: str | None = key("what it really is, if it is not a language model; printed on every figure", None)
    max_usd: Number | None = key("hard limit in US dollars; each answer is paid for once", None, paper="500")
    max_requests: Count | None = key("hard limit in requests", None)
    requests_per_minute: Number | None = key("the account's limit", None)
    tokens_per_minute: Number | None = key("the account's limit", None)
    price_input: Money | None = key("US dollars for a million input tokens; required with `max_usd`", None)
    price_output: Money | None = key("US dollars for a million output tokens; required with `max_usd`", None)
    provider: (
        Literal["openai", "azure", "openrouter", "vllm", "ollama", "llama.cpp", "gemini", "anthropic-compatible"] | None
    ) = key("the provider whose habits the server has", None, otherwise="by the address, else `openai`")
    habits: Habits | None = key("changes to these habits, under their names in docs/teacher.md", None)


class Teacher(Asked):
    """`teacher`: the model that is imitated."""

    url: Url = key("`local`, a stand-in that answers from the facts, or an OpenAI-compatible API's address")
    model: str = key("the name to ask for", paper="`gpt-3.5-turbo`")
    label: str = key("its name on figures", paper="ChatGPT")
    api_key_env: Variable = key("the environment variable with the key", "OPENAI_API_KEY")
    concurrency: Count = key("requests at a time", 16)
    batch: bool = key(
        "`true` uses the provider's batch API, at its lower price and within a day: OpenAI's, Azure's, or one of their "
        "form (`habits.batch`)", False,
    )  # fmt: skip
    max_failures: Annotated[float, Field(gt=0, le=1)] = key(
        "the share of the latest requests that may fail before the run stops", 0.5
    )
    reserve_tokens: Count = key(
        "tokens that an answer without a limit counts as for `max_usd`, until earlier answers give an estimate", 4096
    )
    benchmarks: list[Name] = key("the benchmarks that the teacher is scored on", [], paper="all", names="benchmarks")


class Judge(Asked):
    """`judges.NAME`: a model that compares answers. A missing key takes the teacher's value."""

    prompts: Name | None = key(
        "the prompt set whose answers it judges; required except for a panel", None, names="prompts",
        paper="255 prompts (section 4.1)",
    )  # fmt: skip
    label: str = key("its name on figures", paper="GPT-4")
    members: Annotated[list[Name], Field(min_length=2)] | None = key(
        "a panel: judges of the same prompts and runs whose votes it aggregates; its only other key is `label`", None,
        names="judges",
    )  # fmt: skip
    rubric: Name = key(
        "its prompt, `resources/prompts/NAME.txt`, with `{question}`, `{answer 1}`, `{answer 2}`", "judge_pairwise",
        paper="Vicuna's (appendix C)",
    )  # fmt: skip
    max_tokens: Count | None = key("longest verdict; more for a judge that thinks first", None, otherwise="1024")
    controls: bool = key(
        "judge the teacher's second answers too (the upper bound), and each of its answers against itself (a test of "
        "the judge): `tables/preference`", False,
    )  # fmt: skip
    url: Url | None = key("as the teacher's", None, otherwise="the teacher's")
    model: str | None = key("the name to ask for", None, otherwise="the teacher's", paper="`gpt-4`")
    api_key_env: Variable | None = key("as the teacher's", None, otherwise="the teacher's")
    concurrency: Count | None = key("as the teacher's", None, otherwise="the teacher's")
    batch: bool | None = key("as the teacher's", None, otherwise="the teacher's")
    max_failures: Annotated[float, Field(gt=0, le=1)] | None = key("as the teacher's", None, otherwise="the teacher's")
    reserve_tokens: Count | None = key("as the teacher's", None, otherwise="the teacher's")
    order: Literal["both", "ours-first", "reference-first"] = key(
        "which answer it sees first", "both", paper="one order"
    )
    runs: Groups = key("the models it judges: groups of runs, or roles", ["amount", "size"], paper="these (figure 3)")


class Raters(Section):
    """`raters.NAME`: people who compared answers, outside the workflow."""

    prompts: Name = key("the prompt set whose answers they rated", names="prompts", paper="255 prompts (section 4.1)")
    label: str = key("their name on figures", paper="71 workers of Mechanical Turk (appendix B)")
    votes: dict[str, Annotated[list[str], Field(min_length=1)]] = key(
        "the files of votes on each model, `MODEL: [FILE, ...]`", min_length=1, file=True
    )
    stand_in: str | None = key("who they really are, if not people; printed on figures", None)
