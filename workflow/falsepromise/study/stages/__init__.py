"""The values of a study that the rules use, a module for each rule file: `stages/training.py` for `rules/training.smk`.

Plain functions of the study and a name. A job's result depends only on what they return, so any other value can
change without a rerun. Paths are relative to the checkout.
"""
