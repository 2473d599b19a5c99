"""What the paper released: models, evaluation prompts, imitation data; as folders for the hub."""
