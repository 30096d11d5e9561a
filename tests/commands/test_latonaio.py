"""The third tutorial's repository runs as it is: its specs, its layout, its container paths, through mounts.

Its specs are the real ones, unmodified but for the number of epochs in the run that takes minutes; its scripts are
described in reference/detectnet_v2.md 13.3, and what they call is called here in the same words.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taolite import spec
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec
from taolite.workspace import Mounts

ROOT = Path(__file__).resolve().parents[2]
HERE = "/workspace/tao-experiments"
SPECS = {
    "detectnet_train.txt": "detectnet_v2/latonaio__detection-ai-model-learn__detectnet_train.txt",
    "detectnet_retrain.txt": "detectnet_v2/latonaio__detection-ai-model-learn__detectnet_retrain.txt",
    "detectnet_tfrecords.txt": "tfrecords/Nil69420__detectnet__detectnet_v2_tfrecords_kitti_trainval.txt",
}
PHOTOGRAPHS = 16

pytestmark = pytest.mark.skipif(Path(HERE).exists(), reason="inside the container the paths exist")


@pytest.fixture
def repository(tmp_path: Path, shared_data: Path) -> Path:
    """A checkout of that repository: its specs, 16 photographs 400x300 with a cat each, and its empty folders."""
    import numpy as np
    from PIL import Image

    for folder in ("specs", "commands", *(f"data/{name}" for name in ("trained", "tlts", "pruned", "etlts"))):
        (tmp_path / folder).mkdir(parents=True)
    for name, source in SPECS.items():
        shutil.copyfile(shared_data / "tao_specs" / source, tmp_path / "specs" / name)
    images, labels = tmp_path / "data/training/image_2", tmp_path / "data/training/label_2"
    images.mkdir(parents=True)
    labels.mkdir()
    random = np.random.default_rng(0)
    for index in range(PHOTOGRAPHS):
        pixels = random.integers(0, 90, (300, 400, 3), dtype=np.uint8)
        left, top = 20 + 12 * index, 30 + 5 * index
        pixels[top : top + 120, left : left + 150] += 120
        Image.fromarray(pixels).save(images / f"cat{index:02d}.jpg")
        line = f"cat 0.00 0 0.00 {left}.00 {top}.00 {left + 150}.00 {top + 120}.00" + 7 * " 0.00"
        (labels / f"cat{index:02d}.txt").write_text(line + "\n")
    return tmp_path


def run(repository: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Call a program in that repository, with this environment's programs on the PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    for name in ("LAUNCHER_MOUNTS", "TAOLITE_KEY"):
        environment.pop(name, None)
    result = subprocess.run(words, cwd=repository, env=environment, capture_output=True, text=True)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def enter(repository: Path, how: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run(repository, str(ROOT / "container-login.sh"), how, "--workspace", str(repository), "--", *words)


def test_every_path_in_its_specs_resolves_into_the_checkout(repository: Path) -> None:
    (repository / ".tao_mounts.json").write_text(f'{{"Mounts": [{{"source": ".", "destination": "{HERE}"}}]}}')
    mounts = Mounts.load(start=repository, environ={"HOME": "/nowhere"})
    train, retrain = (
        spec.load(repository / "specs" / f"detectnet_{name}.txt", DetectNetSpec) for name in ("train", "retrain")
    )
    conversion = spec.load(repository / "specs" / "detectnet_tfrecords.txt", DatasetExportSpec)

    assert conversion.kitti_config is not None
    named = {
        conversion.kitti_config.root_directory_path: "data/training",
        train.dataset_config.data_sources[0].tfrecords_path: "specs/tfrecords/*",
        train.dataset_config.data_sources[0].image_directory_path: "data/training",
        train.model_config_.pretrained_model_file: "data/pretrained/resnet18_peoplenet.tlt",
        retrain.model_config_.pretrained_model_file: "data/pruned/NEW_PRUNED.tlt",
    }
    assert {path: mounts.resolve(path) for path in named} == {path: repository / to for path, to in named.items()}


def test_its_tfrecords_are_written_where_its_train_spec_looks(repository: Path) -> None:
    enter(repository, "--native", str(ROOT / "commands" / "tfrecord.sh"))

    # 14 % of 16 are 2 for validation: 10 shards of none, the last with 2; 14 for training: 1 each, the last with 5
    names = sorted(path.name for path in (repository / "specs" / "tfrecords").iterdir() if "fold" in path.name)
    folds = [re.sub(r"-shard.*", "", name) for name in names]
    assert folds.count("kitti_trainval-fold-001-of-002") == 10
    assert set(folds) == {"kitti_trainval-fold-000-of-002", "kitti_trainval-fold-001-of-002"}

    # a second conversion sets the first aside, because the spec's glob would read both
    result = enter(repository, "--native", str(ROOT / "commands" / "tfrecord.sh"))
    assert f"{repository}/specs/tfrecords was there already; it is now {repository}/specs/tfrecords.1" in result.stderr
    assert sorted(path.name for path in (repository / "specs").glob("tfrecords*")) == ["tfrecords", "tfrecords.1"]


def test_training_before_the_pretrained_model_is_there_says_where_it_should_lie(repository: Path) -> None:
    enter(repository, "--native", str(ROOT / "commands" / "tfrecord.sh"))

    result = run(repository, str(ROOT / "commands" / "train.sh"), check=False)

    assert result.returncode == 1
    assert "resnet18_peoplenet.tlt" in result.stderr
    assert str(repository / "data" / "pretrained") in result.stderr
    assert "Traceback" not in result.stderr


def test_the_login_writes_the_map_once_and_leaves_a_map_that_is_there(repository: Path) -> None:
    first = enter(repository, "--native", "pwd")
    again = enter(repository, "--native", "pwd")

    assert first.stdout == again.stdout == f"{repository}\n"
    assert first.stderr == f"wrote {repository}/.tao_mounts.json: {HERE} is that folder\n"
    assert again.stderr == ""


def test_inside_the_namespace_its_paths_exist_and_outside_they_still_do_not(repository: Path) -> None:
    if subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let one make a namespace")

    result = enter(repository, "--namespace", "bash", "-c", f"pwd; ls {HERE}; echo seen > {HERE}/data/written")

    assert result.stdout.split() == [HERE, "commands", "data", "specs"]
    assert (repository / "data" / "written").read_text() == "seen\n"
    assert not Path(HERE).exists()
    assert not (repository / ".tao_mounts.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--native", "--namespace"])
def test_train_prune_retrain_and_export_leave_what_the_tutorial_expects(repository: Path, how: str) -> None:
    if how == "--namespace":
        unshared = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True)
        if unshared.returncode:
            pytest.skip("this machine does not let one make a namespace")
    for name in ("train", "retrain"):
        path = repository / "specs" / f"detectnet_{name}.txt"
        text = re.sub(r"num_epochs: 120", "num_epochs: 1", path.read_text())
        path.write_text(text)
    scratch = repository / "specs" / "scratch.txt"
    train = (repository / "specs" / "detectnet_train.txt").read_text()
    scratch.write_text(re.sub(r"\n *pretrained_model_file.*", "", train))
    pretrained = repository / "data" / "pretrained"
    pretrained.mkdir()

    commands = ROOT / "commands"
    enter(repository, how, str(commands / "tfrecord.sh"))
    # a stand-in for the model the tutorial downloads, by the tutorial's own command
    words = f"detectnet_v2 train -e {HERE}/specs/scratch.txt -r {HERE}/data/first -k tlt_encode -n peoplenet --gpus 1"
    enter(repository, how, *words.split())
    shutil.copyfile(repository / "data/first/weights/peoplenet.tlt", pretrained / "resnet18_peoplenet.tlt")
    for script in (("train.sh",), ("prune.sh", "train"), ("retrain.sh",), ("export.sh",)):
        enter(repository, how, str(commands / script[0]), *script[1:])
    scores = enter(repository, how, str(commands / "evaluate.sh"), "retrain")
    ours = str(ROOT / "specs" / "detectnet_inference.txt")  # that repository has none
    enter(repository, how, str(commands / "infer.sh"), f"{HERE}/data/training/image_2", "", "", ours)
    if importlib.util.find_spec("tensorrt_rtx"):
        enter(repository, how, str(commands / "convert.sh"))
        assert (repository / "data/engines/NEW_EXPORTED.engine").is_file()

    left = ("tlts/NEW_TRAINED.tlt", "pruned/NEW_PRUNED.tlt", "tlts/NEW_RETRAINED.tlt", "etlts/NEW_EXPORTED.etlt")
    assert [name for name in left if not (repository / "data" / name).is_file()] == []
    assert (repository / "data/trained/weights/resnet18_detector.tlt").is_file()
    assert "Mean average_precision (in %):" in scores.stdout
    assert len(list((repository / "data/inferred/images_annotated").iterdir())) == PHOTOGRAPHS

    # a second round keeps what the first one made
    enter(repository, how, str(commands / "prune.sh"), "retrain", "NEW_RETRAINED.tlt", "0.3", "tlt_encode")
    again = enter(repository, how, str(commands / "export.sh"), "NEW_TRAINED.tlt")
    assert "exporting /workspace/tao-experiments/data/tlts/NEW_TRAINED.tlt" in again.stderr
    assert (repository / "data/pruned/NEW_PRUNED.tlt.1").is_file()
    assert (repository / "data/etlts/NEW_EXPORTED.etlt.1").is_file()
