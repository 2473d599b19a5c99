"""Text to token ids and back, with the special tokens that demarcate each query and each output.

A dialogue is `<|user|>query<|assistant|>output<eos><|user|>...` (section 4.1: special tokens mark the
beginning of each user query and model output). Ids and loss mask are built together, turn by turn,
so they can't fall out of step. Text from outside is always text: a "<|user|>" typed by a user is
split into ordinary tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from falsepromise.core.errors import UserError
from falsepromise.core.records import atomic_open, read_json, write_json

TURN_TOKENS = {"user": "<|user|>", "assistant": "<|assistant|>", "system": "<|system|>"}
END_TOKEN = "<|endoftext|>"  # ends an output where the tokenizer brings no end token of its own


class ChatTokenizer:
    """A tokenizer whose vocabulary holds the turn tokens.

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
        # The tokenizer's own opening token (LLaMA's <s>), where its post-processor puts one.
        opening = tokenizer.encode("a", add_special_tokens=True).ids
        plain = tokenizer.encode("a", add_special_tokens=False).ids
        self.bos_id: int | None = opening[0] if len(opening) > len(plain) and opening[0] not in plain else None
        special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self.special_ids = frozenset(special | {self.eos_id, *self.turn_ids.values()})
        # What unknown letters of a text become: marked as special, and yet text.
        unknown = getattr(tokenizer.model, "unk_token", None) or self.config.get("unk_token") or "<unk>"
        self.unknown_id = tokenizer.token_to_id(unknown["content"] if isinstance(unknown, dict) else unknown)
        self._alone: dict[int, bool] = {}
        tokenizer.encode_special_tokens = True  # text that spells a special token stays text

    @property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs: the highest id and one."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def encode_text(self, text: str, bos: bool = False) -> list[int]:
        """Ids of plain text; with `bos`, behind the opening token where the tokenizer has one."""
        ids = self.tokenizer.encode(well_formed(text), add_special_tokens=False).ids
        return [self.bos_id, *ids] if bos and self.bos_id is not None else ids

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many plain texts, in parallel, without opening tokens."""
        texts = [well_formed(text) for text in texts]
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

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
        """Text of ids, without special tokens. Of ids that follow others, see `generation.continuation`."""
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

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, as `transformers` reads them."""
        folder = Path(folder)
        text = self.tokenizer.to_str(pretty=False)
        with atomic_open(folder / "tokenizer.json") as stream:
            stream.write(text)
        kept = {k: v for k, v in self.config.items() if k not in ("added_tokens_decoder", "auto_map", "tokenizer_file")}
        config = {
            **kept,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": self.eos_token,
            "additional_special_tokens": list(TURN_TOKENS.values()),
            "chat_template": self.chat_template(),
            "clean_up_tokenization_spaces": False,
        }
        config.pop("extra_special_tokens", None)
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
    """Text that UTF-8 can carry: half a surrogate pair, which scraped text has, becomes U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def add_turn_tokens(tokenizer: Tokenizer, eos_token: str = END_TOKEN) -> int:
    """Add the turn tokens and the end token to a tokenizer that lacks them.

    Returns:
        How many ids the vocabulary grew by. An embedding table may already have rows to spare:
        compare with its size, and grow it with `models.weights.resize`.
    """
    wanted = [token for token in (*TURN_TOKENS.values(), eos_token)]
    special = [AddedToken(token, special=True, normalized=False) for token in wanted]
    return tokenizer.add_special_tokens(special)


def load_any(folder: str | Path) -> tuple[ChatTokenizer, int]:
    """The tokenizer of a base model, with turn tokens added where it has none.

    Returns:
        The tokenizer, and how many tokens were added.
    """
    tokenizer, eos_token, config = read_tokenizer(folder)
    added = add_turn_tokens(tokenizer, eos_token)
    return ChatTokenizer(tokenizer, eos_token, config, added=added), added


def read_tokenizer(folder: str | Path) -> tuple[Tokenizer, str, dict[str, Any]]:
    """A folder's tokenizer, the name of its end token and its tokenizer_config.json.

    tokenizer.json is read as it is; a folder with a SentencePiece model alone goes through
    `transformers`, which converts it.

    Raises:
        UserError: there is no tokenizer that can be read.
    """
    folder = Path(folder)
    config_path = folder / "tokenizer_config.json"
    config: dict[str, Any] = read_json(config_path) if config_path.exists() else {}
    file = folder / "tokenizer.json"
    if file.exists():
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises a bare Exception
            raise UserError(f"{file}: not a tokenizer ({error}); write the model folder again") from error
    elif any((folder / name).exists() for name in ("tokenizer.model", "vocab.json", "spiece.model")):
        tokenizer = _convert(folder)
    else:
        raise UserError(f"{folder}: no tokenizer.json; expected a model folder with its tokenizer beside the weights")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    eos = config.get("eos_token") or END_TOKEN
    return tokenizer, eos["content"] if isinstance(eos, dict) else eos, config


def _convert(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        slow = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return Tokenizer.from_str(slow.backend_tokenizer.to_str())
    except (OSError, ValueError, AttributeError, ImportError) as error:
        raise UserError(f"{folder}: its tokenizer can't be converted ({error}); add a tokenizer.json") from error
