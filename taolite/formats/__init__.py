"""Label formats: labelme, KITTI, Pascal VOC, COCO, YOLO and TAO's TFRecords, each in a module of its own.

`read` gives samples from any of them, `write` takes samples to any of them. TFRecords hold no pictures and have their
own pair, `taolite.formats.tfrecord.read_records` and `write_records`.
"""

from taolite.formats.reading import FORMATS, detect, read
from taolite.formats.writing import WriteReport, choose_classes, write

__all__ = ["FORMATS", "WriteReport", "choose_classes", "detect", "read", "write"]
