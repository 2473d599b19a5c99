"""Numbers with what they leave uncertain: intervals, paired tests, agreement, models of votes."""
