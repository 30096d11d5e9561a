"""Every event of a stage in words: numbers agree with their nouns, and nothing is said of what only moves a bar."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from taolite import events
from taolite.cli.words import Line, counted, lines, pth
from taolite.events import Event
from taolite.tasks.base import FLAGS

SAID: list[tuple[Event, list[Line]]] = [
    (
        events.FramesDropped("display://0", 3, 90, False),
        [Line("display://0: slower than the pipeline; 3 of 90 frames dropped so far", True)],
    ),
    (
        events.FramesDropped("rtmp://a/b/***", 1, 1, True),
        [Line("rtmp://a/b/***: slower than the pipeline; 1 of 1 frame dropped", True)],
    ),
    (
        events.StreamDescribed("rtp://h:1", "v=0\ns=taolite\n"),
        [
            Line("rtp://h:1: to receive it, save these lines as stream.sdp there, and open that file in a player"),
            Line("v=0"),
            Line("s=taolite"),
        ],
    ),
    (events.Notice("plain"), [Line("plain")]),
    (
        events.PruneStepped(2, 0.64, 7_000_000, 4_120_000_000, "mAP", 0.9, 1.25, 0.5),
        [
            Line(
                "step 2: 64.0 % of the parameters (7,000,000), 4.12 GMACs, mAP 90.00 %, 1.25 points below the "
                "unpruned model (-pth 0.5)"
            )
        ],
    ),
    (events.Notice("look out", "warning"), [Line("look out", True)]),
    (
        events.Diagnosed((), "mAP"),
        [Line("mAP is 0 and no usual cause was found; try `taolite diagnose --overfit`", True)],
    ),
    (
        events.DataFound(8, 2, 4),
        [Line("Found 8 samples in training set"), Line("Found 2 samples in validation set")],
    ),
    (
        events.DataFound(9, 2, 4),
        [
            Line(
                "Cannot iterate over exactly 9 samples with a batch size of 4; "
                "each epoch will therefore take one extra step."
            ),
            Line("Found 9 samples in training set"),
            Line("Found 2 samples in validation set"),
        ],
    ),
    (
        events.Intervals(5, 10, 40),
        [
            Line("Checkpoint interval: 5"),
            Line("Scalars logged at every 10 steps"),
            Line("Images logged at every 40 steps"),
        ],
    ),
    (events.Intervals(5, 10, None), [Line("Checkpoint interval: 5"), Line("Scalars logged at every 10 steps")]),
    (
        events.LabelsLeftOut("train.txt", {"dog": 2, "ape": 1}),
        [Line("train.txt: labels that target_class_mapping does not map are left out: ape (1), dog (2)", True)],
    ),
    (
        events.ClassesMissing("train.txt", ("cat", "dog")),
        [Line("train.txt: no training image has a label of cat, dog, which cannot be learned", True)],
    ),
    (
        events.ClassesMissing(FLAGS, ("cat",)),
        [Line("no training image has a label of cat, which cannot be learned", True)],
    ),
    (events.Computing(None, "", 1, "float32"), [Line("no GPU here: computing on the processor, 1 thread, float32")]),
    (events.Computing(None, "", 2, "bfloat16"), [Line("no GPU here: computing on the processor, 2 threads, bfloat16")]),
    (events.Computing(1, "H200", 2, "float32"), [Line("computing on GPU 1: H200, float32")]),
    (events.BatchShared(8, 1, 4), [Line("8 images a step; batch_size_per_gpu is 4")]),
    (events.BatchShared(8, 2, 4), [Line("8 images a step over 2 processes; batch_size_per_gpu is 4")]),
    (events.SeedBegun(43, 2, 3, Path("runs/seed-43")), [Line("seed 43 (run 2 of 3): runs/seed-43")]),
    (
        events.WentOn(Path("a.ckpt"), 1, 4, 0, False),
        [Line("a.ckpt: this folder holds this run already; going on after epoch 1 of 4")],
    ),
    (
        events.WentOn(Path("a.ckpt"), 4, 4, 0, True),
        [
            Line("a.ckpt: this folder holds this run already; going on after epoch 4 of 4"),
            Line("the run is complete: only the final model is written again"),
        ],
    ),
    (
        events.WentOn(Path("a.ckpt"), 1, 4, 3, False),
        [Line("a.ckpt: this folder holds this run already; going on after epoch 1 of 4, step 3 of the next")],
    ),
    (events.BegunAnew(Path("run")), [Line("run: this run left no state to go on from; it begins anew", True)]),
    (events.CheckpointDamaged("a.ckpt: cut"), [Line("a.ckpt: cut; going on from the checkpoint before it", True)]),
    (
        events.Taught(Path("big.tlt"), 11_194_000, 1.0, 2.0),
        [Line("big.tlt: teaches this training (11,194,000 parameters; weight 1, temperature 2)")],
    ),
    (
        events.BatchNormsMeasured(32),
        [Line("the model was pruned: batch norms that keep their statistics were measured anew on 32 images")],
    ),
    (events.ModelKept(12), [Line("Saving checkpoints for step-12.")]),
    (
        events.CostStuck(4, "validation", 0.5, 1, "anneal", 2),
        [
            Line(
                "epoch 4: the validation cost has not been below 0.500000 for 1 epoch: "
                "the learning rate goes down over 2 epochs from here"
            )
        ],
    ),
    (
        events.CostStuck(9, "training", 0.5, 3, "stop"),
        [Line("epoch 9: the training cost has not been below 0.500000 for 3 epochs: training stops here")],
    ),
    (
        events.CostStuck(9, "validation", 0.5, 3, "stop", again=True),
        [
            Line(
                "epoch 9: the validation cost has not been below 0.500000 for 3 epochs after annealing: "
                "training stops here"
            )
        ],
    ),
    (events.Exploring(), [Line("Exploring graph for retainable indices")]),
    (events.Cutting(), [Line("Pruning model and appending pruned nodes to new graph")]),
    (
        events.LayersFloored(3, 4, 16),
        [
            Line(
                "3 of 4 layers are cut to the minimum of 16 filters, and such a network seldom learns its way back; "
                "a greater -nf spreads the cut",
                True,
            )
        ],
    ),
    (events.Exporting(Path("m.etlt")), [Line("Saving exported model to m.etlt")]),
    (events.Calibrating("minmax", 1, "pictures"), [Line("calibrating (minmax) with 1 image: pictures")]),
    (events.RangesUsed(Path("cal.bin")), [Line("cal.bin: its ranges are used, no image is looked at")]),
    (
        events.RangesUsed(Path("cal.bin"), ("a", "b", "c", "d")),
        [
            Line("cal.bin: no range for a, b, c ...; the layers that read them stay float", True),
            Line("cal.bin: its ranges are used, no image is looked at"),
        ],
    ),
    (events.TensorfileWritten(Path("t.h5"), 1, 8), [Line("wrote t.h5 (1 batch of 8)")]),
    (
        events.BuildsWithoutGpu("openvino", for_processor=True),
        [
            Line(
                "no NVIDIA GPU is here: the engine is for this processor (openvino); "
                "--compute-capability builds for a card elsewhere",
                True,
            )
        ],
    ),
    (
        events.ClassesUnnamed(Path("m.onnx"), "NVIDIA's TAO"),
        [Line("m.onnx: an ONNX of NVIDIA's TAO names no classes; run the engine with a spec (-e) that does", True)],
    ),
    (events.BuilderWarned("openvino", "1", "slow"), [Line("openvino 1: slow", True)]),
    (
        events.CacheUnused(Path("cal.bin"), quantised=True),
        [Line("the calibration cache cal.bin is not used: the model is quantised already", True)],
    ),
    (
        events.CacheUnused(Path("cal.bin"), quantised=False),
        [Line("the calibration cache cal.bin is not used: it is for int8 only", True)],
    ),
    (
        events.EngineReplaced(Path("m.etlt"), Path("m.engine"), None),
        [Line("no NVIDIA GPU is here: m.engine is not used, m.etlt itself runs on the processor", True)],
    ),
    (
        events.EngineReplaced(Path("m.etlt"), None, "openvino"),
        [Line("--runtime openvino: no TensorRT engine is built, m.etlt itself runs on the processor", True)],
    ),
    (
        events.ExportOlder(Path("m.onnx"), Path("m.tlt")),
        [Line("m.onnx is older than m.tlt beside it; if it was made from that model, export it again", True)],
    ),
    (events.EngineBuilt(Path("m.engine")), [Line("built m.engine")]),
    (events.EngineBuilt(None), [Line("built an engine for this run alone")]),
    (
        events.SourceLost("rtsp://me:***@cam/live", "Connection refused", 60.0),
        [Line("rtsp://me:***@cam/live: lost (Connection refused); reconnecting for up to 60 s", True)],
    ),
    (events.SourceBack("/dev/video0", 3.25), [Line("/dev/video0: reconnected after 3.2 s")]),
    (
        events.Downloading("https://example.org/w.pth", Path("w.pth")),
        [Line("downloading https://example.org/w.pth to w.pth")],
    ),
    (
        events.FramesUnreadable("clip.mp4", 1, 99),
        [Line("clip.mp4: skipped 1 frame that could not be decoded; 99 frames were read", True)],
    ),
    (
        events.FramesUnreadable("clip.mp4", 3, 97),
        [Line("clip.mp4: skipped 3 frames that could not be decoded; 97 frames were read", True)],
    ),
    (events.EngineNeeded(Path("m"), "tensorrt", "new"), [Line("m: building an engine with tensorrt")]),
    (
        events.EngineNeeded(Path("m"), "tensorrt", "asked"),
        [Line("m: building an engine with tensorrt again, as asked")],
    ),
    (
        events.EngineNeeded(Path("m"), "tensorrt", "model"),
        [Line("m: building an engine with tensorrt again: the model has changed")],
    ),
    (
        events.EngineNeeded(Path("m"), "tensorrt", "version", "tensorrt 8.6", "tensorrt 10.3"),
        [
            Line(
                "m: building an engine with tensorrt again: the one that was kept was built by tensorrt 8.6, and "
                "tensorrt 10.3 is installed"
            )
        ],
    ),
    (
        events.EngineNeeded(Path("m"), "tensorrt", "device", "Xavier (7.2)", "Orin (8.7)"),
        [
            Line(
                "m: building an engine with tensorrt again: the one that was kept was built for Xavier (7.2), and this "
                "is Orin (8.7)"
            )
        ],
    ),
    (
        events.EngineNeeded(Path("m"), "tensorrt", "damaged"),
        [Line("m: building an engine with tensorrt again: the one that was kept is damaged")],
    ),
    (events.EngineReused(Path("m"), Path("e")), [Line("m: using the engine e")]),
    (
        events.EngineUnkept(Path("m"), "e: the disk is full"),
        [Line("m: its engine is not kept and is built again next time: e: the disk is full", True)],
    ),
    (
        events.EngineUnkept(Path("m"), None),
        [
            Line(
                "m: its engine is not kept and is built again next time: the model is sealed, and an engine holds its "
                "weights unencrypted; `taolite convert` writes one that stays",
                True,
            )
        ],
    ),
    (
        events.GateSkipped("no spec (-e) names validation images"),
        [Line("the export is not scored beside the trained model: no spec (-e) names validation images")],
    ),
    (
        events.LayerToFloat("conv1", 1.204, 0.5),
        [Line("int8 with conv1 in float: the drop is 1.20 points, 0.5 allowed")],
    ),
    (
        events.KeyFileOpen(Path("k"), 0o640),
        [Line("k: other users can read this key file (mode 640); run: chmod 600 k", True)],
    ),
    (
        events.KeyFileOdd(Path("k"), "spaces"),
        [Line("k: the key begins or ends with a space, which is part of the key", True)],
    ),
]
SHOWN_OTHERWISE = {
    *(events.Progress, events.Stepped, events.BatchDrawn, events.BatchDone, events.EpochDone),
    *(events.Validated, events.Saved),
}
"""Events that move a bar, a curve or a log, or that `render` and the dialects' logs write as blocks."""


@pytest.mark.parametrize(("event", "said"), SAID, ids=[type(event).__name__ for event, _ in SAID])
def test_an_event_is_said(event: Event, said: list[Line]):
    assert lines(event) == said


def test_every_event_has_words_or_is_shown_otherwise():
    assert {type(event) for event, _ in SAID} | SHOWN_OTHERWISE == set(get_args(Event))


def test_what_moves_a_bar_is_not_said():
    assert lines(events.Progress("evaluate", 1, 2)) == []


def test_numbers_agree_with_their_nouns():
    assert [counted(1, "picture"), counted(0, "picture"), counted(2, "class", "classes")] == [
        "1 picture",
        "0 pictures",
        "2 classes",
    ]


@pytest.mark.parametrize(
    ("threshold", "text"),
    [(0.0, "0"), (0.1, "0.1"), (0.5, "0.5"), (0.12345671, "0.1234568"), (3.2100000001e-7, "3.210001e-07")],
)
def test_a_printed_threshold_is_never_below_the_exact_one(threshold, text):
    assert pth(threshold) == text
    assert threshold <= float(pth(threshold)) <= threshold * (1 + 1.01e-6)
