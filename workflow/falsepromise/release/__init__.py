"""Make folders for the hub of what the paper released: models, evaluation prompts, imitation data."""
