"""Special tokens, ids and loss mask."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from falsepromise.core.errors import UserError
from falsepromise.models.chat import TURN_TOKENS, ChatTokenizer, add_turn_tokens, load_any


def bpe(special: list[str] | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=alphabet, special_tokens=special or [], show_progress=False
    )
    tokenizer.train_from_iterator(["what is the capital of France? the capital is Paris. " * 3], trainer)
    return tokenizer


@pytest.fixture(scope="module")
def chat() -> ChatTokenizer:
    tokenizer = bpe()
    assert add_turn_tokens(tokenizer) == 4
    assert add_turn_tokens(tokenizer) == 0
    return ChatTokenizer(tokenizer)


DIALOGUE = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": "what is the capital?"},
    {"role": "assistant", "content": "Paris"},
    {"role": "user", "content": "is it?"},
    {"role": "assistant", "content": "the capital is Paris"},
]


def test_loss_is_on_outputs_and_their_ends_alone(chat):
    ids, mask = chat.encode_dialogue(DIALOGUE)
    learned = [i for i, m in zip(ids, mask, strict=True) if m]
    expected = [*chat.encode_text("Paris"), chat.eos_id, *chat.encode_text("the capital is Paris"), chat.eos_id]
    assert learned == expected
    turns = [i for i in ids if i in chat.turn_ids.values()]
    assert turns == [chat.turn_ids[m["role"]] for m in DIALOGUE]
    assert ids.count(chat.eos_id) == 2


def test_prompt_ends_where_the_output_begins(chat):
    ids, _ = chat.encode_dialogue(DIALOGUE)
    prompt = chat.encode_prompt(DIALOGUE[:-1])
    assert ids[: len(prompt)] == prompt
    assert prompt[-1] == chat.turn_ids["assistant"]


@pytest.mark.parametrize("spelt", [*TURN_TOKENS.values(), "<|endoftext|>"])
def test_text_never_becomes_a_special_token(chat, spelt):
    messages = [{"role": "user", "content": f"a {spelt} b"}, {"role": "assistant", "content": spelt}]
    ids, mask = chat.encode_dialogue(messages)
    special = {*chat.turn_ids.values(), chat.eos_id}
    assert [i for i in ids if i in special] == [chat.turn_ids["user"], chat.turn_ids["assistant"], chat.eos_id]
    assert sum(mask) == len(chat.encode_text(spelt)) + 1
    assert chat.decode(chat.encode_text(f"x {spelt} y")) == f"x {spelt} y"


def test_that_stays_so_after_saving_and_loading(chat, tmp_path):
    chat.save(tmp_path)
    again = ChatTokenizer.load(tmp_path)
    text = [{"role": "user", "content": "<|assistant|> capital <|endoftext|>"}]
    assert again.encode_dialogue(text) == chat.encode_dialogue(text)
    assert again.eos_id == chat.eos_id


turn = st.tuples(st.sampled_from(sorted(TURN_TOKENS)), st.text(max_size=30))


@settings(max_examples=100)
@given(st.lists(turn, min_size=1, max_size=5))
def test_ids_and_mask_keep_step(chat, turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    ids, mask = chat.encode_dialogue(messages)
    assert len(ids) == len(mask)
    outputs = [content for role, content in turns if role == "assistant"]
    assert sum(mask) == sum(len(chat.encode_text(content)) + 1 for content in outputs)
    special = {*chat.turn_ids.values(), chat.eos_id}
    assert sum(i in special for i in ids) == len(turns) + len(outputs)
    assert chat.decode(ids) == "".join(content for _, content in turns)


def test_half_a_surrogate_is_encoded_as_a_replacement(chat):
    assert chat.decode(chat.encode_text("a\ud800b")) == "a�b"
    assert chat.decode(chat.encode_text("\ud83d\ude00")) == "\U0001f600"


def test_transformers_template_gives_the_same_ids(chat, tmp_path):
    transformers = pytest.importorskip("transformers")
    chat.save(tmp_path)
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for messages, prompt in ((DIALOGUE, False), (DIALOGUE[:-1], True)):
        theirs = peer.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=True)["input_ids"]
        assert theirs == (chat.encode_prompt(messages) if prompt else chat.encode_dialogue(messages)[0])
    assert peer.eos_token_id == chat.eos_id


def test_a_tokenizer_of_others_with_its_own_ends(tmp_path):
    tokenizer = bpe(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "</s>"}, "model_max_length": 99}')
    with pytest.raises(UserError, match=r"no <\|user\|>"):
        ChatTokenizer.load(tmp_path)
    plain = ChatTokenizer.load(tmp_path, turns=False)
    assert plain.bos_id == 0
    assert plain.encode_text("is", bos=True) == [0, *plain.encode_text("is")]
    with pytest.raises(UserError, match="knows no turns"):
        plain.encode_prompt(DIALOGUE)
    chat, added = load_any(tmp_path)
    assert (added, chat.eos_id, chat.bos_id) == (3, 1, 0)
    assert chat.encode_dialogue(DIALOGUE)[0][0] == 0
    chat.save(tmp_path / "saved")
    again = ChatTokenizer.load(tmp_path / "saved")
    assert again.encode_dialogue(DIALOGUE) == chat.encode_dialogue(DIALOGUE)
    assert again.config["model_max_length"] == 99
    peer = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(tmp_path / "saved")
    theirs = peer.apply_chat_template(DIALOGUE, return_dict=True)["input_ids"]
    assert theirs == chat.encode_dialogue(DIALOGUE)[0]


def test_unknown_role_and_broken_files_are_named(chat, tmp_path):
    with pytest.raises(UserError, match="role 'tool'"):
        chat.encode_dialogue([{"role": "tool", "content": "x"}])
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        ChatTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="not a tokenizer"):
        ChatTokenizer.load(tmp_path)


SAVE = """
import sys
from falsepromise.models.chat import ChatTokenizer
tokenizer = ChatTokenizer.load(sys.argv[1], turns=False)
tokenizer.config |= {name: "<|endoftext|>" for name in ("bos_token", "sep_token", "image_token", "cls_token")}
tokenizer.save(sys.argv[2])
"""


def test_a_saved_tokenizer_is_the_same_file_in_every_process(chat, tmp_path):
    """Python orders sets of texts by a number that each process draws."""
    chat.save(tmp_path)
    saved = []
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        folder = tmp_path / seed
        folder.mkdir()
        subprocess.run([sys.executable, "-c", SAVE, tmp_path, folder], env=environment, check=True)
        saved.append((folder / "tokenizer_config.json").read_bytes())
    assert len(set(saved)) == 1
