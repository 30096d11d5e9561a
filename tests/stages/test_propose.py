"""`taolite spec new`: which numbers are chosen for which pictures, which pictures are in which part, what is said; and
what is written is checked, and trains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import formats, spec
from taolite.cli.main import main
from taolite.errors import PathError, TaoliteError
from taolite.events import Notice
from taolite.sample import Label, Sample
from taolite.spec import Kind
from taolite.stages.propose import Wanted, new_experiment
from taolite.tasks.classification.propose import propose as propose_classification
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.detectnet.propose import propose as propose_detectnet
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec
from taolite.tasks.proposal import Places, balance_note, epochs_for
from taolite.tasks.ssd.propose import propose as propose_ssd
from taolite.tasks.ssd.spec import SsdSpec, check_needs

MODELS = {
    Kind.DETECTNET: DetectNetSpec,
    Kind.DETECTNET_INFERENCE: InferenceSpec,
    Kind.DATASET_EXPORT: DatasetExportSpec,
    Kind.CLASSIFICATION: ClassificationSpec,
    Kind.SSD: SsdSpec,
}
HERE = Places("/x/new", "/x/resnet18.safetensors")


def samples(
    count: int, hw: tuple[int, int], box: float, *, names: Sequence[str] = ("cat",), first: int = 0
) -> list[Sample]:
    """Pictures of one size, each with one square object of this side, pixels."""
    return [
        Sample(Path(f"{first + k:04d}.jpg"), hw, (Label(names[k % len(names)], (0.0, 0.0, box, box)),))
        for k in range(count)
    ]


def detectnet(train: Sequence[Sample], classes: Sequence[str] = ("cat",), *, name: str = "train.txt") -> DetectNetSpec:
    texts = propose_detectnet(train, parts=("train", "val"), classes=classes, places=HERE)
    return spec.loads(texts[name], DetectNetSpec)


def ssd(train: Sequence[Sample], classes: Sequence[str] = ("cat",)) -> SsdSpec:
    texts = propose_ssd(train, parts=("train", "val"), classes=classes, places=HERE)
    return spec.loads(texts["train.txt"], SsdSpec)


def classification(train: Sequence[Sample], *, places: Places = HERE) -> ClassificationSpec:
    classes = sorted({sample.labels[0].name for sample in train})
    texts = propose_classification(train, parts=("train", "val"), classes=classes, places=places)
    return spec.loads(texts["train.txt"], ClassificationSpec)


def input_hw(made: DetectNetSpec | SsdSpec) -> tuple[int, int]:
    if isinstance(made, DetectNetSpec):
        config = made.augmentation_config.preprocessing
        return config.output_image_height, config.output_image_width
    assert made.augmentation_config is not None
    return made.augmentation_config.output_height, made.augmentation_config.output_width


@pytest.mark.parametrize(
    ("hw", "box", "of_detectnet", "of_ssd"),
    [
        ((600, 600), 200.0, (224, 224), (320, 320)),  # square, large objects: the smallest input
        ((400, 400), 200.0, (224, 224), (320, 320)),
        ((375, 1242), 150.0, (96, 288), (96, 320)),  # wide: 3.3 times as wide as high, in cells of 32
        ((1242, 375), 150.0, (288, 96), (320, 96)),  # high
        ((200, 200), 150.0, (224, 224), (224, 224)),  # small pictures of large objects are not enlarged
        ((200, 200), 10.0, (416, 416), (416, 416)),  # of small objects they are
        ((1000, 1000), 50.0, (640, 640), (640, 640)),  # 32 pixels are 50 * 640 / 1000
        ((2000, 2000), 20.0, (1248, 1248), (768, 768)),  # very small: the largest input, and no further
        ((500, 500), 5.0, (512, 512), (512, 512)),  # very small in small pictures: no larger than they are
    ],
)
def test_the_input_has_the_shape_of_the_pictures_and_shows_the_objects(hw, box, of_detectnet, of_ssd):
    train = samples(40, hw, box)

    assert (input_hw(detectnet(train)), input_hw(ssd(train))) == (of_detectnet, of_ssd)


def test_pictures_of_mixed_shapes_get_a_square():
    train = samples(20, (400, 800), 200.0) + samples(20, (800, 400), 200.0, first=20)
    mostly_wide = samples(38, (400, 800), 200.0) + samples(2, (800, 400), 200.0, first=38)

    assert input_hw(detectnet(train)) == (224, 224)
    assert input_hw(detectnet(mostly_wide)) == (128, 224)  # 224 / 2 is 3.5 cells of 32, and 4 is even
    assert input_hw(ssd(train)) == (320, 320)


def test_the_class_with_the_smallest_objects_decides():
    large, small = samples(40, (1000, 1000), 500.0), samples(4, (1000, 1000), 30.0, names=("mouse",), first=40)

    assert input_hw(detectnet(large)) == (224, 224)
    assert input_hw(detectnet(large + small, ("cat", "mouse"))) == (1248, 1248)  # 30 * 1248 / 1000 is the first over 32


@pytest.mark.parametrize(
    ("pictures", "epochs", "pruned"), [(8, 300, 900), (100, 72, 216), (160, 45, 135), (1000, 20, 22), (100_000, 20, 20)]
)
def test_few_pictures_are_seen_more_often(pictures: int, epochs: int, pruned: int):
    train = samples(pictures, (600, 600), 200.0)

    made = ssd(train)

    assert detectnet(train).training_config.num_epochs == epochs
    assert detectnet(train, name="retrain.txt").training_config.num_epochs == pruned
    assert made.training_config is not None
    assert made.training_config.num_epochs == epochs
    assert epochs_for(pictures, seen=7200, least=20, most=300)[0] == epochs


def test_many_pictures_have_fewer_mosaics_and_weaker_colours():
    few, many = samples(1999, (600, 600), 200.0), samples(2000, (600, 600), 200.0)

    own = [detectnet(train).taolite for train in (few, many)]
    colours = [made.augmentation_config for made in (ssd(few[:999]), ssd(few[:1000]))]
    crops = [classification(samples(n, (300, 300), 1.0, names=("a", "b"))).train_config for n in (1999, 2000)]

    assert [one.views.mosaic_probability for one in own if one and one.views] == [0.5, 0.25]
    assert [(one.contrast, one.saturation) for one in colours if one] == [(0.5, 0.5), (0.3, 0.3)]
    assert [one.enable_color_augmentation for one in crops] == [True, False]
    assert [(one.batch_size_per_gpu, one.lr_config.cosine.learning_rate) for one in crops] == [(16, 0.003), (32, 0.006)]


def test_a_class_of_few_and_small_objects_counts_more():
    # at 352 of 1040 pixels a mouse is 34 pixels wide: an ellipse of pi * 0.63 ** 2 cells; a cow 338: pi * 6.3 ** 2
    train = samples(36, (1040, 1040), 1000.0, names=("cow",)) + samples(
        9, (1040, 1040), 100.0, names=("mouse",), first=36
    )

    made = detectnet(train, ("cow", "mouse"))

    weights = {target.name: target.class_weight for target in made.cost_function_config.target_classes}
    # 36 * 100 to 9 cells, so 1 to 20 by the root
    assert weights == {"cow": pytest.approx(2 / 21, abs=0.01), "mouse": pytest.approx(40 / 21, abs=0.01)}


@pytest.mark.parametrize(("beside", "threshold"), [(1000.0, 0.45), (60.0, 0.45), (50.0, 0.48), (20.0, 0.55)])
def test_finds_are_one_object_where_they_overlap_more_than_labels_do(beside: float, threshold: float):
    """Two boxes of 100 x 100, one `beside` to the right. By 60: IoU 40 / 160; by 50: 50 / 150; by 20: 80 / 120."""
    boxes = [(x, 0.0, x + 100.0, 100.0) for x in (0.0, beside)]
    train = [Sample(Path(f"{k}.jpg"), (1200, 1200), tuple(Label("cat", box) for box in boxes)) for k in range(20)]

    rule = detectnet(train).postprocessing_config.target_class_config["cat"].clustering_config

    assert rule.nms_iou_threshold == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("sides", "scale"), [((100.0,), (0.8, 1.2)), ((100.0, 150.0), (0.7, 1.4)), ((50, 200.0), (0.6, 1.6))]
)
def test_views_vary_in_scale_as_objects_do_in_size(sides: tuple[float, ...], scale: tuple[float, float]):
    """Of two sides in equal number the logarithms deviate by half the difference: 0.20 and 0.69, times 1.5."""
    train = [one for k, side in enumerate(sides) for one in samples(20, (224, 224), side, first=20 * k)]

    views = detectnet(train).taolite.views

    assert (views.scale_min, views.scale_max) == scale


def test_an_ssd_trains_pretrained_layers_slower_and_learns_from_its_teacher_when_pruned():
    texts = {
        weights: propose_ssd(
            samples(40, (300, 300), 60.0), parts=("train", "val"), classes=("cat",), places=Places("/new", weights)
        )
        for weights in ("/weights.safetensors", "")
    }

    for weights, name, rate, taught in (
        ("/weights.safetensors", "train.txt", 0.3, False),
        ("/weights.safetensors", "retrain.txt", 1.0, True),
        ("", "train.txt", 1.0, False),
    ):
        own = spec.loads(texts[weights][name], SsdSpec).taolite
        assert own is not None
        assert own.fitting is not None
        assert (own.fitting.backbone_rate, own.teacher is not None) == (rate, taught)


def test_the_anchors_of_an_ssd_begin_at_the_smallest_objects():
    large, small, least = (ssd(samples(40, (1000, 1000), box)) for box in (300.0, 55.0, 2.0))

    for made, first, zoom_out in ((large, 0.1, 4.0), (small, 0.055, 2.0), (least, 0.04, 2.0)):
        assert made.ssd_config is not None
        assert made.augmentation_config is not None
        scales = made.ssd_config.anchor_scales
        assert (scales[0], scales[-1]) == (pytest.approx(first, abs=0.001), 1.05)
        assert list(scales) == sorted(scales)
        assert made.augmentation_config.zoom_out_max_scale == zoom_out


@pytest.mark.parametrize(("shorter", "side"), [(28, 64), (96, 96), (100, 128), (200, 224), (2000, 224)])
def test_a_classifier_sees_no_more_pixels_than_the_pictures_have_and_224_at_most(shorter: int, side: int):
    made = classification(samples(40, (shorter, 3 * shorter), 1.0, names=("a", "b")))

    assert made.model_config_.input_chw == (3, side, side)


def test_a_classifier_from_random_weights_is_trained_longer_and_faster():
    train = samples(1000, (300, 300), 1.0, names=("a", "b"))

    started, begun = classification(train), classification(train, places=Places("/x/new"))

    assert (started.train_config.n_epochs, begun.train_config.n_epochs) == (8, 40)
    rates = [one.train_config.lr_config.cosine.learning_rate for one in (started, begun)]
    assert rates == [0.003, 0.02]
    assert [one.model_config_.freeze_bn for one in (started, begun)] == [True, False]
    assert started.taolite is not None
    assert started.taolite.fitting.backbone_rate == 0.03
    assert begun.taolite is None
    assert begun.train_config.pretrained_model_path == ""
    assert started.train_config.pretrained_model_path == "/x/resnet18.safetensors"


def test_a_classifier_has_the_graph_of_torchvisions_weights_and_taos_with_others():
    train = samples(40, (300, 300), 1.0, names=("a", "b"))

    own = classification(train, places=Places("/x/new", "/x/r34.pth", "resnet34")).model_config_
    other = classification(train, places=Places("/x/new", "/x/tao.hdf5")).model_config_

    assert (own.arch, own.torchvision_arch) == ("torchvision", "resnet34")
    assert (other.arch, other.n_layers) == ("resnet", 18)


def test_the_balance_of_classes_is_a_comment():
    train = samples(12, (9, 9), 1.0, names=("cat", "cat", "cat", "cat", "cat", "Dog"))

    assert balance_note(train, ("dog", "cat"), unit="object").splitlines() == [
        "# Training objects: cat 10, dog 2.",
        "# Rare: dog. More objects of them raise their score more than any setting here.",
    ]
    assert balance_note(samples(4, (9, 9), 1.0, names=("b", "a")), ("a", "b"), unit="picture") == (
        "# Training pictures: a 2, b 2."
    )


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "two words", "犬"])
def test_class_names_of_any_letters_are_written_so_that_they_are_read_back(name: str):
    assert detectnet(samples(9, (99, 99), 30.0, names=(name,)), (name,)).classes == (name,)
    data = ssd(samples(9, (99, 99), 30.0, names=(name,)), (name,)).dataset_config
    assert data is not None
    assert data.classes == (name,)


# Which pictures are in which part


def draw(path: Path, seed: int, *, bright: bool = True) -> None:
    """A picture of 96 x 64 with a bright plate on a smooth pattern of its own."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 120, (6, 8, 3)).astype(np.uint8))
    pixels = np.array(small.resize((96, 64), Image.Resampling.BICUBIC))
    if bright:
        pixels[16:48, 24:72] = 230
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def kitti(folder: Path, seeds: Sequence[int], *, name: str = "plate", first: int = 0) -> None:
    """KITTI folders of a picture for each seed; equal seeds are equal pictures."""
    for number, seed in enumerate(seeds, start=first):
        draw(folder / "image_2" / f"{number:03d}.png", seed)
        label = folder / "label_2" / f"{number:03d}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{name} 0.00 0 0.00 24.0 16.0 72.0 48.0 0 0 0 0 0 0 0\n")


def class_folders(folder: Path, counts: dict[str, int], *, first: int = 0) -> None:
    for kind, (name, count) in enumerate(counts.items()):
        for number in range(count):
            draw(folder / name / f"{number:03d}.png", first + 1000 * kind + number, bright=kind == 0)


def stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("*.png")}


def test_own_parts_are_kept_and_a_test_part_is_left_alone(tmp_path: Path):
    for name, seeds in (("train", range(12)), ("valid", range(20, 23)), ("test", range(30, 34))):
        kitti(tmp_path / "data" / name, list(seeds), first=seeds[0])

    made = new_experiment(tmp_path / "data", tmp_path / "new", task="detectnet")

    assert (made.parts, made.held_out, made.alike) == ({"train": 12, "val": 3, "test": 4}, False, {})
    assert stems(tmp_path / "new/data/train") == {f"{k:03d}" for k in range(12)}
    assert stems(tmp_path / "new/data/val") == {"020", "021", "022"}
    assert stems(tmp_path / "new/data/test") == {"030", "031", "032", "033"}
    assert {path.name for path in made.files} == {
        "tfrecords_train.txt", "tfrecords_val.txt", "tfrecords_test.txt", "train.txt", "retrain.txt", "inference.txt",
    }  # fmt: skip


def test_a_test_list_alone_keeps_its_pictures_out_of_training_and_validation(tmp_path: Path):
    kitti(tmp_path / "data", list(range(20)))
    (tmp_path / "data" / "test.txt").write_text("003\n007\n")

    made = new_experiment(tmp_path / "data", tmp_path / "new", task="ssd")

    assert (made.parts, made.held_out) == ({"train": 14, "val": 4, "test": 2}, True)
    assert stems(tmp_path / "new/data/test") == {"003", "007"}
    assert not (stems(tmp_path / "new/data/train") | stems(tmp_path / "new/data/val")) & {"003", "007"}


def test_trainval_is_divided_anew_where_it_is_asked_for(tmp_path: Path):
    kitti(tmp_path / "data", list(range(20)))
    for name, numbers in (
        ("train", range(12)),
        ("val", range(12, 15)),
        ("trainval", range(15)),
        ("test", range(15, 20)),
    ):
        (tmp_path / "data" / f"{name}.txt").write_text("".join(f"{k:03d}\n" for k in numbers))

    own = new_experiment(tmp_path / "data", tmp_path / "own", task="detectnet")
    asked = new_experiment(tmp_path / "data", tmp_path / "asked", task="detectnet", wanted=Wanted(train="trainval"))
    named = new_experiment(
        tmp_path / "data", tmp_path / "named", task="detectnet", wanted=Wanted(train="trainval", val="test")
    )

    assert (own.parts, own.held_out) == ({"train": 12, "val": 3, "test": 5}, False)
    assert (asked.parts, asked.held_out) == ({"train": 12, "val": 3, "test": 5}, True)
    assert not stems(tmp_path / "asked/data/train") & stems(tmp_path / "asked/data/val")
    assert (named.parts, named.held_out) == ({"train": 15, "val": 5}, False)


def test_pictures_that_look_alike_are_held_out_together(tmp_path: Path):
    seeds = [1, 1, 1, 2, 2, *range(10, 25)]
    kitti(tmp_path / "data", seeds)

    made = new_experiment(tmp_path / "data", tmp_path / "new", task="detectnet")

    held = stems(tmp_path / "new/data/val")
    assert (made.parts, made.held_out, len(held)) == ({"train": 16, "val": 4}, True, 4)
    for group in ({"000", "001", "002"}, {"003", "004"}):
        assert len(group & held) in (0, len(group))


def test_a_test_picture_that_looks_like_a_training_picture_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    kitti(tmp_path / "data" / "train", list(range(12)))
    kitti(tmp_path / "data" / "test", [5, 40, 41], first=20)

    assert main(["spec", "new", "ssd", str(tmp_path / "data"), "-o", str(tmp_path / "new")]) == 0

    said = capsys.readouterr()
    warning = "warning: 1 picture of test looks like a training picture: the score of test is too good"
    assert warning in said.err.splitlines()
    assert said.out.splitlines()[:2] == [
        f"{tmp_path}/new: 10 pictures in train, 2 pictures in val, 3 pictures in test; 1 class: plate",
        "the data set has no validation part: a fifth of the pictures is held out, those alike on one side",
    ]


def test_class_folders_are_divided_class_by_class(tmp_path: Path):
    class_folders(tmp_path / "data", {"light": 20, "dark": 10})

    made = new_experiment(tmp_path / "data", tmp_path / "new", task="classification")

    counts = {
        f"{part}/{name}": len(list((tmp_path / "new/data" / part / name).iterdir()))
        for part in ("train", "val")
        for name in ("light", "dark")
    }
    assert counts == {"train/light": 16, "train/dark": 8, "val/light": 4, "val/dark": 2}
    assert (made.parts, made.held_out, made.classes) == ({"train": 24, "val": 6}, True, ("dark", "light"))


def test_only_the_classes_that_are_asked_for_are_learned(tmp_path: Path):
    class_folders(tmp_path / "data" / "train", {"a": 8, "b": 8, "c": 8})
    class_folders(tmp_path / "data" / "val", {"a": 2, "b": 2, "c": 2}, first=500)

    made = new_experiment(tmp_path / "data", tmp_path / "new", task="classification", wanted=Wanted(classes=["c", "a"]))

    assert (made.parts, made.classes) == ({"train": 16, "val": 4}, ("a", "c"))
    assert sorted(path.name for path in (tmp_path / "new/data/train").iterdir()) == ["a", "c"]


def test_places_to_ignore_are_no_class_unless_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    kitti(tmp_path / "data" / "train", list(range(10)))
    kitti(tmp_path / "data" / "train", list(range(20, 24)), first=20, name="DontCare")
    kitti(tmp_path / "data" / "train", list(range(30, 34)), first=30, name="__ignore__")
    kitti(tmp_path / "data" / "val", [40, 41], first=40)
    said: list[object] = []

    made = new_experiment(tmp_path / "data", tmp_path / "new", task="detectnet", listener=said.append)

    assert made.classes == ("plate",)
    told = "not learned, as they mark places to ignore: DontCare, __ignore__ (--classes names what to learn)"
    assert Notice(told) in said
    assert "dontcare" not in (tmp_path / "new/train.txt").read_text().lower()
    assert made.parts["train"] == 18  # pictures without an object are seen, too
    asked = Wanted(classes=["plate", "DontCare"])
    again = new_experiment(tmp_path / "data", tmp_path / "other", task="detectnet", wanted=asked)
    assert again.classes == ("plate", "DontCare")


def test_names_that_differ_in_case_alone_are_one_class_as_in_records(tmp_path: Path):
    kitti(tmp_path / "data" / "train", list(range(10)))
    kitti(tmp_path / "data" / "train", list(range(20, 24)), first=20, name="Plate")
    kitti(tmp_path / "data" / "val", [40, 41], first=40)

    new_experiment(tmp_path / "data", tmp_path / "new", task="detectnet")

    text = (tmp_path / "new/train.txt").read_text()
    assert text.count('target_class_mapping { key: "plate"') == 1
    assert text.count('name: "plate"') == 1


# What is said of data that does not do


def refused(data: Path, task: str, **wanted: object) -> str:
    with pytest.raises(TaoliteError) as caught:
        new_experiment(data, data.parent / "new", task=task, wanted=Wanted(**wanted))  # type: ignore[arg-type]
    assert not (data.parent / "new").exists()
    return str(caught.value)


def test_boxes_and_class_folders_are_told_apart(tmp_path: Path):
    kitti(tmp_path / "boxes", list(range(10)))
    class_folders(tmp_path / "folders", {"a": 10, "b": 10})

    assert refused(tmp_path / "boxes", "classification") == (
        f"{tmp_path}/boxes: has labels of kitti, and a classifier needs a folder of pictures for each class; "
        "`taolite spec new detectnet` learns boxes"
    )
    assert refused(tmp_path / "folders", "ssd") == (
        f"{tmp_path}/folders: has class folders, and a detector needs boxes; draw some with `taolite annotate`, or "
        "learn whole pictures with `taolite spec new classification`"
    )


def test_too_few_pictures_unknown_classes_and_a_used_folder_are_errors(tmp_path: Path):
    data = tmp_path / "data"
    kitti(data, list(range(9)))

    assert refused(data, "detectnet") == f"{data}: 7 labelled pictures are left for training; 8 or more are needed"
    kitti(data, list(range(9, 20)), first=9)
    assert refused(data, "detectnet", classes=["plates"]) == (
        "--classes: no label is called plates; did you mean `plate`?; there are plate"
    )
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("")
    with pytest.raises(TaoliteError) as caught:
        new_experiment(data, tmp_path / "used", task="detectnet")
    assert str(caught.value) == f"{tmp_path}/used: this folder is not empty; choose another one for the experiment"


def test_a_scene_that_cannot_be_divided_asks_for_a_validation_part(tmp_path: Path):
    kitti(tmp_path / "data", [1] * 12)

    assert refused(tmp_path / "data", "detectnet") == (
        f"{tmp_path}/data: a fifth of 12 pictures cannot be held out for validation, because too many of them look "
        "alike; name the validation part with --val"
    )


def test_one_class_folder_is_too_few(tmp_path: Path):
    class_folders(tmp_path / "data", {"a": 20, "b": 20})

    assert refused(tmp_path / "data", "classification", classes=["a"]) == (
        "a is the only class; a classifier needs two or more"
    )


# What is written is checked, and trains


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("boxes") / "data"
    kitti(root / "train", list(range(10)))
    kitti(root / "val", list(range(20, 23)), first=20)
    kitti(root / "test", list(range(30, 33)), first=30)
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folders") / "data"
    class_folders(root / "train", {"light": 6, "dark": 6})
    class_folders(root / "val", {"light": 2, "dark": 2}, first=500)
    return root


def checked(files: Sequence[Path]) -> None:
    """Every spec is read without a warning, and has what its commands need."""
    for file in files:
        model = MODELS[spec.identify(file)]
        reading = spec.read(file, model)
        assert reading.warnings == (), file
        if isinstance(reading.model, SsdSpec):
            check_needs(reading.model, "train", path=file)


def commands(out: str) -> list[list[str]]:
    lines = out.splitlines()
    return [line.split() for line in lines[lines.index("next:") + 1 :]]


def with_one_epoch(file: Path) -> None:
    lines = file.read_text().splitlines()
    epochs = {"num_epochs": 1, "n_epochs": 1, "checkpoint_interval": 1, "validation_period_during_training": 1,
              "first_validation_epoch": 1, "n_layers": 10, "nlayers": 10, "num_layers": 10}  # fmt: skip
    small = {"output_width": 96, "output_height": 64, "output_image_width": 96, "output_image_height": 64}
    for number, line in enumerate(lines):
        name = line.split(":")[0].strip()
        if name in epochs | small:
            lines[number] = f"{name}: {(epochs | small)[name]}"
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("task", ["detectnet", "ssd", "classification"])
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["trained", "exported"])
def test_a_tiny_set_goes_from_pictures_to_an_export_by_the_commands_that_are_printed(
    task: str, whole: bool, boxes: Path, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data, new = folders if task == "classification" else boxes, tmp_path / "new"

    assert main(["spec", "new", task, str(data), "-o", str(new)]) == 0
    told = commands(capsys.readouterr().out)
    checked(sorted(new.glob("*.txt")))
    for name in ("train.txt", "retrain.txt", "test.txt"):
        if (new / name).exists():
            with_one_epoch(new / name)

    for words in told:
        words = [word.replace("ssd_resnet18", "ssd_resnet10") for word in words]
        if words[1] == "inference":
            continue  # its input is that of the full size
        if words[1] == "prune" and not whole:
            break
        group = {"detectnet_v2": "detectnet", "classification_tf1": "classification"}.get(words[0], words[0])
        assert main([group, *(word.replace("KEY", "k") for word in words[1:])]) == 0, words
    assert list(new.glob("trained/weights/*.tlt"))
    exported = new / ("classifier.onnx" if task == "classification" else "detector.etlt")
    assert exported.exists() == whole
    if task != "detectnet":
        assert json.loads((new / "scores/results.json").read_text())


def test_the_graph_of_a_classifier_follows_from_the_tensors_of_its_weights(
    folders: Path, shared_data: Path, tmp_path: Path
):
    named = {}
    for name in ("resnet18", "mobilenet_v2"):
        wanted = Wanted(pretrained=shared_data / "pretrained" / f"{name}.safetensors")
        named[name] = new_experiment(folders, tmp_path / name, task="classification", wanted=wanted).arch

    assert named == {"resnet18": "resnet18", "mobilenet_v2": ""}
    assert 'arch: "torchvision"' in (tmp_path / "resnet18" / "retrain.txt").read_text()


def test_missing_weights_are_found_before_anything_is_written(folders: Path, tmp_path: Path):
    weights = tmp_path / "no.pth"

    with pytest.raises(PathError) as caught:
        new_experiment(folders, tmp_path / "new", task="classification", wanted=Wanted(pretrained=weights))

    assert str(caught.value) == (f"{weights}: no such file; --pretrained needs weights, such as resnet18.pth")
    assert not (tmp_path / "new").exists()


def test_real_sets_get_specs_without_a_warning(shared_data: Path, tmp_path: Path):
    made = new_experiment(shared_data / "cat_dog_det", tmp_path / "boxes", task="ssd")

    assert made.classes == ("cat", "dog")
    checked(made.files)
    read = formats.read(tmp_path / "boxes/data/train", "kitti")
    assert len(read) == made.parts["train"]
