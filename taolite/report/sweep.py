"""A sweep over pruning thresholds, as values and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taolite.report.paper import BLUE, GREY, INK, ORANGE, PURPLE, drawing, dress
from taolite.scorecard import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Sensitivity", "Sweep", "SweepRow", "sweep_png"]

_MOST_BARS = 60


@dataclass(frozen=True)
class SweepRow:
    """One threshold; None where something was not measured.

    threshold: `-pth`. share: fraction of the parameters that is left, as `--target` counts (moving statistics
    included). parameters: numbers that training learns. macs: multiply-accumulates for one image. onnx_bytes: of the
    exported graph in float32; exact where a latency was measured, else computed from the whole graph's. latency_ms: of
    one image in ONNX Runtime. score: the task's main metric, 0..1, of the network as it is; settled: with its batch
    norms measured again; finetuned: after the epochs asked for.
    """

    threshold: float
    share: float
    parameters: int
    macs: int
    onnx_bytes: int
    latency_ms: float | None = None
    score: float | None = None
    settled: float | None = None
    finetuned: float | None = None


@dataclass(frozen=True)
class Sensitivity:
    """Layers that lose channels together, and the score where they alone lose the less important half of them."""

    layers: tuple[str, ...]
    channels: int
    score: float


@dataclass(frozen=True)
class Sweep:
    """What a sweep measured. metric: of the scores. images: validation images of a score; 0 without scores. whole: the
    score of the unpruned network."""

    rows: tuple[SweepRow, ...]
    metric: Words
    images: int = 0
    epochs: int = 0
    whole: float | None = None
    sensitivity: tuple[Sensitivity, ...] = ()
    picture: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "metric": self.metric.short,
            "images": self.images,
            "finetune_epochs": self.epochs,
            "unpruned": self.whole,
            "rows": [asdict(row) for row in self.rows],
            "sensitivity": [{**asdict(one), "layers": list(one.layers)} for one in self.sensitivity],
        }


def sweep_png(sweep: Sweep, path: Path) -> None:
    """The score over the parameters and over the multiply-accumulates that are left, both in percent; without scores,
    the latency, or the multiply-accumulates over the parameters. The sensitivity of each group as bars below.

    Args:
        path: the PNG to write. Raises StorageError where writing fails.
    """
    bars = sorted(sweep.sensitivity, key=lambda one: -one.score)[-_MOST_BARS:]
    names = [_layers(one) for one in bars]
    height = 4.4 + (0.8 + 0.2 * len(bars) if bars else 0)
    with drawing((10.0, height), path, names) as (figure, written):
        upper: Any = figure
        if bars:
            halves: Any = figure.subfigures(2, 1, height_ratios=(4.4, height - 4.4))
            upper, lower = halves
            _draw_bars(lower.subplots(), bars, [written[name] for name in names], sweep)
        left, right = upper.subplots(1, 2, sharey=True)
        upper.subplots_adjust(left=0.08, right=0.98, top=0.9, bottom=0.13, wspace=0.06)
        most = max(sweep.rows, key=lambda row: row.parameters)
        _draw(left, sweep, lambda row: 100 * row.share, "parameters left, %")
        _draw(right, sweep, lambda row: 100 * row.macs / most.macs, "multiply-accumulates left, %")
        right.set_ylabel("")
        if sweep.whole is not None:
            title = f"unpruned: {sweep.metric.short} {sweep.whole:.3f} on {sweep.images} validation images"
            upper.suptitle(title, color=INK, size=11)


def _draw(axes: Axes, sweep: Sweep, share: Callable[[SweepRow], float], label: str) -> None:
    """The curves over one kind of share."""
    curves: list[tuple[str, str, Callable[[SweepRow], float | None]]] = [
        ("as it is", GREY, lambda row: row.score),
        ("batch norms measured again", BLUE, lambda row: row.settled),
        (f"after fine-tuning (epochs: {sweep.epochs})", ORANGE, lambda row: row.finetuned),
    ]
    title = sweep.metric.long
    if sweep.whole is None:
        curves, title = [("", PURPLE, lambda row: row.latency_ms)], "latency, ms"
        if all(row.latency_ms is None for row in sweep.rows):
            curves, title = [("", PURPLE, lambda row: row.macs / 1e9)], "GMACs an image"
    for name, colour, value in curves:
        points = [(share(row), found) for row in sweep.rows if (found := value(row)) is not None]
        if points:
            xs, ys = zip(*sorted(points), strict=True)
            axes.plot(xs, ys, color=colour, linewidth=2.0, marker="o", markersize=3.5, label=name or None)
    if sweep.whole is not None:
        axes.axhline(sweep.whole, color=INK, linewidth=0.8, linestyle="--", zorder=0)
        axes.set_ylim(0, 1.25)  # room for the legend
        axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlim(103, 0)
    axes.set_xlabel(label, color=INK)
    dress(axes, title, place="upper right" if sweep.whole is not None else None)


def _draw_bars(axes: Axes, bars: Sequence[Sensitivity], names: Sequence[str], sweep: Sweep) -> None:
    axes.figure.subplots_adjust(left=0.34, right=0.95, top=0.93, bottom=0.12 if len(bars) > 20 else 0.2)
    axes.barh(range(len(bars)), [one.score for one in bars], color=BLUE, height=0.7)
    axes.set_yticks(range(len(bars)), names, color=INK, size=7)
    for place, one in enumerate(bars):
        axes.text(one.score + 0.005, place, f"{one.score:.3f}", va="center", color=INK, size=7)
    if sweep.whole is not None:
        axes.axvline(sweep.whole, color=ORANGE, linewidth=1.0)
    axes.set_xlim(0, 1.08)
    dress(axes, "", place=None)
    axes.set_xlabel(f"{sweep.metric.short} where this group alone loses half of its channels", color=INK)


def _layers(one: Sensitivity) -> str:
    more = f" and {len(one.layers) - 1} more" if len(one.layers) > 1 else ""
    return f"{one.layers[0]}{more} ({one.channels})"
