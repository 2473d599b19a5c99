"""The values of a study for rules/tables.smk: Table 6 shows the first pool whose queries were sorted by hand."""

from __future__ import annotations

import shlex

from falsepromise.study.config import Pool
from falsepromise.study.study import Study


def _sorted_pool(study: Study) -> Pool | None:
    return next((pool for pool in study.config.pools.values() if pool.categories), None)


def category_sheet(study: Study) -> str | None:
    """The sheet of sorted queries."""
    pool = _sorted_pool(study)
    return pool.categories if pool else None


def category_options(study: Study) -> str:
    """Who sorted them."""
    pool = _sorted_pool(study)
    return f"--annotator {shlex.quote(pool.categories_by)}" if pool else ""


def category_sources(study: Study) -> str:
    """The sources whose queries were sorted."""
    pool = _sorted_pool(study)
    return ", ".join(pool.sources) if pool else ""
