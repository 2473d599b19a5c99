"""The study: its file checked and expanded to models, what its jobs need, and what its rules ask of it."""
