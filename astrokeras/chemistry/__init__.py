"""Names, elements and element totals of chemical species."""
