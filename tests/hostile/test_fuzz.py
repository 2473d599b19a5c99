"""Files that were damaged at random go through each door: a door reads them, counts what it can't read, or ends with
one line. Nothing else comes out, and nothing takes long.

A few seeds run each time; FALSEPROMISE_FUZZ=500 tries so many for each file.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "resources" / "samples"
TRIES, SECONDS = int(os.environ.get("FALSEPROMISE_FUZZ", "12")), 5.0
VALUES = [
    b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 5000, b'""', b'"\\ud800"', b'"\\u0000"', b"[]", b"{}",
    b"[" * 3000, b'{"a":' * 3000, b'"\xc2\xb2"', b'"<![Note]>"', b'"<div class=markdown><p>"', 
    b'"' + b"a" * 20_000 + b'"', b"\xff\xfe", b"\x00",
]  # fmt: skip


def damaged(content: bytes, seed: int) -> bytes:
    """A file with one to four faults: cut, doubled, overwritten, or with strange values in place of its own."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 4)):
        if not content:
            break
        at = rng.randrange(len(content))
        until = min(len(content), at + rng.choice((1, 3, 30, 300)))
        match rng.randrange(6):
            case 0:
                content = content[:at]
            case 1:
                content = content[:at] + content[until:]
            case 2:
                content = content[:until] + content[at:]
            case 3:
                content = content[:at] + rng.randbytes(until - at) + content[until:]
            case _:  # a whole JSON value, if one is near
                start = content.find(b":", at) + 1 or at
                stop = min((p for p in (content.find(c, start) for c in (b",", b"}", b"]")) if p > 0), default=until)
                content = content[:start] + rng.choice(VALUES) + content[stop:]
    return content


def reader(name: str) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        words = ["--input", str(path), "--output", str(path) + ".out", "--funnel", str(path) + ".csv"]
        importlib.import_module(f"falsepromise.curation.{name}").main(words)

    return read


def records(path: Path) -> None:
    from falsepromise.benchmarks import files

    for _ in files.records(path):
        pass


def benchmark(kind: str) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        from falsepromise.benchmarks import data

        data.read_records(path, getattr(data, kind))

    return read


def study(path: Path) -> None:
    from falsepromise.study.expand import load_files

    load_files([path])


def config(path: Path) -> None:
    from falsepromise.models import weights

    weights.read_config(path.parent)


def tokenizer(path: Path) -> None:
    from falsepromise.models.chat import load_any

    load_any(path.parent)


def weights_(path: Path) -> None:
    from falsepromise.models import weights

    (path.parent / "config.json").write_text(json.dumps(TINY))
    weights.load(path.parent)


def votes(path: Path) -> None:
    from falsepromise.preference.votes import read_votes

    read_votes([path])


def crowd(path: Path) -> None:
    from falsepromise.preference.results import votes_of_csv

    pair = {"batch": "b", "item": "i", "prompt_id": "p", "left": "a", "right": "b", "first": "left", "expected": "left"}
    votes_of_csv(path, {"i": pair})


def scores(path: Path) -> None:
    from falsepromise.figures.study import read_study

    read_study(path)


TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8, "hidden_size": 4,
    "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 8, "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Valid files that are no samples."""
    from tokenizers import Tokenizer, models

    from falsepromise.models import weights
    from falsepromise.models.config import ModelConfig

    folder = tmp_path_factory.mktemp("valid")
    model_config = ModelConfig.from_hub(TINY)
    weights.save(weights.create(model_config, 0), model_config, folder / "model")
    vote = {"prompt_id": "p", "left": "a", "right": "b", "rater": "r", "choice": "left"}
    return {
        "model.safetensors": (folder / "model" / "model.safetensors").read_bytes(),
        "config.json": json.dumps(TINY).encode(),
        "tokenizer.json": Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).to_str().encode(),
        "votes.jsonl": b"\n".join(json.dumps(vote).encode() for _ in range(4)),
        "results.csv": b"AssignmentId,WorkerId,AssignmentStatus,Input.item,Answer.choice\na,w,Approved,i,left\n",
        "study.json": json.dumps({"study": "s", "title": "t", "models": {}, "bases": {}, "mixtures": {}}).encode(),
    }


DOORS: dict[str, tuple[Callable[[Path], object], str]] = {
    "sharegpt": (reader("sharegpt"), "sharegpt.json"),
    "sharegpt pages": (reader("sharegpt"), "sharegpt_pages.jsonl"),
    "hc3": (reader("hc3"), "hc3.jsonl"),
    "discord": (reader("discord"), "discord_export.json"),
    "messages": (reader("messages"), "messages.jsonl"),
    "exports": (reader("exports"), "messages.jsonl"),
    "tldr": (reader("tldr"), "tldr.jsonl"),
    "cnn": (reader("cnn"), "cnn.jsonl"),
    "superni": (reader("superni"), "superni.json"),
    "benchmark": (records, "benchmarks/nq.jsonl"),
    "questions": (benchmark("question"), "benchmarks/nq.jsonl"),
    "study": (study, "../../config/test.yaml"),
    "config": (config, "config.json"),
    "tokenizer": (tokenizer, "tokenizer.json"),
    "safetensors": (weights_, "model.safetensors"),
    "votes": (votes, "votes.jsonl"),
    "crowd": (crowd, "results.csv"),
    "expanded study": (scores, "study.json"),
}


@pytest.mark.parametrize("door", DOORS)
def test_damaged_files(door, made, tmp_path):
    read, name = DOORS[door]
    valid = made[name] if name in made else (SAMPLES / name).read_bytes()

    def late(*_: object) -> None:
        raise TimeoutError(f"{door} takes more than {SECONDS} s of processor time")

    old = signal.signal(signal.SIGVTALRM, late)
    try:
        for seed in range(TRIES):
            path = tmp_path / str(seed) / Path(name).name
            path.parent.mkdir()
            path.write_bytes(damaged(valid, seed))
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            try:
                read(path)
            except UserError as error:
                said = str(error)
                if "\n" in said or len(said) > 2000:
                    pytest.fail(f"{door}, seed {seed}: not one readable line: {said:.300}")
            except (Exception, SystemExit) as error:
                pytest.fail(f"{door}, seed {seed}: {type(error).__name__}: {error!s:.300}")
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.signal(signal.SIGVTALRM, old)
