"""imageNet and detectNet: their arguments, their answers, and what they draw."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import ModelError, TaoliteError, UsageError
from taolite.jetson.argv import Words
from taolite.jetson.detect_net import detectNet
from taolite.jetson.detection import Detection
from taolite.jetson.image import as_format, cudaFromNumpy, loadImage
from taolite.jetson.image_net import imageNet
from taolite.preprocessing import Preprocessing
from tests.api.detector import picture, write_detector
from tests.api.foreign import write_ssd
from tests.stages.test_networks import resnet  # noqa: F401 - a fixture

RED, GREEN = (64.0, 32.0, 96.0, 64.0), (160.0, 96.0, 192.0, 128.0)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp("model") / "cells.onnx")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier whose scores are the picture's mean red, green and blue."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["input_0"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["predictions/Softmax"], axis=1),
        ],
        "colours",
        [helper.make_tensor_value_info("input_0", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("predictions/Softmax", TensorProto.FLOAT, ["N", 3])],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    meta = OnnxMeta("classification", ("red", "green", "blue"), Preprocessing((8, 8), fit="cover"), {"top": 1})
    path = tmp_path_factory.mktemp("model") / "colours.onnx"
    path.write_bytes(onnx_graph.write_meta(made.SerializeToString(), meta))
    return path


def flat(red: float, green: float, blue: float):
    """A picture of one colour, 0..1."""
    return cudaFromNumpy(np.full((8, 8, 3), np.round(255 * np.array([red, green, blue])), np.uint8))


# imageNet


def test_the_likeliest_class_and_its_confidence(colours: Path):
    net = imageNet(model=str(colours))

    assert net.Classify(flat(0.2, 0.6, 0.4)) == (1, pytest.approx(0.6))
    assert net.Classify(flat(0.2, 0.6, 0.4), topK=2) == [(1, pytest.approx(0.6)), (2, pytest.approx(0.4))]
    assert net.Classify(flat(0.2, 0.6, 0), topK=0) == [(1, pytest.approx(0.6)), (0, pytest.approx(0.2))]
    assert net.GetNetworkFPS() == pytest.approx(1000 / net.GetNetworkTime())


def test_the_call_of_before_2020_and_every_format(colours: Path):
    net = imageNet(str(colours))
    image = flat(0.2, 0.6, 0.4)

    for format in ("rgb8", "rgba8", "rgb32f", "rgba32f", "bgr8"):
        given = as_format(image, format)
        assert net.Classify(given, given.width, given.height)[0] == 1


def test_names_of_classes(colours: Path):
    net = imageNet(str(colours))

    assert (net.GetNumClasses(), net.GetClassDesc(2), net.GetClassLabel(0)) == (3, "blue", "red")
    assert net.GetClassDesc(-1) == "none"
    assert net.GetClassSynset(2) == "n00000002"
    with pytest.raises(IndexError):
        net.GetClassDesc(3)
    assert net.GetNetworkName() == net.GetModelPath() == str(colours)
    assert (net.GetModelType(), net.GetPrototxtPath()) == ("onnx", "")


def test_a_threshold_counts_once_it_is_set(colours: Path):
    net, faint = imageNet(str(colours)), flat(0.0, 0.004, 0.0)

    assert (net.GetThreshold(), net.Classify(faint)) == (0.01, (1, pytest.approx(1 / 255)))
    assert net.Classify(faint, topK=1) == []
    net.SetThreshold(0.5)
    assert net.Classify(flat(0, 0.4, 0)) == (-1, pytest.approx(0.4))


def test_smoothing_averages_frames(colours: Path):
    net = imageNet(str(colours))
    net.SetSmoothing(4)  # a quarter of a new frame

    net.Classify(flat(1, 0, 0))

    assert net.GetSmoothing() == 4
    assert net.Classify(flat(0, 1, 0)) == (0, pytest.approx(0.75))


def test_argv_replaces_every_other_argument(colours: Path, tmp_path: Path):
    words = ["script.py", f"--MODEL={colours}", "--threshold", "0.3", "--colour=3", "in.jpg"]

    net = imageNet("nothing", words, model="nowhere.onnx")

    assert (net.GetNetworkName(), net.GetThreshold()) == (str(colours), 0.3)


def test_resnet_18_by_name(resnet: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setenv("TAOLITE_NETWORKS", str(shared_data / "pretrained"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(resnet.parents[2]))

    net = imageNet("resnet-18")

    index, confidence = net.Classify(loadImage(str(shared_data / "jetson_images" / "polar_bear.jpg")))
    assert (index, net.GetClassDesc(index)) == (296, "ice bear")
    assert 0.01 < confidence < 0.1


def test_a_detector_is_not_for_image_net_and_the_reverse(cells: Path, colours: Path):
    with pytest.raises(ModelError) as detector:
        imageNet(str(cells))
    with pytest.raises(ModelError) as classifier:
        detectNet(str(colours))

    assert str(detector.value) == f"{cells}: this is a detector; detectNet runs it"
    assert str(classifier.value) == f"{colours}: this is a classifier; imageNet runs it"


# detectNet


def test_objects_the_largest_first_in_pixels_of_the_image(cells: Path):
    net = detectNet(model=str(cells), threshold=0.5)

    red, green = net.Detect(cudaFromNumpy(picture()), overlay="none")

    assert (red.ClassID, net.GetClassDesc(red.ClassID), red.ROI) == (0, "red", pytest.approx(RED, abs=0.01))
    assert (green.ClassID, green.Confidence) == (1, pytest.approx(0.6, abs=1e-3))
    assert (green.Left, green.Top, green.Right, green.Bottom) == pytest.approx(GREEN, abs=0.01)
    net.SetThreshold(0.7)
    assert len(net.Detect(cudaFromNumpy(picture()), overlay="none")) == 1
    assert net.GetConfidenceThreshold() == 0.7


def test_detect_draws_on_the_image_itself(cells: Path):
    net, image = detectNet(str(cells)), cudaFromNumpy(picture())
    for format in ("rgb8", "bgr8", "rgba32f"):
        image = as_format(cudaFromNumpy(picture()), format)
        untouched = image.copy()

        net.Detect(image, overlay="none")
        assert (image == untouched).all()
        net.Detect(image, image.width, image.height, "box")
        assert (image != untouched).any()
        assert (image[40:60, 70:90] != untouched[40:60, 70:90]).any()  # filled
        assert (image[:20, :20] == untouched[:20, :20]).all()


def test_an_overlay_has_the_parts_that_are_asked_for(cells: Path):
    net = detectNet(str(cells))
    lines, default, usual = (cudaFromNumpy(picture()) for _ in range(3))

    net.Detect(lines, overlay="line")
    net.Detect(default, overlay="default")
    net.Detect(usual)

    assert (lines[40:60, 70:90] == picture()[40:60, 70:90]).all()
    assert (lines != picture()).any()
    assert (default == usual).all()
    with pytest.raises(UsageError) as caught:
        net.Detect(lines, overlay="box,colour")
    assert str(caught.value) == (
        "overlay 'box,colour': colour is not one of box, lines, labels, conf, tracking, default, none"
    )


def test_detections_can_be_drawn_later(cells: Path):
    net, image = detectNet(str(cells)), cudaFromNumpy(picture())
    output = cudaFromNumpy(np.zeros_like(picture()))

    net.Overlay(image, [Detection(1, 0.5, 0, 0, 50, 50)], output=output)

    assert (image == picture()).all()
    assert (output != image).any()


def test_an_ssds_classes_are_counted_with_background(tmp_path: Path):
    ssd, labels = write_ssd(tmp_path / "ssd.onnx"), tmp_path / "labels.txt"
    labels.write_text("BACKGROUND\ncat\ndog\n")

    net = detectNet(model=str(ssd), labels=str(labels), input_blob="input_0", output_cvg="scores", output_bbox="boxes")

    (dog,) = net.Detect(cudaFromNumpy(picture()), overlay="none")
    assert (net.GetNumClasses(), dog.ClassID, net.GetClassDesc(dog.ClassID)) == (3, 2, "dog")
    assert net.GetClassDesc(0) == "BACKGROUND"


def test_the_flags_of_argv(cells: Path, tmp_path: Path):
    colours = tmp_path / "colours.txt"
    colours.write_text("0 0 0\n10 20 30\n40 50 60 70\n")

    net = detectNet("x", ["me", f"--model={cells}", "--threshold=0.7", "--alpha=7", f"--class_colors={colours}"], 0.1)

    assert (net.GetThreshold(), net.GetOverlayAlpha()) == (0.7, 7)
    image = cudaFromNumpy(picture())
    net.Detect(image, overlay="line")
    assert (10, 20, 30) in {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}


def test_a_tracker_numbers_objects(cells: Path):
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")
    net = detectNet(argv=[f"--model={cells}", "--tracking"])

    frames = [net.Detect(cudaFromNumpy(picture()), overlay="none") for _ in range(4)]

    assert (net.IsTrackingEnabled(), net.GetTrackerType()) == (True, "bytetrack")
    assert frames[-1][0].TrackID >= 0
    assert frames[-1][0].TrackStatus == 1
    assert len({one.TrackID for one in frames[-1]}) == 2
    net.SetTrackingEnabled(False)
    assert net.Detect(cudaFromNumpy(picture()), overlay="none")[0].TrackID == -1


def test_tracking_can_be_set_and_a_tracker_that_is_not_here_is_replaced(
    cells: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")
    net = detectNet(str(cells))

    net.SetTrackerType("KLT")
    net.SetTrackingParams(1, 5, 0.5)

    assert capsys.readouterr().err == "detectNet: the tracker KLT is not here, bytetrack is used\n"
    assert (net.IsTrackingEnabled(), net.GetTrackingParams()) == (True, (1, 5, 0.5))
    assert net.Detect(cudaFromNumpy(picture()), overlay="none")[0].TrackID >= 0


def test_tracking_without_its_extra_is_told(cells: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("taolite.extras._source", lambda: None)
    monkeypatch.setitem(sys.modules, "edgefirst.tracker", None)
    net = detectNet(str(cells))

    with pytest.raises(TaoliteError) as caught:
        net.SetTrackingEnabled(True)

    assert str(caught.value) == (
        "detectNet's tracking needs edgefirst, which is not installed; run pip install 'taolite[track]'"
    )


def test_nvidias_detectors_are_explained():
    with pytest.raises(UsageError, match="ssd-mobilenet-v2: NVIDIA's weights of this detector are not published"):
        detectNet()


def test_a_detection_of_jetsons_fields():
    one = Detection(2, 0.5, 10, 20, 40, 60)

    one.Right = 50.0
    assert (one.Width, one.Height, one.Area, one.Center) == (40, 40, 1600, (30, 40))
    assert one.ROI == (10, 20, 50, 60)
    assert (one.TrackID, one.Instance, one.TrackStatus) == (-1, -1, -1)
    assert one.Contains(50, 20)
    assert not one.Contains(9, 20)
    with pytest.raises(AttributeError):
        one.Width = 3
    assert str(one).splitlines()[:4] == [
        "<detectNet.Detection object>",
        "   -- Confidence: 0.5",
        "   -- ClassID:    2",
        "   -- Left:       10",
    ]


# argv


def test_words_are_read_as_in_cpp_or_a_little_kinder():
    words = Words(["me.py", "in.jpg", "--Input_Flip=rotate-180", "--width", "640", "--headless", "out.jpg"], {"width"})

    assert words.places == ["in.jpg", "out.jpg"]
    assert words.text("input-flip") == "rotate-180"
    assert words.number("width", default=0) == 640
    assert words.has("headless")
    assert (words.text("model"), words.number("rate", default=30)) == ("", 30)
    assert Words(["--model=a.onnx"], ()).text("model") == "a.onnx"
    with pytest.raises(UsageError, match="--width: 'wide' is no number"):
        Words(["--width=wide"], ()).number("width", default=0)
