"""Patterns by which byte-level tokenizers split text before they merge."""

from __future__ import annotations

# How llama.cpp splits text before it merges, by `tokenizer.ggml.pre` (llama-vocab.cpp): GPT-2's pattern, the same after
# a split between any two digits, or a pattern of its own.
GPT2, DIGITS = "GPT-2", "digits, then GPT-2"
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_CASES = rf"{_WORD}*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+|{_WORD}+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*"
MISTRAL = _CASES + r"|\p{N}" + _REST.replace(r"[\r\n]*", r"[\r\n/]*", 1)
OPENED = {  # these take a whole word that is in the vocabulary at once, and open a text unless the file says otherwise
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _LETTERS + r"|\p{N}{1,3}" + _REST),
    "tekken": MISTRAL,
}
SPLITS = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4"), GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), DIGITS),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"), _LETTERS + r"|\p{N}" + _REST),
    **dict.fromkeys(("smaug-bpe", "dbrx"), OPENED["llama-bpe"]),
    **OPENED,
}
