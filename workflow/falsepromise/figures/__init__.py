"""Draw figures and tables from score files; no module here computes a model's score."""
