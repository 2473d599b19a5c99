"""Shared by all stages: records on disk, errors, the command line, manifests, progress."""
