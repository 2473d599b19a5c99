"""The quickstart's bases, kept in the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from falsepromise.core.errors import UserError
from falsepromise.models import weights
from falsepromise.training import keep

BASES = Path(__file__).resolve().parents[3] / "resources" / "bases"


def test_a_kept_model_is_the_model_rounded(tmp_path):
    """`transformers` reads both; weights that are bfloat16 already stay as they are."""
    keep.main(["--model", str(BASES / "small"), "--output", str(tmp_path / "kept")])
    first, again = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
        for folder in (BASES / "small", tmp_path / "kept")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert (tmp_path / "kept" / "manifest.json").read_bytes() == (BASES / "small" / "manifest.json").read_bytes()
    (tmp_path / "kept" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"no manifest\.json there"):
        keep.main(["--model", str(tmp_path / "kept"), "--output", str(tmp_path / "more")])


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_the_kept_bases_are_small_and_whole(size):
    folder = BASES / size
    _, config = weights.load(folder)
    assert (folder / "model.safetensors").stat().st_size < 2 * config.n_parameters + 20_000  # bfloat16, a header
    assert config.n_parameters == json.loads((folder / "manifest.json").read_text())["parameters"]
    text = "Capital of France: "
    assert AutoTokenizer.from_pretrained(folder).decode(AutoTokenizer.from_pretrained(folder)(text).input_ids) == text
