"""AstroChemNet's models and published weights."""
