"""Find planned jobs that request more than SLURM gives this user (by nodes, partitions, accounts, QOS)."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from falsepromise.study.costs import SPLIT, shards_within

# Resource -> its unit, and the key that sets it.
UNITS = {
    "minutes": ("minutes", "runtime"),
    "memory": ("MB", "mem_mb"),
    "cpus": ("CPUs", "threads"),
    "gpus": ("GPUs", "gpu"),
    "hosts": ("nodes", "nodes"),
}
LONG = 240  # from so many GPU minutes on, suggest sharing the work over several jobs


@dataclass(frozen=True)
class Planned:
    """What a job requests: minutes, MB, CPUs and GPUs (of each host); 0 if nothing.

    Attributes:
        shards: The number of jobs that share its work now; 0 for a job that only joins parts.
    """

    rule: str
    minutes: int = 0
    memory: int = 0
    cpus: int = 1
    gpus: int = 0
    hosts: int = 1
    partition: str = ""
    account: str = ""
    qos: str = ""
    shards: int = 1

    def of(self, resource: str, a_node: bool) -> int:
        """The amount of a resource, on each node or in total."""
        value: int = getattr(self, resource)
        return value if a_node or resource in ("minutes", "hosts") else value * self.hosts


@dataclass(frozen=True)
class Limit:
    """The most that one job may request; a missing resource has no limit.

    Attributes:
        where: Whose limit it is, for the message.
        each: Resource (as in UNITS) -> the most on each node.
        all: Resource -> the most on all of the job's nodes together.
        over_partition: Whether this QOS overrides the partition's own.
    """

    where: str
    each: Mapping[str, int] = field(default_factory=dict)
    all: Mapping[str, int] = field(default_factory=dict)
    over_partition: bool = False


@dataclass(frozen=True)
class Partition:
    """What the largest nodes of a partition have, and its own limits; minutes None for no limit."""

    name: str
    default: bool
    minutes: int | None
    cpus: int
    memory: int
    gpus: int
    up: bool = True
    hosts: int | None = None
    most_memory: int | None = None
    qos: str = ""

    @property
    def limit(self) -> Limit:
        node = {"memory": self.memory, "cpus": self.cpus, "gpus": self.gpus}
        if self.most_memory is not None:
            node["memory"] = min(self.memory, self.most_memory)
        most = {"minutes": self.minutes, "hosts": self.hosts}
        where = f"partition {self.name!r} has"
        return Limit(where, node, {name: value for name, value in most.items() if value is not None})


@dataclass(frozen=True)
class Account:
    """An association of the user: an account, in one partition or ("") in all."""

    name: str
    partition: str
    default_qos: str
    qos: tuple[str, ...]
    submit: int | None
    limit: Limit


@dataclass(frozen=True)
class Cluster:
    """All limits; only the partitions without accounting, or where SLURM doesn't enforce its limits."""

    partitions: Sequence[Partition] = ()
    accounts: Sequence[Account] = ()
    qos: Mapping[str, Limit] = field(default_factory=dict)
    default_account: str = ""

    def limits_of(self, job: Planned) -> Iterator[Limit]:
        """The limits that apply to a job."""
        partition, account = self.partition_of(job), self.account_of(job)
        own = self.qos.get(job.qos or (account.default_qos if account else ""))
        if partition is not None:
            yield partition.limit
            if partition.qos in self.qos and not (own and own.over_partition):
                yield self.qos[partition.qos]
        if account is not None:
            yield account.limit
        if own is not None:
            yield own

    def partition_of(self, job: Planned) -> Partition | None:
        return next((p for p in self.partitions if p.name == job.partition or (not job.partition and p.default)), None)

    def account_of(self, job: Planned) -> Account | None:
        """The association for the job's partition, else the one for all partitions."""
        name, partition = job.account or self.default_account, self.partition_of(job)
        own = [account for account in self.accounts if account.name == name]
        there = [account for account in own if partition is not None and account.partition == partition.name]
        return next(iter(there + [account for account in own if not account.partition]), None)


def never_started(jobs: Iterable[Planned], cluster: Cluster) -> list[str]:
    """The jobs that request more than SLURM would ever give them, by rule and limit, and what to change."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for job in jobs:
        for limit, wanted, why in _refusals(job, cluster):
            found[job.rule, limit].append((wanted, why))
    return [f"SLURM would never start {len(whys)} of {rule}: {max(whys)[1]}" for (rule, _), whys in found.items()]


def _refusals(job: Planned, cluster: Cluster) -> Iterator[tuple[str, int, str]]:
    """The limit that refuses a job, the amount that the job requests, and a message; the largest is shown."""
    partition, account = cluster.partition_of(job), cluster.account_of(job)
    if job.partition and cluster.partitions and partition is None:
        yield job.partition, 0, f"there is no partition {job.partition!r}"
    if partition is not None and not partition.up:
        yield partition.name, 0, f"partition {partition.name!r} is down"
    if job.account and cluster.accounts and account is None:
        names = ", ".join(sorted({account.name for account in cluster.accounts}))
        yield job.account, 0, f"you have no account {job.account!r} (set slurm_account; you have {names})"
    if job.qos and account is not None and account.qos and job.qos not in account.qos:
        has = ", ".join(account.qos)
        yield job.qos, 0, f"your account {account.name!r} has no QOS {job.qos!r} (set qos; it has {has})"
    for limit in cluster.limits_of(job):
        for a_node, most_of in ((True, limit.each), (False, limit.all)):
            for resource, most in most_of.items():
                wanted = job.of(resource, a_node)
                if wanted > most:
                    unit, key = UNITS[resource]
                    unit += " a node" if a_node and resource == "gpus" else ""
                    changes = [f"set {key}", *(["slurm_partition"] if limit.where.startswith("partition") else [])]
                    if resource == "minutes" and (shards := _shards(job, most)):
                        changes.append(f"`shards: {shards}`")
                    why = f"requests {wanted} {unit}, {limit.where} {most} {unit} ({', or '.join(changes)})"
                    yield f"{limit.where} {resource} {a_node}", wanted, why


def _shards(job: Planned, minutes: int) -> int | None:
    return shards_within(job.minutes, minutes, job.shards) if _can_be_split(job) else None


def _can_be_split(job: Planned) -> bool:
    return job.shards > 0 and job.rule.removesuffix("_part") in SPLIT


def advice(jobs: Sequence[Planned], cluster: Cluster) -> list[str]:
    """What would be faster: work to share, and jobs that wait because of a limit on simultaneous jobs."""
    lines = []
    long: dict[str, list[Planned]] = defaultdict(list)
    for job in jobs:
        if job.gpus and job.minutes > LONG and _can_be_split(job):
            long[job.rule].append(job)
    for rule, those in long.items():
        job = max(those, key=lambda job: job.minutes)
        shards = shards_within(job.minutes, LONG, job.shards)
        key = SPLIT[rule.removesuffix("_part")]
        lines.append(
            f"{len(those)} of {rule} request up to {job.minutes} GPU minutes: with `shards: {shards}` in `{key}`, "
            f"{shards} jobs share the work, {LONG} minutes each"
        )
    waiting: dict[tuple[str, int], int] = defaultdict(int)
    for job in jobs:
        account = cluster.account_of(job)
        if account is not None and account.submit:
            waiting[account.name, account.submit] += 1
    lines += [
        f"your account {name!r} may have {most} jobs in the queue, {count} are planned: the others are submitted later"
        for (name, most), count in waiting.items()
        if count > most
    ]
    return lines


def cluster() -> Cluster:
    """SLURM's limits, from its own commands; empty without SLURM."""
    partitions = read_partitions(
        _said("sinfo", "--noheader", "--exact", "--format", "%P|%l|%c|%m|%G"),
        _said("scontrol", "--oneliner", "show", "partition"),
    )
    enforced = re.search(r"^AccountingStorageEnforce *= *(.*)$", _said("scontrol", "show", "config"), re.MULTILINE)
    if not partitions or (enforced and not {"limits", "safe"} & set(enforced[1].lower().split(","))):
        return Cluster(partitions)
    try:
        user = pwd.getpwuid(os.getuid()).pw_name  # SLURM uses this name, not the variable USER
    except KeyError:  # in a container without the users' names
        return Cluster(partitions)
    shown = ("sacctmgr", "--noheader", "--parsable2", "show")
    return Cluster(
        partitions,
        read_accounts(_said(*shown, "associations", f"user={user}", f"format={','.join(ACCOUNT_COLUMNS)}")),
        read_qos(_said(*shown, "qos", f"format={','.join(QOS_COLUMNS)}")),
        _said(*shown, "user", user, "format=DefaultAccount").strip(),
    )


ACCOUNT_COLUMNS = ("Account", "Partition", "DefaultQOS", "QOS", "MaxSubmit", "MaxWall", "MaxTRES", "MaxTRESPerNode")
# A limit on all jobs of a user, or of the QOS, also limits one job.
QOS_COLUMNS = ("Name", "MaxWall", "MaxTRESPerNode", "MaxTRES", "MaxTRESPU", "GrpTRES", "Flags")


def read_partitions(nodes: str, partitions: str = "") -> list[Partition]:
    """Parse sinfo's lines for the nodes and scontrol's for the partitions."""
    own = {}
    for line in partitions.splitlines():
        keys = dict(word.partition("=")[::2] for word in line.split())
        own[keys.get("PartitionName")] = keys
    found: dict[str, Partition] = {}
    for line in nodes.splitlines():
        if line.count("|") < 4:
            continue
        name, limit, cpus, memory, gres = line.split("|", 4)
        gpus = sum(int(count) for count in re.findall(r"gpu:(?:[^,:(]+:)?(\d+)", gres))
        keys = own.get(name.rstrip("*"), {})
        new = Partition(
            name.rstrip("*"), name.endswith("*"), _minutes(limit), _number(cpus), _number(memory), gpus,
            keys.get("State", "UP") == "UP",
            _count(keys.get("MaxNodes", "")),
            _count(keys.get("MaxMemPerNode", "")),
            keys.get("QoS", "").replace("N/A", ""),
        )  # fmt: skip
        old = found.get(new.name, new)
        found[new.name] = Partition(
            new.name, new.default, new.minutes,
            max(old.cpus, new.cpus), max(old.memory, new.memory), max(old.gpus, new.gpus),
            new.up, new.hosts, new.most_memory, new.qos,
        )  # fmt: skip
    return list(found.values())


def read_accounts(text: str) -> list[Account]:
    """Parse sacctmgr's associations of one user."""
    found = []
    for row in _rows(text, ACCOUNT_COLUMNS):
        of_job = tres(row["MaxTRES"])
        if (minutes := _minutes(row["MaxWall"])) is not None:
            of_job["minutes"] = minutes
        limit = Limit(f"your account {row['Account']!r} may have", tres(row["MaxTRESPerNode"]), of_job)
        names = tuple(name for name in row["QOS"].split(",") if name)
        found.append(
            Account(row["Account"], row["Partition"], row["DefaultQOS"] or (names[0] if len(names) == 1 else ""), names,
                    _count(row["MaxSubmit"]), limit)
        )  # fmt: skip
    return found


def read_qos(text: str) -> dict[str, Limit]:
    """Parse sacctmgr's QOS."""
    found = {}
    for row in _rows(text, QOS_COLUMNS):
        of_job: dict[str, int] = {}
        for column in ("MaxTRES", "MaxTRESPU", "GrpTRES"):
            for resource, most in tres(row[column]).items():
                of_job[resource] = min(most, of_job.get(resource, most))
        if (minutes := _minutes(row["MaxWall"])) is not None:
            of_job["minutes"] = minutes
        over = "OverPartQOS" in row["Flags"].split(",")
        found[row["Name"]] = Limit(f"QOS {row['Name']!r} allows", tres(row["MaxTRESPerNode"]), of_job, over)
    return found


def tres(text: str) -> dict[str, int]:
    """Parse `cpu=8,gres/gpu=2,mem=4G,node=1` by UNITS, without other resources and single types of GPU."""
    names = {"cpu": "cpus", "mem": "memory", "gres/gpu": "gpus", "node": "hosts"}
    found = {}
    for entry in text.split(","):
        name, _, amount = entry.partition("=")
        number = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", amount)
        if name in names and number:
            scale = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}[number[2]]
            found[names[name]] = int(float(number[1]) * (scale if name == "mem" else 1))
    return found


def planned(job: Any) -> Planned:
    """What a job of Snakemake requests."""
    of = job.resources.get
    hosts = of("nodes") or 1

    def number(key: str) -> int:
        value = of(key)
        return value if isinstance(value, int) else 0

    return Planned(
        job.rule.name, number("runtime"), number("mem_mb"), job.threads, -(-number("gpu") // hosts), hosts,
        str(of("slurm_partition") or ""),
        _word(of("slurm_account")),
        _word(of("qos")),
        0 if job.input.get("parts") else int(job.wildcards.get("parts") or 1),
    )  # fmt: skip


def _word(value: Any) -> str:
    """A name without the quotes that a user may have put around it."""
    return str(value or "").strip("'\"")


def _said(*command: str) -> str:
    """The output of one of SLURM's commands; empty if it is missing or fails."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _rows(text: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        values = line.split("|")
        if len(values) == len(columns):
            yield dict(zip(columns, values, strict=True))


def _minutes(text: str) -> int | None:
    """Minutes from `1-02:00:00`, `02:00:00`, `30:00` (minutes and seconds); None from `infinite`."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in parts) or len(parts) > 3:
        return None
    hours, minutes, seconds = ([0, 0, 0, *map(int, parts)])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0)


def _number(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
