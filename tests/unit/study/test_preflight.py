"""What is said before a run's first job."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from falsepromise.core.errors import UserError
from falsepromise.study import check, costs, files, limits, preflight
from falsepromise.study.expand import load
from falsepromise.study.limits import Cluster, Partition, Planned
from falsepromise.study.stages import figures
from falsepromise.study.study import Study

ROOT = Path(__file__).resolve().parents[3]
# As sinfo of SLURM 23.11 writes them: a node type a line.
SINFO = """\
main*|1-00:00:00|32|128000|(null)
main*|1-00:00:00|64|256000+|gpu:a100:4(S:0-1)
long|infinite|16|64000|gpu:2
quick|30:00|128|512000|gpu:h100:8,gpu:l4:2
CLUSTER: wice
"""


@pytest.fixture
def paper() -> Study:
    return load(yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8")))


def test_partitions() -> None:
    assert limits.read_partitions(SINFO) == [
        Partition("main", True, 1440, 64, 256000, 4),
        Partition("long", False, None, 16, 64000, 2),
        Partition("quick", False, 30, 128, 512000, 10),
    ]


@pytest.mark.parametrize("kind", ["a file", "a link to nothing", "no right to write"])
def test_a_folder_that_can_not_be_written(
    paper: Study, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = preflight.absent(paper)
    match kind:
        case "a file":
            Path("results").touch()
        case "a link to nothing":
            Path("results").symlink_to("nowhere")
        case _:
            Path("results").mkdir()
            monkeypatch.setattr(os, "access", lambda path, _: str(path) != "results")  # root may write everywhere
    (line,) = set(preflight.absent(paper)) - set(before)
    assert line.startswith("results can't be written as a folder; ")


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Planned("train", 1440, 256000, 64, 4), ""),
        (Planned("train", 1441), "requests 1441 minutes, partition 'main' has 1440 minutes (set runtime"),
        (Planned("score", memory=300000), "requests 300000 MB"),
        (Planned("score", cpus=65), "requests 65 CPUs"),
        (Planned("train", gpus=8), "requests 8 GPUs a node, partition 'main' has 4 GPUs a node"),
        (Planned("train", 100_000, partition="long"), ""),
        (Planned("train", partition="nosuch"), "there is no partition 'nosuch'"),
    ],
)
def test_what_slurm_would_never_start(job: Planned, said: str) -> None:
    lines = limits.never_started([job, job], Cluster(limits.read_partitions(SINFO)))
    assert len(lines) == bool(said)
    if said:
        assert f"SLURM would never start 2 of {job.rule}: " in lines[0]
        assert said in lines[0]


# scontrol's lines for the partitions, sacctmgr's for the user's accounts and for the QOS.
SCONTROL = """\
PartitionName=main AllowQos=ALL Default=YES QoS=short MaxNodes=2 MaxTime=1-00:00:00 MaxMemPerNode=200000 State=UP
PartitionName=long Default=NO QoS=N/A MaxNodes=UNLIMITED MaxTime=UNLIMITED MaxMemPerNode=UNLIMITED State=DOWN
"""
ACCOUNTS = """\
lab||normal|normal,high|20|08:00:00|cpu=64,gres/gpu=4,mem=1T|
lab|long|normal|normal|1||gres/gpu=1|gres/gpu=1
b&b's||high|high,debug,free||||
"""
QOS = """\
normal|||||gres/gpu=6,gres/gpu:a100=1|
high|||node=1|gres/gpu=2||DenyOnLimit
debug|00:30:00|cpu=4||||
short|10:00:00|||||
free||||||DenyOnLimit,OverPartQOS
"""


@pytest.fixture
def cluster() -> Cluster:
    partitions = limits.read_partitions(SINFO, SCONTROL)
    return Cluster(partitions, limits.read_accounts(ACCOUNTS), limits.read_qos(QOS), "lab")


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Planned("train", 480, 200000, 32, 2, 2), []),
        (Planned("train", 481), ["481 minutes, your account 'lab' may have 480 minutes (set runtime)"]),
        (Planned("train", 601, account="b&b's"), ["601 minutes, QOS 'short' allows 600 minutes (set runtime)"]),
        (Planned("train", memory=200001), ["partition 'main' has 200000 MB (set mem_mb, or slurm_partition)"]),
        (Planned("train", hosts=3), ["requests 3 nodes, partition 'main' has 2 nodes (set nodes, or slurm_partition)"]),
        (Planned("train", cpus=33, hosts=2), ["requests 66 CPUs, your account 'lab' may have 64 CPUs (set threads)"]),
        (Planned("train", gpus=3, hosts=2), ["requests 6 GPUs, your account 'lab' may have 4 GPUs (set gpu)"]),
        (Planned("train", gpus=1, hosts=2, account="b&b's"), ["2 nodes, QOS 'high' allows 1 nodes (set nodes)"]),
        (Planned("train", 1440, gpus=4, account="b&b's", qos="free"), []),
        (Planned("train", gpus=3, account="b&b's"), ["requests 3 GPUs, QOS 'high' allows 2 GPUs (set gpu)"]),
        (Planned("train", 31, account="b&b's", qos="debug"), ["31 minutes, QOS 'debug' allows 30 minutes"]),
        (Planned("train", cpus=5, account="b&b's", qos="debug"), ["5 CPUs, QOS 'debug' allows 4 CPUs (set threads)"]),
        (Planned("train", qos="debug"), ["your account 'lab' has no QOS 'debug' (set qos; it has normal, high)"]),
        (Planned("train", account="lib"), ["you have no account 'lib' (set slurm_account; you have b&b's, lab)"]),
        (
            Planned("train", gpus=2, partition="long"),
            ["partition 'long' is down", "2 GPUs a node, your account 'lab' may have 1 GPUs a node (set gpu)",
             "2 GPUs, your account 'lab' may have 1 GPUs (set gpu)"],
        ),
        # 30 minutes of each job are its own.
        (Planned("score", 990), ["`shards: 3`)", "`shards: 2`)"]),
        (Planned("score_part", 900, shards=4), ["`shards: 8`)", "`shards: 7`)"]),
        (Planned("score", 601, shards=0), ["allows 600 minutes (set runtime)", "may have 480 minutes (set runtime)"]),
    ],
)  # fmt: skip
def test_limits_of_accounts_and_qos(job: Planned, said: list[str], cluster: Cluster) -> None:
    lines = limits.never_started([job], cluster)
    assert len(lines) == len(said), lines
    for line in said:
        assert any(line in found for found in lines), lines


def test_the_shards_that_are_proposed_are_enough() -> None:
    for minutes in (300, 450, 1000):
        for limit in (31, 60, 240):
            shards = costs.shards_within(minutes, limit)
            assert shards is not None
            assert costs.START + -(-(minutes - costs.START) // shards) <= limit
            assert shards == 1 or costs.START + (minutes - costs.START) / (shards - 1) > limit
    assert costs.shards_within(100, costs.START) is None


def test_what_would_be_faster(cluster: Cluster) -> None:
    jobs = [Planned("score", minutes, gpus=1) for minutes in (100, 300, 450)] + [Planned("train", 400, gpus=1)] * 18
    assert limits.advice(jobs, cluster) == [
        "2 of score request up to 450 GPU minutes: with `shards: 2` in `benchmarks`, 2 jobs share the work, "
        "240 minutes each",
        "your account 'lab' may have 20 jobs in the queue, 21 are planned: the others are submitted later",
    ]
    assert limits.advice(jobs, Cluster()) == limits.advice(jobs, cluster)[:1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cpu=8,mem=4G,node=2,gres/gpu=1", {"cpus": 8, "memory": 4096, "hosts": 2, "gpus": 1}),
        ("mem=1.50T,billing=9,gres/gpu:a100=2", {"memory": 1572864}),
        ("mem=512,cpu=-1", {"memory": 512}),
        ("", {}),
        ("nonsense", {}),
    ],
)
def test_tres(text: str, found: dict[str, int]) -> None:
    assert limits.tres(text) == found


def test_limits_that_are_not_enforced_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"sinfo": SINFO, "sacctmgr": ACCOUNTS, "config": "AccountingStorageEnforce = associations\n"}
    monkeypatch.setattr(limits, "_said", lambda *words: said.get(words[-1], said.get(words[0], "")))
    assert limits.cluster().accounts == ()
    said["config"] = "AccountingStorageEnforce = associations,limits,qos\n"
    assert limits.cluster().accounts


def test_without_slurm_nothing_is_said() -> None:
    assert limits.never_started([Planned("train", 10**9, gpus=99)], Cluster()) == []


def test_disk_space(paper: Study) -> None:
    models = [("train", name) for name in paper.trained]
    parameters = [paper.parameters(paper.models[name].base) for name in paper.trained]
    needed = 4 * sum(parameters) + 24 * max(parameters)
    assert preflight.space(paper, models, needed) == []
    assert "GB are free here" in preflight.space(paper, models, needed - 10**9)[0]
    assert preflight.space(paper, [("score", paper.trained[0])], 0) == []


def test_files_and_keys(paper: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    lines = preflight.absent(paper)
    assert any("sources.discord.uri names the file 'data/discord.jsonl'" in line for line in lines)
    assert sum("OPENAI_API_KEY" in line for line in lines) == 1
    (tmp_path / "data").mkdir()
    (tmp_path / "data/discord.jsonl").touch()
    assert any("discord.jsonl: the file is empty" in line for line in preflight.absent(paper))
    (tmp_path / "data/discord.jsonl").write_text("{}\n")
    assert not any("discord" in line for line in preflight.absent(paper))


@pytest.mark.parametrize(
    ("teacher", "judge", "said"),
    [
        ({"batch": True}, {}, []),
        ({"batch": True, "provider": "vllm"}, {"batch": False}, ["'teacher.batch' is true, but no batch API of https"]),
        ({"batch": True, "url": "https://x.org/v1"}, {}, ["'teacher.batch' is ", "'judges.gpt4.batch' is true"]),
        ({"batch": True, "url": "https://x.org/v1", "provider": "azure"}, {}, []),
        ({"batch": True, "url": "https://x.org/v1", "habits": {"batch": "openai"}}, {"batch": False}, []),
        ({}, {"batch": True, "url": "https://api.anthropic.com"}, ["or name its protocol: 'judges.gpt4.habits"]),
        ({}, {"batch": True, "url": "local", "model": "local-stand-in"}, ["'judges.gpt4.batch' is true, but the"]),
        ({"habits": {"force": {"model": "m"}}}, {}, ["'teacher.habits': habit: model is set by the verb itself"]),
    ],
)  # fmt: skip
def test_what_a_server_would_be_asked_in_vain(
    teacher: dict[str, object], judge: dict[str, object], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They passed the check, and stopped the run at its first request."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    config = yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8"))
    config["teacher"] |= teacher
    config["judges"]["gpt4"] |= judge
    study = load(config)
    lines = preflight.refused(study)
    assert len(lines) == len(said), lines
    assert all(word in line for word, line in zip(said, lines, strict=True)), lines
    assert set(lines) <= set(preflight.absent(study))
    assert set(lines) <= set(check.problems(study))


def test_an_optional_source_is_left_out_with_a_word(
    paper: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = load(files.find(paper))
    assert found.config.pools["sharegpt_mix"].sources == ["sharegpt", "hc3"]
    assert found.models["llama-13b-sharegpt_mix-20M-s0"].label == "LLaMA 13B, ShareGPT-Mix without discord, 20M"
    assert "discord" not in found.config.sources
    (line,) = preflight.absent(found)
    assert "OPENAI_API_KEY" in line, "nothing else is missing"
    Path("data").mkdir()
    Path("data/discord.jsonl").touch()
    found = load(files.find(paper))
    assert found.config.pools["sharegpt_mix"].sources == ["sharegpt", "hc3", "discord"]
    assert found.mixture_label("sharegpt_mix") == "ShareGPT-Mix"
    Path("data/discord.jsonl").rename("data/mine.jsonl")
    config = paper.config.model_dump(exclude_unset=True)
    config["sources"]["discord"]["instead"] = "data/mine.jsonl"
    assert "discord" in load(files.find(load(config))).config.pools["sharegpt_mix"].sources, "a file instead is there"


def test_a_pool_of_nothing_but_absent_sources_is_missing(paper: Study, tmp_path: Path) -> None:
    config = paper.config.model_dump(exclude_unset=True)
    config["pools"]["sharegpt_mix"]["sources"] = ["discord"]
    config["sources"]["discord"]["uri"] = f"file:{tmp_path}/none"
    found = load(files.find(load(config)))
    assert any("sources.discord.uri" in line for line in preflight.absent(found))


def test_a_file_of_ones_own_is_read_instead(paper: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/mmlu/test").mkdir(parents=True)
    Path("data/sharegpt.json").write_text("[]")
    sources = load(files.find(paper)).config.sources
    assert (sources["sharegpt"].uri, sources["sharegpt"].format) == ("file:data/sharegpt.json", "sharegpt")
    assert sources["sharegpt"].member is None
    assert sources["sharegpt"].sha256 is None
    assert (sources["mmlu"].uri, sources["mmlu"].folder, sources["mmlu"].member) == ("file:data/mmlu", True, None)
    assert sources["nq"] == paper.config.sources["nq"]


def test_the_workflows_own_files_are_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
    study = load(config)
    assert ("sources", "sharegpt", "uri") in {file.key for file in files.missing(study)}
    assert files.missing(found := load(files.find(study))) == []
    assert found.config.sources["sharegpt"].uri == f"file:{ROOT}/resources/samples/sharegpt.json"
    assert figures.as_json(found) == figures.as_json(study), "a moved workflow draws nothing again"
    (tmp_path / "resources/samples").mkdir(parents=True)
    (tmp_path / "resources/samples/sharegpt.json").write_text("[]")
    again = load(files.find(load(config)))
    assert again.config.sources["sharegpt"].uri == "file:resources/samples/sharegpt.json", "one's own comes first"


def test_missing_votes_are_one_line(paper: Study) -> None:
    config = yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8"))
    prompts, votes = next(iter(paper.config.prompts)), {paper.trained[0]: ["data/votes.jsonl"]}
    study = load({**config, "raters": {"desk": {"label": "D", "prompts": prompts, "votes": votes}}})
    with pytest.raises(UserError, match=r"raters.desk.votes.* names the file 'data/votes.jsonl', which does not exist"):
        files.check(study)


def test_names_that_differ_in_capitals_alone(paper: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On FAT, exFAT and some shares they are one file, and one model would be written over another."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert preflight.tells_capitals(Path.cwd())
    pools = {**paper.config.pools, "ShareGPT_Mix": next(iter(paper.config.pools.values()))}
    study = Study(paper.config.model_copy(update={"pools": pools}), paper.models, paper.runs)
    said = "'pools': 'sharegpt_mix' and 'ShareGPT_Mix' are one file on this file system; rename one"
    assert said not in preflight.absent(study)
    (tmp_path / "WORK").symlink_to("work")  # as such a file system has it
    assert not preflight.tells_capitals(Path.cwd())
    assert said in preflight.absent(study)
    assert not any("one file" in line for line in preflight.absent(paper))
