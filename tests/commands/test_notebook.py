"""TAO's detectnet_v2 notebook runs cell by cell: `notebook.sh` has its commands, this file gives it specs and pictures.

The specs are those of a user of that notebook (range pictures of traffic, ResNet-10, five classes) with other paths,
fewer epochs and a batch that fits a laptop. Those he did not publish, for QAT and for engines, are his others with the
notebook's own change.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent / "notebook.sh"
THEIRS = "justinkwan1216__lidar_training__detectnet_v2_"
ENGINES = {"etlt": "resnet10_detector.trt", "etlt_qat": "resnet10_detector_qat.trt.int8"}


def write_specs(shared: Path, root: Path, *, epochs: int) -> None:
    """All specs of the notebook below `root`/specs; pictures are below `root`/data, results below `root`/work."""
    theirs = {
        name: (shared / "tao_specs" / folder / f"{THEIRS}{name}.txt").read_text()
        for folder, name in (
            ("tfrecords", "tfrecords_kitti_trainval"),
            ("detectnet_v2", "train_resnet10_kitti"),
            ("detectnet_v2", "retrain_resnet10_kitti"),
            ("detectnet_v2_inference", "inference_kitti_tlt"),
        )
    }
    retrain, inference = theirs["retrain_resnet10_kitti"], theirs["inference_kitti_tlt"]
    theirs["retrain_resnet10_kitti_qat"] = retrain.replace("training_config {", "training_config {\n  enable_qat: true")
    for name, engine in ENGINES.items():
        config = f'tensorrt_config {{ trt_engine: "{root}/work/experiment_dir_final/{engine}" }}'
        theirs[f"inference_kitti_{name}"] = re.sub(r"tlt_config\{.*?\}", config, inference, flags=re.DOTALL)
    (root / "specs").mkdir()
    for name, text in theirs.items():
        text = re.sub(r"/home/jovyan/data|/workspace/tlt-experiments/data", f"{root}/data", text)
        text = text.replace("/workspace/tlt-experiments/detectnet_v2", f"{root}/work")
        text = re.sub(r"num_epochs: \d+", f"num_epochs: {epochs}", text)
        text = text.replace("batch_size_per_gpu: 64", "batch_size_per_gpu: 4")
        (root / "specs" / f"detectnet_v2_{name}.txt").write_text(text)


def run_notebook(shared: Path, root: Path, *, pictures: int | None, epochs: int, batches: int) -> str:
    """Run it on some `pictures` of the data set (None: on all); what it printed."""
    source = shared / "kitti_mini" / "lidar_range"
    for place in ("training/image_2", "training/label_2", "testing/image_2"):
        (root / "data" / place).mkdir(parents=True)
    labels = {path.stem: path for path in source.rglob("*.txt")}
    images = sorted(path for path in source.rglob("*.png") if path.stem in labels)
    for image in images[:: len(images) // pictures] if pictures else images:
        shutil.copy(image, root / "data/training/image_2")
        shutil.copy(labels[image.stem], root / "data/training/label_2")
    for image in images[:3]:
        shutil.copy(image, root / "data/testing/image_2")
    write_specs(shared, root, epochs=epochs)
    places = {"SPECS_DIR": "specs", "DATA_DOWNLOAD_DIR": "data", "USER_EXPERIMENT_DIR": "work"}
    environment = {
        **os.environ,
        **{name: str(root / place) for name, place in places.items()},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CALIBRATION_BATCHES": str(batches),
    }
    log = root / "notebook.log"
    with log.open("w") as output:
        done = subprocess.run([NOTEBOOK], cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT)
    text = log.read_text()
    assert done.returncode == 0, text[-4000:]
    return text


def check_results(work: Path, *, pictures: int = 3) -> None:
    """Every file the notebook goes on with, or shows, is there."""
    final = work / "experiment_dir_final"
    for name in ("calibration.bin", "calibration_qat.bin"):
        assert re.fullmatch(r"TRT-\d+-EntropyCalibration2\n([^\n]+: [0-9a-f]{1,8}\n)+", (final / name).read_text())
    for name in ("resnet10_detector.trt.int8", *ENGINES.values()):
        assert json.loads((final / f"{name}.json").read_text())["precision"] == "int8"
    for folder in ("tlt_infer_testing", "etlt_infer_testing", "tlt_infer_testing_qat"):
        assert len(list((work / folder / "images_annotated").glob("*.png"))) == pictures
        assert len(list((work / folder / "labels").glob("*.txt"))) == pictures


def test_every_cell_of_the_notebook_runs(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("h5py")

    text = run_notebook(shared_data, tmp_path, pictures=12, epochs=1, batches=2)

    check_results(tmp_path / "work")
    assert "Traceback" not in text
    # train, retrain and QAT training validate once each; evaluate is called four times
    assert text.count("Mean average_precision (in %):") >= 4


@pytest.mark.slow
def test_the_notebook_runs_on_all_pictures(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("h5py")

    run_notebook(shared_data, tmp_path, pictures=None, epochs=2, batches=10)

    check_results(tmp_path / "work")
