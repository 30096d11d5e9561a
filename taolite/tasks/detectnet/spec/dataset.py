"""The data and its augmentation: `dataset_config` and `augmentation_config` (reference 1.4, 1.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from taolite.spec import Finding, Float, OneOf, SpecEnum, SpecModel, UInt, check, field

__all__ = [
    "AugmentationConfig",
    "ColorAugmentation",
    "DataSource",
    "DataloaderMode",
    "DatasetConfig",
    "Preprocessing",
    "SamplingMode",
    "SpatialAugmentation",
]


class DataloaderMode(SpecEnum):
    """Which of TAO's data loaders to follow."""

    MULTISOURCE = "MULTISOURCE"
    LEGACY = "LEGACY"
    DEFAULT = "DEFAULT"


class SamplingMode(SpecEnum):
    """How several data sources are mixed."""

    USER_DEFINED = "USER_DEFINED"
    PROPORTIONAL = "PROPORTIONAL"
    UNIFORM = "UNIFORM"


class DataSource(SpecModel):
    """TFRecords, and the folder of their images."""

    tfrecords_path: str = field(min_length=1, doc="Glob of the TFRecords.")
    image_directory_path: str = field(min_length=1, doc="Folder below which the records' image paths lie.")
    source_weight: Float = field(
        1.0,
        ge=0,
        zero_is_default=True,
        doc="Factor of the loss of this source's samples; 0 acts as 1.",
    )


class DatasetConfig(SpecModel):
    """The data of training and validation."""

    one_of: ClassVar = (OneOf("kind of validation data", ("validation_fold", "validation_data_source")),)

    data_sources: tuple[DataSource, ...] = field(min_length=1, doc="TFRecords to train on.")
    image_extension: str = field(min_length=1, doc="Extension of the images, without the dot: jpg, png, jpeg.")
    target_class_mapping: dict[str, str] = field(
        min_length=1, doc="Name in the records (lower case) -> target class; labels of other names are left out."
    )
    validation_fold: UInt | None = field(None, doc="Fold that is held out for validation; 0 counts as set.")
    validation_data_source: DataSource | None = field(None, doc="Records of their own for validation.")
    dataloader_mode: DataloaderMode = field(DataloaderMode.MULTISOURCE, doc="Which of TAO's loaders to follow.")
    sampling_mode: SamplingMode = field(SamplingMode.USER_DEFINED, doc="How several data sources are mixed.")

    def spec_notes(self) -> Iterator[Finding]:
        if self.image_extension.startswith("."):
            text = f'is "{self.image_extension}"; it is taken without its dot'
            yield Finding(("image_extension",), text)
        if self.sampling_mode is SamplingMode.UNIFORM and self.dataloader_mode is not DataloaderMode.MULTISOURCE:
            text = f"is UNIFORM, which only the loader MULTISOURCE obeys; with {self.dataloader_mode} sizes decide"
            yield Finding(("sampling_mode",), text)
        capitals = [f'"{name}"' for name in self.target_class_mapping if name != name.lower()]
        if capitals:
            text = f"has keys with capitals ({', '.join(capitals)}); records have none, so they match in lower case"
            yield Finding(("target_class_mapping",), text)
        for target in dict.fromkeys(self.target_class_mapping.values()):
            if target not in self.target_class_mapping:
                text = f'maps to "{target}" and has no key "{target}"; TAO 5.0 would learn no such box, here they count'
                yield Finding(("target_class_mapping",), text)


class Preprocessing(SpecModel):
    """The network's input."""

    output_image_width: UInt = field(gt=0, multiple_of=16, unit="px", doc="Width of the network's input.")
    output_image_height: UInt = field(gt=0, multiple_of=16, unit="px", doc="Height of the network's input.")
    output_image_min: UInt = field(
        0,
        unit="px",
        doc="Above 0: resize the shorter side to this, keeping the aspect, without crop and augmentation; 0 is off.",
    )
    output_image_max: UInt = field(0, unit="px", doc="Cap of the longer side with output_image_min; 0 is none.")
    enable_auto_resize: bool = field(False, doc="Stretch every image to the output size instead of crop and pad.")
    output_image_channel: Literal[1, 3] = field(doc="3 for RGB, 1 for grey.")
    crop_left: UInt = field(0, unit="px", doc="Left edge of the crop; all four 0 is the whole output size.")
    crop_top: UInt = field(0, unit="px", doc="Top edge of the crop.")
    crop_right: UInt = field(0, unit="px", doc="Right edge of the crop.")
    crop_bottom: UInt = field(0, unit="px", doc="Bottom edge of the crop.")
    min_bbox_width: Float = field(
        0.0, ge=0, unit="px", doc="Thinner boxes are dropped by the loaders DEFAULT and LEGACY; by MULTISOURCE below 1."
    )
    min_bbox_height: Float = field(
        0.0, ge=0, unit="px", doc="Lower boxes are dropped by the loaders DEFAULT and LEGACY; by MULTISOURCE below 1."
    )
    scale_width: Float = field(0.0, ge=0, doc="Factor of the image's width before the crop; 0 is none.")
    scale_height: Float = field(0.0, ge=0, doc="Factor of the image's height before the crop; 0 is none.")

    @property
    def crops(self) -> bool:
        """Whether the spec sets a crop."""
        return bool(self.crop_left or self.crop_top or self.crop_right or self.crop_bottom)

    @check("crop_left", "crop_top", "crop_right", "crop_bottom", "output_image_width", "output_image_height")
    def _crop_is_a_rectangle(self) -> Iterator[Finding]:
        if not self.crops:
            return
        for low, high, size in (
            ("crop_left", "crop_right", "output_image_width"),
            ("crop_top", "crop_bottom", "output_image_height"),
        ):
            start, end, wanted = getattr(self, low), getattr(self, high), getattr(self, size)
            if end - start != wanted:
                text = f"is {end} with {low} {start}; it needs to be {start + wanted}, {low} plus {size}"
                yield Finding((high,), text)

    def spec_notes(self) -> Iterator[Finding]:
        mode = "output_image_min" if self.output_image_min else "enable_auto_resize"
        if not getattr(self, mode):
            return
        for name in ("crop_left", "crop_top", "scale_width", "scale_height"):
            if getattr(self, name):
                yield Finding((name,), f"has no effect beside {mode}, which resizes the whole image")
        if self.output_image_min and self.enable_auto_resize:
            yield Finding(("enable_auto_resize",), "has no effect beside output_image_min, which keeps the aspect")


class SpatialAugmentation(SpecModel):
    """Random geometric changes; a missing field changes nothing."""

    hflip_probability: Float = field(0.0, ge=0, le=1, doc="Chance of mirroring left to right.")
    vflip_probability: Float = field(0.0, ge=0, le=1, doc="Chance of mirroring top to bottom.")
    zoom_min: Float = field(
        1.0, gt=0, doc="Least zoom; above 1 the content shrinks with MULTISOURCE and grows with DEFAULT and LEGACY."
    )
    zoom_max: Float = field(1.0, gt=0, doc="Largest zoom.")
    translate_max_x: Float = field(
        0.0, ge=0, unit="px", doc="Largest shift to either side; truncated to a whole number."
    )
    translate_max_y: Float = field(0.0, ge=0, unit="px", doc="Largest shift up or down; truncated to a whole number.")
    rotate_rad_max: Float = field(
        0.0, ge=0, doc="Largest angle; degrees with MULTISOURCE, despite its name, radians with DEFAULT and LEGACY."
    )
    rotate_probability: Float = field(
        1.0, ge=0, le=1, zero_is_default=True, doc="Chance of rotating; 0 acts as 1, as in TAO."
    )

    @check("zoom_min", "zoom_max")
    def _zoom_grows(self) -> Iterator[Finding]:
        if self.zoom_max < self.zoom_min:
            text = f"is {self.zoom_max:g}; it needs to be {self.zoom_min:g} (zoom_min) or more"
            yield Finding(("zoom_max",), text)

    def spec_notes(self) -> Iterator[Finding]:
        for name in ("zoom_min", "zoom_max"):
            if name not in self.model_fields_set:
                yield Finding((name,), "is absent, which TAO refuses; 1.0 is used")


class ColorAugmentation(SpecModel):
    """Random colour changes; a missing field changes nothing. Has no effect on 1-channel input."""

    color_shift_stddev: Float = field(
        0.0, ge=0, le=1, doc="Standard deviation of the brightness shift, of a range of 1."
    )
    hue_rotation_max: Float = field(0.0, ge=0, le=360, unit="degrees", doc="Largest turn of the hue.")
    saturation_shift_max: Float = field(0.0, ge=0, le=1, doc="Largest change of the saturation's factor.")
    contrast_scale_max: Float = field(0.0, ge=0, le=1, doc="Largest change of the contrast's factor.")
    contrast_center: Float = field(0.0, ge=0, le=1, doc="The value that contrast leaves alone, usually 0.5.")


class AugmentationConfig(SpecModel):
    """Preprocessing from image to network input, and random augmentation."""

    preprocessing: Preprocessing = field(doc="The network's input.")
    spatial_augmentation: SpatialAugmentation | None = field(None, doc="Random geometry; absent is none.")
    color_augmentation: ColorAugmentation | None = field(None, doc="Random colour; absent is none.")

    def spec_notes(self) -> Iterator[Finding]:
        if self.spatial_augmentation is None:
            yield Finding(("spatial_augmentation",), "is absent, which TAO refuses; images are not moved or flipped")
        if self.color_augmentation and self.preprocessing.output_image_channel == 1:
            yield Finding(("color_augmentation",), "has no effect on grey images")
        if self.preprocessing.output_image_min and (self.spatial_augmentation or self.color_augmentation):
            text = "is above 0; there is neither crop nor augmentation with it, as in TAO"
            yield Finding(("preprocessing", "output_image_min"), text)
