"""Figures and tables from score files alone: nothing here computes a score of a model."""
