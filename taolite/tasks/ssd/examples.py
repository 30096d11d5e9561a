"""The data of a plan as training and evaluation take it: usable samples, views, targets.

Boxes that no prior can match are left out of training and evaluation, and each is reported with its file and line:
numbers that are not finite, swapped or equal corners, a position outside the photo. A picture with no box left is
trained on as background, as is one whose objects all belong to unused classes. A picture whose objects are all
difficult is left out of training: it is not background, and there is nothing else to learn from it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from taolite.data.examples import BoxRule, Encoder, Examples
from taolite.data.ssd_views import ssd_augment
from taolite.errors import DataError
from taolite.events import Notice
from taolite.formats.findings import SHOWN
from taolite.formats.packed import pack
from taolite.sample import Label, Sample, Truth
from taolite.tasks.base import Resolve, Split
from taolite.tasks.ssd.plan import SsdPlan

__all__ = ["ssd_examples"]

_TRAINED = BoxRule(1.0, 1.0, cut=True)
_JUDGED = BoxRule(1e-3, 1e-3, cut=True)


def ssd_examples(plan: SsdPlan, split: Split, *, resolve: Resolve, augment: bool, encoder: Encoder | None) -> Examples:
    """The pictures of a split, with the targets of `encoder` where there is one.

    Raises PathError, DataError; also DataError where no picture is left.
    """
    sources, said = plan.sources(split, resolve=resolve)
    left_out: list[str] = []
    teaches_nothing: list[str] = []

    def usable(samples: Sequence[Sample]) -> Iterator[Sample]:
        for sample in samples:
            real = _with_real_boxes(sample, left_out)
            if split == "train" and not plan.learns_difficult and any(label.difficult for label in real.labels):
                if all(label.difficult for label in real.labels):
                    teaches_nothing.append(f"{_of(real)}: every object is difficult; it is left out")
                    continue
                real = _without_difficult(real)
            yield real

    kept = [dataclasses.replace(source, samples=pack(usable(source.samples))) for source in sources]
    notices = [*said, *_shortened(left_out, "boxes"), *_shortened(teaches_nothing, "pictures")]
    if not any(source.samples for source in kept):
        why = next((notice.text for notice in notices if notice.level == "warning"), "it is empty")
        raise DataError(f"no picture of the {split} split can be used; {why}")
    return Examples(
        sources=kept,
        class_of=plan.class_of,
        preprocessing=plan.preprocessing,
        encode=_Encode(encoder, plan.learns_difficult),
        augment=ssd_augment(plan.views, plan.preprocessing.input_hw) if augment else None,
        seed=plan.recipe.seed,
        fitted_rule=BoxRule(0.0, 0.0),
        view_rule=_TRAINED if augment else _JUDGED,
        notices=tuple(notices),
    )


@dataclasses.dataclass(frozen=True)
class _Encode:
    """The training targets of an image; none without an encoder."""

    encoder: Encoder | None
    learns_difficult: bool

    def __call__(self, truth: Truth, weight: float) -> dict[str, NDArray[np.float32]]:
        if self.encoder is None:
            return {}
        if not self.learns_difficult and truth.difficult_n is not None:
            truth = truth.only(~truth.difficult_n)
        return dict(self.encoder(truth, weight))


def _with_real_boxes(sample: Sample, left_out: list[str]) -> Sample:
    kept = []
    for label in sample.labels:
        if (wrong := _wrong(label, sample.size_hw)) is None:
            kept.append(label)
        else:
            line = f":{label.line}" if label.line else ""
            left_out.append(f"{_of(sample)}{line}: the box of `{label.name}` {wrong}; it is left out")
    return sample if len(kept) == len(sample.labels) else dataclasses.replace(sample, labels=tuple(kept))


def _wrong(label: Label, size_hw: tuple[int, int]) -> str | None:
    """Why a box cannot be learned or found; None where it can."""
    x1, y1, x2, y2 = label.box
    corners = f"({x1:g}, {y1:g}) to ({x2:g}, {y2:g})"
    if not all(map(math.isfinite, label.box)):
        return f"from {corners} is not finite"
    if x1 >= x2 or y1 >= y2:
        return f"from {corners} has no area"
    if x1 >= size_hw[1] or y1 >= size_hw[0] or x2 <= 0 or y2 <= 0:
        return f"from {corners} lies outside the picture of {size_hw[1]}x{size_hw[0]} pixels"
    return None


def _without_difficult(sample: Sample) -> Sample:
    return dataclasses.replace(sample, labels=tuple(label for label in sample.labels if not label.difficult))


def _of(sample: Sample) -> str:
    """The file that messages name for this sample."""
    return str(sample.source or sample.image)


def _shortened(texts: Sequence[str], what: str) -> Iterator[Notice]:
    for text in texts[:SHOWN]:
        yield Notice(text, "warning")
    if len(texts) > SHOWN:
        text = f"{len(texts) - SHOWN} more {what} like these are left out; `taolite dataset check` lists them"
        yield Notice(text, "warning")
