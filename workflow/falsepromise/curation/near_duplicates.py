"""Near-duplicate queries by MinHash, with the well-kept library `datasketch` (an optional extra)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, query_of
from falsepromise.curation.funnel import Funnel

PERMUTATIONS = 128
SHINGLE = 3  # words


def shingles(query: str) -> set[str]:
    """A normalised query's runs of three words; the whole query where it is shorter."""
    words = query.split()
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(len(words) - SHINGLE + 1, 1))}


def without_near_duplicates(
    dialogues: Iterable[Record], funnel: Funnel, step: str, threshold: float
) -> Iterator[Record]:
    """The dialogues whose query is not nearly the same as that of one before.

    Args:
        dialogues: Dialogue records.
        funnel: Counts them under `step`.
        step: The step's name.
        threshold: The estimated Jaccard similarity of the word 3-grams from which on they are.

    Raises:
        UserError: `datasketch` isn't installed.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        install = "pip install 'falsepromise[near-duplicates]'"
        raise UserError(f"--near-duplicates needs the package datasketch: {install}") from error
    from falsepromise.curation.clean import normalized

    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    for number, dialogue in enumerate(dialogues):
        sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
        found = shingles(normalized(query_of(dialogue)))
        sketch.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in found])
        source = dialogue.get("source")
        if index.query(sketch):
            funnel.drop(step, f"query nearly seen before (Jaccard {threshold:g})", dialogue["id"], source)
        else:
            index.insert(number, sketch)
            funnel.keep(step, source=source)
            yield dialogue
