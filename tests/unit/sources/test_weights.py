"""A base model's folder: taken whole, or refused with what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.sources import hubclient, weights


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("{}")
    return path


def test_a_local_folder_is_taken_without_its_pickles(tmp_path: Path) -> None:
    source = folder(
        tmp_path / "model", "config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "README.md",
        "LICENSE", "USE_POLICY.md", "consolidated.safetensors", "consolidated.safetensors.index.json",
    )  # fmt: skip
    (source / "LICENSES").mkdir()
    output = tmp_path / "bases" / "b"
    weights.main(["--uri", f"file:{source}", "--output", str(output)])
    found = {p.name for p in output.iterdir() if not p.name.startswith(".")}
    assert found == {
        "config.json", "tokenizer.json", "model.safetensors", "source.json", "LICENSE", "USE_POLICY.md",
        "consolidated.safetensors.index.json",
    }  # fmt: skip
    assert (output / "model.safetensors").resolve() == (source / "model.safetensors").resolve()
    assert not list((tmp_path / "bases").glob(".b*"))


def test_where_no_links_are_possible_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    source = folder(tmp_path / "model", "config.json", "tokenizer.json", "model.safetensors")
    weights.main(["--uri", f"file:{source}", "--output", str(tmp_path / "b")])
    assert (tmp_path / "b" / "model.safetensors").read_text() == "{}"
    assert not (tmp_path / "b" / "model.safetensors").is_symlink()


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("config.json", "tokenizer.json", "pytorch_model.bin"), r"\*\.safetensors missing"),
        (("config.json", "model.safetensors"), r"tokenizer\.json missing"),
        ((), r"config\.json and \*\.safetensors and tokenizer\.json missing"),
    ],
)
def test_an_incomplete_folder_is_refused_and_leaves_nothing(
    tmp_path: Path, names: tuple[str, ...], missing: str
) -> None:
    source = folder(tmp_path / "model", *names)
    with pytest.raises(UserError, match=missing):
        weights.main(["--uri", f"file:{source}", "--output", str(tmp_path / "b")])
    assert not (tmp_path / "b").exists()


def test_of_a_hub_model_only_what_a_base_needs_is_fetched() -> None:
    """No second copy of the weights: in a folder (a trainer's checkpoints, other formats), or as `consolidated`."""
    wanted = {"config.json", "tokenizer.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    others = {"checkpoint-500/model.safetensors", "original/params.json", "consolidated.safetensors", "model.bin"}
    assert {path for path in wanted | others if hubclient.fits(path, weights.WANTED)} == wanted


@pytest.mark.parametrize("uri", ["gpt2", "hub:gpt2", "hub:openai-community/gpt2-xl", "file:"])
def test_an_address_of_no_known_form(tmp_path: Path, uri: str) -> None:
    with pytest.raises(UserError, match="expected hub:ORG/NAME@REVISION or file:PATH"):
        weights.main(["--uri", uri, "--output", str(tmp_path / "b")])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        weights.main(["--uri", f"file:{tmp_path}/nowhere", "--output", str(tmp_path / "b")])


def test_folders_of_others_survive(tmp_path):
    source = folder(tmp_path / "model", "config.json", "tokenizer.json", "model.safetensors")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    with pytest.raises(UserError, match=r"chapter\.tex"):
        weights.main(["--uri", f"file:{source}", "--output", str(tmp_path / "thesis")])
    for output in (source, source / "inside", tmp_path):
        with pytest.raises(UserError, match="overlaps"):
            weights.main(["--uri", f"file:{source}", "--output", str(output)])
    assert (tmp_path / "thesis" / "chapter.tex").exists()
    assert not any(path.is_symlink() for path in source.iterdir())
