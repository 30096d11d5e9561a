"""The table at the end of a life cycle: accuracy, size and speed of each model, one row a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ModelFigures", "comparison_table"]


@dataclass(frozen=True)
class ModelFigures:
    """Measurements of one model; None where it was not measured.

    mean_ap: 0..1. macs: multiply-accumulate operations for one image. size: of the file, bytes. latency_ms: median for
    one image, milliseconds.
    """

    name: str
    mean_ap: float | None = None
    parameters: int | None = None
    macs: int | None = None
    size: int | None = None
    latency_ms: float | None = None


def comparison_table(rows: Sequence[ModelFigures]) -> str:
    """A Markdown table: one line a model; counts also in percent of the first row.

    >>> print(comparison_table([ModelFigures("trained", 0.914, 11_200_000), ModelFigures("pruned", None, 1_300_000)]))
    | model   |   mAP |    parameters | MACs | file | latency |
    | :------ | ----: | ------------: | ---: | ---: | ------: |
    | trained | 0.914 | 11.2 M  100 % |    - |    - |       - |
    | pruned  |     - |  1.30 M  12 % |    - |    - |       - |
    """
    header = ["model", "mAP", "parameters", "MACs", "file", "latency"]
    first = rows[0] if rows else ModelFigures("")
    body = [
        [
            row.name,
            "-" if row.mean_ap is None else f"{row.mean_ap:.3f}",
            _count(row.parameters, first.parameters),
            _count(row.macs, first.macs),
            "-" if row.size is None else f"{_short(row.size)}B",
            "-" if row.latency_ms is None else f"{row.latency_ms:.1f} ms",
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [header, *body]) for column in range(len(header))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in [header, rule, *body])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"


def _count(value: int | None, whole: int | None) -> str:
    if value is None:
        return "-"
    share = f"{100 * value / whole:.0f} %" if whole else ""
    return f"{_short(value).strip()}  {share}".rstrip()


def _short(value: int) -> str:
    """Three digits and a decimal prefix, with a space for the unit: `11.2 M`, `980 k`, `512 `."""
    number, prefix = float(value), ""
    for prefix in ("", "k", "M", "G", "T"):  # noqa: B007 - the last one is kept
        if number < 999.5:
            break
        number /= 1000
    text = f"{number:.0f}" if number >= 99.95 or not prefix else f"{number:.{1 if number >= 9.995 else 2}f}"
    return f"{text} {prefix}"
