"""Checks of what files hold: units, definitions, alignment, identity and rows."""
