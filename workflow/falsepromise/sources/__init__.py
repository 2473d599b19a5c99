"""Fetch raw files unchanged, with their SHA-256, from a package registry, the hub, a file or the web."""
