"""What rules/tables.smk asks: Table 6 is of the first pool whose queries were sorted by hand."""

from __future__ import annotations

from typing import Any

from falsepromise.study.study import Study
from falsepromise.study.workflow import options


def _sorted_pool(study: Study) -> dict[str, Any]:
    return next((pool for pool in study.pools.values() if "categories" in pool), {})


def category_sheet(study: Study) -> str | None:
    """The sheet of sorted queries."""
    return _sorted_pool(study).get("categories")


def category_options(study: Study) -> str:
    """Who sorted them."""
    return options({"annotator": _sorted_pool(study).get("categories_by")}, "annotator")


def category_sources(study: Study) -> str:
    """The sources whose queries were sorted."""
    return ", ".join(_sorted_pool(study).get("sources", []))
