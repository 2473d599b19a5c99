"""What every stage shares: records on disk, errors, manifests, progress, statistics."""
