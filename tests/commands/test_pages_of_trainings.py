"""Pages of the cookbook that train: their blocks run as printed, on a few small pictures. The scores mean nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from taolite.stages.demo import draw_pictures
from tests.stages import voc_set
from tests.stages.conftest import TAO_SSD, tiny, write_spec
from tests.stages.fitted import write_fitted

from .pages import COOKBOOK, ROOT, play
from .test_tutorials import keep_weights

__all__ = ["tiny"]

PROGRAMS = ROOT / "commands" / "jetson" / "bin"
pytestmark = pytest.mark.slow


def cats_and_dogs(shared: Path, folder: Path, *, train: int = 2) -> None:
    """A few pictures of each class, as training reads them."""
    for part, count in (("train", train), ("val", 1), ("test", 1)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for picture in sorted((shared / "cat_dog_200" / part / name).glob("*.jpg"))[:count]:
                shutil.copy(picture, folder / part / name)
    (folder / "labels.txt").write_text("cat\ndog\n")


def raccoons(shared: Path, folder: Path, *, train: int = 6, test: int = 2) -> None:
    """The repository of the raccoon data set with its first pictures."""
    for part, count in (("train", train), ("test", test)):
        head, *rows = (shared / "raccoon" / "data" / f"{part}_labels.csv").read_text().splitlines()
        chosen = sorted({row.split(",")[0] for row in rows})[:count]
        (folder / "data").mkdir(parents=True, exist_ok=True)
        kept = [row for row in rows if row.split(",")[0] in chosen]
        (folder / "data" / f"{part}_labels.csv").write_text("\n".join([head, *kept]) + "\n")
        for name in chosen:
            for source in (f"images/{name}", f"annotations/{Path(name).stem}.xml"):
                (folder / source).parent.mkdir(exist_ok=True)
                shutil.copy(shared / "raccoon" / source, folder / source)


def copy_specs(folder: Path, *names: str) -> None:
    """Spec files of the checkout, with the map that finds the container's paths in `workspace`."""
    shutil.copy(ROOT / ".tao_mounts.json", folder)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def change(path: Path, changes: Sequence[tuple[str, str]]) -> None:
    """Replace patterns in a spec; each is there."""
    text = path.read_text()
    for there, here in changes:
        text, count = re.subn(there, here, text)
        assert count, there
    path.write_text(text)


@pytest.fixture
def fitted(tiny: Path, tmp_path: Path) -> Path:
    """A folder with train.txt and a detector that finds the tiny plates, twice: trained.tlt, model.tlt, key KEY."""
    write_spec(tiny, "train.txt", epochs=2).rename(tmp_path / "train.txt")
    write_fitted(tmp_path / "train.txt", tmp_path / "trained.tlt", key="KEY")
    shutil.copy(tmp_path / "trained.tlt", tmp_path / "model.tlt")
    return tmp_path


# Classifiers


def test_pictures_of_a_camera_are_trained_on_as_printed(shared_data: Path, tmp_path: Path) -> None:
    keep_weights(shared_data, tmp_path)
    cats_and_dogs(shared_data, tmp_path / "data" / "pets")
    voc_set.draw_set(tmp_path / "data" / "plates", train=2, test=1)

    play(COOKBOOK / "capture.md", tmp_path)

    assert (tmp_path / "models" / "pets" / "model_best.tlt").is_file()
    assert (tmp_path / "models" / "plates" / "model_best.tlt").is_file()
    assert len(list((tmp_path / "data" / "kitti").rglob("label_2/*.txt"))) == 3


def test_a_classifier_is_trained_pruned_and_run_as_printed(shared_data: Path, tmp_path: Path) -> None:
    keep_weights(shared_data, tmp_path)
    cats_and_dogs(shared_data, tmp_path / "cat_dog")
    copy_specs(tmp_path, "specs/classification/train.txt", "specs/classification/retrain.txt")
    (tmp_path / "workspace" / "pretrained").mkdir(parents=True)
    (tmp_path / "workspace" / "cat_dog").symlink_to(tmp_path / "cat_dog")
    shutil.copy(shared_data / "pretrained" / "resnet18.safetensors", tmp_path / "workspace" / "pretrained")

    said = play(COOKBOOK / "cat-dog.md", tmp_path, programs=PROGRAMS)

    assert re.findall(r"^Epoch: \[(\d+)\] completed", said, re.MULTILINE)[:10] == [str(epoch) for epoch in range(10)]
    assert len(re.findall(r"^imagenet:  [\d.]+% class #[01] \((?:cat|dog)\)$", said, re.MULTILINE)) == 2
    assert (tmp_path / "cat_dog.etlt").is_file()


def test_pruned_models_are_taught_as_printed(shared_data: Path, tmp_path: Path) -> None:
    keep_weights(shared_data, tmp_path)
    cats_and_dogs(shared_data, tmp_path / "data" / "cat_dog")
    voc_set.draw_set(tmp_path / "data" / "plates", train=2, test=1)
    pruned = "-o models/pruned.tlt -k nvidia_tlt --target 0.5"
    ssd = "taolite jetson train_ssd.py --dataset-type=voc --data=data/plates --model-dir=models/plates --epochs=1"

    play(
        COOKBOOK / "teacher.md",
        tmp_path,
        before={
            "taolite jetson train.py": "taolite jetson train.py --model-dir=models/big --epochs=1 data/cat_dog\n"
            f"taolite classification prune -m models/big/model_best.tlt {pruned}",
            "taolite jetson train_ssd.py": f"mv models/small models/small-classifier; rm models/pruned.tlt\n{ssd}\n"
            f"taolite ssd prune -m models/plates/model_best.tlt {pruned}",
        },
    )

    for run in ("small-classifier", "small"):
        assert '"train_teacher"' in (tmp_path / "models" / run / "metrics.jsonl").read_text()


# SSDs


def test_plates_are_converted_trained_and_found_as_printed(shared_data: Path, tmp_path: Path) -> None:
    pictures = sorted((shared_data / "ccpd_mini" / "images").glob("*.jpg"))[:4]
    for picture, part in zip(pictures, ("train", "val", "test", "test"), strict=True):
        (tmp_path / "CCPD2020" / "ccpd_green" / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, tmp_path / "CCPD2020" / "ccpd_green" / part)
    shutil.copytree(tmp_path / "CCPD2020" / "ccpd_green" / "test", tmp_path / "test")

    said = play(COOKBOOK / "ccpd.md", tmp_path, programs=PROGRAMS)

    assert (tmp_path / "plates.png").is_file()
    assert re.findall(r" - Epoch: (\d+), Validation Loss", said)[-1:] == ["29"]
    assert len(re.findall(r"^\d+ objects detected$", said, re.MULTILINE)) == 4 + 2


def test_pytorch_ssd_s_tutorial_runs_as_printed(shared_data: Path, tmp_path: Path) -> None:
    for name in ("CCPD2020-voc", "raccoon"):
        voc_set.draw_set(tmp_path / "data" / name, train=2, test=1)
    (tmp_path / "test").mkdir()
    for picture in (tmp_path / "data" / "raccoon" / "JPEGImages").glob("*.png"):
        shutil.copy(picture, tmp_path / "test" / f"{picture.stem}.jpg")
    trained = "taolite jetson train_ssd.py --dataset-type=voc --data=data/raccoon --model-dir=models/raccoon --epochs=1"

    said = play(
        COOKBOOK / "ssd-mobilenet.md",
        tmp_path,
        programs=PROGRAMS,
        before={
            "detectnet --model": "cp models/CCPD2020-voc/ssd-mobilenet.onnx models/CCPD2020-voc/labels.txt .",
            "taolite ssd prune": trained,
        },
    )

    assert (tmp_path / "models" / "raccoon_small" / "model_best.tlt").is_file()
    assert len(re.findall(r"^\d+ objects detected$", said, re.MULTILINE)) == 3 + 3


def test_tao_s_ssd_runs_as_printed(shared_data: Path, tmp_path: Path) -> None:
    raccoons(shared_data, tmp_path / "RACCOON")
    copy_specs(tmp_path, *(f"specs/ssd/{name}.txt" for name in ("tfrecords_train", "train", "retrain")))
    for name in ("train", "retrain"):
        change(tmp_path / "specs" / "ssd" / f"{name}.txt", [(r"num_epochs: 40", "num_epochs: 1")])
    shutil.copy(shared_data / "pretrained" / "resnet18.safetensors", tmp_path)
    shutil.copytree(tmp_path / "RACCOON" / "images", tmp_path / "photos")

    play(COOKBOOK / "tao-ssd.md", tmp_path)

    assert list((tmp_path / "found").rglob("*.jpg"))


# DetectNets


def test_a_detector_of_one_s_own_photographs_is_made_as_printed(shared_data: Path, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "photographs", count=16)
    (tmp_path / "other-photographs").mkdir()
    for picture in sorted((tmp_path / "photographs").glob("*.jpg"))[:2]:
        shutil.copy(picture, tmp_path / "other-photographs")
    shutil.copy(shared_data / "pretrained" / "resnet18.safetensors", tmp_path)
    names = [f"specs/detectnet_{name}.txt" for name in ("train", "retrain", "inference", "tfrecords")]
    copy_specs(tmp_path, *names)
    shutil.copytree(ROOT / "commands", tmp_path / "commands", symlinks=True)
    for name in names[:3]:  # "Change for your own data", as section 4 says
        change(tmp_path / name, [(r'"cat"', '"circle"')])
    for name in names[:2]:
        sizes = [(r"output_image_width: \d+", "output_image_width: 160"), (r"_height: 384", "_height: 96")]
        change(tmp_path / name, [(r"num_epochs: 120", "num_epochs: 1"), *sizes])

    play(COOKBOOK / "first-detector.md", tmp_path)

    assert (tmp_path / "workspace" / "mine" / "train.txt").is_file()
    assert (tmp_path / "workspace" / "data" / "etlts" / "NEW_EXPORTED.etlt").is_file()


def test_an_export_in_int8_is_judged_as_printed(fitted: Path) -> None:
    text = (fitted / "train.txt").read_text()
    source = re.search(r"^  data_sources .*\n", text, re.MULTILINE)
    assert source
    (fitted / "train.txt").write_text(text.replace(source[0], source[0] * 14))  # 12 pictures; 160 are asked for

    said = play(COOKBOOK / "int8.md", fitted)

    assert "calibrating (minmax) with 160 images: the training images of train.txt\n" in said
    assert said.count("trained model (float32) 100.00 %, export (int8, ") == 2
    assert (fitted / "calibration.tensor").is_file()
    assert "cal.bin: its ranges are used, no image is looked at\n" in said
    assert (fitted / "model.engine").is_file()


def test_a_model_is_pruned_to_sizes_speeds_and_prices_as_printed(fitted: Path) -> None:
    shutil.copy(fitted / "train.txt", fitted / "retrain.txt")
    weak = "detectnet_v2 train -e train.txt -r weak -n detector -k KEY; cp weak/weights/detector.tlt trained.tlt"

    said = play(
        COOKBOOK / "pruning.md",
        fitted,
        # a model that finds nothing has nothing to lose: no step costs more than the price
        before={"taolite detectnet prune -m trained.tlt -o small.tlt -k KEY -e retrain.txt": weak},
    )

    first, second = re.findall(r"^\| +-pth .*\n\+-.*\n((?:\|.*\n)+)", said, re.MULTILINE)[:2]
    assert re.findall(r"^\| (\S+)", first, re.MULTILINE) == re.findall(r"^\| (\S+)", second, re.MULTILINE)
    assert (fitted / "pruned" / "sweep.json").is_file()
    assert "keeps at most 0.12 of the parameters\n" in said
    assert re.search(r"^stopped", said, re.MULTILINE)


def test_scores_are_printed_and_seeds_compared_as_printed(fitted: Path, tiny: Path) -> None:
    shutil.copy(fitted / "train.txt", fitted / "SPEC")
    shutil.copy(fitted / "model.tlt", fitted / "MODEL.tlt")
    (fitted / "ssd.txt").write_text(TAO_SSD.format(kitti=tiny / "kitti", epochs=1))
    ssd = "taolite ssd train -e ssd.txt -r ssd -k KEY; cp ssd.txt SPEC; cp ssd/weights/ssd_resnet10.tlt MODEL.tlt"

    said = play(
        COOKBOOK / "scores.md",
        fitted,
        before={"taolite ssd       evaluate": ssd, "taolite detectnet train": "cp train.txt SPEC"},
    )
    assert said.count("plots: scores/plots\n") == 2
    assert re.findall(r"^seed (\d) \(run . of 3\): runs/a/seed-\1$", said, re.MULTILINE) == ["7", "8", "9"]
    assert (fitted / "runs" / "a" / "seeds.json").is_file()
