"""The four tutorials' command lines run as they are printed: `tutorial_*.sh` have them, this file gives them pictures.

Epochs are one and pictures few; the scores mean nothing. Programs are called by the names that commands/jetson has.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .test_latonaio import enter, repository

__all__ = ["repository"]

ROOT = Path(__file__).resolve().parents[2]
JETSON = ROOT / "commands" / "jetson"
BESIDE = Path(__file__).parent


def copy_programs(target: Path) -> Path:
    """A copy of commands/jetson, as the tutorials' readers have jetson-inference: its folders are written to."""
    shutil.copytree(JETSON, target, symlinks=True)
    return target


def play(script: str, folder: Path, *, home: Path, **variables: str) -> str:
    """What a tutorial's script prints, run in `folder` with the programs' names on the PATH."""
    programs = [str(Path(sys.executable).parent), str(home / "jetson" / "bin")]
    environment = {
        **os.environ,
        **variables,
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "PATH": ":".join([*programs, os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "TORCH_HOME": str(home / "torch"),
    }
    done = subprocess.run(
        [str(BESIDE / script)], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Traceback" not in done.stdout
    return done.stdout


def keep_weights(shared: Path, home: Path) -> None:
    """Put torchvision's ResNet-18 where torchvision would have downloaded it."""
    import torch
    from safetensors.torch import load_file

    folder = home / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(load_file(shared / "pretrained" / "resnet18.safetensors"), folder / "resnet18-f37072fd.pth")


def test_cats_and_dogs_are_trained_exported_and_classified_as_printed(shared_data: Path, tmp_path: Path) -> None:
    import cv2

    keep_weights(shared_data, tmp_path)
    data = tmp_path / "datasets" / "cat_dog"
    for part, count in (("train", 8), ("val", 4), ("test", 1)):
        for name in ("cat", "dog"):
            (data / part / name).mkdir(parents=True)
            pictures = sorted((shared_data / "cat_dog_200" / part / name).glob("*.jpg"))
            for number, picture in enumerate(pictures[:count], start=1):
                shutil.copy(picture, data / part / name / f"{number:02d}.jpg")
    (data / "labels.txt").write_text("cat\ndog\n")
    video = cv2.VideoWriter(str(tmp_path / "camera.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (200, 200))
    for name in ("cat", "dog", "cat"):
        video.write(cv2.imread(str(data / "test" / name / "01.jpg")))
    video.release()
    programs = copy_programs(tmp_path / "jetson")

    said = play("tutorial_cat_dog.sh", programs, home=tmp_path, CAMERA=str(tmp_path / "camera.mp4"))

    folder = programs / "python" / "training" / "classification"
    assert "=> dataset classes:  2 ['cat', 'dog']" in said
    assert re.search(r"^Epoch: \[0\]\[0/2\]  Time .*Loss .*Accuracy ", said, re.MULTILINE)
    assert "Acc@5" not in said  # of two classes it is always 100 %
    assert "=> all 1 epochs were done already" in said
    assert "usage: taolite jetson train.py [options] [DATASET]" in said
    assert (folder / "cat_dog" / "resnet18.onnx").is_file()
    assert sorted(path.name for path in folder.glob("*.jpg")) == ["cat.jpg", "dog.jpg"]
    # four pictures, twice three frames
    assert len(re.findall(r"^imagenet:  [\d.]+% class #[01] \((?:cat|dog)\)$", said, re.MULTILINE)) == 4 + 6


def test_a_data_set_of_one_s_own_is_trained_and_gone_on_with_as_printed(shared_data: Path, tmp_path: Path) -> None:
    keep_weights(shared_data, tmp_path)
    data, models = tmp_path / "own", tmp_path / "models"
    classes = {"bear": "bear", "cat": "cat_", "dog": "dog_", "fruit": "orange,banana", "sea": "jellyfish,stingray"}
    for name, starts in classes.items():
        pictures = [
            path
            for path in sorted((shared_data / "jetson_images").glob("*.jpg"))
            if any(path.name.startswith(start) or path.stem.endswith(start) for start in starts.split(","))
        ]
        assert len(pictures) >= 2
        for part, chosen in (("train", pictures), ("val", pictures[-1:]), ("test", pictures[:1])):
            (data / part / name).mkdir(parents=True)
            for picture in chosen:
                shutil.copy(picture, data / part / name)
    (data / "labels.txt").write_text("".join(f"{name}\n" for name in sorted(classes)))
    programs = copy_programs(tmp_path / "jetson")

    networks = str(shared_data / "pretrained")
    said = play("tutorial_imagenet.sh", programs, home=tmp_path, DATA=str(data), MODELS=str(models), NETWORKS=networks)

    assert "error: googlenet: https://download.pytorch.org/models/googlenet-1378be20.pth cannot be downloaded" in said
    assert (programs / "bin" / "bear.jpg").is_file()
    assert f"=> dataset classes:  5 {sorted(classes)}" in said
    assert re.search(r"^imagenet:  [\d.]+% class #\d \((?:bear|cat|dog|fruit|sea)\)$", said, re.MULTILINE)
    epochs = re.findall(r"^Epoch: \[(\d)\] completed", said, re.MULTILINE)
    assert epochs == ["0", "1"]
    assert re.search(r"^Epoch: \[0\]\[0/.*  Acc@5 +[\d.]+ \( *[\d.]+\)$", said, re.MULTILINE)  # five classes
    assert "=> --start-epoch is ignored: a resumed run continues after its last epoch" in said
    assert said.count("exported: ") == 2


def test_tao_s_detector_is_trained_pruned_and_exported_as_printed(repository: Path) -> None:
    for name in ("train", "retrain"):  # the specs are for 120 epochs of 1248 x 384 from weights that are not here
        path = repository / "specs" / f"detectnet_{name}.txt"
        text = path.read_text()
        for there, here in (
            (r"num_epochs: 120", "num_epochs: 1"),
            (r"output_image_width: \d+", "output_image_width: 160"),
            (r"output_image_height: \d+", "output_image_height: 96"),
            (r"\n *pretrained_model_file.*", ""),
        ):
            text = re.sub(there, here, text)
        path.write_text(text)
    enter(repository, "--native", str(ROOT / "commands" / "tfrecord.sh"))

    shutil.copytree(ROOT / "commands", repository / "commands", symlinks=True, dirs_exist_ok=True)

    said = enter(repository, "--native", str(BESIDE / "tutorial_tao.sh"))

    data = repository / "data"
    assert said.stdout.count("Pruning ratio (pruned model / original model): ") == 2
    names = ("trained/weights/resnet18_detector.tlt", "tlts/NEW_TRAINED.tlt", "pruned/NEW_PRUNED.tlt")
    assert [name for name in (*names, "etlts/NEW_EXPORTED.etlt") if not (data / name).is_file()] == []
    # the scripts, run after the commands, kept what those had made
    for name in ("trained.1", "pruned/NEW_PRUNED.tlt.1", "etlts/NEW_EXPORTED.etlt.1"):
        assert (data / name).exists(), name


def test_plates_are_trained_exported_and_found_as_printed(shared_data: Path, tmp_path: Path) -> None:
    from taolite.cli.main import main

    pictures = sorted((shared_data / "ccpd_mini" / "images").glob("*.jpg"))
    programs = copy_programs(tmp_path / "jetson")
    folder = programs / "python" / "training" / "detection" / "ssd"
    for index, picture in enumerate(pictures[:8]):
        place = tmp_path / "CCPD2020" / "ccpd_green" / ("test", "train", "val", "train")[index % 4]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)
    words = ("dataset", "convert", str(tmp_path / "CCPD2020"), str(folder / "data" / "CCPD2020-voc"), "--to", "voc")
    assert main([*words, "--images", "link"]) == 0
    (folder / "test").mkdir()
    for picture in pictures[8:10]:
        shutil.copy(picture, folder / "test")

    said = play("tutorial_ccpd.sh", folder, home=tmp_path)

    assert "Labels: ('BACKGROUND', 'plate')" in said
    assert len(re.findall(r" - Epoch: 0, Validation Loss: \d+\.\d{4}, ", said)) == 2
    assert (folder / "models" / "CCPD2020-voc" / "model_best.tlt").is_file()
    assert f"model exported to:  {Path('models/voc-ccpd2020/ssd-mobilenet.onnx')}" in said
    assert len(re.findall(r"^\d+ objects detected$", said, re.MULTILINE)) == 2
    assert sorted(path.name for path in (folder / "demo").iterdir()) == ["plate_0.jpg", "plate_1.jpg"]


def test_every_name_of_the_tutorials_is_there_and_runs_its_program() -> None:
    from taolite.cli.jetson.front import PROGRAMS

    names = {path.relative_to(JETSON) for path in JETSON.rglob("*") if path.is_symlink()}

    known = {name for program in PROGRAMS for name in program.names}
    classification, ssd = Path("python/training/classification"), Path("python/training/detection/ssd")
    assert {f"{path.parent.name}/{path.name}" for path in names if path.name == "onnx_export.py"} <= known
    assert {path.name for path in names if path.name != "onnx_export.py"} <= known
    assert {classification / name for name in ("train.py", "onnx_export.py")} <= names
    assert {ssd / f"{name}.py" for name in ("train_ssd", "eval_ssd", "onnx_export", "run_ssd_example")} <= names
    assert {
        Path("bin") / f"{name}{end}" for name in ("imagenet", "detectnet") for end in ("", ".py", "-camera")
    } <= names
    assert all(os.access(JETSON / path, os.X_OK) for path in names)


def test_the_native_shell_has_tao_and_jetson_s_programs_on_its_path(tmp_path: Path) -> None:
    login = [str(ROOT / "container-login.sh"), "--native", "--"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        [*login, "sh", "-c", "command -v tao imagenet detectnet-camera.py; tao info; imagenet --help"],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert f"{ROOT}/commands/bin/tao\n" in done.stdout
    assert "toolkit_version: taolite" in done.stdout
    assert "usage: taolite jetson imagenet [options] [IN] [OUT]" in done.stdout
