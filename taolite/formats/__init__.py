"""Label formats: labelme, KITTI, Pascal VOC, COCO, YOLO and more, each in a module of its own.

`read` gives samples from any of them, `write` takes samples to those that can be written; `registry.ROWS` lists them.
TFRecords hold no pictures and have their own pair, `taolite.formats.tfrecord.read_records` and `write_records`.
"""

from taolite.formats.reading import detect, read
from taolite.formats.registry import format_names
from taolite.formats.writing import WriteReport, choose_classes, write

__all__ = ["FORMATS", "WriteReport", "choose_classes", "detect", "format_names", "read", "write"]

FORMATS = format_names(written=True)
