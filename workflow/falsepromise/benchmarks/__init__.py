"""Benchmarks: a model under test, a data file, one score file with intervals and items."""
