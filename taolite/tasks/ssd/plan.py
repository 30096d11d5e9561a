"""What an SSD's spec decides, whoever's spec it is.

TAO's `ssd_config` and pytorch-ssd's flags (`jetson_config`) say the same things in two ways. Each is read into a `Plan`
once (`taolite.tasks.ssd.tao`, `taolite.tasks.ssd.jetson`), and nothing behind it asks which it was.

Frames: "relative" is in shares of the network input's width and height, 0..1, so that both run over the whole input.
K classes without background; K + 1 channels, background the first; P priors; L feature maps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["CostRule", "Level", "Matching", "NetworkPlan", "PriorPlan", "Views"]


@dataclass(frozen=True)
class NetworkPlan:
    """Which network: one of pytorch-ssd's by `net`, or TAO's SSD (`net` "tao") on the backbone `arch`."""

    net: Literal["mb1-ssd", "mb1-ssd-lite", "mb2-ssd-lite", "sq-ssd-lite", "vgg16-ssd", "tao"]
    input_hw: tuple[int, int]
    in_channels: int = 3
    arch: str = ""
    num_layers: int = 0
    pred_num_channels: int = 0
    width_mult: float = 1.0  # of mb2-ssd-lite
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
    """The priors of all feature maps, and how offsets from them are scaled.

    `clip` "none" leaves them as they are; "centres" clamps (cx, cy, w, h) to 0..1, as pytorch-ssd does; "corners"
    clips them to the input, as TAO's `clip_boxes`.
    """

    levels: tuple[Level, ...]
    variances: tuple[float, float, float, float]  # of cx, cy, w, h
    clip: Literal["none", "centres", "corners"] = "none"

    def to_json(self) -> dict[str, Any]:
        """A JSON value for artifacts."""
        return asdict(self)


@dataclass(frozen=True)
class Matching:
    """Which prior stands for which box.

    "best"       each prior takes the box it overlaps most, each box's best prior is forced to it (pytorch-ssd)
    "bipartite"  boxes take their best free priors first, then every prior its best box (TAO)

    A prior whose best IoU is below `negative_iou` is background; one between the two thresholds counts neither way.
    """

    kind: Literal["best", "bipartite"]
    positive_iou: float = 0.5
    negative_iou: float = 0.5


@dataclass(frozen=True)
class CostRule:
    """Classification plus `alpha` times localisation; `negatives` of the hardest background priors for each positive
    one, chosen in each image (pytorch-ssd) or in the whole batch (TAO)."""

    alpha: float = 1.0
    negatives: float = 3.0
    mining: Literal["image", "batch"] = "image"


@dataclass(frozen=True)
class Views:
    """How training photos are varied. "pytorch-ssd" is fixed; "tao" takes the other fields; "none" only stretches.
    Colours in 0..255, hue in OpenCV's 0..180, scales as shares of the photo's sides."""

    kind: Literal["pytorch-ssd", "tao", "none"]
    fill: tuple[float, ...] = (127.0, 127.0, 127.0)  # RGB of what an expanded photo is surrounded by
    crop_scale: tuple[float, float] = (0.3, 1.0)
    crop_aspect: tuple[float, float] = (0.5, 2.0)
    zoom_out: tuple[float, float] = (1.0, 4.0)
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    flip: float = 0.5
