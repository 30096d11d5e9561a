"""The plan of an SSD: everything its spec decides, for both kinds of spec.

TAO's `ssd_config` and pytorch-ssd's flags (`jetson_config`) describe the same settings in two ways. Each is read into
an `SsdPlan` once (`taolite.tasks.ssd.tao`, `taolite.tasks.ssd.jetson`); later code does not depend on which it was.

Frames: "relative" means fractions of the network input's width and height, both from 0 to 1. K classes without
background; K + 1 channels, background first; P priors; L feature maps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from taolite.data.examples import Source
from taolite.data.ssd_views import Views
from taolite.events import Notice
from taolite.preprocessing import Preprocessing
from taolite.tasks.base import Recipe, Resolve, Schedule, Split, Watch

__all__ = [
    "CostRule",
    "Level",
    "Matching",
    "NetworkPlan",
    "Origin",
    "PriorPlan",
    "Rates",
    "ReadSources",
    "Scoring",
    "SsdPlan",
    "Views",
]


@dataclass(frozen=True)
class NetworkPlan:
    """Which network: one of pytorch-ssd's by `net`, or TAO's SSD (`net` "tao") on the backbone `arch`."""

    net: Literal["mb1-ssd", "mb1-ssd-lite", "mb2-ssd-lite", "sq-ssd-lite", "vgg16-ssd", "tao"]
    input_hw: tuple[int, int]
    in_channels: int = 3
    arch: str = ""
    num_layers: int = 0
    pred_num_channels: int = 0
    width_mult: float = 1.0  # width multiplier of mb2-ssd-lite
    freeze_blocks: tuple[int, ...] = ()
    freeze_bn: bool = False


@dataclass(frozen=True)
class Level:
    """The priors of one feature map, all relative: `boxes` are (width, height) in the order of the head's channels;
    the centre of cell (row j, column i) is ((j + offset_y) * step_y, (i + offset_x) * step_x)."""

    boxes: tuple[tuple[float, float], ...]
    step_yx: tuple[float, float]
    offset_yx: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class PriorPlan:
    """The priors of all feature maps, and the variances that scale offsets from them.

    `clip` "none" does not clip; "centres" clamps (cx, cy, w, h) to 0..1, as pytorch-ssd does; "corners" clips the boxes
    to the input, as TAO's `clip_boxes` does.
    """

    levels: tuple[Level, ...]
    variances: tuple[float, float, float, float]  # of cx, cy, w, h
    clip: Literal["none", "centres", "corners"] = "none"

    def to_json(self) -> dict[str, Any]:
        """A JSON value for artifacts."""
        return asdict(self)


@dataclass(frozen=True)
class Matching:
    """The rule that matches priors to boxes.

    "best"       each prior takes the box it overlaps most, each box's best prior is forced to it (pytorch-ssd)
    "bipartite"  boxes take their best free priors first, then every prior its best box (TAO)

    A prior whose best IoU is below `negative_iou` is background; one between the two thresholds is ignored.
    """

    kind: Literal["best", "bipartite"]
    positive_iou: float = 0.5
    negative_iou: float = 0.5


@dataclass(frozen=True)
class CostRule:
    """Classification cost plus `alpha` times localisation cost. For each positive prior, the `negatives` hardest
    background priors count; they are chosen in each image (pytorch-ssd) or in the whole batch (TAO)."""

    alpha: float = 1.0
    negatives: float = 3.0
    mining: Literal["image", "batch"] = "image"


@dataclass(frozen=True)
class Origin:
    """The weights that training starts from; `path` is as the spec spells it, "" for "random".

    "backbone"  weights of the backbone alone: an ImageNet network's, or pytorch-ssd's `--base-net`
    "ssd"       an SSD's weights but for its heads: `--pretrained-ssd`; heads too where it is a `.tlt` of these classes
    "whole"     all of an SSD's weights, of the same classes: `--resume` of a state dict

    A `.tlt` of an SSD, pruned or not, keeps its own network, whatever the kind.
    """

    kind: Literal["random", "backbone", "ssd", "whole"] = "random"
    path: str = ""


@dataclass(frozen=True)
class Rates:
    """Factors on the schedule's learning rate for each part of the network; None freezes the part."""

    backbone: float | None = 1.0
    extras: float | None = 1.0
    heads: float | None = 1.0


@dataclass(frozen=True)
class Scoring:
    """How detections are scored. "voc07" is PASCAL VOC's 11-point AP and "area" its area under the curve; both need an
    IoU above `iou`. "sample" and "integrate" are TAO's and need an IoU of `iou` or more."""

    mode: Literal["voc07", "area", "sample", "integrate"]
    iou: float = 0.5


class ReadSources(Protocol):
    """The samples of a split, exactly as labelled, and notices about them. Raises PathError, DataError."""

    def __call__(self, split: Split, *, resolve: Resolve) -> tuple[Sequence[Source], Sequence[Notice]]: ...


@dataclass(frozen=True)
class SsdPlan:
    """Everything a spec decides.

    Attributes:
        classes: names in the order of the output channels, without background.
        priors: (height, width) of each feature map -> the priors of all of them.
        decoding: what `decode` takes, a JSON value: confidence_threshold, nms_iou, top_k, candidates, method.
        class_of: a label's name -> its class, None for names that are not used.
        learns_difficult: whether objects marked difficult are learned; otherwise training and validation skip them.
        quantised: whether everything but the heads trains with 8-bit kernels and activations.
        run_files: text files of a run folder: names and texts.
    """

    classes: tuple[str, ...]
    network: NetworkPlan
    priors: Callable[[Sequence[tuple[int, int]]], PriorPlan]
    matching: Matching
    cost: CostRule
    views: Views
    preprocessing: Preprocessing
    decoding: Mapping[str, Any]
    scoring: Scoring
    recipe: Recipe
    schedule: Callable[[], Schedule]
    watch: Watch
    sources: ReadSources
    class_of: Callable[[str], int | None]
    origin: Origin = Origin()
    rates: Rates = Rates()
    learns_difficult: bool = True
    quantised: bool = False
    run_files: Mapping[str, str] = field(default_factory=dict)
