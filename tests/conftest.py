"""Fixtures that every test may use."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from falsepromise.core.browser import chromium, missing

# How fast a machine is must not decide whether a test passes.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    """Verbs that keep the readers quiet do so for a process, which here is that of all tests."""
    yield
    logging.getLogger("falsepromise").setLevel(logging.NOTSET)


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """A file of the real public data sets, by its path below their folder; skips without it."""
    folder = Path(os.environ.get("FALSEPROMISE_REAL_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"real data {name} is not here (set FALSEPROMISE_REAL_DATA to their folder)")
        return path

    return find


@pytest.fixture
def browser() -> Iterator[Any]:
    """A real Chromium; skips by name without it or Playwright."""
    if lacks := missing():
        pytest.skip(lacks)
    from playwright.sync_api import sync_playwright

    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", *quiet]
    with (
        sync_playwright() as driver,
        contextlib.closing(driver.chromium.launch(executable_path=chromium(), args=arguments)) as opened,
    ):
        yield opened


@pytest.fixture
def watch(browser: Any) -> Callable[[str], tuple[Any, list[str]]]:
    """Opens a page, with the list of all that may not happen on it: messages, errors, dialogs, requests elsewhere.

    Its argument is what the addresses that may be asked begin with.
    """

    def opened(allowed: str) -> tuple[Any, list[str]]:
        page, wrong = browser.new_context().new_page(), []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda request: request.url.startswith(allowed) or wrong.append(request.url))
        return page, wrong

    return opened
