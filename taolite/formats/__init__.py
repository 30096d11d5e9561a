"""Label formats: labelme, KITTI, Pascal VOC, COCO, YOLO and TAO's TFRecords, each in a module of its own.

`read` gives samples from any of them. TFRecords hold no pictures and are read by
`taolite.formats.tfrecord.read_records`.
"""

from taolite.formats.reading import FORMATS, detect, read

__all__ = ["FORMATS", "detect", "read"]
