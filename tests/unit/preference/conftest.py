"""What the tests of the rating page share."""

import contextlib
import threading

import pytest

from falsepromise.preference.ballots import Ballots
from falsepromise.preference.rate import Server


@contextlib.contextmanager
def _serving(path, pairs, **options):
    with contextlib.closing(Ballots(path, pairs)) as ballots, Server(ballots, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


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
