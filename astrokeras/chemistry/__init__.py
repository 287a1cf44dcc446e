"""Chemical species: names, elements and element totals."""
