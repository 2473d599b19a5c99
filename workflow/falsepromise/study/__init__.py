"""The study: its keys and checks, its models, what its jobs need, and the values that its rules use."""
