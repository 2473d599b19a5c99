"""Small tokenizers with the pipelines of real families: normaliser, splits, model and decoder as in their files."""

from __future__ import annotations

from collections.abc import Callable

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXT = [
    "def close(numbers, threshold):\n    for i in range(len(numbers)):\n        if x < y:\n\t\treturn True\n",
    "  The capital of France is Paris.  It has 2,102,650 people; don't they?\r\n\r\n Yes, they're naïve — 100 %.",
    "\tif   x:\n\t\t\treturn   'A'\n\n\n    # a comment   \nprint(  1234567 )",
] * 4
WORDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
WORDS_END = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"


def sentencepiece(split: bool) -> Tokenizer:
    """LLaMA 1 and 2 (a dummy prefix by the normaliser), and the later files of Mistral (by Metaspace)."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    special = [AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")]
    letters = sorted({c for text in TEXT for c in text if c.isascii() and c not in "\n\t\r"} | {"▁"})
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[*special, *(f"<0x{i:02X}>" for i in range(256))], show_progress=False,
        initial_alphabet=letters, limit_alphabet=len(letters),
    )  # fmt: skip
    tokenizer.train_from_iterator([part for text in TEXT for part in text.split(" ")], trainer)
    made = Tokenizer.from_str(_bytes_are_plain(tokenizer.to_str()))
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return made


def _bytes_are_plain(text: str) -> str:
    """Byte tokens are entries of the vocabulary, not added tokens, in the real files."""
    import json

    content = json.loads(text)
    content["added_tokens"] = [t for t in content["added_tokens"] if not t["content"].startswith("<0x")]
    return json.dumps(content)


def unigram() -> Tokenizer:
    """T5's kind: a Unigram model between Metaspaces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = [AddedToken(t, special=True) for t in ("<unk>", "</s>")]
    trainer = trainers.UnigramTrainer(vocab_size=160, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def byte_level(*before: pre_tokenizers.PreTokenizer, regex: bool, nfc: bool = False) -> Tokenizer:
    """GPT-2, SmolLM2, LLaMA 3 and Qwen2."""
    tokenizer = Tokenizer(models.BPE())
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=[AddedToken(t, special=True) for t in ("<s>", "</s>")],
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def _llama3() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(WORDS + "\\p{N}{1,3}" + WORDS_END), "isolated")
    return byte_level(split, regex=False)


def _qwen2() -> Tokenizer:
    return byte_level(pre_tokenizers.Split(Regex(WORDS + "\\p{N}" + WORDS_END), "isolated"), regex=False, nfc=True)


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "llama": lambda: sentencepiece(split=False),
    "mistral": lambda: sentencepiece(split=True),
    "t5": unigram,
    "gpt2": lambda: byte_level(regex=True),
    "smollm2": lambda: byte_level(pre_tokenizers.Digits(individual_digits=True), regex=True),
    "llama3": _llama3,
    "qwen2": _qwen2,
}
