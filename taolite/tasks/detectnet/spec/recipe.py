"""taolite's own block of a DetectNet spec, `taolite { ... }`: training for few pictures and photographs of any shape.

TAO's files never need it. Each part that is absent leaves training as TAO does it (docs/cookbook/recipe.md).
"""

from __future__ import annotations

from collections.abc import Iterator

from taolite.spec import Finding, Float, Int, SpecEnum, SpecModel, check, field
from taolite.tasks.fitting import AnnealedFitting
from taolite.tasks.teaching import TeacherConfig

__all__ = ["BoxLoss", "LoadingConfig", "LossConfig", "TaoliteConfig", "ViewsConfig"]


class ViewsConfig(SpecModel):
    """Random views of the training pictures, in place of spatial_augmentation and color_augmentation."""

    mosaic_probability: Float = field(0.5, ge=0, le=1, doc="Chance of a view that joins four pictures.")
    mosaic_until: Float = field(0.85, ge=0, le=1, doc="Share of the epochs after which there are no mosaics.")
    scale_min: Float = field(0.6, gt=0, doc="Least size of a picture, relative to the one that fills the input.")
    scale_max: Float = field(1.6, gt=0, doc="Largest size of a picture, relative to the one that fills the input.")
    mosaic_scale_min: Float = field(0.5, gt=0, doc="Least size of a picture in a mosaic, relative to the same.")
    mosaic_scale_max: Float = field(1.0, gt=0, doc="Largest size of a picture in a mosaic, relative to the same.")
    aspect_max: Float = field(0.2, ge=0, le=1, doc="Largest change of the aspect: a factor of exp(aspect_max).")
    least_visible: Float = field(0.3, ge=0, le=1, doc="Objects of which a smaller share is left in view are dropped.")
    hflip_probability: Float = field(0.5, ge=0, le=1, doc="Chance of mirroring left to right.")
    vflip_probability: Float = field(0.0, ge=0, le=1, doc="Chance of mirroring top to bottom.")
    brightness_max: Float = field(0.2, ge=0, le=1, doc="Largest shift of the brightness, of a range of 1.")
    contrast_max: Float = field(0.3, ge=0, lt=1, doc="Largest change of the contrast's factor.")
    saturation_max: Float = field(0.5, ge=0, lt=1, doc="Largest change of the saturation's factor.")
    hue_max: Float = field(0.0, ge=0, le=180, unit="degrees", doc="Largest turn of the hue.")

    @check("scale_min", "scale_max", "mosaic_scale_min", "mosaic_scale_max")
    def _scale_grows(self) -> Iterator[Finding]:
        for which in ("scale", "mosaic_scale"):
            least, most = getattr(self, f"{which}_min"), getattr(self, f"{which}_max")
            if most < least:
                yield Finding((f"{which}_max",), f"is {most:g}; it needs to be {least:g} ({which}_min) or more")


class BoxLoss(SpecEnum):
    """The cost of a box."""

    GIOU = "GIOU"
    L1 = "L1"


class LossConfig(SpecModel):
    """A cost in place of TAO's: focal coverage, and boxes by their overlap; weights and auto-weighting are not used."""

    quality: bool = field(True, doc="Coverage learns how well the cell's own box fits (its IoU) instead of 1.")
    focus: Float = field(2.0, ge=0, doc="Exponent that lowers the weight of cells that are right already; 0 is none.")
    box: BoxLoss = field(BoxLoss.GIOU, doc="1 - generalised IoU, or absolute differences by the object's size.")
    box_weight: Float = field(1.5, gt=0, doc="Weight of the boxes beside the coverage.")
    smaller_wins: bool = field(True, doc="Of two objects on one cell the smaller is learned; else the lower.")


class LoadingConfig(SpecModel):
    """Faster loading of training pictures."""

    cache_mb: Int = field(
        512, ge=0, unit="MB", doc="Decoded pictures are kept in each process if all of them take no more; 0 is off."
    )
    cache_folder: str = field("", doc="Keep decoded pictures in a file in this folder instead of in memory.")
    scaled_jpeg: bool = field(
        False, doc="JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where no view needs more; other pixels."
    )


class TaoliteConfig(SpecModel):
    """What taolite adds to TAO's training."""

    keep_aspect: bool = field(False, doc="Pictures fill the input with their aspect kept; the rest is black.")
    views: ViewsConfig | None = field(None, doc="Random views.")
    loss: LossConfig | None = field(None, doc="The cost.")
    fitting: AnnealedFitting | None = field(None, doc="Optimisation.")
    loading: LoadingConfig | None = field(None, doc="Loading of pictures.")
    teacher: TeacherConfig | None = field(None, doc="A trained model to learn from beside the labels.")
