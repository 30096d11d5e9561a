"""`detectnet_v2 dataset_convert` on real pictures: COCO files, sequences, the sample modifier (reference 3).

The expected records are counted here from the XML and text files themselves, without our readers.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from taolite.cli.main import main
from taolite.formats.tfrecord import Record, read_records

CELLS = ("RBC", "WBC", "Platelets")
Convert = Callable[..., list[str]]


@pytest.fixture
def convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Convert:
    """Run the command on a spec; the lines it prints."""

    def run(spec: str, *flags: object, code: int = 0) -> list[str]:
        (tmp_path / "spec.txt").write_text(spec)
        words = ["dataset_convert", "-d", tmp_path / "spec.txt", "-o", tmp_path / "records" / "k", *flags]
        assert main(["detectnet", *map(str, words)]) == code
        return capsys.readouterr().err.splitlines()

    return run


def records_of(tmp_path: Path) -> list[list[Record]]:
    """The records of each file, in the order of the names."""
    return [list(read_records(path)) for path in sorted((tmp_path / "records").glob("k-fold-*"))]


def write_coco(bccd: Path, names: Sequence[str], path: Path) -> tuple[int, Counter[str]]:
    """A COCO file of BCCD's annotations; how many boxes enclose nothing, and how many of each class do not."""
    images, annotations, empty, counts = [], [], 0, Counter[str]()
    for index, name in enumerate(names):
        root = ElementTree.parse(bccd / "Annotations" / f"{name}.xml").getroot()
        width, height = (int(root.findtext(f"size/{side}", "")) for side in ("width", "height"))
        images.append({"id": index, "file_name": f"{name}.jpg", "width": width, "height": height})
        for part in root.findall("object"):
            x1, y1, x2, y2 = (int(part.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax"))
            kind = part.findtext("name", "")
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 1}  # crowds are not looked at
            annotations.append({"id": len(annotations), "image_id": index, "category_id": CELLS.index(kind) + 5, **box})
            if x1 < x2 and y1 < y2:
                counts[kind.lower()] += 1
            else:
                empty += 1
    categories = [{"id": index + 5, "name": kind} for index, kind in enumerate(CELLS)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return empty, counts


def test_coco_files_of_real_cells_become_folds_with_shards_of_their_own(
    shared_data: Path, tmp_path: Path, convert: Convert
):
    bccd = shared_data / "bccd"
    (tmp_path / "JPEGImages").symlink_to(bccd / "JPEGImages")
    lists = {split: (bccd / "ImageSets" / "Main" / f"{split}.txt").read_text().split() for split in ("val", "train")}
    empty, counts = 0, Counter[str]()
    for split, names in lists.items():
        more, seen = write_coco(bccd, names, tmp_path / f"{split}.json")
        empty, counts = empty + more, counts + seen

    said = convert(f"""coco_config {{ root_directory_path: "{tmp_path}" num_partitions: 2 num_shards: [4, 16]
        img_dir_names: ["JPEGImages", "JPEGImages"] annotation_files: ["val.json", "train.json"] }}""")

    files = sorted(path.name for path in (tmp_path / "records").glob("k-fold-*"))
    assert files[3:5] == ["k-fold-000-of-002-shard-00003-of-00004", "k-fold-001-of-002-shard-00000-of-00016"]
    written = records_of(tmp_path)
    # 87 in 4 files: 21, 21, 21, 24; 205 in 16: 12 each, the last 25; in the order of the annotation files
    assert [len(records) for records in written] == [21, 21, 21, 24] + [12] * 15 + [25]
    order = [f"JPEGImages/{name}" for split in ("val", "train") for name in lists[split]]
    assert [record.frame_id for records in written for record in records] == order
    assert Counter(label.name for records in written for record in records for label in record.labels) == counts
    assert len(json.loads((tmp_path / "records" / "k_warning.json").read_text())) == empty == 2
    assert said[0] == "Instantiating a coco converter"
    assert [line for line in said if line.startswith("warning")] == [
        f"warning: 2 objects with an empty box left out; {tmp_path}/records/k_warning.json lists them"
    ]


@pytest.fixture
def lidar(shared_data: Path, tmp_path: Path) -> tuple[Path, dict[str, list[str]]]:
    """A KITTI root of 215 pictures in six sequences, and the class names of each picture, lower-cased."""
    training = shared_data / "kitti_mini" / "lidar_range" / "training"
    for folder in ("image_2", "label_2"):
        (tmp_path / folder).symlink_to(training / folder)
    names = {
        path.stem: [line.split()[0].lower() for line in path.read_text().splitlines() if line.strip()]
        for path in sorted((training / "label_2").glob("*.txt"))
    }
    stems = sorted(path.stem for path in (training / "image_2").glob("*.png"))
    assert (len(stems), stems) == (215, [stem for stem in stems if stem in names])
    sequences = {f"drive_{index}": stems[40 * index : 40 * index + 40] for index in range(6)}
    (tmp_path / "sequences.json").write_text(json.dumps(sequences))
    return tmp_path, {stem: names[stem] for stem in stems}


def sequence_spec(root: Path, extra: str = "") -> str:
    return f"""kitti_config {{ root_directory_path: "{root}" image_dir_name: "image_2" label_dir_name: "label_2"
        partition_mode: "sequence" num_partitions: 3 kitti_sequence_to_frames_file: "sequences.json" }} {extra}"""


# 40 40 40 40 40 15 pictures, dealt to three folds: drives 0 3, 1 4, 2 5; reversed: 2 5, 1 4, 0 3
FOLDS = ((2, 5), (1, 4), (0, 3))


def test_real_sequences_stay_whole_in_their_folds(lidar: tuple[Path, dict[str, list[str]]], convert: Convert):
    root, names = lidar
    stems = list(names)

    convert(sequence_spec(root))

    for records, drives in zip(records_of(root), FOLDS, strict=True):
        expected = [stem for drive in drives for stem in stems[40 * drive : 40 * drive + 40]]
        assert sorted(record.frame_id for record in records) == sorted(f"image_2/{stem}" for stem in expected)
    assert sorted(path.name for path in (root / "records").iterdir()) == [f"k-fold-00{k}-of-003" for k in range(3)]


MAPPING = {"private_car": "car", "taxi": "car", "heavy_goods_vehicle": "truck", "light_goods_vehicle": "truck"}
MODIFIER = """sample_modifier_config {
  filter_samples_containing_only: "car" dominant_target_classes: "car"
  minimum_target_class_imbalance { key: "truck" value: 1.5 } num_duplicates: 2 max_training_samples: 101
ENTRIES }""".replace(
    "ENTRIES", "".join(f"source_to_target_class_mapping {{ key: '{a}' value: '{b}' }}\n" for a, b in MAPPING.items())
)


def slow_copies(names: list[str]) -> int:
    """Reference 3.7, rules 1 and 2, for the modifier above."""
    mapped = [MAPPING[name] for name in names if name in MAPPING]
    if set(mapped) == {"car"}:
        return 0
    return 3 if "truck" in mapped and mapped.count("truck") > mapped.count("car") * 1.5 else 1


def test_the_three_rules_of_the_sample_modifier_on_real_labels(
    lidar: tuple[Path, dict[str, list[str]]], convert: Convert
):
    root, names = lidar

    said = convert(sequence_spec(root, MODIFIER), "-f", 1)

    whole = {stem: slow_copies(found) for stem, found in names.items()}
    assert set(whole.values()) == {0, 1, 3}
    written = [Counter(record.frame_id.removeprefix("image_2/") for record in records) for records in records_of(root)]
    stems = list(names)
    dropped = added = 0
    for fold, drives in enumerate(FOLDS):
        pictures = [stem for drive in drives for stem in stems[40 * drive : 40 * drive + 40]]
        if fold == 1:  # -f: left as it is
            assert written[fold] == Counter(pictures)
            continue
        cap = 101 // 2
        assert written[fold].total() == min(sum(whole[stem] for stem in pictures), cap)
        short = [stem for stem in pictures if written[fold][stem] != whole[stem]]
        assert all(written[fold][stem] < whole[stem] for stem in short)  # only the cap takes away
        assert not short or written[fold].total() == cap
        dropped += sum(not written[fold][stem] for stem in pictures)
        added += sum(max(written[fold][stem] - 1, 0) for stem in pictures)
    assert f"sample_modifier_config leaves out {dropped} of 215 images and adds {added} copies" in said


def test_without_a_validation_fold_the_modifier_takes_every_fold(
    lidar: tuple[Path, dict[str, list[str]]], convert: Convert
):
    root, _ = lidar

    convert(sequence_spec(root, MODIFIER))

    assert [len(records) <= 101 // 3 for records in records_of(root)] == [True] * 3


def test_a_cap_that_leaves_nothing_says_so(lidar: tuple[Path, dict[str, list[str]]], convert: Convert):
    root, _ = lidar

    said = convert(sequence_spec(root, MODIFIER.replace("101", "2")), code=1)

    assert said[-1] == f"error: {root}: no image is left to write; is sample_modifier_config too strict?"
    assert not (root / "records").exists()


def test_pictures_far_outside_the_root_are_converted_where_that_is_allowed(
    tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAOLITE_ALLOW_OUTSIDE", "")  # restored afterwards, whatever the flag sets
    (tmp_path / "pictures").mkdir()
    root = tmp_path / "one" / "two" / "root"
    (root / "labels").mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / f"{name}.jpg")
        (root / "labels" / f"{name}.txt").write_text("cat 0 0 0 1 1 4 4 0 0 0 0 0 0 0\n")
    folders = 'image_dir_name: "../../../pictures" label_dir_name: "labels" image_extension: ".jpg"'
    spec = f'kitti_config {{ root_directory_path: "{root}" {folders} partition_mode: "random" num_partitions: 2 }}'

    said = convert(spec, code=1)
    convert(spec, "--allow-outside")

    assert said[-1].endswith("choose a root_directory_path above the images, or add --allow-outside")
    frames = sorted(record.frame_id for fold in records_of(tmp_path) for record in fold)
    assert frames == ["../../../pictures/a", "../../../pictures/b"]
