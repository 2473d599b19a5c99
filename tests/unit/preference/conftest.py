"""What the tests of the rating page share."""

import contextlib
import sys
from pathlib import Path

import pytest

from falsepromise.preference.ballots import Ballots
from falsepromise.preference.rate import Server

sys.path.insert(0, str(Path(__file__).parent))


@contextlib.contextmanager
def _serving(path, pairs, **options):
    from threads import in_thread

    with contextlib.closing(Ballots(path, pairs)) as ballots, Server(ballots, **options) as server, in_thread(server):
        yield server


@pytest.fixture
def serving():
    """`with serving(database, pairs, **options of Server) as server`."""
    return _serving


@pytest.fixture
def nasty():
    """A reply that would do harm if it were shown as it stands."""
    return (
        "<script>alert(1)</script><img src=x onerror=alert(1)> [link](javascript:alert(1)) "
        "![pic](http://evil/x.png) <http://evil/> </div>\n\n```html\n<script>alert(2)</script>\n```"
    )
