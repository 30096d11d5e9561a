"""Pictures and tables of a run. Reads what stages wrote; matplotlib is imported when a curve is drawn."""

from taolite.report.plots import confusion_png, curves_png, first_batch_png, precision_recall_png, tags_png
from taolite.report.table import ModelFigures, comparison_table

__all__ = [
    "ModelFigures", "comparison_table", "confusion_png", "curves_png", "first_batch_png", "precision_recall_png",
    "tags_png",
]  # fmt: skip
