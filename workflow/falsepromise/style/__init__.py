"""Measure the similarity of two models' replies in style, independent of content (paper section 4.4, Table 2)."""
