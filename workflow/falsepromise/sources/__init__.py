"""Raw files with their SHA-256, untouched, from a package registry, a hub, a file or the web."""
