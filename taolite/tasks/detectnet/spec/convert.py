"""The spec of `dataset_convert`: KITTI or COCO labels into TFRecords (reference 1.14)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from taolite.spec import Finding, Float, OneOf, SpecModel, UInt, check, field

__all__ = ["COCOConfig", "DatasetExportSpec", "KITTIConfig", "SampleModifierConfig"]


class KITTIConfig(SpecModel):
    """A folder of images and a folder of KITTI labels."""

    root_directory_path: str = field("", doc="Folder that holds the others.")
    image_dir_name: str = field("", doc="Folder of the images below the root; also the prefix of `frame/id`.")
    label_dir_name: str = field("", doc="Folder of the labels below the root.")
    point_clouds_dir: str = field("", doc='Folder of the point clouds; "" is none.')
    calibrations_dir: str = field("", doc='Folder of the calibrations; "" is none.')
    kitti_sequence_to_frames_file: str = field("", doc="JSON below the root, sequence -> frames; for `sequence`.")
    image_extension: str = field(
        ".png", zero_is_default=True, doc='Extension of the images, with its dot, in this case; "" acts as .png.'
    )
    num_partitions: UInt = field(0, doc="Folds; `random` makes 2.")
    num_shards: UInt = field(0, doc="Files a fold is written to; 0 is one file.")
    partition_mode: Literal["random", "sequence"] = field(doc="How samples come to folds.")
    val_split: Float = field(0.0, ge=0, le=100, unit="%", doc="Share of the samples in fold 0; for `random`.")

    @check("partition_mode", "num_partitions", "kitti_sequence_to_frames_file")
    def _mode_has_what_it_needs(self) -> Iterator[Finding]:
        if self.partition_mode == "random" and self.num_partitions != 2:
            yield Finding(("num_partitions",), f"is {self.num_partitions}; it needs to be 2 for the mode `random`")
        if self.partition_mode == "sequence" and not self.kitti_sequence_to_frames_file:
            text = "is missing; the mode `sequence` needs it, a JSON file of sequence -> frames"
            yield Finding(("kitti_sequence_to_frames_file",), text)


class COCOConfig(SpecModel):
    """COCO annotation files, one for each fold."""

    root_directory_path: str = field("", doc="Folder that holds the others.")
    img_dir_names: tuple[str, ...] = field((), doc="Folder of the images, of each fold.")
    annotation_files: tuple[str, ...] = field((), doc="Annotation file, of each fold.")
    num_partitions: UInt = field(0, doc="Folds.")
    num_shards: tuple[UInt, ...] = field((), doc="Files, of each fold; one number is for all.")

    @check("img_dir_names", "annotation_files", "num_partitions", "num_shards")
    def _one_of_each_per_fold(self) -> Iterator[Finding]:
        for name in ("img_dir_names", "annotation_files"):
            count = len(getattr(self, name))
            if count != self.num_partitions:
                text = f"are {count}; there need to be {self.num_partitions}, one for each of num_partitions"
                yield Finding((name,), text)
        if len(self.num_shards) not in (0, 1, self.num_partitions):
            text = f"are {len(self.num_shards)}; there need to be 1 or {self.num_partitions} (num_partitions)"
            yield Finding(("num_shards",), text)


class SampleModifierConfig(SpecModel):
    """Which samples are dropped or duplicated in the conversion."""

    filter_samples_containing_only: tuple[str, ...] = field((), doc="Drop samples with only one class, one of these.")
    dominant_target_classes: tuple[str, ...] = field((), doc="Classes that others are weighed against.")
    minimum_target_class_imbalance: dict[str, Float] = field(
        {}, doc="Ratio to a dominant class from which a sample is doubled; 1.0 where a class has none."
    )
    num_duplicates: UInt = field(0, doc="Extra copies of such a sample.")
    max_training_samples: UInt = field(0, doc="Cap over all training folds; 0 is none.")
    source_to_target_class_mapping: dict[str, str] = field({}, doc="Name in the labels -> class.")

    @check("filter_samples_containing_only", "dominant_target_classes", "source_to_target_class_mapping")
    def _classes_are_mapped(self) -> Iterator[Finding]:
        known = set(self.source_to_target_class_mapping.values())
        for field_name in ("filter_samples_containing_only", "dominant_target_classes"):
            for index, name in enumerate(getattr(self, field_name)):
                if name not in known:
                    text = f'is "{name}"; it needs to be a value of source_to_target_class_mapping'
                    yield Finding((field_name, index), text)


class DatasetExportSpec(SpecModel):
    """The whole spec of `dataset_convert`."""

    one_of: ClassVar = (OneOf("source of labels", ("kitti_config", "coco_config"), required=True),)

    coco_config: COCOConfig | None = field(None, doc="Labels in COCO's format.")
    kitti_config: KITTIConfig | None = field(None, doc="Labels in KITTI's format.")
    sample_modifier_config: SampleModifierConfig | None = field(None, doc="Which samples are dropped or doubled.")
    image_directory_path: str = field("", doc="Accepted; the folders of kitti_config or coco_config are used.")
    target_class_mapping: dict[str, str] = field({}, doc="Accepted; the names of the labels are written as they are.")
