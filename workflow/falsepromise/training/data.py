"""Make batches as a function of seed and step, so that a resumed run needs only the step."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from falsepromise.core.errors import UserError
from falsepromise.training.blocks import Blocks


class Batches:
    """The batches of a run.

    Every epoch goes through the blocks in an order that depends on the seed and the epoch alone.
    With replay, each batch holds a fixed number of blocks of pre-training text beside the imitation
    data's; the token budget counts the imitation data only.

    Args:
        blocks: The imitation data (or, in pre-training, the text).
        batch_size: Blocks a batch.
        epochs: Passes over `blocks`.
        seed: Of the order.
        replay: Pre-training text to mix in, or None.
        replay_share: Share of each batch that is `replay`.

    Raises:
        UserError: the two kinds of blocks are of different sizes.
    """

    def __init__(
        self, blocks: Blocks, batch_size: int, epochs: int, seed: int, replay: Blocks | None, replay_share: float
    ):
        if replay and replay.block_size != blocks.block_size:
            raise UserError(
                f"the blocks have {blocks.block_size} tokens, those of --replay {replay.block_size}; make both with "
                "the same --block-size"
            )
        self.blocks, self.seed, self.replay = blocks, seed, replay
        self.replayed = round(batch_size * replay_share) if replay else 0
        self.own = batch_size - self.replayed
        self.steps_an_epoch = math.ceil(len(blocks) / self.own)
        self.steps = self.steps_an_epoch * epochs

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and tokens of a batch."""
        return self.own + self.replayed, self.blocks.block_size

    def __call__(self, step: int) -> dict[str, np.ndarray]:
        """The arrays of one batch (see `Blocks.rows`), each of shape (batch_size, T)."""
        epoch, place = divmod(step, self.steps_an_epoch)
        chosen = _order(len(self.blocks), self.seed, epoch)[place * self.own : (place + 1) * self.own]
        chosen = np.pad(chosen, (0, self.own - len(chosen)), constant_values=-1)  # the last batch is filled up
        batch = self.blocks.rows(chosen)
        if not self.replay or not self.replayed:
            return batch
        others = self.replay.rows(_cycle(len(self.replay), step, self.replayed, self.seed))
        return {name: np.concatenate([batch[name], others[name]]) for name in batch}


def _cycle(n: int, step: int, count: int, seed: int) -> np.ndarray:
    """`count` indices out of an endless sequence of shuffled passes over `range(n)`."""
    places = np.arange(step * count, (step + 1) * count)
    return np.array([_order(n, seed, 1, p // n)[p % n] for p in places.tolist()])


@lru_cache(maxsize=4)  # an epoch's order serves all its steps: a step's time doesn't grow with the data
def _order(n: int, *seeds: int) -> np.ndarray:
    return np.random.default_rng(seeds).permutation(n)
