"""The report of a run, and of runs beside each other: one HTML file without a script, which loads nothing."""

from taolite.report.html.compare import comparison_page
from taolite.report.html.facts import RunFacts
from taolite.report.html.page import run_page

__all__ = ["RunFacts", "comparison_page", "run_page"]
