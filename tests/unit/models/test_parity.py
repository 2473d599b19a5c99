"""Logits and gradients against `transformers` on PyTorch: stored values, and live where PyTorch is."""

from __future__ import annotations

import json
from pathlib import Path

import golden_models
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from loss import loss_and_gradients
from safetensors.numpy import save_file

from falsepromise.models import weights

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())["cases"]
PLACES = [0, 63, 64, 139]
# Gradients of these differ from another case's in little; their logits are always compared.
SLOW = {"llama_tied_one_key_head", "llama_linear", "gpt2_inner_untied"}
GRADIENT_CASES = [pytest.param(case, marks=[pytest.mark.slow] if case in SLOW else []) for case in golden_models.CASES]


def folder_of(case: str, path: Path) -> Path:
    shapes = GOLDEN[case]["shapes"]
    save_file({k: golden_models.tensor(case, k, tuple(s)) for k, s in shapes.items()}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(golden_models.CASES[case]))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {case: weights.load(folder_of(case, tmp_path_factory.mktemp(case))) for case in GOLDEN}


def test_every_case_has_its_golden_values():
    assert set(GOLDEN) == set(golden_models.CASES)


@pytest.mark.parametrize("case", GRADIENT_CASES)
def test_forward_loss_and_gradients(models, case):
    model, config = models[case]
    tokens = jnp.asarray(golden_models.tokens())
    loss, logits, ours = loss_and_gradients(model, config, tokens)
    assert np.abs(np.asarray(logits[1, np.array(PLACES)]) - GOLDEN[case]["logits"]).max() < 1e-4
    assert loss == pytest.approx(GOLDEN[case]["loss"], abs=1e-5)

    assert set(ours) == set(GOLDEN[case]["gradients"])
    for key, array in ours.items():
        along = float((array.astype(np.float64) * golden_models.tensor(case, key, array.shape, "grad")).sum())
        assert along == pytest.approx(GOLDEN[case]["gradients"][key], abs=1e-5, rel=1e-4), key


@pytest.mark.parametrize("case", golden_models.CASES)
def test_prefill_and_decode_equal_the_full_forward(models, case):
    model, _ = models[case]
    tokens = jnp.asarray(golden_models.tokens())
    cache = model.new_cache(2, 160)
    # Padding behind the prompt must not show: it is overwritten or lies behind every query.
    padded = tokens[:, :80].at[:, 70:].set(5)
    first, cache = nnx.jit(lambda m, c: m(padded, cache=c))(model, cache)
    assert np.abs(np.asarray(first[1, np.array([0, 63, 64])]) - GOLDEN[case]["logits"][:3]).max() < 1e-4
    step = nnx.jit(lambda m, token, at, c: m(token, positions_bt=at, cache=c))
    for at in range(70, golden_models.LENGTH):
        logits, cache = step(model, tokens[:, at : at + 1], jnp.full((2, 1), at), cache)
    assert np.abs(np.asarray(logits[1, 0]) - GOLDEN[case]["logits"][3]).max() < 1e-4


@pytest.mark.parametrize("case", golden_models.CASES)
def test_the_golden_values_are_what_pytorch_gives_now(case):
    """Live: loss, logits and the gradient of each weight."""
    pytest.importorskip("torch", reason="PyTorch is not installed: no live comparison")
    pytest.importorskip("transformers")
    from make_golden import golden

    now, stored = golden(case), GOLDEN[case]
    assert now["shapes"] == stored["shapes"]
    assert now["loss"] == pytest.approx(stored["loss"], abs=1e-5)
    np.testing.assert_allclose(now["logits"], stored["logits"], atol=2e-5)
    assert now["gradients"] == pytest.approx(stored["gradients"], abs=1e-5, rel=1e-4)


def test_saved_folder_loads_in_transformers_with_equal_logits(models, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no live comparison")
    transformers = pytest.importorskip("transformers")
    tokens = golden_models.tokens()
    for case, (model, config) in models.items():
        weights.save(model, config, tmp_path / case, shard_bytes=20_000)
        peer, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / case, output_loading_info=True)
        assert not any(info.values()), info
        with torch.no_grad():
            theirs = peer.float()(torch.from_numpy(tokens)).logits.numpy()
        assert np.abs(np.asarray(model(jnp.asarray(tokens))) - theirs).max() < 1e-4
