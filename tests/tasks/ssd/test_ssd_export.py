"""A real network, exported raw and with NMS inside: both find the same, in each runtime and precision."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import UsageError
from taolite.preprocessing import Preprocessing
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.tasks.ssd.decode import decode
from taolite.tasks.ssd.export import BOXES, SCORES, end_in_nms
from taolite.tasks.ssd.model import build_ssd
from taolite.tasks.ssd.plan import NetworkPlan
from taolite.tasks.ssd.priors import jetson_levels

HW = (160, 160)
PREP = Preprocessing(HW, fit="stretch", scale=1.0, offsets=(127.0,) * 3, stds=(128.0,) * 3)
RULE = {"confidence_threshold": 0.4, "nms_iou": 0.45, "top_k": 40, "candidates": 200, "method": "hard"}


def says(rule):
    return OnnxMeta("ssd", ("cat", "dog"), PREP, rule)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_network_that_ends_in_nms_finds_what_the_host_finds(runtime):
    pytest.importorskip(runtime)
    torch.manual_seed(0)
    ssd = build_ssd(NetworkPlan("mb1-ssd-lite", HW), 2, partial(jetson_levels, "mb1-ssd-lite", HW[0]))
    rng = np.random.default_rng(0)
    pictures = np.stack([PREP.apply(photo) for photo in rng.integers(0, 256, (2, *HW, 3), dtype=np.uint8)])
    with torch.no_grad():
        for _ in range(30):  # batch norms learn their statistics, or all cells would score alike
            ssd(torch.from_numpy(pictures))
        for head in ssd.conf_heads.parameters():
            head *= 10  # and not close to a third
    ssd.eval()
    plain = to_onnx(ssd, channels=3, input_hw=HW, output_names=(SCORES, BOXES), input_name="input_0")
    single = onnx_graph.write_meta(plain, says(RULE))

    for model, limit in ((single, 0.02), (onnx_graph.to_fp16(single), 0.5)):
        with open_engine(model, runtime=runtime) as raw, open_engine(end_in_nms(model), runtime=runtime) as ended:
            outputs = raw.infer({"input_0": pictures})
            detections = ended.infer({"input_0": pictures})["detections"]
        for index in range(len(pictures)):
            expected = decode((outputs[SCORES][index], outputs[BOXES][index]), RULE, preprocessing=PREP)
            found = decode((detections[index],), RULE, preprocessing=PREP)
            assert len(expected) > 10
            np.testing.assert_allclose(rows(found), rows(expected), atol=limit)


def rows(found):
    """(N, 6) class, box, score, in the order of these: equal scores of float16 may come in any other."""
    columns = np.column_stack([found.classes_n, found.boxes_n4.round(2), found.scores_n])
    return columns[np.lexsort(columns.T[::-1])]


def test_an_export_ends_in_the_nms_of_its_own_decoding_and_still_says_what_it_is(raw_ssd):
    rule = {"confidence_threshold": 0.3, "nms_iou": 0.6, "top_k": 7, "candidates": 9, "method": "hard"}
    raw = onnx_graph.write_meta(raw_ssd(50, 2), says(rule))
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 0.3, (1, 50, 2))
    parts = (rng.uniform(0, 1, (1, 50, 3)), low, low + rng.uniform(0.3, 0.6, (1, 50, 2)))
    picture = np.concatenate(parts, axis=2).astype(np.float32)

    grown = end_in_nms(raw)
    with open_engine(grown) as engine:
        found = decode((engine.infer({"input_0": picture})["detections"][0],), rule, preprocessing=PREP)

    for name, other in {"confidence_threshold": 0.95, "nms_iou": 0.2, "top_k": 3, "candidates": 2}.items():
        changed = decode((picture[0, :, :3], picture[0, :, 3:]), {**rule, name: other}, preprocessing=PREP)
        assert changed.scores_n.tolist() != found.scores_n.tolist(), name
    expected = decode((picture[0, :, :3], picture[0, :, 3:]), rule, preprocessing=PREP)
    assert found.scores_n.tolist() == expected.scores_n.tolist()
    assert onnx_graph.read_meta(grown) == onnx_graph.read_meta(raw)


def test_soft_nms_stays_on_the_host(raw_ssd):
    with pytest.raises(UsageError) as caught:
        end_in_nms(onnx_graph.write_meta(raw_ssd(50, 2), says({**RULE, "method": "soft"})))

    assert str(caught.value) == (
        "ONNX's NMS is the hard one, and this model is decoded by soft NMS: leave it to the host"
    )
