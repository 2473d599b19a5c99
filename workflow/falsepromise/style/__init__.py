"""How alike two models' replies are in style, whatever they say (paper section 4.4, Table 2)."""
