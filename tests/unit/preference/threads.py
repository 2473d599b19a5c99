"""A server in a thread, for the tests."""

import contextlib
import threading


@contextlib.contextmanager
def in_thread(server):
    """Run a server while the block does."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
