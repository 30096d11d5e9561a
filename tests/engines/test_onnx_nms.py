"""A model that ends in NMS against the host's NMS on its raw outputs, in ONNX Runtime and OpenVINO."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.onnx_nms import append_nms
from taolite.engines.opening import open_engine
from taolite.errors import EngineError
from taolite.preprocessing import Preprocessing
from taolite.tasks.ssd.decode import decode

PREP = Preprocessing((100, 200), fit="stretch")
PRIORS, CLASSES = 120, 3
RULE = {"confidence_threshold": 0.2, "nms_iou": 0.45, "top_k": 0, "candidates": 0, "method": "hard"}
LIMITS = [(0, 0), (12, 0), (0, 9), (12, 5), (500, 1000)]
LIMIT_NAMES = ["none", "candidates", "top_k", "both", "more than there is"]


@pytest.fixture
def raw_model(raw_ssd):
    """raw_model(opset=17): the identity with an SSD's outputs, saying what it is."""
    meta = OnnxMeta("ssd", ("a", "b", "c"), PREP, RULE)
    return lambda opset=17: onnx_graph.write_meta(raw_ssd(PRIORS, CLASSES, opset=opset), meta)


@pytest.fixture
def appended(raw_model):
    """appended(**settings): that model with NMS behind it."""

    def grow(**changes):
        rule = {name: value for name, value in {**RULE, **changes}.items() if name != "method"}
        return append_nms(raw_model(), scores="scores", boxes="boxes", **rule)

    return grow


def pictures(count, seed=0):
    """(count, P, K + 5): scores and overlapping boxes; in the second picture nothing passes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, PRIORS, CLASSES + 1))
    scores = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    if count > 1:
        scores[1] = (0.7, 0.1, 0.1, 0.1)
    low = rng.uniform(-0.1, 0.8, (count, PRIORS, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.5, (count, PRIORS, 2))], axis=2)
    return np.concatenate([scores, boxes], axis=2).astype(np.float32)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("candidates", "top_k"), LIMITS, ids=LIMIT_NAMES)
def test_the_model_finds_what_the_host_finds(appended, runtime, candidates, top_k):
    pytest.importorskip(runtime)
    rule = {**RULE, "candidates": candidates, "top_k": top_k}
    inputs = pictures(3)

    with open_engine(appended(candidates=candidates, top_k=top_k), runtime=runtime) as engine:
        detections = engine.infer({"input_0": inputs})["detections"]

    rows = min(top_k or 3 * min(candidates or PRIORS, PRIORS), 3 * min(candidates or PRIORS, PRIORS))
    assert detections.shape == (3, rows, 6)
    for picture, answer in zip(inputs, detections, strict=True):
        raw = decode((picture[:, :4], picture[:, 4:]), rule, preprocessing=PREP)
        found = decode((answer,), rule, preprocessing=PREP)
        assert found.classes_n.tolist() == raw.classes_n.tolist()
        np.testing.assert_array_equal(found.scores_n, raw.scores_n)
        np.testing.assert_array_equal(found.boxes_n4, raw.boxes_n4)
        assert not answer[len(raw) :].any()
    assert len(decode((detections[0],), rule, preprocessing=PREP)) > 0
    assert not detections[1].any()


def test_the_batch_stays_free_and_the_rows_are_fixed(appended):
    signature = onnx_graph.signature(appended(top_k=7))

    assert signature.inputs == {"input_0": (-1, PRIORS, 8)}
    assert signature.outputs == {"detections": (-1, 7, 6)}


def test_what_the_model_says_of_itself_stays(appended, raw_model):
    assert onnx_graph.read_meta(appended()) == onnx_graph.read_meta(raw_model())


def test_an_opset_without_what_it_takes_is_refused(raw_model):
    with pytest.raises(EngineError) as caught:
        append_nms(raw_model(11), scores="scores", boxes="boxes", confidence_threshold=0.5, nms_iou=0.5)

    assert str(caught.value) == "NMS needs opset 12 or later, and this is opset 11; ask for a later one"


@pytest.mark.parametrize("opset", [12, 18])
def test_other_opsets_are_valid(raw_model, opset):
    grown = append_nms(
        raw_model(opset), scores="scores", boxes="boxes", confidence_threshold=0.2, nms_iou=0.45, top_k=9
    )

    assert onnx.load_model_from_string(grown).opset_import[0].version == opset
    with open_engine(grown, runtime="onnxruntime") as engine:
        (answer,) = engine.infer({"input_0": pictures(1)})["detections"]
    assert (answer[:, 1] > 0.2).all()
