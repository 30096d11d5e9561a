"""`dataset_convert` against hand-made KITTI folders and COCO files, and reference 13.5 item 2."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import spec as specs
from taolite.errors import DataError, PathError, UsageError
from taolite.events import Event, Notice
from taolite.formats.tfrecord import read_records
from taolite.sample import Label
from taolite.stages.convert.dataset_convert import dataset_convert
from taolite.stages.convert.kitti import random_folds, sequence_folds
from taolite.stages.convert.sample_modifier import SampleModifier
from taolite.stages.convert.sorted_names import Names, sorted_names
from taolite.stages.convert.staging import Staging
from taolite.tasks.detectnet.spec import DatasetExportSpec, SampleModifierConfig

CAT = "Cat 0.5 1 -1.5 2 3 20 15.5 0 0 0 0 0 0 0"
DOG = "Dog 0 0 0 1 1 9 9 0 0 0 0 0 0 0"


def make_kitti(root: Path, labels: Mapping[str, str | None]) -> Path:
    """A KITTI folder of 32x24 pictures; `labels` maps stems to label files, None for a missing one."""
    for folder in ("image_2", "label_2"):
        (root / folder).mkdir(parents=True)
    for stem, text in labels.items():
        Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(root / "image_2" / f"{stem}.png")
        if text is not None:
            (root / "label_2" / f"{stem}.txt").write_text(text)
    return root


def draw(path: Path) -> None:
    """A black picture of 50x100 (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((50, 100, 3), np.uint8)).save(path)


def kitti_spec(root: Path, extra: str = "", *, top: str = "", **changes: str) -> DatasetExportSpec:
    fields = {
        "root_directory_path": f'"{root}"',
        "image_dir_name": '"image_2"',
        "label_dir_name": '"label_2"',
        "partition_mode": '"random"',
        "num_partitions": "2",
        "num_shards": "2",
        "val_split": "50",
    }
    body = " ".join(f"{name}: {value}" for name, value in {**fields, **changes}.items())
    return specs.loads(f"kitti_config {{ {body} {extra} }} {top}", DatasetExportSpec)


def notices(events: list[Event], level: str = "info") -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.level == level]


def test_the_reference_s_hundred_images_split_as_tao_splits_them(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {f"{index:03d}": CAT for index in range(100)})

    report = dataset_convert(kitti_spec(root, val_split="14", num_shards="10"), tmp_path / "out" / "kitti_trainval")

    assert report.images == (14, 86)
    assert [path.name for path in report.files[:2]] == [
        "kitti_trainval-fold-000-of-002-shard-00000-of-00010",
        "kitti_trainval-fold-000-of-002-shard-00001-of-00010",
    ]
    sizes = [len(list(read_records(path))) for path in report.files]
    assert sizes == [1] * 9 + [5] + [8] * 9 + [14]
    held_out = sorted(record.frame_id for record in read_records(report.files[:10]))
    assert held_out == [f"image_2/{index:03d}" for index in range(14)]


def on_disk(folder: Path, names: Iterable[str]) -> Names:
    return sorted_names(names, Staging(folder / "k").scratch())


def test_the_share_is_cut_off_where_floating_point_falls_short(tmp_path: Path):
    # reference 13.5: 29 % of 100 is 28.999999999999996, so 28 images
    folds = random_folds(on_disk(tmp_path, map(str, range(100))), val_split=29)

    assert [len(fold) for fold in folds] == [28, 72]


def test_the_order_inside_a_fold_is_two_shuffles_of_one_generator_seeded_42(tmp_path: Path):
    import random

    expected = [list("ab"), list("cdefg")]
    random.seed(42)
    for _ in range(2):
        for fold in expected:
            random.shuffle(fold)

    folds = random_folds(on_disk(tmp_path, "gfedcba"), val_split=30)

    assert [list(fold) for fold in folds] == expected


def test_sequences_are_dealt_longest_first_and_the_folds_reversed():
    sequences = {"b": ["b0", "b1"], "a": ["a0", "a1"], "c": ["c0", "c1", "c2"], "d": ["d0"]}

    folds = sequence_folds(sequences, partitions=2)

    # order c, a, b, d -> fold 0: c b, fold 1: a d -> reversed
    assert [sorted(fold) for fold in folds] == [["a0", "a1", "d0"], ["b0", "b1", "c0", "c1", "c2"]]


def test_a_record_holds_the_label_as_it_stands_lower_cased(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": f"{CAT}\n\n{DOG} 0.9\n", "b": ""})
    events: list[Event] = []

    report = dataset_convert(kitti_spec(root, num_shards="0"), tmp_path / "k", listener=events.append)

    assert [path.name for path in report.files] == ["k-fold-000-of-002", "k-fold-001-of-002"]
    first, second = (next(read_records(path)) for path in report.files)
    assert first.labels == (
        Label("cat", (2, 3, 20, 15.5), truncated=0.5, occluded=1, alpha=-1.5),
        Label("dog", (1, 1, 9, 9)),
    )
    assert (first.frame_id, first.size_hw) == ("image_2/a", (24, 32))
    assert second[:3] == ("image_2/b", (24, 32), ())
    assert report.class_map == {"Cat": "cat", "Dog": "dog"}
    assert notices(events, "warning") == [
        f"{root}/label_2/a.txt: 16 columns, as predictions have; their scores are not stored"
    ]


def test_the_console_lines_are_taos(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": f"{CAT}\n{DOG}"})
    events: list[Event] = []

    dataset_convert(kitti_spec(root, num_shards="1"), tmp_path / "k", listener=events.append)

    assert notices(events) == [
        "Instantiating a kitti converter",
        "Num images in\nTrain: 1\tVal: 1",
        "Validation data in partition 0. Hence, while choosing the validationset during training choose "
        "validation_fold 0.",
        "Writing partition 0, shard 0",
        "\nWrote the following numbers of objects:\nb'cat': 1\n",
        "Writing partition 1, shard 0",
        "\nWrote the following numbers of objects:\nb'cat': 1\nb'dog': 1\n",
        "Cumulative object statistics",
        "\nWrote the following numbers of objects:\nb'cat': 2\nb'dog': 1\n",
        "Class map. \nLabel in GT: Label in tfrecords file \nb'Cat': b'cat'\nb'Dog': b'dog'",
        "For the dataset_config in the experiment_spec, please use labels in the tfrecords file, while writing the "
        "classmap.",
        "Tfrecords generation complete.",
    ]


def test_a_box_that_encloses_no_whole_pixel_is_dropped_and_listed(tmp_path: Path):
    thin, flat = "Cat 0 0 0 10.2 5 10.9 9 0 0 0 0 0 0 0", "Cat 0 0 0 -5 -0.9 9 0.9 0 0 0 0 0 0 0"
    root = make_kitti(tmp_path / "data", {"a": f"{CAT}\n{thin}", "b": f"{flat}\n{CAT}"})
    events: list[Event] = []

    report = dataset_convert(kitti_spec(root), tmp_path / "k", listener=events.append)

    assert report.objects == {"cat": 2}
    assert report.warning_file == tmp_path / "k_warning.json"
    assert json.loads(report.warning_file.read_text()) == {
        f"{root}/label_2/a.txt_1": [10, 5, 10, 9],
        f"{root}/label_2/b.txt_0": [-5, 0, 9, 0],
    }
    assert notices(events, "warning") == [
        f"{root}/label_2/a.txt:2: Cat has an empty box and is left out",
        f"{root}/label_2/b.txt:1: Cat has an empty box and is left out",
        f"2 objects with an empty box left out; {tmp_path}/k_warning.json lists them",
    ]


def test_every_problem_is_told_at_once_and_nothing_is_written(tmp_path: Path):
    labels = {"a": None, "b": "Cat 0 0 0 1 1 9 9\n" + CAT, "c": "traffic light " + CAT[4:], "d": CAT, "e": CAT + " 1 2"}
    root = make_kitti(tmp_path / "data", labels)
    (root / "image_2" / "d.png").write_bytes(b"\x89PNG no more")

    with pytest.raises(DataError) as caught:
        dataset_convert(kitti_spec(root), tmp_path / "k")

    assert str(caught.value).splitlines() == [
        f"{root}: 5 problems",
        f"  {root}/image_2/a.png: its label file {root}/label_2/a.txt is missing; restore it, or make it empty if the "
        "image shows nothing",
        f"  {root}/image_2/d.png: not a readable image (a damaged PNG); replace the file or remove it",
        f"  {root}/label_2/b.txt:1: 8 columns found; a KITTI label has 15, or 16 with a score",
        f"  {root}/label_2/c.txt:1: class name `traffic light` holds a blank, and blanks separate columns; rename it",
        f"  {root}/label_2/e.txt:1: 17 columns found; a KITTI label has 15, or 16 with a score",
    ]
    assert not list(tmp_path.glob("k*"))


def test_of_many_problems_the_first_ten_are_told_and_the_rest_is_counted(tmp_path: Path):
    root = many(tmp_path / "data", 700)
    missing = [f"{number:06d}" for number in range(5, 700, 50)]
    for stem in missing:
        (root / "label_2" / f"{stem}.txt").unlink()

    with pytest.raises(DataError) as caught:
        dataset_convert(kitti_spec(root), tmp_path / "k")

    first, *rows, last = str(caught.value).splitlines()
    assert first == f"{root}: 14 problems"
    assert [row.split(".png: ")[0] for row in rows] == [f"  {root}/image_2/{stem}" for stem in missing[:10]]
    assert last == f"  and 4 more; `taolite dataset check {root}` lists them all"


def test_of_many_files_with_scores_ten_are_named_and_all_are_counted(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {f"{number:02d}": f"{CAT} 0.5" for number in range(14)})
    events: list[Event] = []

    dataset_convert(kitti_spec(root), tmp_path / "k", listener=events.append)

    *named, counted = notices(events, "warning")
    assert len(named) == 10
    assert counted == "14 label files have 16 columns; their scores are not stored"


def test_an_empty_fold_keeps_its_number_and_an_empty_shard_is_not_written(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT, "c": CAT})

    report = dataset_convert(kitti_spec(root, val_split="0", num_shards="5"), tmp_path / "k")

    assert [path.name for path in report.files] == ["k-fold-001-of-002-shard-00004-of-00005"]
    assert report.images == (0, 3)


def test_files_of_an_earlier_run_are_pointed_out(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    dataset_convert(kitti_spec(root, num_shards="0"), tmp_path / "k")
    events: list[Event] = []

    dataset_convert(kitti_spec(root, num_shards="1"), tmp_path / "k", listener=events.append)

    assert notices(events, "warning") == [
        f"2 files of an earlier run lie beside the new ones and match the same patterns, e.g. "
        f"{tmp_path}/k-fold-000-of-002; delete what is not wanted"
    ]


def test_a_wrong_extension_says_which_ones_there_are(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT})

    with pytest.raises(DataError) as caught:
        dataset_convert(kitti_spec(root, image_extension='".jpg"'), tmp_path / "k")

    assert str(caught.value) == (
        f"{root}/image_2: no image ends in .jpg (kitti_config.image_extension is '.jpg'); of its pictures 1 ends in "
        ".png"
    )


def test_a_missing_folder_names_the_field(tmp_path: Path):
    with pytest.raises(PathError) as caught:
        dataset_convert(kitti_spec(tmp_path), tmp_path / "k")

    assert str(caught.value) == (
        f"{tmp_path}/image_2: no such folder (kitti_config.image_dir_name); correct the spec or a mount"
    )


def test_container_paths_go_through_resolve(tmp_path: Path):
    make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    spec = kitti_spec(Path("/workspace/tao-experiments/data"))

    report = dataset_convert(spec, tmp_path / "k", resolve=lambda path: tmp_path / Path(path).name)

    assert report.images == (1, 1)


def test_sequences_come_from_their_file(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT, "c": CAT})
    (root / "map.json").write_text(json.dumps({"one": ["a", "b"], "two": ["c"]}))
    spec = kitti_spec(
        root, kitti_sequence_to_frames_file='"map.json"', partition_mode='"sequence"', num_shards="0", val_split="0"
    )

    report = dataset_convert(spec, tmp_path / "k")

    assert report.images == (1, 2)
    assert next(read_records(report.files[0])).frame_id == "image_2/c"


def test_a_sequence_file_that_cannot_be_meant_says_what_is_wrong(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    spec = kitti_spec(root, kitti_sequence_to_frames_file='"map.json"', partition_mode='"sequence"')

    def message(text: str) -> str:
        (root / "map.json").write_text(text)
        with pytest.raises(DataError) as caught:
            dataset_convert(spec, tmp_path / "k")
        return str(caught.value)

    assert message("{") == f"{root}/map.json:1: not JSON (Expecting property name enclosed in double quotes)"
    assert message('["a"]') == (
        f'{root}/map.json: one object is needed, sequence -> frames, e.g. {{"0001": ["000000", "000001"]}}'
    )
    assert message('{"one": []}') == f"{root}/map.json: it names no frame"
    (root / "map.json").unlink()
    with pytest.raises(PathError, match=r"map\.json: no such file"):
        dataset_convert(spec, tmp_path / "k")


def test_a_frame_of_two_sequences_is_pointed_out(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    (root / "map.json").write_text(json.dumps({"one": ["a", "b"], "two": ["b"]}))
    spec = kitti_spec(root, kitti_sequence_to_frames_file='"map.json"', partition_mode='"sequence"')
    events: list[Event] = []

    dataset_convert(spec, tmp_path / "k", listener=events.append)

    assert notices(events, "warning") == [f"{root}/map.json: named more than once, and so perhaps in two folds: b"]


@pytest.mark.parametrize(("partitions", "names"), [("0", ["k"]), ("1", ["k-fold-000-of-001"])])
def test_one_partition_takes_every_sequence(tmp_path: Path, partitions: str, names: list[str]):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    (root / "map.json").write_text(json.dumps({"one": ["a"], "two": ["b"]}))
    spec = kitti_spec(
        root,
        kitti_sequence_to_frames_file='"map.json"',
        partition_mode='"sequence"',
        num_partitions=partitions,
        num_shards="0",
    )

    report = dataset_convert(spec, tmp_path / "k")

    assert ([path.name for path in report.files], report.images) == (names, (2,))


@pytest.fixture
def write_coco(tmp_path: Path) -> Callable[..., DatasetExportSpec]:
    def write(*boxes: list[float]) -> DatasetExportSpec:
        for fold in ("val", "train"):
            images = [{"id": 7, "file_name": f"{fold}.one.jpg", "width": 100, "height": 50}]
            annotations = [
                {"id": 40 + i, "image_id": 7, "category_id": 3, "bbox": box, "iscrowd": 0}
                for i, box in enumerate(boxes)
            ]
            data = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "Traffic Light"}]}
            (tmp_path / f"{fold}.json").write_text(json.dumps(data))
            draw(tmp_path / f"images/{fold}/{fold}.one.jpg")
        text = f"""coco_config {{ root_directory_path: "{tmp_path}" num_partitions: 2 num_shards: 1
            img_dir_names: ["images/val", "images/train"] annotation_files: ["val.json", "train.json"] }}"""
        return specs.loads(text, DatasetExportSpec)

    return write


def test_coco_files_become_folds_in_their_order(tmp_path: Path, write_coco: Callable[..., DatasetExportSpec]):
    report = dataset_convert(write_coco([10.5, 20, 30, 10], [1, 1, 0.5, 9]), tmp_path / "c")

    assert [[record[:3] for record in read_records(path)] for path in report.files] == [
        [("images/val/val.one", (50, 100), (Label("trafficlight", (10.5, 20, 40.5, 30)),))],
        [("images/train/train.one", (50, 100), (Label("trafficlight", (10.5, 20, 40.5, 30)),))],
    ]
    # both files drop an annotation 41
    assert report.dropped == {"41": [1, 1, 1, 10], f"{tmp_path}/train.json_41": [1, 1, 1, 10]}
    assert report.class_map == {"TrafficLight": "trafficlight"}


def test_coco_files_that_do_not_go_together_are_pointed_out(
    tmp_path: Path, write_coco: Callable[..., DatasetExportSpec]
):
    spec = write_coco([10, 20, 30, 10])
    train = json.loads((tmp_path / "train.json").read_text())
    train["categories"][0]["name"] = "Traffic Lights"
    train["images"].append({"id": 8, "file_name": "two.PNG", "width": 100, "height": 50})
    (tmp_path / "train.json").write_text(json.dumps(train))
    draw(tmp_path / "images/train/two.PNG")
    events: list[Event] = []

    report = dataset_convert(spec, tmp_path / "c", listener=events.append)

    assert report.objects == {"trafficlight": 1, "trafficlights": 1}
    assert notices(events, "warning") == [
        f"{tmp_path}/train.json: file names end 1 in .PNG, 1 in .jpg; a training spec takes one image_extension",
        f"{tmp_path}/train.json: its categories are not those of {tmp_path}/val.json; only one of the two has "
        "`Traffic Light`, `Traffic Lights`",
    ]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("images", "`images` is empty, and `annotations` names some"),
        ("categories", "`categories` is empty, and `annotations` names some"),
        (
            "annotations",
            "it has no annotations: training needs objects; remove its fold from coco_config",
        ),
    ],
)
def test_a_coco_file_without_one_of_its_tables_is_refused(
    tmp_path: Path, write_coco: Callable[..., DatasetExportSpec], key: str, problem: str
):
    spec = write_coco([10, 20, 30, 10])
    train = json.loads((tmp_path / "train.json").read_text())
    (tmp_path / "train.json").write_text(json.dumps({**train, key: []}))

    with pytest.raises(DataError) as caught:
        dataset_convert(spec, tmp_path / "c")

    assert str(caught.value) == f"{tmp_path}/train.json: {problem}"


def modifier(*, folds: int = 2, validation_fold: int | None = 0, **fields: object) -> SampleModifier:
    config = SampleModifierConfig(
        source_to_target_class_mapping={"Car": "car", "van": "car", "bike": "bike"},
        **fields,  # type: ignore[arg-type]
    )
    return SampleModifier(config, folds=folds, validation_fold=validation_fold)


def test_a_sample_of_one_filtered_class_is_dropped_outside_the_validation_fold():
    rule = modifier(filter_samples_containing_only=("car",))

    assert rule.copies(["car", "van"], fold=1) == 0
    assert rule.copies(["car", "unknown"], fold=1) == 0  # an unmapped object is not looked at
    assert rule.copies(["car", "bike"], fold=1) == 1
    assert rule.copies([], fold=1) == 1
    assert rule.copies(["car", "van"], fold=0) == 1


def test_a_sample_where_a_rare_class_outweighs_a_dominant_one_is_doubled():
    rule = modifier(dominant_target_classes=("car",), minimum_target_class_imbalance={"bike": 2.0}, num_duplicates=3)

    assert rule.copies(["bike", "bike", "car"], fold=1) == 1  # 2 is not more than 1 * 2.0
    assert rule.copies(["bike", "bike", "bike", "car"], fold=1) == 4
    assert rule.copies(["bike"], fold=1) == 4  # against no car at all


def test_a_ratio_is_1_unless_given_and_dominant_classes_are_never_rare():
    rule = modifier(dominant_target_classes=("car",), num_duplicates=2)
    both = modifier(dominant_target_classes=("car", "bike"), num_duplicates=2)

    assert rule.copies(["bike", "car"], fold=1) == 1  # 1 is not more than 1 * 1.0
    assert rule.copies(["bike", "bike", "car"], fold=1) == 3
    assert both.copies(["car", "car", "bike"], fold=1) == 1


@pytest.mark.parametrize(
    ("folds", "validation_fold", "cap"),
    [(2, 0, 7), (3, 0, 3), (3, None, 2), (0, None, 7)],  # 7 // 1, 7 // 2, 7 // 3, 7 // 1
)
def test_the_cap_is_divided_by_the_training_folds_and_cuts_copies_too(
    folds: int, validation_fold: int | None, cap: int
):
    rule = modifier(
        folds=folds,
        validation_fold=validation_fold,
        max_training_samples=7,
        dominant_target_classes=("car",),
        num_duplicates=1,
    )

    for fold in range(max(folds, 1)):
        expected = [1] * 5 if fold == validation_fold else [min(2, max(cap - 2 * k, 0)) for k in range(5)]
        assert [rule.copies(["bike"], fold=fold) for _ in range(5)] == expected


def test_a_validation_fold_that_is_not_there_is_refused(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})

    with pytest.raises(UsageError, match="-f 2: the folds of this spec are 0 to 1"):
        dataset_convert(kitti_spec(root), tmp_path / "k", validation_fold=2)


def test_a_real_lidar_set_converts_whole(shared_data: Path, tmp_path: Path):
    root = shared_data / "kitti_mini" / "lidar_range" / "training"

    report = dataset_convert(kitti_spec(root, val_split="20", num_shards="10"), tmp_path / "k")

    assert report.images == (43, 172)
    assert report.objects == {
        "private_car": 144,
        "light_goods_vehicle": 43,
        "heavy_goods_vehicle": 32,
        "taxi": 13,
        "franchised_bus_s_d": 8,
    }


def many(root: Path, count: int) -> Path:
    """`count` pictures, all the same file, with ten label files between them."""
    for folder in ("image_2", "label_2"):
        (root / folder).mkdir(parents=True)
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(root / "one.png")
    for number in range(10):
        (root / f"{number}.txt").write_text("\n".join([CAT] * number + [DOG]))
    for number in range(count):
        (root / "image_2" / f"{number:06d}.png").symlink_to("../one.png")
        (root / "label_2" / f"{number:06d}.txt").symlink_to(f"../{number % 10}.txt")
    return root


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("extension", ['"png"', '".png"', '"..png"'])
def test_an_extension_has_its_dot_or_not(tmp_path: Path, extension: str):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})

    report = dataset_convert(kitti_spec(root, image_extension=extension), tmp_path / "k")

    assert report.images == (1, 1)
    assert {record.frame_id for path in report.files for record in read_records(path)} == {"image_2/a", "image_2/b"}


@pytest.mark.parametrize(("named", "there"), [("jpg", ".jpeg"), (".jpeg", ".jpg"), ("jpg", ".JPG"), ("jpeg", ".JPEG")])
@pytest.mark.parametrize("mode", ["random", "sequence"])
def test_another_spelling_of_the_extension_is_taken_and_told(tmp_path: Path, named: str, there: str, mode: str):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    for stem in "ab":
        with Image.open(root / f"image_2/{stem}.png") as image:
            image.save(root / f"image_2/{stem}{there}", format="jpeg")
        (root / f"image_2/{stem}.png").unlink()
    (root / "map.json").write_text('{"one": ["a"], "two": ["b"]}')
    more = {"kitti_sequence_to_frames_file": '"map.json"'} if mode == "sequence" else {}
    spec = kitti_spec(root, image_extension=f'"{named}"', partition_mode=f'"{mode}"', **more)
    events: list[Event] = []

    report = dataset_convert(spec, tmp_path / "k", listener=events.append)

    assert sum(report.images) == 2
    assert notices(events, "warning") == [
        f"{root}/image_2: kitti_config.image_extension is {named!r}, and its images end in {there}; that is taken; "
        f'write image_extension: "{there.lstrip(".")}" into the training spec'
    ]


def test_hidden_files_are_no_images(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    (root / "image_2/._a.png").write_bytes(b"\x00\x05\x16\x07")
    (root / "label_2/._a.txt").write_bytes(b"\x00\x05\x16\x07")
    (root / "image_2/.DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    events: list[Event] = []

    report = dataset_convert(kitti_spec(root), tmp_path / "k", listener=events.append)

    assert (report.images, notices(events, "warning")) == ((1, 1), [])


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def test_all_pictures_that_cannot_be_decoded_are_named_at_once(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT, "c": CAT})
    for stem in "ac":
        cut(root / f"image_2/{stem}.png")

    with pytest.raises(DataError) as caught:
        dataset_convert(kitti_spec(root), tmp_path / "k")

    lines = str(caught.value).splitlines()
    assert lines[0] == f"{root}: 2 problems"
    for line, stem in zip(lines[1:], "ac", strict=True):
        assert line.startswith(f"  {root}/image_2/{stem}.png: not a readable image (")
    assert not list(tmp_path.glob("k*"))


def test_the_pictures_of_coco_files_are_looked_for_and_decoded(
    tmp_path: Path, write_coco: Callable[..., DatasetExportSpec]
):
    spec = write_coco([10, 20, 30, 10])
    (tmp_path / "images/val/val.one.jpg").unlink()
    cut(tmp_path / "images/train/train.one.jpg")

    with pytest.raises(DataError) as caught:
        dataset_convert(spec, tmp_path / "c")

    first, second, third = str(caught.value).splitlines()
    assert first == f"{tmp_path}: 2 problems"
    assert second.startswith(f"  {tmp_path}/images/train/train.one.jpg: not a readable image (")
    assert third == f"  {tmp_path}/val.json: image `val.one.jpg` (id 7) is missing in {tmp_path}/images/val; restore it"


def test_a_coco_name_as_in_an_address_is_decoded_and_one_that_leads_outside_is_refused(
    tmp_path: Path, write_coco: Callable[..., DatasetExportSpec]
):
    spec = write_coco([10, 20, 30, 10])
    draw(tmp_path / "images/val/my photo.jpg")
    val, train = (json.loads((tmp_path / f"{fold}.json").read_text()) for fold in ("val", "train"))
    val["images"][0]["file_name"] = "my%20photo.jpg"
    (tmp_path / "val.json").write_text(json.dumps(val))

    report = dataset_convert(spec, tmp_path / "c")
    assert next(read_records(report.files[0])).frame_id == "images/val/my photo"

    train["images"][0]["file_name"] = "../../../../etc/x.jpg"
    (tmp_path / "train.json").write_text(json.dumps(train))
    with pytest.raises(DataError) as caught:
        dataset_convert(spec, tmp_path / "d")
    assert str(caught.value) == (
        f"{tmp_path}/train.json: image `../../../../etc/x.jpg` (id 7) leads outside {tmp_path} and its parent folder; "
        "move it, or add --allow-outside"
    )


def test_image_folders_and_frames_that_lead_outside_are_refused(tmp_path: Path):
    root = make_kitti(tmp_path / "data", {"a": CAT})
    with pytest.raises(UsageError) as caught:
        dataset_convert(kitti_spec(root, image_dir_name=f'"{root}/image_2"'), tmp_path / "k")
    assert str(caught.value) == (
        f"kitti_config.image_dir_name is '{root}/image_2', which leads outside root_directory_path and its parent "
        "folder; choose a root_directory_path above the images, or add --allow-outside"
    )

    (root / "map.json").write_text('{"one": ["../../../a"]}')
    spec = kitti_spec(root, kitti_sequence_to_frames_file='"map.json"', partition_mode='"sequence"')
    with pytest.raises(DataError) as caught:
        dataset_convert(spec, tmp_path / "k")
    assert str(caught.value) == (
        f"{root}/map.json: the frame `../../../a` leads outside {root} and its parent folder; correct it, or "
        "add --allow-outside"
    )


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a": "b"}', "null", "\x00"])
def test_a_sequence_file_of_any_bytes_is_an_error_of_ours(tmp_path: Path, text: str):
    root = make_kitti(tmp_path / "data", {"a": CAT})
    (root / "map.json").write_text(text)
    spec = kitti_spec(root, kitti_sequence_to_frames_file='"map.json"', partition_mode='"sequence"')

    with pytest.raises(DataError, match=r"data/map\.json"):
        dataset_convert(spec, tmp_path / "k")


@pytest.mark.parametrize("receipt", ["[]", "{}", '{"inputs": 1, "bytes": 2}', "[" * 100_000, "\x00", "7"])
def test_a_receipt_of_an_interrupted_run_that_is_none_is_done_again(tmp_path: Path, receipt: str):
    root = make_kitti(tmp_path / "data", {"a": CAT, "b": CAT})
    waiting = tmp_path / ".k.converting"
    waiting.mkdir()
    name = "k-fold-000-of-002-shard-00001-of-00002"
    (waiting / name).write_bytes(b"half")
    (waiting / f"{name}.json").write_text(receipt)

    report = dataset_convert(kitti_spec(root), tmp_path / "k")

    assert sum(len(list(read_records(path))) for path in report.files) == 2
