"""The network, its anchors and its cost: `ssd_config` (reference/tao_classification_ssd.md 4.1, 4.4, 4.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from taolite.spec import Finding, Float, SpecModel, UInt, check, field
from taolite.tasks.ssd.spec import literals

__all__ = ["DEPTHS", "MAPS", "Arch", "DSSDConfig", "SSDConfig"]

Arch = Literal["resnet", "vgg", "darknet", "mobilenet_v1", "mobilenet_v2", "squeezenet", "googlenet", "efficientnet_b0"]
DEPTHS = {"resnet": (10, 18, 34, 50, 101), "vgg": (16, 19), "darknet": (19, 53)}
"""Depths of the archs that have several; nlayers has no effect on the others."""
MAPS = 6  # feature maps of TAO's SSD, whatever the backbone
_WIDTHS = (0, 256, 512, 1024)  # channels of the prediction module


class SSDConfig(SpecModel):
    """The network. TAO writes lists as Python literals in strings; properties give their parsed values."""

    aspect_ratios: str = field("", doc="A list of 6 lists, width over height, of the anchors of each feature map.")
    aspect_ratios_global: str = field("", doc="One list for all feature maps, where aspect_ratios is absent.")
    scales: str = field(
        "", doc="7 sizes of anchors as shares of the input's shorter side: of 6 feature maps, one more."
    )
    min_scale: Float = field(0.0, ge=0, doc="The first of 7 evenly spaced scales, where scales is absent.")
    max_scale: Float = field(0.0, ge=0, doc="The last of them.")
    two_boxes_for_ar1: bool = field(
        False, doc="A second anchor of aspect ratio 1, between this map's scale and the next."
    )
    steps: str = field(
        "", unit="px", doc="6 distances of anchors, numbers or (y, x); absent is the input over the map."
    )
    clip_boxes: bool = field(False, doc="Anchors are clipped to the input.")
    variances: str = field(min_length=1, doc="4 factors of the offsets of cx, cy, w and h.")
    offsets: str = field("", doc="6 places of anchors in their cell, numbers or (y, x) in shares of it; absent is 0.5.")
    mean_color: str = field(
        "", ignored="the mean is augmentation_config.image_mean's, as in TAO", doc="Without effect."
    )
    arch: Arch = field(doc="The backbone.")
    nlayers: UInt = field(0, doc="Depth of a resnet, vgg or darknet.")
    pred_num_channels: UInt = field(
        0, doc="Channels of a residual module before each head: 256, 512 or 1024; 0 is none."
    )
    alpha: Float = field(1.0, ge=0, zero_is_default=True, doc="Factor of the cost of boxes; 0 acts as 1.")
    neg_pos_ratio: Float = field(
        3.0, ge=0, zero_is_default=True, doc="Background anchors learned for each other; 0 is 3."
    )
    pos_iou_thresh: Float = field(
        0.5, ge=0, le=1, zero_is_default=True, doc="IoU from which an anchor stands for a box."
    )
    neg_iou_thresh: Float = field(0.5, ge=0, le=1, zero_is_default=True, doc="IoU below which it is background.")
    freeze_blocks: tuple[UInt, ...] = field((), doc="Ids of the backbone's blocks whose convolutions are not trained.")
    freeze_bn: bool = field(False, doc="Batch normalisation of the backbone uses the stored mean and variance.")

    @property
    def ratios(self) -> tuple[tuple[float, ...], ...]:
        """Aspect ratios, width over height, of each feature map."""
        if self.aspect_ratios:
            return literals.rows(self.aspect_ratios)
        return (literals.numbers(self.aspect_ratios_global),) * MAPS

    @property
    def anchor_scales(self) -> tuple[float, ...]:
        """MAPS + 1 scales, as fractions of the input's shorter side."""
        if self.scales:
            return literals.numbers(self.scales)
        step = (self.max_scale - self.min_scale) / MAPS
        return tuple(self.min_scale + step * index for index in range(MAPS + 1))

    @property
    def steps_yx(self) -> tuple[tuple[float, float], ...] | None:
        """Distances between anchors of each feature map, in input pixels; None for the input size divided by the map
        size."""
        return _pairs(self.steps) if self.steps else None

    @property
    def offsets_yx(self) -> tuple[tuple[float, float], ...]:
        """The position of an anchor's centre in its cell, for each feature map."""
        return _pairs(self.offsets) if self.offsets else ((0.5, 0.5),) * MAPS

    @property
    def offset_variances(self) -> tuple[float, float, float, float]:
        """The variances of cx, cy, w, h."""
        cx, cy, width, height = literals.numbers(self.variances)
        return cx, cy, width, height

    @check("aspect_ratios", "aspect_ratios_global")
    def _ratios_are_lists(self) -> Iterator[Finding]:
        if not self.aspect_ratios and not self.aspect_ratios_global:
            yield Finding((), "has neither `aspect_ratios` nor `aspect_ratios_global`; add one of them")
        elif self.aspect_ratios:
            yield from _found(
                self.aspect_ratios, "aspect_ratios", literals.rows, "6 lists of numbers above 0", _six_rows
            )
        else:
            names = "aspect_ratios_global"
            yield from _found(self.aspect_ratios_global, names, literals.numbers, "a list of numbers above 0", _above_0)

    @check("scales", "min_scale", "max_scale")
    def _scales_are_seven(self) -> Iterator[Finding]:
        if self.scales:
            yield from _found(self.scales, "scales", literals.numbers, "7 numbers above 0", _seven)
        elif not (self.min_scale and self.max_scale):
            yield Finding((), "has neither `scales` nor `min_scale` and `max_scale` above 0; add them")
        elif self.max_scale <= self.min_scale:
            text = f"is {self.max_scale:g}; it needs to be more than {self.min_scale:g} (min_scale)"
            yield Finding(("max_scale",), text)

    @check("steps", "offsets", "variances")
    def _lists_are_sound(self) -> Iterator[Finding]:
        if self.steps:
            yield from _found(self.steps, "steps", _pairs, "6 numbers, or 6 pairs (y, x), above 0", _six_rows)
        if self.offsets:
            wanted = "6 numbers, or 6 pairs (y, x), more than 0 and less than 1"
            yield from _found(self.offsets, "offsets", _pairs, wanted, _six_shares)
        yield from _found(self.variances, "variances", literals.numbers, "4 numbers above 0", _four)

    @check("arch", "nlayers")
    def _depth_exists(self) -> Iterator[Finding]:
        depths = DEPTHS.get(self.arch)
        if depths and self.nlayers not in depths:
            known = ", ".join(map(str, depths[:-1])) + f" or {depths[-1]}"
            absent = "" if "nlayers" in self.model_fields_set else " (absent)"
            yield Finding(("nlayers",), f"is {self.nlayers}{absent}; a {self.arch} has {known}")

    @check("pred_num_channels")
    def _width_exists(self) -> Iterator[Finding]:
        if self.pred_num_channels not in _WIDTHS:
            yield Finding(("pred_num_channels",), f"is {self.pred_num_channels}; it needs to be 0, 256, 512 or 1024")

    @check("pos_iou_thresh", "neg_iou_thresh")
    def _background_is_below(self) -> Iterator[Finding]:
        if self.neg_iou_thresh > self.pos_iou_thresh:
            text = f"is {self.neg_iou_thresh:g}; it needs to be {self.pos_iou_thresh:g} (pos_iou_thresh) or less"
            yield Finding(("neg_iou_thresh",), text)

    def spec_notes(self) -> Iterator[Finding]:
        if self.aspect_ratios and self.aspect_ratios_global:
            yield Finding(("aspect_ratios_global",), "has no effect beside aspect_ratios")
        for name in ("min_scale", "max_scale"):
            if self.scales and getattr(self, name):
                yield Finding((name,), "has no effect beside scales")


class DSSDConfig(SSDConfig):
    """The same message under its other name. It is refused as a whole, so its fields are not checked."""

    variances: str = field("", doc="As in ssd_config.")
    arch: str = field("", doc="As in ssd_config.")  # type: ignore[assignment]

    @classmethod
    def spec_checks(cls) -> list[Callable[[Any], Iterator[Finding]]]:
        return []

    def spec_notes(self) -> Iterator[Finding]:
        return iter(())


def _found(
    text: str, name: str, read: Callable[[str], Any], wanted: str, fits: Callable[[Any], bool]
) -> Iterator[Finding]:
    """One finding where the list in the field `name` cannot be read or does not fit."""
    try:
        why = "" if fits(read(text)) else "it has others"
    except ValueError as error:
        why = str(error)
    if why:
        yield Finding((name,), f'is "{text}"; it needs to be {wanted} ({why})')


def _pairs(text: str) -> tuple[tuple[float, float], ...]:
    """Single numbers, which count for both directions, or pairs (y, x). Raises ValueError."""
    found = literals.parse(text)
    if isinstance(found, float):
        raise ValueError("it is a number, not a list")
    pairs = []
    for item in found:
        both = (item, item) if isinstance(item, float) else item
        if len(both) != 2 or not isinstance(both[0], float) or not isinstance(both[1], float):
            raise ValueError("an entry is neither a number nor a pair")
        pairs.append((both[0], both[1]))
    return tuple(pairs)


def _above_0(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0


def _four(values: Sequence[float]) -> bool:
    return len(values) == 4 and _above_0(values)


def _seven(values: Sequence[float]) -> bool:
    return len(values) == MAPS + 1 and _above_0(values)


def _six_rows(values: Sequence[Sequence[float]]) -> bool:
    return len(values) == MAPS and all(_above_0(row) for row in values)


def _six_shares(values: Sequence[Sequence[float]]) -> bool:
    return _six_rows(values) and all(max(row) < 1 for row in values)
