"""Parts of a work: each piece is in just one of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from falsepromise.core.shards import Shard


@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 1e6))), st.integers(1, 12))
def test_each_piece_is_in_one_part(costs: list[float], of: int) -> None:
    pieces = list(range(len(costs)))
    parts = [Shard(number, of) for number in range(1, of + 1)]
    assert [piece for part in parts for piece in part.stretch(pieces, costs)] == pieces, "neighbours stay together"
    assert sorted(piece for part in parts for piece in part.mine(pieces)) == pieces
