"""Tokenizers in the forms that the hub has them in, against SentencePiece and `transformers`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from falsepromise.core.errors import UserError
from falsepromise.models.chat import PROBES, ChatTokenizer, load_any

TEXT = ["the capital of France is Paris", "what is the capital?", "12 men went to mow 345", "héllo wörld", "a  b"]
LINES = ["the capital 12", "  two spaces ", "héllo ☃", "", " ", "a\nb\tc", "mow 12345 mowing", "ﬁn Ａ"]


@pytest.fixture(params=["bpe", "unigram", "unigram-nmt"])
def sentencepiece_folder(request, tmp_path: Path):
    spm = pytest.importorskip("sentencepiece")
    out = io.BytesIO()
    kind, _, normal = request.param.partition("-")
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 50), model_writer=out, vocab_size=300, model_type=kind, byte_fallback=True,
        minloglevel=2, hard_vocab_limit=False, normalization_rule_name="nmt_nfkc" if normal else "identity",
        remove_extra_whitespaces=bool(normal), split_digits=True,
        **({"user_defined_symbols": ["<sep>"], "add_dummy_prefix": False} if request.param == "unigram" else {}),
    )  # fmt: skip
    (tmp_path / "tokenizer.model").write_bytes(out.getvalue())
    return tmp_path, spm.SentencePieceProcessor(model_proto=out.getvalue())


def test_a_sentencepiece_model_alone_gives_its_own_ids(sentencepiece_folder):
    folder, peer = sentencepiece_folder
    chat, added = load_any(folder)
    assert added == 3
    assert (chat.bos_id, chat.eos_id, chat.eos_token) == (peer.bos_id(), peer.eos_id(), "</s>")
    for line in (*LINES, "a<sep>b"):
        assert chat.encode_text(line) == peer.encode(line), line
        assert chat.decode(chat.encode_text(line)) == peer.decode(peer.encode(line))
    (folder / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(UserError, match="not a SentencePiece model"):
        load_any(folder)


def agrees_with_transformers(chat: ChatTokenizer, folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    chat.save(folder)
    again = ChatTokenizer.load(folder)
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    for messages in PROBES:
        ids = chat.encode_dialogue(messages)[0]
        assert again.encode_dialogue(messages)[0] == ids
        assert peer.apply_chat_template(messages, return_dict=True)["input_ids"] == ids
    assert peer.eos_token_id == chat.eos_id == again.eos_id
    assert again.bos_id == chat.bos_id


def test_the_exported_template_of_a_sentencepiece_model_gives_the_training_ids(sentencepiece_folder):
    folder, _ = sentencepiece_folder
    chat, _ = load_any(folder)
    agrees_with_transformers(chat, folder / "saved")


def bpe(pre: pre_tokenizers.PreTokenizer, decoder: decoders.Decoder, alphabet: list[str], special: list) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoder
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    return tokenizer


def byte_level(special: list, **rest) -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return bpe(pre_tokenizers.ByteLevel(**rest), decoders.ByteLevel(), alphabet, special)


SPECIAL = ["<unk>", "<s>", "</s>"]
FORMS = {
    "metaspace first": lambda: bpe(
        pre_tokenizers.Metaspace(prepend_scheme="first", split=False), decoders.Metaspace(), [], SPECIAL
    ),
    "metaspace never": lambda: bpe(pre_tokenizers.Metaspace(prepend_scheme="never"), decoders.Metaspace(), [], SPECIAL),
    "metaspace in a sequence": lambda: bpe(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.Metaspace(prepend_scheme="first")]),
        decoders.Metaspace(), [], SPECIAL,
    ),
    "byte level": lambda: byte_level(SPECIAL, add_prefix_space=False),
    "byte level with a prefix": lambda: byte_level(SPECIAL, add_prefix_space=True),
    "an end that strips": lambda: byte_level(
        ["<unk>", "<s>", AddedToken("</s>", lstrip=True, rstrip=True, special=True)], add_prefix_space=False
    ),
    "a turn token of its own": lambda: byte_level(
        [*SPECIAL, AddedToken("<|user|>", rstrip=True, special=False)], add_prefix_space=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_template_and_training_give_the_same_ids_for(form, tmp_path):
    FORMS[form]().save(str(tmp_path / "tokenizer.json"))
    config = {"eos_token": "</s>", "bos_token": "<s>", "add_bos_token": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    chat, _ = load_any(tmp_path)
    agrees_with_transformers(chat, tmp_path / "saved")


BARE = {"content": "<s>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
KEPT = {
    "objects": {"bos_token": BARE, "unk_token": {**BARE, "content": "<unk>"}, "pad_token": {**BARE, "content": "</s>"}},
    "typed objects": {"bos_token": {"__type": "AddedToken", **BARE}, "unk_token": "<unk>", "pad_token": "<unk>"},
    "tokens that aren't there": {"pad_token": "[PAD]", "unk_token": "[U]", "cls_token": "[CLS]", "bos_token": "<bos>"},
    "split": {"split_special_tokens": True, "added_tokens_decoder": {"2": {"content": "</s>", "rstrip": True}}},
    "llama": {"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_prefix_space": True, "add_bos_token": True},
    "gpt2": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "model_max_length": 4, "errors": "replace"},
    "sides": {"padding_side": "left", "truncation_side": "left", "add_eos_token": True, "chat_template": "{{ x }}"},
    "extra": {"extra_special_tokens": {"x": "<x>"}, "additional_special_tokens": ["<y>"], "sp_model_kwargs": {}},
}


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("where", ["tokenizer_config.json", "special_tokens_map.json"])
def test_whatever_a_bases_files_say_the_template_gives_the_training_ids(kept, where, tmp_path):
    for form in ("metaspace first", "byte level", "byte level with a prefix"):
        folder = tmp_path / form
        folder.mkdir()
        FORMS[form]().save(str(folder / "tokenizer.json"))
        (folder / where).write_text(json.dumps({"eos_token": "</s>", **KEPT[kept]}))
        chat, _ = load_any(folder)
        agrees_with_transformers(chat, folder / "saved")
        peer = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(folder / "saved")
        assert len(peer) == chat.vocab_size  # nothing was added there: no id lies beyond the table
        ids = chat.encode_dialogue(PROBES[1])[0]
        assert peer.decode(ids, skip_special_tokens=True) == chat.decode(ids)


def test_a_tokenizer_that_no_template_can_follow_is_refused(tmp_path):
    """A token of the base's own that takes the spaces beside it, a turn's first and last ones too."""
    tokenizer = byte_level(SPECIAL, add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    chat, _ = load_any(tmp_path)
    chat.tokenizer.add_special_tokens([AddedToken("is it", special=True)])  # special where the template is read
    with pytest.raises(UserError, match="as a whole differently than turn by turn"):
        chat.save(tmp_path / "saved")


@pytest.mark.parametrize(
    ("files", "end"),
    [
        ({"tokenizer_config.json": {"eos_token": "</s>"}, "config.json": {"eos_token_id": 1}}, "</s>"),
        ({"special_tokens_map.json": {"eos_token": {"content": "</s>"}}}, "</s>"),
        ({"tokenizer_config.json": {"eos_token": None}, "special_tokens_map.json": {"eos_token": "</s>"}}, "</s>"),
        ({"config.json": {"eos_token_id": 2}}, "</s>"),
        ({"config.json": {"eos_token_id": [2, 1]}}, "</s>"),
        ({"config.json": {}, "generation_config.json": {"eos_token_id": 2}}, "</s>"),
        ({"tokenizer_config.json": {"eos_token": "<gone>"}, "config.json": {"eos_token_id": 2}}, "</s>"),
        ({}, "<|endoftext|>"),
    ],
)
def test_the_end_token_is_found_wherever_it_is_named(files, end, tmp_path):
    byte_level(SPECIAL, add_prefix_space=False).save(str(tmp_path / "tokenizer.json"))
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert load_any(tmp_path)[0].eos_token == end


@pytest.mark.parametrize("adds", [None, True, False])
@pytest.mark.parametrize("template", [True, False])
def test_the_opening_token_is_that_of_transformers(adds, template, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_level(SPECIAL, add_prefix_space=False)
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    else:
        tokenizer.post_processor = processors.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "bos_token": "<s>"}
    config |= {} if adds is None else {"add_bos_token": adds}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path).encode("is")
    chat = load_any(tmp_path)[0]
    assert chat.encode_text("is", bos=True) == theirs
