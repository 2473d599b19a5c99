"""The study of "The False Promise of Imitating Proprietary Language Models" as importable parts.

One sub-package a stage, in the order that data flows: ``sources``, ``curation``, ``teacher``,
``training``, ``generation``, ``benchmarks``, ``style``, ``preference``, ``figures``. ``core`` is
what all share; ``models`` is what ``training`` and ``generation`` share. A stage imports from the
stages before it, never from a later one.
"""

__version__ = "0.2.0"
