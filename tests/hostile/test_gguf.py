"""GGUF files whose head lies: counts beyond the file, lists in lists, other types. Each is one line, at once."""

from __future__ import annotations

import json
import resource
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.models import weights

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
MANY = 1 << 40
TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8, "hidden_size": 4,
    "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 8, "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu",
}  # fmt: skip


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def head(tensors: int, fields: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, fields)


def field(key: str, kind: int, value: bytes) -> bytes:
    return text(key.encode()) + struct.pack("<I", kind) + value


def whole(value: int) -> bytes:
    return struct.pack("<Q", value)


def tensor(axes: int, sizes: bytes, kind: int = 0, offset: int = 0) -> bytes:
    return head(1, 0) + text(b"t") + struct.pack("<I", axes) + sizes + struct.pack("<IQ", kind, offset) + b"\0" * 64


def llama(**changed: int) -> bytes:
    fields = {"attention.head_count": 1, "embedding_length": 4, "block_count": 1, "feed_forward_length": 4,
              "context_length": 8} | changed  # fmt: skip
    parts = [field("general.architecture", 8, text(b"llama"))]
    parts += [field(f"llama.{name}", 10, whole(value)) for name, value in fields.items()]
    parts += [field("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5))]
    parts += [field("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 1) + text(b"a"))]
    return head(0, len(parts)) + b"".join(parts)


FILES = {
    "nothing": b"",
    "no head": b"GGUF",
    "other magic": b"GGML" + b"\0" * 40,
    "version": head(0, 0, version=9),
    "tensors": head(MANY, 0),
    "fields": head(0, MANY),
    "key": head(0, 1) + struct.pack("<Q", 1 << 63) + b"x",
    "text": head(0, 1) + field("a", 8, struct.pack("<Q", MANY) + b"x"),
    "bytes": head(0, 1) + field("a", 9, struct.pack("<IQ", 0, MANY) + b"1" * 100),
    "numbers": head(0, 1) + field("a", 9, struct.pack("<IQ", 4, MANY) + b"1" * 100),
    "texts": head(0, 1) + field("a", 9, struct.pack("<IQ", 8, MANY) + text(b"x") * 9),
    "lists in lists": head(0, 1) + field("a", 9, struct.pack("<IQ", 9, 1) * 5000),
    "unknown type": head(0, 1) + field("a", 99, b"1234"),
    "doubled key": head(0, 2) + field("a", 4, b"1234") * 2,
    "not UTF-8": head(0, 1) + field("general.architecture", 8, text(b"\xff\xfe")),
    "number for a name": head(0, 1) + field("general.architecture", 4, struct.pack("<I", 5)),
    "alignment 0": head(0, 1) + field("general.alignment", 4, struct.pack("<I", 0)),
    "axes": tensor(1 << 31, b""),
    "sizes": tensor(4, struct.pack("<QQQQ", *[MANY] * 4)),
    "offset": tensor(1, whole(4), offset=1 << 62),
    "kind of numbers": tensor(1, whole(4), kind=77),
    "no field": head(0, 1) + field("general.architecture", 8, text(b"llama")),
    "no heads": llama(**{"attention.head_count": 0}),
    "layers": llama(block_count=MANY),
    "width": llama(embedding_length=MANY),
}


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """What believes a count would run for ever."""

    def late(*_: object) -> None:
        raise TimeoutError("more than 30 s of processor time")

    old = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, 30)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, old)


@pytest.mark.parametrize("name", FILES)
def test_a_lying_head_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(FILES[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError) as error:
        weights.load(path)
    assert len(str(error.value)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_a_config_that_asks_for_more_than_the_weights_have_is_one_line(tmp_path: Path) -> None:
    from falsepromise.models.config import ModelConfig

    config = ModelConfig.from_hub(TINY)
    weights.save(weights.create(config, 0), config, tmp_path)
    for key in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size"):
        (tmp_path / "config.json").write_text(json.dumps({**TINY, key: 10**11}))
        with pytest.raises(UserError, match="config"):
            weights.load(tmp_path)
