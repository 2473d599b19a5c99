"""The log: rows for readers, TensorBoard and W&B, and what a run that goes on makes of them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.study.planning import HARDWARE, peak_of
from falsepromise.training.log import TrainingLog


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_rows_behind_the_last_save_are_made_again(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    first = TrainingLog(file)
    for step in (1, 33, 65):
        first.row(step, loss=1.0 / step)
    first.close()
    file.write_text(file.read_text() + '{"step": 97, "lo')  # cut off by a kill
    again = TrainingLog(file, after=40)
    again.row(65, loss=0.5)
    assert rows(file) == [{"step": 1, "loss": 1.0}, {"step": 33, "loss": 1 / 33}, {"step": 65, "loss": 0.5}]


def test_other_processes_of_a_job_write_nothing(tmp_path: Path) -> None:
    TrainingLog(tmp_path / "log.jsonl", writes=False).row(1, loss=1.0)
    assert not list(tmp_path.iterdir())


def test_a_log_that_can_not_be_written_is_one_line() -> None:
    log = TrainingLog(Path("/nonexistent"), writes=False)
    log.writes, log.file = True, Path("/dev/full")
    with pytest.raises(UserError, match="/dev/full: can't be written: No space left on device"):
        log.row(1, text="x" * 100_000)  # type: ignore[arg-type]


def test_tensorboard_reads_the_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the package tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event

    log = TrainingLog(tmp_path / "log.jsonl", tensorboard=tmp_path / "events")
    log.row(1, loss=5.5, learning_rate=0.0)
    log.row(33, loss=4.25, held_out_loss=4.5)
    log.close()
    (file,) = (tmp_path / "events").iterdir()
    data, found = file.read_bytes(), []
    while data:  # TFRecord: length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    assert found == [
        (1, "training/loss", 5.5),
        (1, "training/learning_rate", 0.0),
        (33, "training/loss", 4.25),
        (33, "training/held_out_loss", 4.5),
    ]


def test_wandb_keeps_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    log = TrainingLog(tmp_path / "log.jsonl", wandb="imitation", name="tiny", config={"batch_size": 8})
    log.row(1, loss=5.5)
    log.row(33, held_out_loss=4.5)
    log.close()
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert "held_out_loss 4.5" in capfd.readouterr().err  # its summary of the run


def test_peaks_of_devices_by_their_own_names() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3", "bfloat16") == HARDWARE["h100"].peak["bfloat16"] == 989e12
    assert peak_of("NVIDIA A100-SXM4-80GB", "float32") == 156e12
    assert peak_of("TPU v5 lite", "bfloat16") == HARDWARE["tpu-v5e"].peak["bfloat16"]
    assert peak_of("NVIDIA H100 PCIe", "bfloat16") is None
    assert peak_of("cpu", "float32") is None
