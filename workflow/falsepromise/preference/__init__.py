"""Compare pairs of replies: votes of a judge and of human raters, and their aggregation."""
