"""Find near-duplicate queries by MinHash with `datasketch` (an optional extra)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, query_of
from falsepromise.curation.funnel import Funnel

PERMUTATIONS = 128
SHINGLE = 3  # words


_SPACE = re.compile(r"\s+")


def normalized(query: str) -> str:
    """A query normalised in Unicode form (NFKC), case and white space."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", query).casefold())).strip()


def shingles(query: str) -> set[str]:
    """A normalised query's runs of three words; the whole query if it is shorter."""
    words = query.split()
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(len(words) - SHINGLE + 1, 1))}


def sketches(threshold: float) -> tuple[Any, Callable[[str], Any]]:
    """An index of sketches for a Jaccard similarity, and a function from a normalised text to its sketch.

    Raises:
        UserError: `datasketch` isn't installed.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        install = "pip install 'falsepromise[near-duplicates]'"
        raise UserError(f"near-duplicates need the package datasketch: {install}") from error

    def sketch(text: str) -> Any:
        made = MinHash(num_perm=PERMUTATIONS, seed=1)
        made.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in shingles(text)])
        return made

    return MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS), sketch


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
    index, sketch = sketches(threshold)
    for number, dialogue in enumerate(dialogues):
        found = sketch(normalized(query_of(dialogue)))
        source = dialogue.get("source")
        if index.query(found):
            funnel.drop_dialogue(step, reason_of(threshold), dialogue)
        else:
            index.insert(number, found)
            funnel.keep(step, source=source)
            yield dialogue
