"""Data paths and augmentation: `dataset_config` and `augmentation_config` (reference/tao_classification_ssd.md 4.1,
4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from taolite.spec import Finding, Float, Int, Key, SpecModel, check, field

__all__ = ["AugmentationConfig", "DataSource", "DatasetConfig"]


class DataSource(SpecModel):
    """Folders of pictures and KITTI labels, or the records that `dataset_convert` made of them."""

    label_directory_path: str = field("", doc="Folder of KITTI labels, one file for each picture.")
    image_directory_path: str = field("", doc="Folder of the pictures.")
    root_path: str = field("", ignored="folders are given whole, as in TAO", doc="Without effect.")
    tfrecords_path: str = field("", doc="Glob of TFRecords, instead of labels.")

    @property
    def has_folders(self) -> bool:
        """Whether both folders are given."""
        return bool(self.label_directory_path and self.image_directory_path)


class DatasetConfig(SpecModel):
    """The data of training and validation."""

    data_sources: tuple[DataSource, ...] = field((), doc="What is trained on.")
    target_class_mapping: dict[str, str] = field(
        min_length=1, doc="Name in the labels -> class; both count in lower case, other names are left out."
    )
    validation_data_sources: tuple[DataSource, ...] = field((), doc="What is validated on; folders only.")
    include_difficult_in_training: bool = field(False, doc="Occluded objects are learned in any case, as in TAO.")
    type: str = field("", ignored="labels of folders are KITTI's", doc="Without effect.")

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the network's outputs, without background."""
        return tuple(sorted({target.lower() for target in self.target_class_mapping.values()}))

    @property
    def validated(self) -> tuple[DataSource, ...]:
        """validation_data_sources without those that have an empty folder, which TAO ignores too."""
        return tuple(source for source in self.validation_data_sources if source.has_folders)

    @check("data_sources")
    def _sources_have_something(self) -> Iterator[Finding]:
        for index, source in enumerate(self.data_sources):
            if not source.tfrecords_path and not source.has_folders:
                text = "needs `label_directory_path` and `image_directory_path`, or `tfrecords_path`"
                yield Finding(("data_sources", index), text)

    def spec_notes(self) -> Iterator[Finding]:
        if "include_difficult_in_training" in self.model_fields_set and not self.include_difficult_in_training:
            yield Finding(("include_difficult_in_training",), "has no effect: occluded objects are learned, as in TAO")
        for source, target in self.target_class_mapping.items():
            if target != target.lower():
                text = f'is "{target}"; the class is called "{target.lower()}", in lower case, everywhere'
                yield Finding(("target_class_mapping", Key(source)), text)
        for index, held_out in enumerate(self.validation_data_sources):
            if not held_out.has_folders:
                text = "has no label or no image folder and is passed over, as in TAO"
                yield Finding(("validation_data_sources", index), text)
            elif held_out.tfrecords_path:
                text = "has no effect: validation reads the folders, as in TAO"
                yield Finding(("validation_data_sources", index, "tfrecords_path"), text)


class AugmentationConfig(SpecModel):
    """Preprocessing of photos to the network input, and augmentation of training photos; 0 means unset."""

    output_width: Int = field(gt=32, unit="px", doc="Width of the network's input.")
    output_height: Int = field(gt=32, unit="px", doc="Height of the network's input.")
    output_channel: Literal[1, 3] = field(doc="3 for colour, 1 for grey.")
    random_crop_min_scale: Float = field(
        0.3,
        gt=0,
        le=1,
        zero_is_default=True,
        doc="Least side of a random crop, as a share of the photo's; both 1: none.",
    )
    random_crop_max_scale: Float = field(1.0, gt=0, le=1, zero_is_default=True, doc="Largest side of a random crop.")
    random_crop_min_ar: Float = field(0.5, gt=0, zero_is_default=True, doc="Least width over height of a random crop.")
    random_crop_max_ar: Float = field(2.0, gt=0, zero_is_default=True, doc="Largest width over height.")
    zoom_out_min_scale: Float = field(
        1.0, ge=1, zero_is_default=True, doc="Least canvas a photo is put on, in its own sides; both 1: none."
    )
    zoom_out_max_scale: Float = field(4.0, ge=1, zero_is_default=True, doc="Largest canvas.")
    brightness: Int = field(0, ge=0, doc="Largest change, of 0..255; 0 is none.")
    contrast: Float = field(0.0, ge=0, lt=1, doc="Largest change of the contrast's factor 1; 0 is none.")
    saturation: Float = field(0.0, ge=0, lt=1, doc="Largest change of the saturation's factor 1; 0 is none.")
    hue: Int = field(0, ge=0, doc="Largest turn of the hue, of OpenCV's 0..180; 0 is none.")
    random_flip: Float = field(0.0, ge=0, lt=1, doc="Chance of mirroring left to right; 0 is none.")
    image_mean: dict[str, Float] = field({}, doc="Mean of the channels r, g, b or l, 0..255; absent is ImageNet's.")

    @check(
        "random_crop_min_scale", "random_crop_max_scale", "random_crop_min_ar", "random_crop_max_ar",
        "zoom_out_min_scale", "zoom_out_max_scale",
    )  # fmt: skip
    def _ranges_ascend(self) -> Iterator[Finding]:
        for low, high in (
            ("random_crop_min_scale", "random_crop_max_scale"),
            ("random_crop_min_ar", "random_crop_max_ar"),
            ("zoom_out_min_scale", "zoom_out_max_scale"),
        ):
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                absent = "" if high in self.model_fields_set else " (absent)"
                yield Finding((high,), f"is {most:g}{absent}; it needs to be {least:g} ({low}) or more")

    @check("image_mean", "output_channel")
    def _means_are_of_the_channels(self) -> Iterator[Finding]:
        wanted = ("l",) if self.output_channel == 1 else ("r", "g", "b")
        for name, mean in self.image_mean.items():
            if name not in ("r", "g", "b", "l"):
                yield Finding(("image_mean", Key(name)), "is no channel; the keys are `r`, `g` and `b`, or `l` of grey")
            elif not 0 <= mean <= 255:
                yield Finding(("image_mean", Key(name)), f"is {mean:g}; it needs to be from 0 to 255")
        missing = [f"`{name}`" for name in wanted if name not in self.image_mean]
        if self.image_mean and missing:
            kind = "grey" if self.output_channel == 1 else "in colour"
            yield Finding(("image_mean",), f"has no {' and '.join(missing)}, and the input is {kind}")
