"""`taolite inspect`: with the key everything, without it what may be told, and never the key."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from taolite.cli.main import main

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("TAOLITE_KEY", raising=False)


def test_a_model_with_its_key(capsys):
    path = VECTORS / "v1.tlt"

    assert main(["inspect", str(path), "-k", "tlt_encode"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        str(path),
        "  kind        a taolite model (.tlt)",
        "  size        936 bytes",
        f"  sha256      {hashlib.sha256(path.read_bytes()).hexdigest()}",
        "  signed      no",
        "  written by  taolite 0.1.0",
        "  task        detectnet",
        "  input       3 x 384 x 1248 (channels, height, width); larger photos are cut, smaller ones padded",
        "  classes     cat, 犬",
        "  network     arch resnet, channels (1 entries), num_layers 18",
        "  parameters  16 in 2 tensors",
        "  weights     sha256 ae5b3f37ee32866464bbc59ac00c74499084c5cdc6d804a7d866527fc8a1e6d6",
        "  lineage     1. stage train, parameters 16",
    ]


def test_a_model_without_its_key(capsys):
    path = VECTORS / "v1.tlt"

    assert main(["inspect", str(path)]) == 0

    assert capsys.readouterr().out.splitlines()[4:] == [
        "  signed      no",
        "  sealed      yes; give -k KEY to see the rest. Not checked yet:",
        "  written by  taolite 0.1.0",
        "  task        detectnet",
    ]


def test_an_exported_model_for_machines(capsys, monkeypatch):
    monkeypatch.setenv("TAOLITE_KEY", "tlt_encode")

    assert main(["inspect", str(VECTORS / "v1.etlt"), "--json"]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["sealed"], facts["opened"]) == ("etlt", True, True)
    assert (facts["input_name"], facts["classes"], facts["task"]) == ("input_1", ["cat"], "detectnet")
    assert facts["onnx_sha256"] == hashlib.sha256(b"not a real ONNX, but bytes").hexdigest()


def test_a_checkpoint(capsys):
    assert main(["inspect", str(VECTORS / "v1.checkpoint"), "-k", "tlt_encode"]) == 0

    assert capsys.readouterr().out.splitlines()[-1] == "  state       best inf, epoch 3, step 120"


def test_another_key_ends_with_one_message_and_without_the_key(capsys):
    assert main(["inspect", str(VECTORS / "v1.tlt"), "-k", "swordfish"]) == 1

    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err == (
        f"error: {VECTORS}/v1.tlt: the file is intact, but this is not the key it was sealed with; check -k\n"
    )


def test_a_file_of_another_program_comes_with_advice(capsys, tmp_path):
    (tmp_path / "m.tlt").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))

    assert main(["inspect", str(tmp_path / "m.tlt")]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  kind        an HDF5 file"
    assert lines[-1] == (
        "  advice      a Keras model is read only where pretrained weights are asked for (pretrained_model_file; "
        "load_graph: true takes its heads too); "
        "to run it, export it to plain .onnx in a TAO 5 container"
    )


def test_the_folder_of_a_run(capsys):
    root = VECTORS / "0.1.0" / "detectnet" / "run"

    assert main(["show", str(root)]) == 0

    assert capsys.readouterr().out.splitlines() == [
        str(root),
        "  kind        the folder of a run",
        "  task        detectnet",
        "  classes     plate",
        "  written by  taolite 0.1.0",
        "  scores      AP (1 entries), VOC_AP (1 entries), VOC_mAP 0.1218, mAP 0.1329, validation_cost 0.01678",
        "  checkpoints 1, the newest step-000000003.ckpt",
        "  model       none yet",
    ]


def test_the_folder_of_a_finished_run_shows_its_models_with_the_key_and_how_it_ended(capsys, tmp_path):
    (tmp_path / "weights").mkdir()
    shutil.copy(VECTORS / "v1.tlt", tmp_path / "weights" / "m.tlt")
    (tmp_path / "manifest.json").write_text('{"name": "m", "run": {"task": "detectnet", "classes": ["cat"]}}')
    (tmp_path / "status.json").write_text('{"status": "STARTED"}\n{"status": "SUCCESS", "message": "done"}\n{"torn')

    assert main(["show", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[4:7] == [
        "  status      SUCCESS: done",
        f"{tmp_path}/weights/m.tlt",
        "  kind        a taolite model (.tlt)",
    ]
    assert main(["show", str(tmp_path), "-k", "tlt_encode", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["status"]["status"], facts["checkpoints"]) == ("run", "SUCCESS", [])
    assert [model["classes"] for model in facts["models"]] == [["cat", "犬"]]


def test_a_folder_without_a_run_says_so(capsys, tmp_path):
    assert main(["show", str(tmp_path)]) == 1

    assert capsys.readouterr().err == (
        f"error: {tmp_path}: this folder holds no run (it has no manifest.json); give a file, or a run's folder\n"
    )
