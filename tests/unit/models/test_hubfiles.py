"""Names of weights and files beside them as the hub has them, each beside `transformers`: equal, or one line."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import pytest
from hub_configs import FAMILIES, random_config
from safetensors.torch import load_file, save_file
from test_conformance import TOKENS, peer_of

from falsepromise.core.errors import UserError
from falsepromise.models import hubconfig, weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no live comparison")
transformers = pytest.importorskip("transformers")
BASE_MODELS = {kind: family.without_head for kind, family in hubconfig.FAMILIES.items()}
FILE = "model.safetensors"


def rewrite(folder, change):
    found = load_file(folder / FILE)
    save_file({key: value.contiguous() for key, value in change(found).items()}, folder / FILE, {"format": "pt"})


def without_prefix(tensors):
    return {key.removeprefix("model.").removeprefix("transformer."): value for key, value in tensors.items()}


def equal_to_transformers(folder):
    options = {"dtype": torch.float32, "attn_implementation": "eager", "output_loading_info": True}
    peer, info = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
    assert not any(info.values()), info
    with torch.no_grad():
        theirs = peer.eval()(torch.from_numpy(TOKENS)).logits.numpy()
    ours = weights.load(folder)[0](jnp.asarray(TOKENS))
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max() + 1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_model_alone_has_no_prefix(family, tmp_path):
    """As `LlamaModel.from_pretrained(...).save_pretrained` writes it; the embedding serves as output projection."""
    hub = random_config(family, 2) | {"tie_word_embeddings": True}
    peer_of(tmp_path, hub)
    rewrite(tmp_path, without_prefix)
    (tmp_path / "config.json").write_text(json.dumps(hub | {"architectures": [BASE_MODELS[family]]}))
    assert hasattr(transformers, BASE_MODELS[family])
    equal_to_transformers(tmp_path)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_output_projection_has_a_prefix_or_none(family, tmp_path):
    hub = random_config(family, 0) | {"tie_word_embeddings": False}
    peer_of(tmp_path, hub)
    rewrite(tmp_path, without_prefix)
    equal_to_transformers(tmp_path)
    prefix = "transformer." if family == "gpt2" else "model."
    rewrite(tmp_path, lambda found: {prefix + key: value for key, value in found.items()})
    equal_to_transformers(tmp_path)


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_a_tied_pair_may_be_there_as_the_output_projection_alone(family, tmp_path):
    peer_of(tmp_path, random_config(family, 0) | {"tie_word_embeddings": True})
    names = {"model.embed_tokens.weight": "lm_head.weight", "transformer.wte.weight": "lm_head.weight"}
    rewrite(tmp_path, lambda found: {names.get(key, key): value for key, value in found.items()})
    equal_to_transformers(tmp_path)


@pytest.mark.parametrize("family", ["gemma3_text", "gpt2"])
def test_a_file_mixes_types(family, tmp_path):
    peer_of(tmp_path, random_config(family, 1))
    types = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
    rewrite(tmp_path, lambda found: {key: found[key].to(types[i % 4]) for i, key in enumerate(sorted(found))})
    equal_to_transformers(tmp_path)


def test_a_base_model_without_the_output_projection_that_it_needs_is_one_line(tmp_path):
    hub = random_config("llama", 0) | {"tie_word_embeddings": False}
    peer_of(tmp_path, hub)
    rewrite(tmp_path, lambda found: {key: v for key, v in without_prefix(found).items() if key != "lm_head.weight"})
    with pytest.raises(UserError, match=r"'lm_head.weight' is missing"):
        weights.load(tmp_path)


def test_two_tensors_of_one_weight_are_one_line(tmp_path):
    peer_of(tmp_path, random_config("llama", 0))
    rewrite(tmp_path, lambda found: found | {"norm.weight": found["model.norm.weight"] + 1})
    with pytest.raises(UserError, match=r"norm.weight' is a second tensor of the weight 'model.norm.weight'"):
        weights.load(tmp_path)


@pytest.mark.parametrize("with_weights", [True, False])
def test_an_adapter_is_one_line(with_weights, tmp_path):
    """`transformers` applies it to the weights beside it, if peft is installed."""
    if with_weights:
        peer_of(tmp_path, random_config("llama", 0))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"an adapter \(peft\), which is not applied here; merge it"):
        weights.load(tmp_path)


def test_another_file_of_weights_is_one_line(tmp_path):
    hub = random_config("llama", 0)
    peer_of(tmp_path, hub)
    (tmp_path / "config.json").write_text(json.dumps(hub | {"transformers_weights": "other.safetensors"}))
    with pytest.raises(UserError, match=r"transformers_weights is 'other.safetensors'; only 'model.safetensors'"):
        weights.load(tmp_path)


@pytest.mark.parametrize(
    "named", ["lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.norm.weight"]
)
def test_an_index_may_name_keys_that_its_files_lack(named, tmp_path):
    """As indexes of published models do, made of another form of the weights."""
    peer_of(tmp_path, random_config("llama", 2) | {"tie_word_embeddings": True})
    model, config = weights.load(tmp_path)
    (tmp_path / FILE).unlink()
    weights.save(model, config, tmp_path, shard_bytes=20_000)
    index = json.loads((tmp_path / weights.INDEX).read_text())
    names = sorted(set(index["weight_map"].values()))
    assert len(names) > 1
    index["weight_map"][named] = next(name for name in names if name != index["weight_map"].get(named))
    (tmp_path / weights.INDEX).write_text(json.dumps(index))
    equal_to_transformers(tmp_path)


@pytest.mark.parametrize(("ends", "all_ends"), [([7, 2], (2, 7)), (9, (2, 9)), (None, (2,)), ("</s>", None)])
def test_generation_config_names_more_tokens_that_end_an_output(ends, all_ends, tmp_path):
    peer_of(tmp_path, random_config("llama", 0) | {"eos_token_id": 2})
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    if all_ends is None:
        with pytest.raises(UserError, match=r"generation_config.json: eos_token_id is '</s>'"):
            weights.read_config(tmp_path)
        return
    config = weights.read_config(tmp_path)
    assert (config.eos_id, *config.more_eos_ids) == all_ends
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).generation_config.eos_token_id
    assert set(np.atleast_1d(theirs if theirs is not None else [])) <= set(all_ends)
