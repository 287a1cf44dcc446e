"""Import of the published weights of AstroChemNet."""
