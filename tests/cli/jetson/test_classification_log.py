"""train.py's lines, as the tutorials show them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from taolite.cli.jetson.classification_log import TrainLog
from taolite.cli.jetson.ssd_log import SsdLog
from taolite.events import BatchDone, EpochDone, Event, Notice, Progress, Saved, Validated
from taolite.scorecard import ACCURACY, Metric


def printed(tmp_path: Path, *events: Event, every: int = 10) -> list[str]:
    stream = io.StringIO()
    with TrainLog(tmp_path, every=every, stream=stream) as log:
        for event in events:
            log(event)
    return stream.getvalue().splitlines()


def batch(number: int, loss: float, accuracy: float, *, epoch: int | None = 1, images: int = 8) -> BatchDone:
    return BatchDone(epoch, number, 625, images, 0.932 / number, 0.148, {"loss": loss, "accuracy": accuracy})


def test_a_batch_s_line_has_its_values_and_the_means_over_images_so_far(tmp_path: Path):
    # means: loss (8 * 0.68126 + 24 * 23.263) / 32; time (8 * 0.932 + 24 * 0.466) / 32
    lines = printed(tmp_path, batch(1, 0.68126, 0.5), batch(2, 23.263, 0.25, images=24), every=1)

    assert lines == [
        "Epoch: [0][  0/625]  Time  0.932 ( 0.932)  Data  0.148 ( 0.148)  Loss 6.8126e-01 (6.8126e-01)  "
        "Accuracy  50.000 ( 50.000)",
        "Epoch: [0][  1/625]  Time  0.466 ( 0.583)  Data  0.148 ( 0.148)  Loss 2.3263e+01 (1.7618e+01)  "
        "Accuracy  25.000 ( 31.250)",
    ]


def test_of_five_classes_and_more_acc_5_is_told_of_batches_and_epochs(tmp_path: Path):
    readings = {"loss": 1.0, "accuracy": 0.25, "top_5": 0.875}
    epoch = EpochDone(1, 35, 1, 1.0, 0.01, 100.0, 0.0, 83.21, 0.0)
    validated = Validated(1, 35, 1, 1.0, Metric(ACCURACY, 0.25, {}), 0.01)

    lines = printed(
        tmp_path,
        BatchDone(1, 1, 1, 8, 0.5, 0.1, readings),
        BatchDone(None, 1, 1, 8, 0.5, 0.1, readings),
        epoch,
        validated,
        Saved(Path("m/checkpoint.tlt"), "last", 1),
    )

    assert lines[0].endswith("  Accuracy  25.000 ( 25.000)  Acc@5  87.500 ( 87.500)")
    assert lines[1].endswith("  Accuracy  25.000 ( 25.000)  Acc@5  87.500 ( 87.500)")
    assert [line for line in lines if "  * " in line] == [
        "  * Train Loss     1.0000e+00",
        "  * Train Accuracy 25.0000",
        "  * Train Acc@5    87.5000",
        "  * Val Loss       1.0000e+00",
        "  * Val Accuracy   25.0000",
        "  * Val Acc@5      87.5000",
    ]


@pytest.mark.parametrize("kind", ["classification", "ssd"])
def test_a_terminal_shows_a_bar_with_the_time_left_between_the_lines(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal := io.StringIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    log = TrainLog(tmp_path, every=1, stream=stream) if kind == "classification" else SsdLog(tmp_path, stream=stream)
    with log:
        log(Progress("epoch 1/2", 1, 5, "step"))
        log(Progress("epoch 1/2", 2, 5, "step", "loss 0.5"))
        shown = log._bar._bar
        assert shown is not None
        assert shown.tasks[0].fields["pace"].endswith(" left")
        log(Notice("plain"))
        assert log._bar._bar is None

    assert "plain" in stream.getvalue()
    assert "epoch 1/2" not in stream.getvalue()


def test_every_tenth_batch_and_the_last_have_a_line_and_every_epoch_begins_its_means_anew(tmp_path: Path):
    events = [batch(number, 1.0, 1.0) for number in range(1, 626)] + [batch(1, 3.0, 0.0, epoch=2)]

    lines = printed(tmp_path, *events)

    assert [line.split("/")[0] for line in lines[:2]] == ["Epoch: [0][  0", "Epoch: [0][ 10"]
    assert [line.split("/")[0] for line in lines[-3:]] == ["Epoch: [0][620", "Epoch: [0][624", "Epoch: [1][  0"]
    assert lines[-1].endswith("Loss 3.0000e+00 (3.0000e+00)  Accuracy   0.000 (  0.000)")
    assert len(lines) == 63 + 1 + 1


def test_validation_rows_have_no_data_column(tmp_path: Path):
    (line,) = printed(tmp_path, batch(1, 0.5, 1.0, epoch=None))

    assert line == "Val:   [  0/625]  Time  0.932 ( 0.932)  Loss 5.0000e-01 (5.0000e-01)  Accuracy 100.000 (100.000)"


def test_an_epoch_ends_with_its_summary_a_star_for_the_best_and_what_was_saved(tmp_path: Path):
    epoch = EpochDone(1, 35, 625, 0.5, 0.01, 100.0, 0.0, 83.21, 0.0)
    validated = Validated(1, 35, 625, 0.25, Metric(ACCURACY, 0.9875, {}), 0.01)
    best, last = Saved(Path("m/model_best.tlt"), "best", 1), Saved(Path("m/checkpoint.tlt"), "last", 1)

    lines = printed(tmp_path, batch(1, 0.5, 0.75), batch(1, 0.25, 1, epoch=None), epoch, validated, best, last)

    assert lines[2:] == [
        "Epoch: [0] completed, elapsed time 83.210 seconds",
        "=> Epoch 0",
        "  * Train Loss     5.0000e-01",
        "  * Train Accuracy 75.0000",
        "  * Val Loss       2.5000e-01",
        "  * Val Accuracy   98.7500*",
        "saved best model to:  m/model_best.tlt",
        f"saved class labels to:  {tmp_path / 'labels.txt'}",
    ]
    assert list(tmp_path.glob("tensorboard/*/events.out.tfevents.*"))


def test_an_epoch_that_is_not_the_best_has_no_star_and_names_the_checkpoint(tmp_path: Path):
    validated = Validated(2, 35, 625, 0.25, Metric(ACCURACY, 0.5, {}), 0.01)

    epoch = EpochDone(2, 35, 1250, 0.5, 0.01, 100.0, 0.0, 83.21, 0.0)
    last = Saved(Path("m/checkpoint.tlt"), "last", 2)
    lines = printed(tmp_path, batch(1, 0.5, 0.75, epoch=2), epoch, validated, last)

    assert lines[-2:] == ["  * Val Accuracy   50.0000", "saved checkpoint to:  m/checkpoint.tlt"]


def test_a_validation_of_a_finished_run_has_no_summary_as_nothing_was_trained(tmp_path: Path):
    validated = Validated(2, 2, 50, 0.25, Metric(ACCURACY, 0.5, {}), 0.01)

    assert printed(tmp_path, validated, Saved(Path("m/model_best.tlt"), "best", 2)) == []


def test_notices_look_like_train_py_s_remarks(tmp_path: Path):
    assert printed(tmp_path, Notice("using a processor"), Notice("look out", "warning")) == [
        "=> using a processor",
        "warning: look out",
    ]
