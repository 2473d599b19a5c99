"""Near-duplicates: what is dropped is as similar as the threshold says."""

from __future__ import annotations

import random

import pytest
from curation_files import dialogue

from falsepromise.curation.funnel import Funnel
from falsepromise.curation.leaks import Turn, by_minhash
from falsepromise.curation.near_duplicates import shingles, without_near_duplicates

THRESHOLDS = (0.01, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


def pair(rng: random.Random, changed: int) -> tuple[str, str, float]:
    """Two queries of 60 words, the last ones of which differ, and their Jaccard similarity."""
    words = [f"word{n}" for n in rng.sample(range(5000), 60)]
    texts = " ".join(words), " ".join([*words[: 60 - changed], *(f"other{n}" for n in range(changed))])
    one, two = map(shingles, texts)
    return *texts, len(one & two) / len(one | two)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_what_is_dropped_is_similar_and_what_is_very_similar_is_dropped(threshold: float) -> None:
    rng = random.Random(0)
    for changed in [*range(0, 20), *range(20, 60, 5)] * 2:
        one, two, similarity = pair(rng, changed)
        kept = list(
            without_near_duplicates([dialogue("1", one, "a"), dialogue("2", two, "b")], Funnel("x"), "near", threshold)
        )
        found = by_minhash([two], [Turn("f", "1", "user", one)], threshold)
        assert bool(found) == (len(kept) == 1)
        spread = 4 * (similarity * (1 - similarity) / 128) ** 0.5  # of an estimate from 128 permutations
        if similarity + spread < threshold:
            assert len(kept) == 2, f"{similarity:.2f} is below {threshold}"
        if similarity == 1 or similarity > threshold + max(spread, 0.2):
            assert len(kept) == 1, f"{similarity:.2f} is above {threshold}"
