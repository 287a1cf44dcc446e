"""Figures for reports and papers, drawn with Matplotlib."""
