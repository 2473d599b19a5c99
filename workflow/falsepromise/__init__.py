"""The study of "The False Promise of Imitating Proprietary Language Models" as importable parts.

One sub-package a stage, in the order that data flows: ``sources``, ``curation``, ``teacher``,
``training``, ``generation``, ``benchmarks``, ``style``, ``preference``, ``figures``. ``core`` is
what all share; ``models`` is what ``training`` and ``generation`` share. A stage imports from the
stages before it, never from a later one.
"""

import gc
import sys

__version__ = "0.2.0"

if sys.argv[:1] == ["-m"]:  # a verb is being found: what it imports stays, and `core.cli.run` switches this on again
    gc.disable()
