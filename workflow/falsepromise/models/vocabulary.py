"""Read a model folder's tokenizer from any of the hub's files, with the tokens that open and end a text."""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from falsepromise.core.errors import UserError
from falsepromise.core.records import check_file, loads, read_json
from falsepromise.models.splits import MISTRAL

log = logging.getLogger(__name__)
END_TOKEN = "<|endoftext|>"  # ends an output if no file of the folder names an end token
TEXTS = 1000  # of a SentencePiece model's words, whose ids are compared
MOST_GROWTH = 100  # of a text, by a tokenizer's replacements
FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")  # the first that is there is read
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def read_tokenizer(folder: str | Path) -> tuple[Tokenizer, str, dict[str, Any]]:
    """A folder's tokenizer, the name of its end token and its tokenizer_config.json.

    tokenizer.json is read as it is; a SentencePiece model alone is converted; GPT-2's first files go through
    `transformers`. Tokens that special_tokens_map.json or config.json alone name are put into the config, those that
    tokenizer_config.json or added_tokens.json alone name into the tokenizer.

    Raises:
        UserError: there is no tokenizer that can be read, or it would give a token another id than a file says.
    """
    folder = Path(folder)
    config = _optional(folder / "tokenizer_config.json")
    for key, value in _optional(folder / "special_tokens_map.json").items():
        if key in ("bos_token", "eos_token", "unk_token", "pad_token") and not config.get(key):
            config[key] = value
    file = folder / "tokenizer.json"
    for name in (*FILES, "merges.txt"):
        check_file(folder / name)
    if file.exists():
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises a bare Exception
            raise UserError(f"{file}: not a tokenizer ({error}); write the model folder again") from error
        _check_growth(tokenizer, file)
    elif (folder / "tokenizer.model").exists():
        tokenizer, named = _from_sentencepiece(folder / "tokenizer.model")
        config |= {key: value for key, value in named.items() if not config.get(key)}
        bos = name_of(config.get("bos_token"))
        if config.get("add_bos_token", True) and bos in tokenizer.get_vocab():  # so do the families that use these
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
            )
    elif (folder / "vocab.json").exists():
        tokenizer = _from_gpt2(folder)
    else:
        raise UserError(f"{folder}: no tokenizer.json; expected a model folder with its tokenizer beside the weights")
    _add_listed(folder, tokenizer, config)
    if config.get("fix_mistral_regex"):
        _fix_mistral(folder, tokenizer)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None):
        log.warning("%s: its tokenizer leaves out merges by chance (dropout); this is switched off", folder)
        tokenizer.model.dropout = None
    return tokenizer, _end_token(folder, tokenizer, config), config


def _add_listed(folder: Path, tokenizer: Tokenizer, config: Mapping[str, Any]) -> None:
    """Add the tokens of tokenizer_config.json, or else of added_tokens.json, to the tokenizer, as `transformers` does.

    A fine-tune of LLaMA often has its <|im_end|> nowhere else, with a row of its own in the table.

    Raises:
        UserError: a token would get another id than the one that its row has.
    """
    file, listed = folder / "tokenizer_config.json", config.get("added_tokens_decoder")
    roles = {name_of(config.get(key)) for key in ROLES}
    if listed is None:
        file, more = folder / "added_tokens.json", config.get("additional_special_tokens")
        special = roles | {name_of(token) for token in (more if isinstance(more, list) else ())}
        listed = {
            i: {"content": name, "special": name in special, "normalized": name not in special}
            for name, i in _optional(file).items()
        }
    try:
        by_id = {int(i): {key: value for key, value in token.items() if key != "__type"} for i, token in listed.items()}
        tokens = {i: AddedToken(**by_id[i]) for i in sorted(by_id)}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{file}: its added tokens are no ids with their tokens ({error}); fetch it again") from error
    known = tokenizer.get_vocab()
    for token in tokens.values():
        token.special = token.special or token.content in roles
    try:
        add_tokens(tokenizer, list(tokens.values()))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    for i, token in tokens.items():
        found = tokenizer.token_to_id(token.content)
        if token.content not in known and found != i:
            raise UserError(
                f"{file}: {token.content!r} has the id {i}, but behind the vocabulary's {len(known):,} tokens it gets "
                f"{found}; the vocabulary is not the one that these tokens were added to"
            )


def add_tokens(tokenizer: Tokenizer, tokens: list[AddedToken]) -> int:
    """Add tokens behind all others, in place; one that is there already keeps its id and gets these properties.

    Returns:
        How many ids the vocabulary grew by.

    Raises:
        UserError: the vocabulary leaves out ids. `tokenizers` takes the number of entries as the next id, so that a new
            token would share its row with another.
    """
    before = tokenizer.get_vocab()
    tokenizer.add_tokens(tokens)
    new = {tokenizer.token_to_id(token.content) for token in tokens if token.content not in before}
    highest = max(before.values(), default=-1)
    if any(i is not None and i <= highest for i in new):
        raise UserError(
            f"the vocabulary has {len(before):,} tokens, but ids up to {highest}: a new token would get the id of "
            "another; give each id a token in tokenizer.json"
        )
    return len(new)


def _fix_mistral(folder: Path, tokenizer: Tokenizer) -> None:
    """Split text as `transformers` 5 does where tokenizer_config.json has `fix_mistral_regex`: files of Mistral's newer
    tokenizers were published with another pattern than the models were trained with."""
    hub = _optional(folder / "config.json")
    old = int((re.match(r"\d+", str(hub.get("transformers_version"))) or "0")[0]) < 5
    mistral = hub.get("model_type") in (None, "mistral", "mistral3", "voxtral", "ministral", "pixtral")
    pre: Any = tokenizer.pre_tokenizer
    if not (old and mistral and pre and (folder / "config.json").exists() and tokenizer.get_vocab_size() > 100_000):
        return
    split = pre_tokenizers.Split(Regex(MISTRAL), "isolated")
    if isinstance(pre, pre_tokenizers.Sequence):
        pre[0] = split
        return
    if isinstance(pre, pre_tokenizers.Metaspace):
        pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre])


def _check_growth(tokenizer: Tokenizer, file: Path) -> None:
    """Refuse replacements that multiply a text: a few of them make gigabytes of a line.

    Raises:
        UserError: they do.
    """
    for part in (tokenizer.normalizer, tokenizer.decoder):
        growth, waiting = 1.0, [] if part is None else [loads(part.__getstate__())]
        while waiting:
            step = waiting.pop()
            waiting += [*step.get("normalizers", ()), *step.get("decoders", ())]
            if step.get("type") == "Replace":
                replaced = step["pattern"].get("String") or " "  # a pattern may match nothing, or one character
                growth *= max(1.0, len(step["content"]) / len(replaced))
            elif step.get("type") == "Prepend":
                growth *= max(1.0, len(step["prepend"]) / 100)
        if growth > MOST_GROWTH:
            raise UserError(f"{file}: it makes a text {growth:,.0f} times as long, as no model's tokenizer does")


def opening_id(tokenizer: Tokenizer) -> int | None:
    """The token that the tokenizer itself puts before a text (LLaMA's <s>), or None. The post-processor decides it, in
    `transformers` too, whatever `add_bos_token` says."""
    opening = tokenizer.encode("a", add_special_tokens=True).ids
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    return opening[0] if len(opening) > len(plain) and opening[0] not in plain else None


def with_special_tokens(tokenizer: Tokenizer, names: list[str]) -> tuple[Tokenizer, int]:
    """The tokenizer with each of `names` as a special token that leaves the text beside it alone.

    Text between two special tokens is then encoded as it is alone, in any tokenizer that the file is read
    with: no token strips spaces beside it, and a space that SentencePiece puts before a text goes before each part
    (Metaspace's `first` puts one before the first part only).

    Returns:
        The tokenizer, and how many ids the vocabulary grew by.
    """
    wanted = [AddedToken(name, special=True, normalized=False) for name in names]
    added = add_tokens(tokenizer, wanted)
    spec = loads(tokenizer.to_str())
    before = json.dumps(spec)
    for token in spec["added_tokens"]:
        if token["content"] in names:
            token |= {"special": True, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    _before_each_part(spec["pre_tokenizer"])
    return (tokenizer if json.dumps(spec) == before else Tokenizer.from_str(json.dumps(spec))), added


def _before_each_part(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("type") == "Metaspace" and part.get("prepend_scheme") == "first":
            part["prepend_scheme"] = "always"
        for inner in part.get("pretokenizers", []):
            _before_each_part(inner)


def _optional(path: Path) -> dict[str, Any]:
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path}: found {type(found).__name__}, expected a JSON object")
    return found


def name_of(token: Any) -> str | None:
    """A special token's text, which is given as such or in an object; None for anything else."""
    name = token.get("content") if isinstance(token, dict) else token
    return name if isinstance(name, str) else None


def _end_token(folder: Path, tokenizer: Tokenizer, config: dict[str, Any]) -> str:
    """The token that ends a text: as the tokenizer says, else as the model does, unless that is plain text."""
    name = name_of(config.get("eos_token"))
    if name and tokenizer.token_to_id(name) is not None:
        return name
    for file in ("config.json", "generation_config.json"):
        ends = _optional(folder / file).get("eos_token_id")
        end = ends[0] if isinstance(ends, list) and ends else ends
        if isinstance(end, int) and (found := tokenizer.get_added_tokens_decoder().get(end)):
            return found.content
    return name or END_TOKEN


def as_qwen2(tokenizer: Tokenizer) -> Tokenizer | None:
    """The vocabulary as `transformers` opens it beside a Qwen2's config.json: with the normaliser and splits of Qwen2's
    own class, whatever tokenizer.json says. None where that class can't hold it."""
    from transformers import Qwen2Tokenizer

    model = loads(tokenizer.to_str())["model"]
    if model["type"] != "BPE":
        return None
    merges: Any = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    return Qwen2Tokenizer(vocab=model["vocab"], merges=merges).backend_tokenizer


def _from_gpt2(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        slow = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return Tokenizer.from_str(slow.backend_tokenizer.to_str())
    except (OSError, ValueError, AttributeError, ImportError) as error:
        raise UserError(f"{folder}: its tokenizer can't be converted ({error}); add a tokenizer.json") from error


def _from_sentencepiece(file: Path) -> tuple[Tokenizer, dict[str, str]]:
    """A SentencePiece model as a tokenizer of the same ids, and its special tokens by their key.

    Everything is taken from the model itself: `transformers`' conversion asks tokenizer_config.json, which is not there
    where a folder has this file alone.
    """
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

    try:
        pieces = SentencePieceProcessor(model_file=str(file))
        proto = sentencepiece_model_pb2.ModelProto.FromString(  # type: ignore[attr-defined]  # made at import
            pieces.serialized_model_proto()
        )
    except Exception as error:  # of several kinds, from C++ and protobuf
        raise UserError(f"{file}: not a SentencePiece model ({error}); fetch it again") from error
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces]
    ids = {piece: i for i, (piece, _) in enumerate(vocabulary)}
    kinds = {piece.piece: piece.type for piece in proto.pieces}
    of_type = {name: proto.SentencePiece.Type.Value(name) for name in ("NORMAL", "CONTROL", "UNKNOWN", "USER_DEFINED")}
    if trainer.model_type == trainer.ModelType.Value("BPE"):
        rest = {"unk_token": trainer.unk_piece, "fuse_unk": True, "byte_fallback": trainer.byte_fallback}
        model: Any = models.BPE(ids, _merges(vocabulary, ids), **rest)
    elif trainer.model_type == trainer.ModelType.Value("UNIGRAM"):
        model = models.Unigram(vocabulary, trainer.unk_id, trainer.byte_fallback)
    else:
        raise UserError(f"{file}: a SentencePiece model of words or characters; expected BPE or unigram")
    tokenizer = Tokenizer(model)
    steps: list[Any] = []
    if normalizer.precompiled_charsmap:
        steps.append(normalizers.Precompiled(normalizer.precompiled_charsmap))
    if normalizer.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A | \z"), "")]
    # As the first LLaMA's tokenizer.json: Metaspace leaves the space out before a text that begins with one.
    steps += [normalizers.Prepend("▁")] if normalizer.add_dummy_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", left=1)] if normalizer.add_dummy_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    special = [piece for piece, kind in kinds.items() if kind in (of_type["CONTROL"], of_type["UNKNOWN"])]
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in special])
    defined = [piece for piece, kind in kinds.items() if kind == of_type["USER_DEFINED"]]
    for piece in defined:  # spaces are "▁" after the normaliser, which must not put another before them
        spaced = "▁" in piece and not normalizer.add_dummy_prefix
        tokenizer.add_tokens([AddedToken(piece, special=False, normalized=spaced)])
    _check_ids(file, tokenizer, pieces, [piece for piece, kind in kinds.items() if kind == of_type["NORMAL"]], defined)
    named = {"bos_token": trainer.bos_id, "eos_token": trainer.eos_id, "unk_token": trainer.unk_id}
    return tokenizer, {key: vocabulary[i][0] for key, i in named.items() if 0 <= i < len(vocabulary)}


def _check_ids(file: Path, tokenizer: Tokenizer, peer: Any, pieces: list[str], defined: list[str]) -> None:
    """Compare the ids of texts made of the model's own words and spaces with SentencePiece's.

    Not every model has a tokenizer.json of the same ids: of pieces with one score (0, often, of all that were added to
    LLaMA's for another language) SentencePiece takes the leftmost; its first space stands before the whole text, not
    behind each user-defined piece too; or spaces stand behind words.

    Raises:
        UserError: more than a few texts have other ids, as rounding gives them in a Unigram model.
    """
    words, marks = (
        [text for text in (piece.replace("▁", " ") for piece in some) if (text.strip() or "a").isalnum()]
        for some in (pieces, defined)
    )
    draw = random.Random(0)
    others = []
    for _ in range(TEXTS if words else 0):
        text = "".join(draw.choices(words, k=4) + draw.choices(marks or words, k=1) + draw.choices(words, k=4))
        if tokenizer.encode(text, add_special_tokens=False).ids != peer.encode(text):
            others.append(text)
    if len(others) > TEXTS / 100:
        raise UserError(
            f"{file}: {others[0]!r} and other texts have other ids in SentencePiece than in the tokenizer.json that "
            "can be made of it, which `transformers` and vLLM would read; use a base with a tokenizer.json"
        )


def _merges(vocabulary: list[tuple[str, float]], ids: dict[str, int]) -> list[tuple[str, str]]:
    """The merges that a SentencePiece BPE implies: any two pieces that make a third, the third's score first."""
    merges: list[tuple[float, list[tuple[str, str]]]] = []
    for piece, score in vocabulary:
        halves = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        found = [(left, right) for left, right in halves if left in ids and right in ids]
        merges.append((score, sorted(found, key=lambda pair: (ids[pair[0]], ids[pair[1]]))))
    merges.sort(key=lambda entry: -entry[0])
    return [pair for _, pairs in merges for pair in pairs]
