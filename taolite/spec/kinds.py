"""The kind of a spec file, from the names of its outermost fields."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from taolite.spec.files import own_errors, read_text
from taolite.spec.text import Block, Tree, parse

__all__ = ["Kind", "identify", "kind_of"]


class Kind(str, Enum):
    """The kinds that are recognised; the value is the name in messages."""

    DETECTNET = "DetectNet_v2 experiment"
    DETECTNET_INFERENCE = "DetectNet_v2 inference"
    DATASET_EXPORT = "data set conversion"
    CLASSIFICATION = "classification"
    MULTITASK_CLASSIFICATION = "multitask classification"
    SSD = "SSD"
    DSSD = "DSSD"
    FASTER_RCNN = "Faster R-CNN"
    RETINANET = "RetinaNet"
    YOLO_V3 = "YOLOv3"
    YOLO_V4 = "YOLOv4"
    UNET = "UNet"
    LPRNET = "LPRNet"
    EFFICIENTDET = "EfficientDet"
    UNKNOWN = "unknown"

    @property
    def is_read(self) -> bool:
        """True if this version reads specs of this kind."""
        return self in (
            Kind.DETECTNET,
            Kind.DETECTNET_INFERENCE,
            Kind.DATASET_EXPORT,
            Kind.CLASSIFICATION,
            Kind.SSD,
        )


# The first of these fields that the file has decides.
_TELLING = (
    ("ssd_config", Kind.SSD),
    ("dssd_config", Kind.DSSD),
    ("retinanet_config", Kind.RETINANET),
    ("yolov3_config", Kind.YOLO_V3),
    ("yolov4_config", Kind.YOLO_V4),
    ("lpr_config", Kind.LPRNET),
    ("inferencer_config", Kind.DETECTNET_INFERENCE),
    ("bbox_handler_config", Kind.DETECTNET_INFERENCE),
    ("kitti_config", Kind.DATASET_EXPORT),
    ("coco_config", Kind.DATASET_EXPORT),
    ("sample_modifier_config", Kind.DATASET_EXPORT),
    ("bbox_rasterizer_config", Kind.DETECTNET),
    ("cost_function_config", Kind.DETECTNET),
    ("postprocessing_config", Kind.DETECTNET),
    ("train_config", Kind.CLASSIFICATION),
    ("jetson_config", Kind.SSD),  # beside a train_config it is classification's
    ("enc_key", Kind.FASTER_RCNN),
    ("inference_config", Kind.FASTER_RCNN),
    ("nms_config", Kind.SSD),  # the evaluation specs of SSD carry no ssd_config
)

# If the file has none of them: a field inside an outermost one.
_TELLING_INSIDE = (
    ("model_config", "objective_set", Kind.DETECTNET),
    ("augmentation_config", "preprocessing", Kind.DETECTNET),
    ("model_config", "model_name", Kind.EFFICIENTDET),
    ("dataset_config", "data_class_config", Kind.UNET),
    ("dataset_config", "train_csv_path", Kind.MULTITASK_CLASSIFICATION),
)


def identify(path: Path | str) -> Kind:
    """The kind of the spec at `path`. Raises PathError if it cannot be read."""
    text = read_text(path)
    with own_errors(path):
        return kind_of(parse(text))


def kind_of(tree: Tree) -> Kind:
    """The kind of a parsed spec."""
    fields = _fields(tree.root)
    for name, kind in _TELLING:
        if name in fields:
            return kind
    for outer, inner, kind in _TELLING_INSIDE:
        if inner in fields.get(outer, ()):
            return kind
    return Kind.UNKNOWN


def _fields(block: Block) -> dict[str, set[str]]:
    """The names of the outermost fields, each with the names inside it."""
    fields: dict[str, set[str]] = {}
    for entry in block.entries:
        inside = fields.setdefault(entry.name, set())
        for value in entry.values:
            if isinstance(value, Block):
                inside.update(inner.name for inner in value.entries)
    return fields
