"""Find near-duplicate queries by MinHash with `datasketch` (an optional extra)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, query_of
from falsepromise.curation.funnel import Funnel

PERMUTATIONS = 128
SHINGLE = 3  # words
_HIGHEST = 0.9  # threshold of the index of candidates

_SPACE = re.compile(r"\s+")


def normalized(query: str) -> str:
    """A query normalised in Unicode form (NFKC), case and white space."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", query).casefold())).strip()


def shingles(query: str) -> set[str]:
    """A normalised query's runs of three words; the whole query if it is shorter."""
    words = query.split()
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(len(words) - SHINGLE + 1, 1))}


class Sketches:
    """Sketches of texts, in which those of a least similarity to another text are found.

    `datasketch`'s index gives candidates, some of them far below its threshold, and can't be built for one near 1.
    It is asked to miss few (the weights), and each candidate is compared here.

    Args:
        threshold: The least Jaccard similarity of the runs of words, as the sketches estimate it.

    Raises:
        UserError: `datasketch` isn't installed.
    """

    def __init__(self, threshold: float):
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as error:
            install = "pip install 'falsepromise[near-duplicates]'"
            raise UserError(f"near-duplicates need the package datasketch: {install}") from error
        self.threshold = threshold
        self._new = MinHash
        self._index = MinHashLSH(threshold=min(threshold, _HIGHEST), num_perm=PERMUTATIONS, weights=(0.1, 0.9))
        self._kept: list[np.ndarray] = []

    def sketch(self, text: str) -> Any:
        """The sketch of a normalised text."""
        made = self._new(num_perm=PERMUTATIONS, seed=1)
        made.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in shingles(text)])
        return made

    def add(self, sketch: Any) -> None:
        """Keep a text's sketch, under the number of those before."""
        self._index.insert(len(self._kept), sketch)
        self._kept.append(sketch.hashvalues.astype(np.uint32))  # half of the memory

    def like(self, sketch: Any) -> list[int]:
        """The numbers of the kept texts that are similar enough, in order."""
        own = sketch.hashvalues.astype(np.uint32)
        found = sorted(self._index.query(sketch))
        return [number for number in found if float(np.mean(self._kept[number] == own)) >= self.threshold]


def reason_of(threshold: float) -> str:
    """The reason in the funnel for a dropped dialogue."""
    return f"query nearly seen before (Jaccard {threshold:g})"


def without_near_duplicates(
    dialogues: Iterable[Record], funnel: Funnel, step: str, threshold: float
) -> Iterator[Record]:
    """The dialogues whose query is not a near-duplicate of an earlier one.

    Args:
        dialogues: Dialogue records.
        funnel: Counts them under `step`.
        step: The step's name.
        threshold: The least estimated Jaccard similarity of near-duplicates' word 3-grams.

    Raises:
        UserError: `datasketch` isn't installed.
    """
    seen = Sketches(threshold)
    for dialogue in dialogues:
        found = seen.sketch(normalized(query_of(dialogue)))
        if seen.like(found):
            funnel.drop_dialogue(step, reason_of(threshold), dialogue)
        else:
            seen.add(found)
            funnel.keep(step, source=dialogue.get("source"))
            yield dialogue
