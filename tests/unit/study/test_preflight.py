"""What is said before a run's first job."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from falsepromise.core.errors import UserError
from falsepromise.study import files, preflight
from falsepromise.study.expand import load
from falsepromise.study.preflight import Partition, Planned
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
    assert preflight.read_partitions(SINFO) == [
        Partition("main", True, 1440, 64, 256000, 4),
        Partition("long", False, None, 16, 64000, 2),
        Partition("quick", False, 30, 128, 512000, 10),
    ]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Planned("train", 1440, 256000, 64, 4), ""),
        (Planned("train", 1441), "asks for 1441 minutes, partition 'main' has 1440 minutes (set runtime"),
        (Planned("score", memory=300000), "asks for 300000 MB"),
        (Planned("score", cpus=65), "asks for 65 CPUs"),
        (Planned("train", gpus=8), "asks for 8 GPUs a node, partition 'main' has 4 GPUs a node"),
        (Planned("train", 100_000, partition="long"), ""),
        (Planned("train", partition="nosuch"), "there is no partition 'nosuch'"),
    ],
)
def test_what_slurm_would_never_start(job: Planned, said: str) -> None:
    lines = preflight.never_started([job, job], preflight.read_partitions(SINFO))
    assert len(lines) == bool(said)
    if said:
        assert f"SLURM would never start 2 of {job.rule}: " in lines[0]
        assert said in lines[0]


def test_without_slurm_nothing_is_said() -> None:
    assert preflight.never_started([Planned("train", 10**9, gpus=99)], []) == []


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
    assert not any("discord" in line for line in preflight.absent(paper))


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
    (tmp_path / "resources/samples").mkdir(parents=True)
    (tmp_path / "resources/samples/sharegpt.json").write_text("[]")
    again = load(files.find(load(config)))
    assert again.config.sources["sharegpt"].uri == "file:resources/samples/sharegpt.json", "one's own comes first"


def test_missing_votes_are_one_line(paper: Study) -> None:
    config = yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8"))
    prompts, votes = next(iter(paper.config.prompts)), {paper.trained[0]: ["data/votes.jsonl"]}
    study = load({**config, "raters": {"desk": {"label": "D", "prompts": prompts, "votes": votes}}})
    with pytest.raises(UserError, match=r"raters.desk.votes.* names the file 'data/votes.jsonl', which is not there"):
        files.check(study)
