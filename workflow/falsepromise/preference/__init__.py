"""Which of two replies is better: a judge's and human raters' choices, and what they add up to."""
