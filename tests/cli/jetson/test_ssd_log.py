"""train_ssd.py's lines, as the tutorial shows them."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np

from taolite.cli.jetson.ssd_log import SsdLog
from taolite.events import (
    BatchDone,
    BatchDrawn,
    ClassesMissing,
    DataFound,
    EpochDone,
    Event,
    Intervals,
    ModelKept,
    Notice,
    Saved,
    Validated,
)
from taolite.sample import Truth
from taolite.scorecard import AP, Metric
from taolite.tasks.base import FLAGS

TIME = "2024-08-09 11:16:58 - "


def printed(tmp_path: Path, *events: Event, every: int = 10, level: str = "info") -> list[str]:
    stream = io.StringIO()
    clock = lambda: datetime(2024, 8, 9, 11, 16, 58)  # noqa: E731
    with SsdLog(tmp_path, every=every, level=level, stream=stream, clock=clock) as log:
        log.expect(["Build network.", "Uses CosineAnnealingLR scheduler."])
        for event in events:
            log(event)
    lines = stream.getvalue().splitlines()
    assert all(line.startswith(TIME) for line in lines)
    return [line.removeprefix(TIME) for line in lines]


def batch(number: int, regression: float, classification: float, *, epoch: int | None = 1) -> BatchDone:
    values = {"loss": regression + classification, "regression": regression, "classification": classification}
    return BatchDone(epoch, number, 1252, 4, 0.1, 0.0, values)


def test_a_step_s_line_is_the_tutorial_s_and_its_first_average_is_over_all_11_batches(tmp_path: Path):
    events = [batch(1, 17.0, 8.0), *(batch(number, 6.0, 7.0) for number in range(2, 22))]

    # (17 + 10 * 6) / 11 and (8 + 10 * 7) / 11; train_ssd.py would divide by 10
    assert printed(tmp_path, *events) == [
        f"Stored labels into file {tmp_path / 'labels.txt'}.",
        "Start training from epoch 0.",
        "Epoch: 0, Step: 10/1252, Avg Loss: 14.0909, Avg Regression Loss 7.0000, Avg Classification Loss: 7.0909",
        "Epoch: 0, Step: 20/1252, Avg Loss: 13.0000, Avg Regression Loss 6.0000, Avg Classification Loss: 7.0000",
    ]


def test_an_epoch_ends_with_its_means_the_validation_s_and_the_saved_model(tmp_path: Path):
    epoch = EpochDone(2, 30, 1252, 5.0, 0.01, 100.0, 0.0, 83.21, 0.0)
    validated = Validated(2, 30, 1252, 3.0, Metric(AP, 0.75, {"plate": 0.75}), 0.01)
    best = Saved(Path("m/model_best.tlt"), "best", 2)
    last = Saved(Path("m/mb1-ssd-Epoch-1-Loss-3.0.tlt"), "last", 2)

    lines = printed(tmp_path, batch(1, 2.0, 3.0, epoch=2), epoch, batch(1, 1.0, 2.0, epoch=None), validated, best, last)

    assert lines == [
        f"Stored labels into file {tmp_path / 'labels.txt'}.",
        "Start training from epoch 1.",
        "Epoch: 1, Training Loss: 5.0000, Training Regression Loss 2.0000, Training Classification Loss: 3.0000",
        "Epoch: 1, Validation Loss: 3.0000, Validation Regression Loss 1.0000, Validation Classification Loss: 2.0000",
        "Epoch: 1, Average Precision Per-class:",
        "    plate: 0.75",
        "Epoch: 1, Mean Average Precision (mAP):  0.75",
        "Saved best model m/model_best.tlt",
        "Saved model m/mb1-ssd-Epoch-1-Loss-3.0.tlt",
    ]
    assert list(tmp_path.glob("tensorboard/20240809_111658/events.out.tfevents.*"))


def test_sizes_of_the_data_are_told_in_train_ssd_py_s_words_and_tao_s_are_not_told(tmp_path: Path):
    events = (
        DataFound(5006, 12, 4),
        Intervals(1, 10, None),
        ModelKept(12),
        Notice("on a processor"),
        Notice("look out", "warning"),
    )

    assert printed(tmp_path, *events) == [
        "Train dataset size: 5006",
        "Validation dataset size: 12",
        "Build network.",
        "Uses CosineAnnealingLR scheduler.",
        "on a processor",
        "warning: look out",
    ]
    assert printed(tmp_path, *events, level="warning") == ["warning: look out"]


def test_flags_need_no_name_before_a_warning(tmp_path: Path):
    assert printed(tmp_path, ClassesMissing(FLAGS, ("plate",))) == [
        "warning: no training image has a label of plate, which cannot be learned"
    ]


def test_debug_lists_the_pictures_of_a_batch_with_their_boxes_and_labels_before_it_is_trained_on(tmp_path: Path):
    shown = Truth(np.float32([[1, 2, 30.25, 40], [0, 0, 9, 9]]), np.array([1, 0]))
    events = (
        BatchDrawn(1, (("set/a.1.jpg", shown), ("set/b.jpg", shown.only(np.array([False, False]))))),
        batch(1, 1, 2),
    )

    lines = printed(tmp_path, *events, level="debug")

    assert lines[:2] == [
        "image_id=a.1 boxes=[[1.0, 2.0, 30.2, 40.0], [0.0, 0.0, 9.0, 9.0]] labels=[2, 1]",
        "image_id=b boxes=[] labels=[]",
    ]
    assert not any("image_id" in line for line in printed(tmp_path, *events))
