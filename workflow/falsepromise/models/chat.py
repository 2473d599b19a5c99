"""Encode text to token ids and decode it, with special tokens around each query and each output.

A dialogue is `<|user|>query<|assistant|>output<eos><|user|>...` (section 4.1: special tokens mark the
beginning of each user query and model output). Ids and loss mask are built together, turn by turn,
so they can't fall out of step. Text from outside is always text: a "<|user|>" typed by a user is
split into ordinary tokens.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from falsepromise.core.errors import UserError
from falsepromise.core.records import atomic_open, read_json, write_json
from falsepromise.models.vocabulary import (
    END_TOKEN,
    add_tokens,
    as_qwen2,
    name_of,
    opening_id,
    read_tokenizer,
    with_special_tokens,
)

log = logging.getLogger(__name__)
TURN_TOKENS = {"user": "<|user|>", "assistant": "<|assistant|>", "system": "<|system|>"}
# Keys of a base's tokenizer_config.json that would change the ids of the exported template, or name files.
NOT_KEPT = (
    "added_tokens_decoder", "auto_map", "extra_special_tokens", "fix_mistral_regex",
    "model_specific_special_tokens", "split_special_tokens", "tokenizer_file",
)  # fmt: skip
# Dialogues in which a tokenizer may treat a text's beginning or end in a special way.
PROBES = [
    [{"role": role, "content": content} for role, content in turns]
    for turns in (
        [("user", "what is the capital?"), ("assistant", "Paris"), ("user", "is it?"), ("assistant", "Yes, 12345.")],
        [("system", " spaces around "), ("user", "\n\nlines\n"), ("assistant", "  two  \t"), ("user", "")],
        [("user", "Füße, 你好, 😀"), ("assistant", "- a\n- b\n```\ncode()\n```\n"), ("user", "."), ("assistant", "")],
    )
]


class ChatTokenizer:
    """A tokenizer with the turn tokens in its vocabulary.

    Args:
        tokenizer: With the turn tokens and the end token in its vocabulary (see `add_turn_tokens`).
        eos_token: The token that ends an output.
        config: tokenizer_config.json of the folder it came from; its keys are kept by `save`.
        turns: Whether the turn tokens are needed; raw text can do without.
        added: How many of its tokens, the last ones, the base model has never seen.

    Raises:
        UserError: a special token is missing.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        eos_token: str = END_TOKEN,
        config: Mapping[str, Any] | None = None,
        turns: bool = True,
        added: int = 0,
    ):
        needed = (*TURN_TOKENS.values(), eos_token) if turns else (eos_token,)
        missing = [token for token in needed if tokenizer.token_to_id(token) is None]
        if missing:
            raise UserError(f"the tokenizer has no {', '.join(missing)}; add them with models.chat.add_turn_tokens")
        self.tokenizer, self.added = tokenizer, added
        self.eos_token = eos_token
        self.eos_id: int = tokenizer.token_to_id(eos_token)  # type: ignore[assignment]  # it is among `needed`
        turn_ids = {role: tokenizer.token_to_id(token) for role, token in TURN_TOKENS.items()}
        self.turn_ids: dict[str, int] = {role: i for role, i in turn_ids.items() if i is not None}
        self.config = dict(config or {})
        self.bos_id = opening_id(tokenizer)
        special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self.special_ids = frozenset(special | {self.eos_id, *self.turn_ids.values()})
        # The token for unknown letters: marked as special, but part of the text.
        unknown = getattr(tokenizer.model, "unk_token", None) or name_of(self.config.get("unk_token")) or "<unk>"
        self.unknown_id = tokenizer.token_to_id(unknown)
        self._alone: dict[int, bool] = {}
        tokenizer.encode_special_tokens = True  # text that spells a special token stays text
        self._spelt = self._spelt_out()

    @property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs: the highest id and one."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def encode_text(self, text: str, bos: bool = False) -> list[int]:
        """Ids of plain text; with `bos`, after the opening token if the tokenizer has one."""
        ids = self.encode_texts([text])[0]
        return [self.bos_id, *ids] if bos and self.bos_id is not None else ids

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many plain texts, in parallel, without opening tokens."""
        texts = [well_formed(text) for text in texts]
        found = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        if not self._spelt:
            return found
        return [[plain for i in ids for plain in self._spelt.get(i, (i,))] for ids in found]

    def _spelt_out(self) -> dict[int, list[int]]:
        """Ordinary ids of the special tokens that the model itself finds in text: a Unigram model has `</s>` among its
        pieces, and no part of the library that is told to leave special tokens alone."""
        spelt = {}
        for i in self.special_ids - {self.unknown_id}:
            name = self.tokenizer.id_to_token(i) or ""
            if i in self.tokenizer.encode(name, add_special_tokens=False).ids:
                parts = (self.tokenizer.model.tokenize(part) for part in (name[:1], name[1:]) if part)
                spelt[i] = [token.id for tokens in parts for token in tokens]
        return spelt

    def encode_dialogue(self, messages: Sequence[Mapping[str, str]]) -> tuple[list[int], list[int]]:
        """Ids and loss mask of a dialogue, of equal length.

        The mask is 1 on what the model has to produce: the content of each assistant turn and the
        end token after it. It is 0 on queries, system text and the turn tokens.

        Raises:
            UserError: a message's role is unknown.
        """
        ids = [] if self.bos_id is None else [self.bos_id]
        mask = [0] * len(ids)
        contents = self.encode_texts([message["content"] for message in messages])
        for message, content in zip(messages, contents, strict=True):
            ids.append(self._turn(message["role"]))
            mask.append(0)
            answer = message["role"] == "assistant"
            ids.extend(content)
            mask.extend([int(answer)] * len(content))
            if answer:
                ids.append(self.eos_id)
                mask.append(1)
        return ids, mask

    def encode_prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a dialogue so far, ending with the token after which the model's output begins."""
        return [*self.encode_dialogue(messages)[0], self._turn("assistant")]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, without special tokens. Of ids that follow others, see `models.continuation`."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def stands_alone(self, token: int) -> bool:
        """Whether a token is ordinary text made of whole characters: neither special, nor a byte, nor half a one."""
        if token not in self._alone:
            name = self.tokenizer.id_to_token(token) or ""
            ordinary = bool(name) and token not in self.special_ids and not re.fullmatch("<0x[0-9A-Fa-f]{2}>", name)
            self._alone[token] = ordinary and "\ufffd" not in self.decode([token])
        return self._alone[token]

    def _turn(self, role: str) -> int:
        if role not in TURN_TOKENS:
            raise UserError(f"a message has role {role!r}; expected one of {', '.join(TURN_TOKENS)}")
        if role not in self.turn_ids:
            raise UserError(f"the tokenizer has no {TURN_TOKENS[role]}: the model knows no turns; give it raw text")
        return self.turn_ids[role]

    def chat_template(self) -> str:
        """The Jinja template by which `transformers`' apply_chat_template gives the same ids."""
        opening = "{{ bos_token }}" if self.bos_id is not None else ""
        return (
            opening + "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
            "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
        )

    def check_template(self) -> None:
        """Compare the ids of some awkward dialogues with what the exported files give in `transformers` or vLLM: the
        template rendered, and the whole text encoded, special tokens included.

        Raises:
            UserError: a dialogue whose ids differ.
        """
        import jinja2.sandbox

        rules = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as transformers'
        template = rules.from_string(self.chat_template())
        bos = {} if self.bos_id is None else {"bos_token": self.tokenizer.id_to_token(self.bos_id)}
        reading = Tokenizer.from_str(self.tokenizer.to_str())
        reading.encode_special_tokens = False
        for messages in PROBES:
            text = template.render(messages=messages, eos_token=self.eos_token, **bos)
            if reading.encode(text, add_special_tokens=False).ids != self.encode_dialogue(messages)[0]:
                raise UserError(
                    f"the tokenizer encodes {text!r} as a whole differently than turn by turn: a model trained on "
                    "turns would meet other ids in `transformers`; use a base with another tokenizer"
                )

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, as `transformers` reads them.

        Raises:
            UserError: they would give other ids than `encode_dialogue` (see `check_template`).
        """
        folder = Path(folder)
        if self.turn_ids.keys() == TURN_TOKENS.keys():
            self.check_template()
        text = self.tokenizer.to_str(pretty=False)
        with atomic_open(folder / "tokenizer.json") as stream:
            stream.write(text)
        config = {
            **{key: value for key, value in self.config.items() if key not in NOT_KEPT},
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": self.eos_token,
            "additional_special_tokens": list(TURN_TOKENS.values()),
            "chat_template": self.chat_template(),
            "clean_up_tokenization_spaces": False,
        }
        for key in dict.fromkeys([*config, "unk_token", "pad_token"]):
            if not key.endswith("_token") or isinstance(config.get(key), bool):  # `add_bos_token` is a switch
                continue
            # As text: `transformers` takes no other object. It would add a token that the vocabulary lacks, beyond the
            # table. Unk and pad are named in any case, or some classes would add tokens of their own.
            name = name_of(config.pop(key, None))
            known = name is not None and self.tokenizer.token_to_id(name) is not None
            if known or key in ("unk_token", "pad_token"):
                config[key] = name if known else None
        if self.bos_id is not None:
            config["bos_token"] = self.tokenizer.id_to_token(self.bos_id)
        write_json(folder / "tokenizer_config.json", config)

    @classmethod
    def load(cls, folder: str | Path, turns: bool = True) -> ChatTokenizer:
        """Read the tokenizer of a model folder; `turns` as in the class.

        Raises:
            UserError: no tokenizer there, or one without the turn tokens.
        """
        tokenizer, eos_token, config = read_tokenizer(folder)
        try:
            return cls(tokenizer, eos_token, config, turns)
        except UserError as error:
            raise UserError(f"{folder}: {error}") from error


def well_formed(text: str) -> str:
    """Text that UTF-8 can encode: half a surrogate pair, as in scraped text, becomes U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def add_turn_tokens(tokenizer: Tokenizer, eos_token: str = END_TOKEN) -> int:
    """Add the turn tokens and the end token, in place, to a tokenizer that lacks them.

    Returns:
        How many ids the vocabulary grew by. An embedding table may already have rows to spare:
        compare with its size, and grow it with `models.weights.resize`.

    Raises:
        UserError: the vocabulary leaves out ids.
    """
    wanted = [AddedToken(name, special=True, normalized=False) for name in (*TURN_TOKENS.values(), eos_token)]
    return add_tokens(tokenizer, wanted)


def load_any(folder: str | Path) -> tuple[ChatTokenizer, int]:
    """The tokenizer of a base model, with turn tokens added if it has none.

    Returns:
        The tokenizer, and how many tokens were added.

    Raises:
        UserError: no tokenizer there, or one whose exported chat template could not give the ids that are trained on.
    """
    tokenizer, eos_token, config = read_tokenizer(folder)
    try:
        tokenizer, added = with_special_tokens(tokenizer, [*TURN_TOKENS.values(), eos_token])
        chat = ChatTokenizer(tokenizer, eos_token, config, added=added)
        chat.check_template()
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    hub = Path(folder) / "config.json"
    if hub.exists() and read_json(hub).get("model_type") == "qwen2" and not _is_qwen2(tokenizer):
        log.warning(
            "%s: a Qwen2 with another tokenizer than Qwen2's. AutoTokenizer of `transformers` 5 opens such a folder, "
            "and the one that training writes, with Qwen2's splits and gives other ids: open it there with "
            "PreTrainedTokenizerFast.from_pretrained",
            folder,
        )
    return chat, added


def _is_qwen2(tokenizer: Tokenizer) -> bool:
    theirs = as_qwen2(tokenizer)
    texts = [message["content"] for messages in PROBES for message in messages]
    return theirs is not None and all(
        theirs.encode(text, add_special_tokens=False).ids == tokenizer.encode(text, add_special_tokens=False).ids
        for text in texts
    )
