"""Print the resources that jobs request: GPUs, hosts, CPUs, memory and minutes, in one table for all rules.

`study.planning` computes those of training from the model, the tokens, the recipe and the devices; the others follow
from the size of the model. They are estimates for the scheduler and shape no result: another value reruns nothing.
`--set-resources RULE:mem_mb=N` and `runtime`, or `set-resources` in a profile, override them. GPUs, hosts and mesh,
which the program needs too, are keys of the study's bases.

`python -m falsepromise.study.costs --config config/paper.yaml` prints the table of a study.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.study.config import Recipe
from falsepromise.study.expand import load_files
from falsepromise.study.hours import START_S, core_hours, share_of_peak, work
from falsepromise.study.planning import HARDWARE, KEPT_STATES, Plan, answers_memory, fewest_devices, mesh_sizes, plan
from falsepromise.study.study import Study

GPUS_PER_HOST = 8
# Rules without a model, by what they need in the paper's study: CPUs, MB, minutes.
PLAIN = {
    "clean_pool": (2, 4000, 240),
    "prompts": (2, 4000, 120),
    "diversity": (2, 4000, 120),
    "overlap": (2, 6000, 120),
    "blocks": (1, 8000, 120),
}
# On a CPU, XLA allocates a step's temporary memory as one block. By default glibc gets such a block from the kernel
# and returns it each time, and clearing its pages takes 8 to 24 % of a small model's step. Decoding, whose steps are
# small, loses 14 to 15 % by it (benchmarks/generation_results.md).
KEEP_FREED = "GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1000000000000"
# Above so many bytes a step, freed blocks that don't fit into each other's places are gigabytes: training 135M weights
# grew to 12 GB where 5 were in use. They are given back, and come in huge pages, which are quicker to clear
# (benchmarks/training_results.md). glibc before 2.35 ignores this.
KEPT_STEP = 1e9
HUGE_PAGES = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
# Rules whose work can be split over jobs, and the section whose entries have the key `shards`.
SPLIT = {"clean_pool": "pools", "generate": "prompts", "score": "benchmarks"}
EXAMPLE = {"nq_synthetic": 60, "tldr_synthetic": 450}  # assumed tokens of an example with its turn tokens
KINDS = {"pretrain": "training", "train": "training", "generate": "answers", "score": "scores"}
START = 30  # minutes to start, read and write weights, and compile


def needs(study: Study, rule: str) -> dict[str, Any]:
    """A rule's entries under `resources:`, functions of a job's wildcards and its attempt."""

    def of(key: str) -> Callable[[Any, Any, int], Any]:
        return lambda wildcards, input, attempt: need(
            study, rule, model_of(rule, wildcards), attempt, shards_of(wildcards, input), wildcards
        )[key]

    keys = need(study, rule, next(iter(study.models)))
    return {key: of(key) for key in keys if key != "cpus"}


def threads(study: Study, rule: str) -> Callable[[Any, Any], int]:
    """A rule's `threads:`."""
    return lambda wildcards, input: need(study, rule, model_of(rule, wildcards), 1, shards_of(wildcards, input))["cpus"]


def shards_of(wildcards: Any, input: Any) -> int:
    """The number of jobs that share a job's work, or whose results it joins."""
    return int(wildcards.get("parts") or len(input.get("parts") or ()) or 1)


def shards_within(minutes: int, limit: int, shards: int = 1) -> int | None:
    """The fewest jobs to share the work of one, so that each ends within a limit; None if no number does.

    Args:
        minutes: What a job requests when `shards` jobs share the work; each job needs START minutes besides.
        limit: The most that a job may request.
    """
    return None if limit <= START else max(1, math.ceil(shards * (minutes - START) / (limit - START)))


def need(
    study: Study, rule: str, model: str, attempt: int = 1, shards: int = 1, wildcards: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What one job needs, under the names of Snakemake and its SLURM executor.

    With `wildcards`, the minutes of a model on the CPU cover half as much again as its prompts or benchmark are
    estimated to take.

    Attempt N requests N times the memory and minutes, because an earlier attempt may have been stopped for lack of
    them. Training's minutes stay the same: it goes on from its last state.
    """
    if rule.endswith("_part"):
        whole = need(study, rule.removesuffix("_part"), model, wildcards=wildcards)
        minutes = (START + math.ceil((whole["runtime"] - START) / shards)) * attempt
        return {**whole, "mem_mb": whole["mem_mb"] * attempt, "runtime": minutes}
    if rule in PLAIN:
        cpus, memory, minutes = PLAIN[rule]
        return {"cpus": cpus, "mem_mb": memory * attempt, "runtime": minutes * attempt}
    base = study.models[model].base
    size, gpus = study.parameters(base), gpus_of(study, base)
    if rule in ("generate", "score") and shards > 1:  # it only reads the replies
        return {
            "gpu": 0, "cpus": 1, "mem_mb": 4000 * attempt, "runtime": 2 * START * attempt, "nodes": 1,
            "launch": launch(0, 1, 1),
        }  # fmt: skip
    if rule in ("generate", "score"):
        minutes = 60 + 30 * size // 10**9
        if wildcards and not gpus:
            minutes = max(minutes, START + math.ceil(90 * core_hours(study, model, work(study, wildcards))))
        # Weights in float32 on the host as they are read, and in the computation's type on one GPU.
        rows = 0 if gpus else answers_memory(study.shape(base), study.block_size(base))
        return {
            "gpu": min(1, gpus),
            "cpus": 8 if gpus else 1,
            "mem_mb": (2000 + 8 * size // 10**6 + int(rows / 1e6)) * attempt,
            "runtime": minutes * attempt,
            "nodes": 1,
            "launch": launch(min(1, gpus), 1, 8, freed(rows) if rule == "score" else ""),
        }
    found, hosts = plan_training(study, model), hosts_of(study, base)
    cpus = 8 * math.ceil(gpus / hosts) if gpus else 1
    state = found.disk / KEPT_STATES
    save = 60 + int(state / hosts / 0.2e9)  # weights and moments at 0.2 GB/s a host, and a minute to notice
    return {
        "gpu": gpus,
        "cpus": cpus,
        "mem_mb": int(found.host_memory / hosts / 1e6) * attempt,
        "runtime": START + save // 60 + math.ceil(90 * found.hours),  # half as much again
        "nodes": hosts,
        "tasks": hosts,
        "tasks_per_gpu": 0,
        "mpi": "srun" if hosts > 1 else "",
        "gres": f"gpu:{math.ceil(gpus / hosts)}" if hosts > 1 and gpus else "",
        "launch": launch(gpus, hosts, cpus, freed(found.memory_per_device)),
        "mesh": f"--mesh {study.config.bases[base].mesh}" if study.config.bases[base].mesh else "",
        "seconds_to_save": save,  # so long before its time limit, the job is asked to save and stop
        "checkpoints": f"{study.results}/training/checkpoints/{model}",
    }


def plan_training(study: Study, model: str) -> Plan:
    """The training of a model, from scratch for a base that is pre-trained here."""
    entry, base = study.models[model], study.base_of(model)
    recipe = study.recipe_of(model) or Recipe()
    gpus = gpus_of(study, entry.base)
    tokens = entry.tokens or _all_tokens(study, entry.mixture) or (100_000_000 if gpus else 2_000_000)  # a guess
    device, mfu = HARDWARE["a100"], None
    if not gpus:
        device, mfu = HARDWARE["cpu-core"], share_of_peak(study.parameters(entry.base))
    mesh = mesh_sizes(base.mesh) if base.mesh else {"fsdp": gpus or 1}
    return plan(study.shape(entry.base), tokens, recipe.model_dump(), study.block_size(entry.base), mesh, device, mfu)


def _all_tokens(study: Study, mixture: str | None) -> int | None:
    """The tokens of a teacher's examples; None for other mixtures, whose size shows when they are made."""
    found = study.config.mixtures[mixture] if mixture else None
    return found.n * EXAMPLE[found.teacher] if found and found.teacher and found.n else None


def gpus_of(study: Study, base: str) -> int:
    """GPUs for a full fine-tuning: none below 100M parameters, else as few of 80 GB as have enough memory."""
    entry = study.config.bases[base]
    if entry.gpus is not None:
        return entry.gpus
    if entry.mesh:
        return math.prod(mesh_sizes(entry.mesh).values())
    if study.parameters(base) < 100e6:
        return 0
    recipes = [study.config.training[mixture.recipe].model_dump() for mixture in study.config.mixtures.values()]
    shape, size = study.shape(base), study.block_size(base)
    return max(fewest_devices(shape, recipe, size, HARDWARE["a100"]) for recipe in recipes)


def hosts_of(study: Study, base: str) -> int:
    """Hosts of a training job, one process each."""
    return study.config.bases[base].hosts or max(1, math.ceil(gpus_of(study, base) / GPUS_PER_HOST))


def table(study: Study) -> Iterator[dict[str, Any]]:
    """A row for each rule and kind of job."""
    for rule in PLAIN:
        yield {"rule": rule, "model": "", **need(study, rule, "")}
    pretrained = [model for model in study.base_models if study.base_of(model).architecture]
    for rule, models in (("pretrain", pretrained), ("train", study.trained)):
        yield from ({"rule": rule, "model": model, **need(study, rule, model)} for model in models)
    for rule in ("generate", "score"):
        for base in study.config.bases:
            first = next(name for name, model in study.models.items() if model.base == base)
            yield {"rule": rule, "model": f"any of {base}", **need(study, rule, first)}


def jobs(study: Study) -> Iterator[tuple[str, dict[str, str]]]:
    """All jobs of a study that train or ask a model: rule and wildcards."""
    yield from (("pretrain", {"base": name}) for name in study.base_models if study.base_of(name).architecture)
    yield from (("train", {"model": name}) for name in study.trained)
    for prompts, entry in study.config.prompts.items():
        yield from (("generate", {"model": name, "prompts": prompts}) for name in study.chosen(entry.runs))
    for benchmark, row in study.config.benchmarks.items():
        yield from (("score", {"model": name, "benchmark": benchmark}) for name in study.chosen(row.runs))


def on_cores(study: Study, todo: Iterable[tuple[str, Mapping[str, Any]]], cores: int) -> str | None:
    """A line with the hours that jobs of models on the CPU take; None if there are none."""
    sums: dict[str, float] = {}
    longest = 0.0
    for rule, wildcards in todo:
        kind = KINDS.get(rule.removesuffix("_part"))
        model = str(wildcards.get("model") or wildcards.get("base"))
        if kind is None or model not in study.models or gpus_of(study, study.models[model].base):
            continue
        if kind == "training":
            hours = plan_training(study, model).hours + START_S / 3600
        else:
            hours = core_hours(study, model, work(study, wildcards), int(wildcards.get("parts") or 1))
        sums[kind] = sums.get(kind, 0.0) + hours
        longest = max(longest, hours)
    if not sums:
        return None
    parts = ", ".join(f"{kind} {spelled(hours)}" for kind, hours in sums.items())
    whole = spelled(max(longest, sum(sums.values()) / cores))
    return (
        f"about {whole} on {cores} free CPU core{'s' * (cores > 1)}, besides curation and figures ({parts} of a core)"
    )


def spelled(hours: float) -> str:
    """`2.5 h`, `40 min`."""
    return f"{hours:.1f} h" if hours >= 1 else f"{math.ceil(60 * hours)} min"


def launch(gpus: int, hosts: int, cpus: int, settings: str = "") -> str:
    """The words before a program: how it gets GPUs, or avoids them, and how its processes start, one for each host.

    `settings` are variables for a program on the CPU.
    """
    if hosts == 1 and gpus:
        return f"python -m falsepromise.core.gpus {gpus} --"
    # By default JAX takes one GPU a process.
    devices = ",".join(map(str, range(gpus // hosts)))
    on_cpu = f"JAX_PLATFORMS=${{JAX_PLATFORMS:-cpu}} {settings}".rstrip()
    chosen = f"env JAX_LOCAL_DEVICE_IDS={devices}" if gpus else f"env {on_cpu}"
    if hosts == 1:
        return chosen
    # The geometry is repeated because SLURM_NTASKS and the like are not set outside srun.
    srun = f"srun --ntasks={hosts} --nodes={hosts} --ntasks-per-node=1 --cpus-per-task={cpus} --kill-on-bad-exit=1"
    return f"{chosen} {srun}"


def freed(size: float) -> str:
    """What a job on a CPU does with freed memory, by the bytes that a step takes."""
    return KEEP_FREED if size < KEPT_STEP else HUGE_PAGES


def model_of(rule: str, wildcards: Any) -> str:
    """A job's model; None for rules without a model."""
    return "" if rule.removesuffix("_part") in PLAIN else wildcards.base if rule == "pretrain" else wildcards.model


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="study file(s)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="CPU cores for the models without GPUs")
    args = parser.parse_args(argv)
    study = load_files(args.config)
    print(f"{'rule':<11} {'model':<36} {'GPUs':>5} {'hosts':>5} {'CPUs':>5} {'GB':>7} {'hours':>7} {'GPU hours':>9}")
    total = 0.0
    for row in table(study):
        hours, gpus, hosts = row["runtime"] / 60, row.get("gpu", 0), row.get("nodes", 1)
        alone = row["rule"] in ("pretrain", "train")  # each of the other rows is for several jobs
        total += gpus * hours * alone
        print(
            f"{row['rule']:<11} {row['model']:<36} {gpus:>5} {hosts:>5} {row['cpus'] * hosts:>5} "
            f"{row['mem_mb'] * hosts / 1000:>7.1f} {hours:>7.1f} {gpus * hours:>9,.0f}"
        )
    if total:
        print(f"Training requests {total:,.0f} GPU hours (A100 80 GB) at most: its time limits are 1.5 times the plan.")
    if found := on_cores(study, jobs(study), args.cores):
        print(f"Models without GPUs take {found}.")


if __name__ == "__main__":
    cli.run(main)
