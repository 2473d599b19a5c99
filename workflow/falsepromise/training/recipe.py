"""The recipe of a training run: every number of section 4.1, as one typed value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads, read_json
from falsepromise.study import config
from falsepromise.study.schema import check

# 150M tokens (the paper's largest budget) in batches of 32 blocks of 2,048 tokens are 2,289 steps,
# of which 1,000 are warm-up. A smaller budget's warm-up is shortened in that proportion, since its
# whole run can be shorter than 1,000 steps.
WARMUP_SHARE = 1000 / 2289


class Recipe(config.Recipe):
    """How a model is trained; the keys, their defaults and bounds are `study.config`'s."""

    @classmethod
    def read(cls, source: str) -> Recipe:
        """From a JSON file's path, or from JSON text itself.

        Raises:
            UserError: an unknown or mistyped key, which is named with what was expected.
        """
        if source.lstrip().startswith("{"):
            try:
                values = loads(source, as_written=True)
            except ValueError as error:
                raise UserError(f"--recipe: not JSON: {error}") from error
        else:
            values = read_json(Path(source), as_written=True)
        return cls.of(values)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Recipe:
        """From a mapping; missing keys take the paper's defaults."""
        recipe = check(cls, values, "recipe")
        if recipe.batch_size % recipe.accumulate:
            raise UserError(
                f"recipe: batch_size {recipe.batch_size} can't be split into accumulate={recipe.accumulate}"
            )
        return recipe

    def warmup(self, steps: int) -> int:
        """Warm-up steps of a run of `steps` steps."""
        return min(self.warmup_steps, round(steps * WARMUP_SHARE))
