"""Unusual data settings through a whole life: what training saw is what export and inference see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taolite.cli.main import main
from taolite.stages import device

from .conftest import write_spec

KEY = "tlt_encode"
MASK = """
loss_mask_label_filter {
  objective_label_filter_configs { label_filter { bbox_dimensions_label_filter { max_width: 8 } } }
  preserve_ground_truth: true
}
"""


def detectnet(*words: object) -> int:
    return main(["detectnet", *map(str, words), "-k", KEY])


def test_a_grey_network_with_sources_masks_and_aspect_lives_its_whole_life(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(device, "has_fast_bfloat16", lambda: False)  # torch scores in float32, as the ONNX does
    spec = write_spec(tiny, "grey.txt", epochs=1)
    text = spec.read_text()
    source = text[text.index("data_sources") : text.index("image_extension")].strip()
    for old, new in (
        (source, f"{source}\n  {source[:-1]} source_weight: 0.5 }}\n  sampling_mode: UNIFORM"),
        ("output_image_channel: 3", "output_image_channel: 1 output_image_min: 48 output_image_max: 90"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    spec.write_text(text + MASK)

    assert detectnet("train", "-e", spec, "-r", tmp_path / "run", "-n", "grey", "--precision", "fp32") == 0
    assert "Found 24 samples in training set" in capsys.readouterr().err
    model, onnx = tmp_path / "run/weights/grey.tlt", tmp_path / "grey.onnx"
    assert detectnet("export", "-m", model, "-o", onnx, "-e", spec, "--gen_ds_config") == 0
    costs = []
    for one in (model, onnx):
        capsys.readouterr()
        assert detectnet("evaluate", "-e", spec, "-m", one, "--json") == 0
        costs.append(json.loads(capsys.readouterr().out)["cost"])
    assert detectnet("inference", "-i", tiny / "kitti/image_2", "-o", tmp_path / "seen", "-m", onnx) == 0

    assert costs[0] == pytest.approx(costs[1], rel=1e-4)
    config = (tmp_path / "nvinfer_config.txt").read_text().splitlines()
    assert {"infer-dims=1;64;96", "model-color-format=2", "maintain-aspect-ratio=1", "offsets=0.0"} <= set(config)
    assert len(list((tmp_path / "seen/images_annotated").iterdir())) == 16
