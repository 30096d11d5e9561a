"""`jetson_config`: a taolite block for features of jetson-inference's train.py that TAO's schema lacks
(reference/jetson_workflows.md 2). A spec without this block follows TAO."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from taolite.spec import Finding, Float, SpecModel, check, field

__all__ = ["JetsonConfig"]


class JetsonConfig(SpecModel):
    """If this block is present, even empty, pictures are cropped as in torchvision and the run folder has train.py's
    files. Training crops have a random area and shape; other pictures are resized to the input's side and
    centre-cropped.
    """

    dataset_type: Literal["folder", "nuswide", "voc"] = field(
        "folder", doc="What train_dataset_path and val_dataset_path are: class folders, or the root of a tagged set."
    )
    multi_label: bool = field(False, doc="A picture has any number of classes: sigmoid instead of softmax.")
    multi_label_threshold: Float = field(0.5, gt=0, lt=1, doc="Score from which a class counts as found.")
    crop_area: Float = field(0.08, gt=0, le=1, doc="Share of a photo that a training crop shows at least.")
    head_rate: Float = field(1.0, gt=0, doc="The last layer's learning rate, as a multiple of the others'.")

    @check("dataset_type", "multi_label")
    def _tags_are_many(self) -> Iterator[Finding]:
        if self.dataset_type != "folder" and not self.multi_label:
            yield Finding(("dataset_type",), f'is "{self.dataset_type}", which needs `multi_label: true`')
