"""What the rules ask of a study, a module for each rule file: `stages/training.py` answers `rules/training.smk`.

Plain functions of the study and a name. What they return is all that a job's result depends on: a value that
they don't return can change without a rerun. Paths are relative to the checkout.
"""
