"""Find the most similar text by BLEU, exactly, for many texts at once.

The score of a pair is `sacrebleu`'s `BLEU(effective_order=True).sentence_score(hypothesis, [reference])`:
13a tokens, n-grams to order 4, clipped counts, exponential smoothing, brevity penalty. It is fast because

- An n-gram that a text has c times becomes the c features (n-gram, 1) ... (n-gram, c). Two texts'
  clipped matches are the number of features that they share: a product of sparse 0/1 matrices.
- A match of order n contains matches of all lower orders, so only unigrams need a value for each
  pair. Higher orders are corrections for the few pairs that match in them.
- Features that many texts share are multiplied as a dense matrix.

Memory is bounded: one block of hypotheses at a time is compared with all references.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from falsepromise.core.progress import Progress

ORDERS = 4
_BLOCK_BYTES = 64 << 20
_DENSE_SHARE = 0.02  # a feature of at least this share of the references goes into the dense matrix
_DENSE_MOST = 1024


@dataclass
class Nearest:
    """For each hypothesis: the reference with the highest BLEU.

    Attributes:
        index: The reference's index, int64, shape `(n,)`; -1 where every score is 0.
        bleu: The score, 0 to 100, float64, shape `(n,)`.
    """

    index: np.ndarray
    bleu: np.ndarray


def nearest(hypotheses: Sequence[str], references: Sequence[str] | None = None, progress: str | None = None) -> Nearest:
    """The reference with the highest sentence BLEU, for each hypothesis.

    Args:
        hypotheses: Texts.
        references: Texts; None compares each hypothesis with all *other* hypotheses.

        progress: The label of the progress bar.


    Returns:
        `Nearest`; among references with the same score, the first.
    """
    pairs = Pairs(hypotheses, references)
    index = np.full(pairs.n_hypotheses, -1, dtype=np.int64)
    best = np.zeros(pairs.n_hypotheses)
    if not pairs.n_references:
        return Nearest(index, best)
    with Progress(pairs.n_hypotheses, progress or "nearest by BLEU", "text") as bar:
        for start in range(0, pairs.n_hypotheses, pairs.block):
            rows = slice(start, min(start + pairs.block, pairs.n_hypotheses))
            scores = pairs.log_scores(rows)
            if references is None:
                scores[np.arange(scores.shape[0]), np.arange(rows.start, rows.stop)] = -np.inf
            top = scores.argmax(axis=1)
            value = scores[np.arange(scores.shape[0]), top]
            index[rows] = np.where(np.isfinite(value), top, -1)
            best[rows] = 100.0 * np.exp(value)
            bar.update(scores.shape[0])
    return Nearest(index, best)


class Pairs:
    """The BLEU of every hypothesis with every reference, a block of hypotheses at a time."""

    def __init__(self, hypotheses: Sequence[str], references: Sequence[str] | None = None):
        vocabulary: dict[str, int] = {}
        hyp = _Tokens(hypotheses, vocabulary)
        ref = None if references is None else _Tokens(references, vocabulary)
        self._hyp_lengths = hyp.lengths
        self._ref_lengths = hyp.lengths if ref is None else ref.lengths
        self.n_hypotheses, self.n_references = len(self._hyp_lengths), len(self._ref_lengths)
        self.block = max(1, _BLOCK_BYTES // (8 * max(self.n_references, 1)))
        # n-grams of each order in each hypothesis, (n_hypotheses, 4); how many orders have any
        totals = np.maximum(hyp.lengths[:, None] - np.arange(ORDERS), 0)
        self._effective = (totals > 0).sum(axis=1)
        self._constant = -np.log(np.maximum(totals, 1)).sum(axis=1)  # all denominators, and the
        self._constant -= math.log(2) * (self._effective - 1) * self._effective / 2  # smoothing of orders 2 to 4
        self._features = list(_features(hyp, ref))
        self._dense_hyp, self._dense_ref, self._features[0] = _split_dense(*self._features[0])
        self._transposed = [of_references.T.tocsr() for _, of_references in self._features]
        longest = int(max(self._hyp_lengths.max(initial=0), self._ref_lengths.max(initial=0))) + 1
        with np.errstate(divide="ignore"):
            self._log = np.log(np.arange(longest))

    def log_scores(self, rows: slice) -> np.ndarray:
        """The natural logarithm of BLEU/100, float64, shape `(rows, n_references)`; -inf where it is 0."""
        matches = self._dense_hyp[rows] @ self._dense_ref.T  # clipped unigram matches, float32, exact
        for order in range(ORDERS):
            product = (self._features[order][0][rows] @ self._transposed[order]).tocoo()
            if order == 0:
                matches[product.row, product.col] += product.data
                scores = self._log[matches.astype(np.int32)]
                scores += self._constant[rows, None]
            else:
                effective = self._effective[rows][product.row]
                gain = self._log[product.data.astype(np.int32)] + math.log(2) * (effective - order)
                scores[product.row, product.col] += gain
        scores /= np.maximum(self._effective[rows, None], 1)
        lengths = np.maximum(self._hyp_lengths[rows, None], 1)
        scores += np.minimum(0.0, 1.0 - self._ref_lengths[None, :] / lengths)
        return scores


class _Tokens:
    """Texts as token numbers, all in one array."""

    def __init__(self, texts: Iterable[str], vocabulary: dict[str, int]):
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

        tokenize = Tokenizer13a()
        numbers: list[np.ndarray] = []
        for text in texts:
            tokens = tokenize(text.rstrip()).split()
            numbers.append(np.array([vocabulary.setdefault(t, len(vocabulary)) for t in tokens], dtype=np.int64))
        self.lengths = np.array([len(number) for number in numbers], dtype=np.int64)
        self.tokens = np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64)
        self.texts = np.repeat(np.arange(len(numbers)), self.lengths)


def _features(hyp: _Tokens, ref: _Tokens | None) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """For each order, the 0/1 features of hypotheses and references, float32, only columns that can match."""
    tokens, texts = hyp.tokens, hyp.texts
    n_hyp = n_texts = len(hyp.lengths)
    if ref is not None:
        tokens, texts = np.concatenate([tokens, ref.tokens]), np.concatenate([texts, ref.texts + n_hyp])
        n_texts += len(ref.lengths)
    n_tokens = int(tokens.max(initial=0)) + 1
    grams, at = tokens, np.arange(len(tokens))  # number of the n-gram that starts at each position
    for order in range(ORDERS):
        if order:
            inside = at + order < len(tokens)
            grams, at = grams[inside], at[inside]
            inside = texts[at] == texts[at + order]
            grams, at = grams[inside], at[inside]
            _, grams = np.unique(grams * n_tokens + tokens[at + order], return_inverse=True)
        features = _matrix(grams, texts[at], n_texts)
        of_hyp = features[:n_hyp]
        of_ref = of_hyp if ref is None else features[n_hyp:]
        in_hyp, in_ref = (np.bincount(matrix.indices, minlength=features.shape[1]) for matrix in (of_hyp, of_ref))
        shared = np.flatnonzero(in_hyp >= 2 if ref is None else (in_hyp > 0) & (in_ref > 0))
        of_hyp = of_hyp[:, shared]
        yield of_hyp, of_hyp if ref is None else of_ref[:, shared]


def _matrix(grams: np.ndarray, texts: np.ndarray, n_texts: int) -> sp.csr_matrix:
    """A 0/1 matrix of texts by features; an n-gram that a text has c times gives it c features."""
    order = np.lexsort((grams, texts))
    grams, texts = grams[order], texts[order]
    new = np.ones(len(grams), dtype=bool)
    new[1:] = (grams[1:] != grams[:-1]) | (texts[1:] != texts[:-1])
    starts = np.flatnonzero(new)
    occurrence = np.arange(len(grams)) - np.repeat(starts, np.diff(np.append(starts, len(grams))))
    _, feature = np.unique(grams * (int(occurrence.max(initial=0)) + 1) + occurrence, return_inverse=True)
    shape = (n_texts, int(feature.max(initial=-1)) + 1)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(texts, minlength=n_texts))])
    return sp.csr_matrix((np.ones(len(feature), dtype=np.float32), feature, pointers), shape=shape)


def _split_dense(
    of_hyp: sp.csr_matrix, of_ref: sp.csr_matrix
) -> tuple[np.ndarray, np.ndarray, tuple[sp.csr_matrix, sp.csr_matrix]]:
    """The most frequent features as dense matrices, the others as sparse ones."""
    counts = np.bincount(of_ref.indices, minlength=of_ref.shape[1])
    frequent = np.argsort(-counts, kind="stable")[:_DENSE_MOST]
    frequent = frequent[counts[frequent] >= _DENSE_SHARE * of_ref.shape[0]]
    rare = np.setdiff1d(np.arange(of_ref.shape[1]), frequent)
    dense_hyp = of_hyp[:, frequent].toarray()
    dense_ref = dense_hyp if of_ref is of_hyp else of_ref[:, frequent].toarray()
    rare_hyp = of_hyp[:, rare]
    return dense_hyp, dense_ref, (rare_hyp, rare_hyp if of_ref is of_hyp else of_ref[:, rare])
