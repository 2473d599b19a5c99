"""Turn texts into arrays of normalised words, and hash runs of words, to compare very many texts.

A word is a run of letters, digits, and signs of arithmetic and currencies, after Unicode's compatibility
decomposition (which unifies widths) and case folding, without accents, apostrophes and zero-width characters. In
scripts without spaces between words (Chinese, Japanese, Thai, ...) each character is a word. So a text's words don't
depend on case, width, spaces and punctuation.

All operations are on whole arrays: 10 million characters take about a second.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

_DROPPED, _BETWEEN, _LETTER, _UNSPACED, _END, _UNKNOWN = range(6)
_UNSPACED_SCRIPTS: tuple[tuple[int, int], ...] = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))
_UNSPACED_SCRIPTS += ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
_UNSPACED_SCRIPTS += ((0x20000, 0x3FFFF),)
_APOSTROPHES = "'’‘ʼ`´＇"
_BASES = (0x9E3779B97F4A7C15, 0xD1342543DE82EF95)  # odd, so they have an inverse modulo 2**64

_table = np.full(0x110000, _UNKNOWN, dtype=np.uint8)
_powers: dict[int, tuple[np.ndarray, np.ndarray]] = {}


class Words:
    """The normalised words of texts.

    Attributes:
        letters: All characters of all words, uint32, shape `(n_letters,)`.
        starts: Where each word begins in `letters`, int64, shape `(n_words + 1,)`; the last is the end.
        first: The number of each text's first word, int64, shape `(n_texts + 1,)`; the last is `n_words`.
        unspaced: The number of each text's words that are characters of scripts without spaces, int64, `(n_texts,)`.
    """

    def __init__(self, texts: Sequence[str]):
        joined = "\0".join(text.replace("\0", " ") if "\0" in text else text for text in texts)
        joined = joined.lower() if joined.isascii() else unicodedata.normalize("NFKD", joined).casefold()
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        kinds = _kinds_of(codes)
        stay = kinds != _DROPPED
        if not stay.all():
            codes, kinds = codes[stay], kinds[stay]
        inside = (kinds == _LETTER) | (kinds == _UNSPACED)
        begins = inside.copy()
        begins[1:] &= ~inside[:-1] | (kinds[1:] == _UNSPACED) | (kinds[:-1] == _UNSPACED)
        at = np.flatnonzero(begins)
        self.letters = codes[inside]
        self.starts = np.append(np.cumsum(inside)[at] - 1, len(self.letters))
        text = np.cumsum(kinds == _END)[at]
        self.first = np.searchsorted(text, np.arange(len(texts) + 1))
        self.unspaced = np.bincount(text[kinds[at] == _UNSPACED], minlength=len(texts))
        self._prefix = _prefix_sums(self.letters.astype(np.uint64), 0)
        self._runs = _prefix_sums(_mixed(self._spans(self.starts[:-1], self.starts[1:])), 1)

    @property
    def counts(self) -> np.ndarray:
        """The number of words of each text, int64, shape `(n_texts,)`."""
        return np.diff(self.first)

    def _spans(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        return (self._prefix[end] - self._prefix[begin]) * _powers_of(0, len(self.letters))[1][begin]

    def keys(self) -> np.ndarray:
        """A hash of each text's letters without separators, uint64, shape `(n_texts,)`."""
        bounds = self.starts[self.first]
        return _mixed(self._spans(bounds[:-1], bounds[1:]) + np.diff(bounds).astype(np.uint64))

    def runs(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all runs of `n` words within one text, uint64, and the index of each run's first word, int64."""
        texts = np.repeat(np.arange(len(self.first) - 1), self.counts)
        at = np.arange(max(len(texts) - n + 1, 0))
        at = at[texts[at] == texts[at + n - 1]]
        return self.run_hashes(at, n), at

    def run_hashes(self, at: np.ndarray, n: int) -> np.ndarray:
        """Hashes of the runs of `n` words that begin at these words, uint64."""
        return _mixed((self._runs[at + n] - self._runs[at]) * _powers_of(1, len(self._runs))[1][at])

    def same(self, word: int, other: Words, other_word: int, n: int) -> bool:
        """Whether `n` words equal those of another: a check of equal hashes."""
        here = self.letters[self.starts[word] : self.starts[word + n]]
        there = other.letters[other.starts[other_word] : other.starts[other_word + n]]
        return np.array_equal(here, there)


def _kind(character: str) -> int:
    code, category = ord(character), unicodedata.category(character)
    if character == "\0":
        return _END
    if category == "Cf" or 0x300 <= code <= 0x36F or 0xFE00 <= code <= 0xFE0F or character in _APOSTROPHES:
        return _DROPPED
    if any(low <= code <= high for low, high in _UNSPACED_SCRIPTS) and category[0] in "LMN":
        return _DROPPED if code in (0x3099, 0x309A) else _UNSPACED
    return _LETTER if category[0] in "LMN" or category in ("Sm", "Sc") else _BETWEEN


def _kinds_of(codes: np.ndarray) -> np.ndarray:
    """The kind of each character, uint8; a character's kind is looked up at its first use."""
    kinds = _table[codes]
    new = np.unique(codes[kinds == _UNKNOWN])
    if len(new):
        _table[new] = [_kind(chr(code)) for code in new.tolist()]
        kinds = _table[codes]
    return kinds


def _powers_of(which: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The powers 0 to n of a base and of its inverse, modulo 2**64."""
    if which not in _powers or len(_powers[which][0]) <= n:
        size = max(2 * n, 1 << 16) + 1
        pair = []
        for base in (_BASES[which], pow(_BASES[which], -1, 1 << 64)):
            powers = np.full(size, base, dtype=np.uint64)
            powers[0] = 1
            pair.append(np.cumprod(powers, dtype=np.uint64))
        _powers[which] = pair[0], pair[1]
    return _powers[which]


def _prefix_sums(values: np.ndarray, which: int) -> np.ndarray:
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values * _powers_of(which, len(values))[0][: len(values)], out=sums[1:])
    return sums


def _mixed(values: np.ndarray) -> np.ndarray:
    """Hashes whose every bit depends on all bits (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
