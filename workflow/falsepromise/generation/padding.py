"""Choose the lengths that inputs are padded to, so that few shapes are compiled."""

from __future__ import annotations


def power_of_two(n: int, least: int) -> int:
    """The smallest power of two that is at least `n` and `least`."""
    return max(least, 1 << (n - 1).bit_length())


def quarter_steps(n: int, least: int) -> int:
    """The smallest of 16, 20, 24, 28, 32, 40, 48... that is at least `n` and `least` (which is 8 or more).

    A tenth is wasted on average, where powers of two waste a third; it costs more compiled shapes.
    """
    n = max(n, least)
    step = 1 << (n - 1).bit_length() - 3
    return -(-n // step) * step
