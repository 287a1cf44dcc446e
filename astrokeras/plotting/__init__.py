"""Figures for reports and papers, drawn with Matplotlib from plain arrays.

The names below are public. Each takes `ax=`, draws a new figure at the width of a
journal's column without it, and returns the axes; `ax.figure.savefig` writes it. The
figures are made without pyplot: give axes of your own to show them in a window.
"""

from astrokeras.plotting.coverage_plot import plot_coverage
from astrokeras.plotting.error_map_plot import plot_expected_error
from astrokeras.plotting.parity_plot import plot_parity
from astrokeras.plotting.tracer_plots import plot_species_panels, plot_tracer

__all__ = [
    "plot_coverage",
    "plot_expected_error",
    "plot_parity",
    "plot_species_panels",
    "plot_tracer",
]
