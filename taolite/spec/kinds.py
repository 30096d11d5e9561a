"""Which kind of spec a file is, told from the names of its outermost fields."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from taolite.spec.text import Block, Tree, parse

__all__ = ["Kind", "identify", "kind_of"]


class Kind(str, Enum):
    """The kinds that can be told apart; the value is what a message calls them."""

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
        """Whether this version reads specs of this kind."""
        return self in (Kind.DETECTNET, Kind.DETECTNET_INFERENCE, Kind.DATASET_EXPORT)


# The first field found in the file decides.
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
    ("enc_key", Kind.FASTER_RCNN),
    ("inference_config", Kind.FASTER_RCNN),
)


def identify(path: Path | str) -> Kind:
    """The kind of the spec at `path`. Raises PathError where it cannot be read."""
    from taolite.spec.load import read_text

    return kind_of(parse(read_text(path)))


def kind_of(tree: Tree) -> Kind:
    """The kind of a spec that was parsed already."""
    fields = _fields(tree.root)
    for name, kind in _TELLING:
        if name in fields:
            return kind
    if "nms_config" in fields:
        return Kind.SSD  # the evaluation specs of SSD carry no ssd_config
    model, dataset = fields.get("model_config"), fields.get("dataset_config")
    if model and {"efficientdet", "model_name"} & set(model):
        return Kind.EFFICIENTDET
    if dataset and "data_class_config" in dataset:
        return Kind.UNET
    return Kind.UNKNOWN


def _fields(block: Block) -> dict[str, dict[str, object]]:
    """The names of the outermost fields, each with the names inside it."""
    fields: dict[str, dict[str, object]] = {}
    for entry in block.entries:
        inside = fields.setdefault(entry.name, {})
        for value in entry.values:
            if isinstance(value, Block):
                inside.update({inner.name: inner for inner in value.entries})
    return fields
