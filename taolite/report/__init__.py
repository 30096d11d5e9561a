"""Plots and tables of a run, made from the files it wrote. matplotlib is imported when a plot is drawn."""

from taolite.report.plots import confusion_png, curves_png, first_batch_png, precision_recall_png, tags_png
from taolite.report.scores import Shown, f1_png, worst_png
from taolite.report.table import ModelFigures, comparison_table

__all__ = [
    "ModelFigures", "Shown", "comparison_table", "confusion_png", "curves_png", "f1_png", "first_batch_png",
    "precision_recall_png", "tags_png", "worst_png",
]  # fmt: skip
