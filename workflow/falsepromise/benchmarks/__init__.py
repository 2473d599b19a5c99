"""Score models on benchmarks: a model, a data file, and one score file with intervals and items."""
