"""Intervals, paired tests, agreement, regressions, and a model of votes."""
