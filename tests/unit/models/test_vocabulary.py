"""Tokenizers in the forms that the hub has them in, against SentencePiece and `transformers`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from falsepromise.core.errors import UserError
from falsepromise.models.chat import PROBES, ChatTokenizer, load_any
from falsepromise.models.vocabulary import read_tokenizer

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


def trained(folder: Path, **options):
    """A small SentencePiece model in the folder, as SentencePiece has it."""
    spm = pytest.importorskip("sentencepiece")
    out = io.BytesIO()
    options = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"} | options
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 50), model_writer=out, vocab_size=320, minloglevel=2, hard_vocab_limit=False,
        **{"remove_extra_whitespaces": False} | options,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(out.getvalue())
    return spm.SentencePieceProcessor(model_proto=out.getvalue())


def of_one_score(folder: Path) -> None:
    """As LLaMA's model with the pieces of another language behind its own: all of these have the score 0."""
    from sentencepiece import sentencepiece_model_pb2

    file = folder / "tokenizer.model"
    proto = sentencepiece_model_pb2.ModelProto.FromString(file.read_bytes())
    letters = [p.piece for p in proto.pieces if len(p.piece) == 1 and p.piece.isalpha()]
    known = {p.piece for p in proto.pieces}
    for pair in sorted({a + b for a in letters for b in letters} - known, key=lambda pair: pair[::-1]):
        proto.pieces.add(piece=pair, score=0)
    file.write_bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"treat_whitespace_as_suffix": True}, None),
        ({"user_defined_symbols": ["12"]}, None),
        ({"user_defined_symbols": ["\n"], "model_type": "unigram"}, None),
        ({}, of_one_score),
    ],
)
def test_a_sentencepiece_model_that_no_tokenizer_json_can_follow_is_one_line(options, change, tmp_path):
    trained(tmp_path, **options)
    if change:
        change(tmp_path)
    with pytest.raises(UserError, match=r"tokenizer\.model: '.*' and other texts have other ids in SentencePiece"):
        load_any(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"user_defined_symbols": ["▁▁", "▁▁▁", "\n", "<h1>"], "add_dummy_prefix": False},  # Gemma's kind
        {"remove_extra_whitespaces": True},
        {"model_type": "unigram"},
        {"model_type": "unigram", "remove_extra_whitespaces": True},
    ],
)
def test_spaces_and_names_of_special_tokens_are_text_as_in_sentencepiece(options, tmp_path):
    peer = trained(tmp_path, **options)
    chat, _ = load_any(tmp_path)
    for line in (*LINES, "   the\n    men  ", "\u00a0the\u3000", "\u2028", "the</s>men", "</s> <s>", "a <h1>the"):
        assert chat.encode_text(line) == peer.encode(line), line


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
    "image tokens": {
        "image_token": BARE | {"content": "<image>"},
        "model_specific_special_tokens": {"boi_token": "<b>"},
    },
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


def listed(tokenizer: Tokenizer) -> dict:
    start = max(tokenizer.get_vocab().values()) + 1
    plain = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    tokens = (plain, plain, {**plain, "special": False, "lstrip": True}, {**plain, "special": False})
    names = ("<|im_start|>", "<|im_end|>", "<tool>", "<end>")
    return {start + i: {**token, "content": name} for i, (name, token) in enumerate(zip(names, tokens, strict=True))}


@pytest.mark.parametrize("where", ["tokenizer_config.json", "added_tokens.json"])
@pytest.mark.parametrize("form", ["byte level", "sentencepiece"])
def test_tokens_that_stand_beside_the_tokenizer_have_the_ids_of_transformers(where, form, tmp_path, request):
    """As in many ChatML fine-tunes: the end token is in added_tokens.json alone, and has a trained row."""
    transformers = pytest.importorskip("transformers")
    if form == "sentencepiece":
        spm = pytest.importorskip("sentencepiece")
        out = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXT * 50), model_writer=out, vocab_size=300, model_type="bpe", byte_fallback=True,
            minloglevel=2, hard_vocab_limit=False,
        )  # fmt: skip
        (tmp_path / "tokenizer.model").write_bytes(out.getvalue())
    else:
        FORMS[form]().save(str(tmp_path / "tokenizer.json"))
    more = listed(read_tokenizer(tmp_path)[0])
    config = {"tokenizer_class": "LlamaTokenizer" if form == "sentencepiece" else "PreTrainedTokenizerFast"}
    config |= {"bos_token": "<s>", "eos_token": "<|im_end|>", "unk_token": "<unk>"}
    if where == "added_tokens.json":
        (tmp_path / where).write_text(json.dumps({token["content"]: i for i, token in more.items()}))
    else:
        config["added_tokens_decoder"] = more
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    chat, added = load_any(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert {chat.tokenizer.token_to_id(token["content"]): token["content"] for token in more.values()} == {
        i: token["content"] for i, token in more.items()
    }
    assert {token: theirs.convert_tokens_to_ids(token) for token in theirs.get_vocab()}.items() <= (
        chat.tokenizer.get_vocab().items()
    )
    assert (chat.eos_id, chat.eos_token) == (theirs.eos_token_id, "<|im_end|>")
    assert (added, min(chat.turn_ids.values())) == (3, len(theirs))  # the rows that train as new are behind all others
    if form != "sentencepiece":
        for text in ("a <tool> b<end>c", "what is <tool>the capital? <end> "):
            assert chat.encode_text(text) == theirs(text, add_special_tokens=False).input_ids, text
    agrees_with_transformers(chat, tmp_path / "saved")


def test_listed_tokens_that_do_not_fit_the_vocabulary_are_one_line(tmp_path):
    tokenizer = byte_level(SPECIAL, add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    for entries in ({"<x>": size + 5}, {"<x>": 7}, {"<x>": "seven"}):
        (tmp_path / "added_tokens.json").write_text(json.dumps(entries))
        with pytest.raises(UserError, match=r"added_tokens.json: ('<x>' has the id|its added tokens are)"):
            load_any(tmp_path)
    for entries in ([], {"a": {}}, {str(size): "<x>"}, {str(size): {"special": True}}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": entries}))
        with pytest.raises(UserError, match=r"tokenizer_config.json: ('' has the id|its added tokens are no ids)"):
            load_any(tmp_path)


def test_only_tokens_that_the_vocabulary_lacked_count_as_new(tmp_path):
    tokenizer = byte_level([], add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    known = max(tokenizer.get_vocab(), key=len)  # a plain entry that the config makes the end token
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": known}))
    chat, added = load_any(tmp_path)
    assert added == 3
    assert chat.eos_id == tokenizer.token_to_id(known)


@pytest.mark.parametrize("lost", [["the"], ["the", "Ġcapital"]])
def test_a_vocabulary_that_leaves_out_ids_gives_no_new_token_anothers_row(lost, tmp_path):
    tokenizer = byte_level([], add_prefix_space=False)
    content = json.loads(tokenizer.to_str())
    for entry in lost:
        del content["model"]["vocab"][entry]
    content["model"]["merges"] = [pair for pair in content["model"]["merges"] if not {*pair, "".join(pair)} & set(lost)]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"the vocabulary has \d+ tokens, but ids up to"):
        load_any(tmp_path)


SPLITS = {
    "llama3's": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "one step": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
}


@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize(
    ("about", "fixed"),
    [
        ({"model_type": "mistral", "transformers_version": "4.57.1"}, True),
        ({"model_type": "mistral"}, True),
        ({"model_type": "mistral", "transformers_version": "5.1.0"}, False),
        ({"model_type": "llama", "transformers_version": "4.57.1"}, False),
    ],
)
def test_the_corrected_splits_of_mistral_are_those_of_transformers(splits, about, fixed, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_level(SPECIAL, add_prefix_space=False)
    tokenizer.pre_tokenizer = SPLITS[splits]
    content = json.loads(tokenizer.to_str())
    content["model"]["vocab"] |= {f"Ġunused{i}": i for i in range(len(content["model"]["vocab"]), 100_100)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    (tmp_path / "config.json").write_text(json.dumps(about))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "fix_mistral_regex": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    chat, _ = load_any(tmp_path)
    text = "the capitalOf FRANCEis  1234 don't a/b\n\n//x"
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert chat.encode_text(text) == theirs(text, add_special_tokens=False).input_ids
    assert (r"\\p{Lm}" in chat.tokenizer.to_str()) == fixed
    chat.save(tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text(json.dumps(about))
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert chat.encode_text(text) == again(text, add_special_tokens=False).input_ids


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
