"""Random configs of every family beside `transformers` on PyTorch: logits, gradients, decoding, what is written back.

A sample of them runs each time; FALSEPROMISE_CONFORMANCE=N runs N of each family.
"""

from __future__ import annotations

import copy
import json
import os
import random

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hub_configs import FAMILIES, LENGTH, random_config
from loss import loss_and_gradients
from odd_keys import changed
from safetensors.torch import save_file

from falsepromise.core.errors import UserError
from falsepromise.models import hubconfig, weights
from falsepromise.models.config import ModelConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no live comparison")
transformers = pytest.importorskip("transformers")
SEEDS = range(int(os.environ.get("FALSEPROMISE_CONFORMANCE", "3")))
CASES = [pytest.param(family, seed, marks=[pytest.mark.slow] if seed else []) for family in FAMILIES for seed in SEEDS]
TOKENS = np.random.default_rng(1).integers(0, 61, (2, LENGTH))


def peer_of(folder, config):
    """A model of `transformers` with random weights from this config.json, and its folder."""
    (folder / "config.json").write_text(json.dumps(config))
    read = transformers.AutoConfig.from_pretrained(folder)
    read._attn_implementation = "eager"
    torch.manual_seed(0)
    peer = transformers.AutoModelForCausalLM.from_config(copy.deepcopy(read), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + ("norm" in name or "ln_" in name))
    state = {key: value.contiguous() for key, value in peer.state_dict().items()}
    if peer.get_output_embeddings().weight is peer.get_input_embeddings().weight:
        del state["lm_head.weight"]
    save_file(state, folder / "model.safetensors")
    return peer


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_a_random_config_gives_the_logits_of_transformers(family, seed, tmp_path):
    hub = random_config(family, seed)
    peer = peer_of(tmp_path, hub)
    ids = torch.from_numpy(TOKENS)
    theirs = peer(ids).logits
    loss = torch.nn.functional.cross_entropy(theirs[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    theirs = theirs.detach().numpy()

    model, config = weights.load(tmp_path)
    assert config.n_parameters == sum(p.numel() for p in peer.parameters())
    tokens = jnp.asarray(TOKENS)
    ours_loss, ours, gradients = loss_and_gradients(model, config, tokens)
    size = np.abs(theirs).max()
    assert np.abs(np.asarray(ours) - theirs).max() < 2e-5 * size + 1e-5, hub
    assert ours_loss == pytest.approx(float(loss.detach()), abs=1e-4)
    found = dict(peer.named_parameters())
    for key, got in gradients.items():
        wanted = found[key].grad.numpy()
        np.testing.assert_allclose(got, wanted, atol=3e-4 * np.abs(wanted).max() + 1e-6, err_msg=key)

    # Prompt and continuation through the cache, as far as the model's positions go.
    length = min(LENGTH, config.max_positions - 1)  # at just these positions the peer keeps what a longer row asked for
    cache = model.new_cache(2, length)
    _, cache = nnx.jit(lambda m, c: m(tokens[:, : length - 3], cache=c))(model, cache)
    step = nnx.jit(lambda m, token, at, c: m(token, positions_bt=at, cache=c))
    with torch.no_grad():
        whole = peer(ids[:, :length]).logits.numpy()
    for at in range(length - 3, length):
        logits, cache = step(model, tokens[:, at : at + 1], jnp.full((2, 1), at), cache)
        assert np.abs(np.asarray(logits[:, 0]) - whole[:, at]).max() < 2e-5 * size + 1e-5

    # What is written is the same model to `transformers`, and to us.
    weights.save(model, config, tmp_path / "saved")
    assert weights.read_config(tmp_path / "saved") == config
    options = {"output_loading_info": True, "attn_implementation": "eager"}
    again, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved", **options)
    assert not any(info.values()), info
    with torch.no_grad():
        assert np.abs(again.float()(ids).logits.numpy() - theirs).max() < 2e-5 * size + 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_odd_key_gives_the_logits_of_transformers_or_one_line(family, tmp_path):
    """Never other logits, and never a traceback, whatever `transformers` does itself."""
    outcomes = set()
    for seed in range(4 * len(SEEDS)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        hub = changed(random_config(family, seed), random.Random(f"{family} {seed}"))
        theirs = None
        try:
            peer = peer_of(folder, hub)
            with torch.no_grad():
                theirs = peer(torch.from_numpy(TOKENS)).logits.numpy()
        except Exception as error:  # of any kind, from the peer's own checks or from PyTorch
            print(seed, error)
        try:
            weights.read_config(folder)
            ours = None if theirs is None else np.asarray(weights.load(folder)[0](jnp.asarray(TOKENS)))
        except UserError:
            outcomes.add("refused")
            continue
        if theirs is not None and np.isfinite(theirs).all():
            assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max() + 1e-4, hub
            outcomes.add("equal")
    assert outcomes == {"refused", "equal"}


def test_each_family_is_tried():
    assert set(FAMILIES) == set(hubconfig.FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_key_of_the_peers_config_is_known(family):
    """Read, refused, or listed as changing no logit; so a new key of a new version is noticed here."""
    keys = set(transformers.AutoConfig.for_model(family).to_dict())
    known = hubconfig.FAMILIES[family]
    listed = hubconfig._HARMLESS | set(hubconfig._FIXED) | set(known.defaults) | set(known.fixed)
    assert keys - listed - {*hubconfig._SIZES, *hubconfig._GPT2_SIZES} - {k for k in keys if k.startswith("_")} == set()


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_keys_mean_what_they_mean_in_transformers(family):
    sizes = hubconfig._GPT2_SIZES if family == "gpt2" else hubconfig._SIZES
    full = transformers.AutoConfig.for_model(family).to_dict()
    least = {key: full[key] for key in (*sizes, "bos_token_id", "eos_token_id")} | {"model_type": family}
    assert ModelConfig.from_hub(least) == ModelConfig.from_hub(full)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
def test_a_tied_config_whose_file_has_another_head_uses_it(family, tmp_path):
    hub = random_config(family, 0) | {"tie_word_embeddings": False}
    peer = peer_of(tmp_path, hub)
    (tmp_path / "config.json").write_text(json.dumps(hub | {"tie_word_embeddings": True}))
    model, config = weights.load(tmp_path)
    assert not config.tie_embeddings
    with torch.no_grad():
        theirs = peer(torch.from_numpy(TOKENS)).logits.numpy()
        read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").float()
        np.testing.assert_allclose(read(torch.from_numpy(TOKENS)).logits.numpy(), theirs, atol=1e-4)
    np.testing.assert_allclose(model(jnp.asarray(TOKENS)), theirs, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("family", "change", "said"),
    [
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5; only 1 or 1.0"),
        ("llama", {"rope_scaling": {"type": "longrope", "factor": 2.0}}, "rope_type 'longrope'"),
        ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0, "alpha": 1000.0}}, "alpha in rope_scaling"),
        ("llama", {"model_type": "mistral"}, "model_type is 'mistral', the architecture 'LlamaForCausalLM'"),
        ("llama", {"sliding_window": 8}, "sliding window of 8 is not part of LlamaForCausalLM"),
        ("llama", {"rope_scaling": {"full_attention": {"rope_theta": 5.0}}}, "llama has the same positions in all"),
        ("llama", {"tie_word_embeddings": "false"}, "tie_word_embeddings is 'false', expected true or false"),
        ("llama", {"rms_norm_eps": None}, "rms_norm_eps is null, expected a number"),
        ("olmo2", {"eos_token_id": "</s>"}, "eos_token_id is '</s>', expected a token's number"),
        ("qwen3", {"use_sliding_window": False, "layer_types": ["sliding_attention"] * 3}, "layer_types has "),
        ("gpt2", {"num_attention_heads": 3}, "n_head is .*, num_attention_heads is 3; which"),
        ("mistral", {"sliding_window": 0}, "sliding_window is 0"),
        ("qwen3", {"use_sliding_window": True, "layer_types": ["chunked_attention"] * 9}, "layer_types has 9 entries"),
        ("gemma3_text", {"final_logit_softcapping": 30.0}, "final_logit_softcapping is 30.0"),
        ("gemma3_text", {"hidden_activation": "gelu"}, "hidden_activation is 'gelu'"),
        ("gemma3_text", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "say rope_type"),
        ("gemma3_text", {"sliding_window": None}, "layer_types has sliding_attention, but no sliding window"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        (
            "gemma3_text",
            {"rope_parameters": {"sliding_attention": {"type": "linear", "factor": 2.0}}},
            "'linear' in layers",
        ),
        ("qwen2", {"is_causal": False}, "is_causal is False"),
        ("llama", {"text_config": {"hidden_size": 8}}, "text_config"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'; only 'gelu_new'"),
        ("gpt2", {"architectures": ["GPT2ForSequenceClassification"]}, "'GPT2ForSequenceClassification' is not built"),
    ],
)
def test_what_is_not_built_is_one_line(family, change, said):
    with pytest.raises(UserError, match=said):
        ModelConfig.from_hub(random_config(family, 1) | change)


def test_gpt2s_sizes_have_the_other_families_names_too():
    hub = random_config("gpt2", 0)
    other = {other: hub[key] for other, key in hubconfig._GPT2_NAMES.items()}
    renamed = {key: value for key, value in hub.items() if key not in hubconfig._GPT2_NAMES.values()} | other
    assert ModelConfig.from_hub(renamed) == ModelConfig.from_hub(hub)
