"""Every network of pytorch-ssd's through the commands once: train, score, export, and the export against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.cli.jetson.forms import OPEN_KEY
from taolite.cli.main import main
from taolite.tasks.ssd.task import TASK

from .voc import CLASSES, draw_voc


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "side"),
    [("mb1-ssd", 64), ("mb1-ssd-lite", 64), ("mb2-ssd-lite", 64), ("sq-ssd-lite", 64), ("vgg16-ssd", 272)],
)
def test_a_network_is_trained_scored_and_exported_by_commands(
    net: str, side: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    draw_voc(tmp_path / "data", train=4, test=2)
    run = tmp_path / "run"

    def pytorch_ssd(program: str, *words: str) -> str:
        assert main(["jetson", program, *words]) == 0
        return capsys.readouterr().out

    small = (f"--net={net}", f"--resolution={side}", "--batch-size=2", "--epochs=1", "--workers=1", "--lr=0.0001")
    log = pytorch_ssd("train_ssd.py", "--dataset-type=voc", f"--data={tmp_path}/data", f"--model-dir={run}", *small)
    scores = pytorch_ssd("eval_ssd.py", f"--model={run}", f"--eval_dir={tmp_path}/found")
    pytorch_ssd("ssd/onnx_export.py", f"--model-dir={run}")

    assert "nan" not in log + scores
    assert all(f"    {name}: " in scores for name in CLASSES)
    bundle = read_bundle(run / "model_best.tlt", key=Key(OPEN_KEY))
    assert bundle.architecture["net"] == net
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
    exported = run / ("ssd-mobilenet.onnx" if net == "mb1-ssd" else f"{net}.onnx")
    found = onnxruntime.InferenceSession(exported).run(None, {"input_0": pixels})
    with torch.no_grad():
        wanted = [one.numpy() for one in TASK.network(bundle)(torch.from_numpy(pixels))]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
