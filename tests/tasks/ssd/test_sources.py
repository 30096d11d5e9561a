"""Which samples TAO's data sources give, from folders and from the records that our `dataset_convert` makes."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import spec
from taolite.errors import DataError, PathError
from taolite.formats import tfrecord
from taolite.sample import Sample
from taolite.stages.convert.dataset_convert import dataset_convert
from taolite.tasks.base import Split
from taolite.tasks.detectnet.spec import DatasetExportSpec
from taolite.tasks.ssd.sources import class_lookup, read_sources
from taolite.tasks.ssd.spec import DatasetConfig

CAT = "Cat 0 0 0 2 3 20 15.5 0 0 0 0 0 0 0"
HIDDEN_DOG = "Dog 0 2 0 1 1 9 9 0 0 0 0 0 0 0"
MAPPING = 'target_class_mapping { key: "cAt" value: "Pet" } target_class_mapping { key: "dog" value: "pet" }'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Pictures a.png and b.jpg with labels, c.png without, and d.PNG, whose extension TAO passes over."""
    for folder in ("images", "labels"):
        (tmp_path / "kitti" / folder).mkdir(parents=True)
    for name in ("a.png", "b.jpg", "c.png", "d.PNG"):
        Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "kitti/images" / name, format="png")
    for stem, text in (("a", f"{CAT}\n{HIDDEN_DOG}\n"), ("b", ""), ("d", CAT)):
        (tmp_path / "kitti/labels" / f"{stem}.txt").write_text(text)
    return tmp_path


def data(root: Path, *lines: str) -> DatasetConfig:
    return spec.loads(" ".join([MAPPING, *lines]).replace("ROOT", str(root)), DatasetConfig)


def read(root: Path, split: Split, *lines: str) -> tuple[list[Sample], list[str]]:
    sources, notices = read_sources(data(root, *lines), split, resolve=Path)
    assert all(notice.level == "warning" for notice in notices)
    return [sample for source in sources for sample in source.samples], [notice.text for notice in notices]


HELD_OUT = "validation_data_sources"
FOLDERS = "{ image_directory_path: 'ROOT/kitti/images' label_directory_path: 'ROOT/kitti/labels' }"


def test_pictures_with_a_label_file_are_read_folder_by_folder(root: Path) -> None:
    for split, name in (
        ("train", "data_sources"),
        ("val", "validation_data_sources"),
        ("test", "validation_data_sources"),
    ):
        samples, notices = read(root, split, f"{name} {FOLDERS}")  # type: ignore[arg-type]

        assert [sample.image.name for sample in samples] == ["a.png", "b.jpg"]
        assert [len(sample.labels) for sample in samples] == [2, 0]
        assert samples[0].size_hw == (24, 32)
        assert samples[0].labels[0].box == (2, 3, 20, 15.5)
        assert [label.difficult for label in samples[0].labels] == [False, True]
        images, labels = root / "kitti/images", root / "kitti/labels"
        assert notices == [f"{images}: 1 picture without a label file in {labels} left out, e.g. c.png"]


def test_classes_are_in_lower_case_and_names_match_in_any() -> None:
    class_of = class_lookup(data(Path()))

    assert data(Path()).classes == ("pet",)
    assert [class_of(name) for name in ("Cat", "cat", "DOG", "pet", "van")] == [0, 0, 0, None, None]


def test_several_sources_come_one_after_the_other(root: Path) -> None:
    samples, _ = read(root, "train", f"data_sources {FOLDERS} data_sources {FOLDERS}")

    assert [sample.image.name for sample in samples] == ["a.png", "b.jpg"] * 2


def test_a_missing_folder_a_bad_label_and_an_empty_split_are_told(root: Path) -> None:
    with pytest.raises(PathError) as caught:
        read(
            root, "train", "data_sources { image_directory_path: 'ROOT/no' label_directory_path: 'ROOT/kitti/labels' }"
        )
    assert str(caught.value) == f"{root}/no: this folder is missing (image_directory_path); correct the spec or a mount"

    with pytest.raises(DataError) as nothing:
        read(root, "val", "data_sources " + FOLDERS)
    text = "dataset_config.validation_data_sources: there is no picture with labels in them; correct the paths"
    assert str(nothing.value) == text

    (root / "kitti/labels/b.txt").write_text("cat 0 0\n")
    with pytest.raises(DataError, match=r"b\.txt:1.*3 columns found"):
        read(root, "train", f"data_sources {FOLDERS}")


CONVERT = """kitti_config {
  root_directory_path: "ROOT/kitti" image_dir_name: "images" label_dir_name: "labels" image_extension: ".png"
  partition_mode: "random" num_partitions: 2 num_shards: 2 val_split: 0
}"""
RECORDS = "data_sources { tfrecords_path: 'ROOT/records/kitti_train*' %s }"


@pytest.fixture
def converted(root: Path) -> Path:
    (root / "kitti/images/c.png").unlink()
    conversion = spec.loads(CONVERT.replace("ROOT", str(root)), DatasetExportSpec)
    dataset_convert(conversion, root / "records" / "kitti_train", pictures=True)
    return root


def test_records_give_what_the_folders_gave(converted: Path) -> None:
    samples, notices = read(converted, "train", RECORDS % "")

    assert notices == []
    assert [sample.image for sample in samples] == [converted / "kitti/images/a.png"]
    assert samples[0].size_hw == (24, 32)
    assert [(label.name, label.box, label.difficult) for label in samples[0].labels] == [
        ("cat", (2, 3, 20, 15.5), False),
        ("dog", (1, 1, 9, 9), True),
    ]


def test_paths_in_records_go_through_mounts_like_those_of_a_spec(converted: Path) -> None:
    moved = converted.rename(converted.with_name("moved"))

    def resolve(path: str) -> Path:
        return Path(path.replace(str(converted), str(moved)))

    (source,), _ = read_sources(data(converted, RECORDS % ""), "train", resolve=resolve)
    assert [sample.image for sample in source.samples] == [moved / "kitti/images/a.png"]


@pytest.mark.parametrize("folder", ["kitti", "kitti/images"])
def test_an_image_folder_beside_records_says_where_pictures_are_now(converted: Path, folder: str) -> None:
    (converted / "kitti").rename(converted / "elsewhere")
    (converted / "elsewhere").rename(converted / "new")
    place = folder.replace("kitti", "new")

    samples, _ = read(converted, "train", RECORDS % f"image_directory_path: 'ROOT/{place}'")
    assert [sample.image for sample in samples] == [converted / "new/images/a.png"]


@pytest.mark.parametrize("top", ["images", "."])
def test_pictures_beside_records_may_lie_in_tars(converted: Path, top: str) -> None:
    files, _ = read_sources(data(converted, RECORDS % ""), "train", resolve=Path)
    with tarfile.open(converted / "shard-0.tar", "w") as tar:
        tar.add(converted / "kitti/images/a.png", f"{top}/a.png")
    shutil.rmtree(converted / "kitti")
    tars = RECORDS % "image_directory_path: 'ROOT/shard-*.tar'"
    (source,), _ = read_sources(data(converted, tars), "train", resolve=Path)

    assert source.pictures is not None
    assert source.pictures.open(str(source.samples[0].image)).read()[:4] == b"\x89PNG"
    assert [(one.image.name, one.size_hw, one.labels) for one in source.samples] == [
        (one.image.name, one.size_hw, one.labels) for one in files[0].samples
    ]


def test_pictures_beside_label_files_may_lie_in_tars(root: Path) -> None:
    with tarfile.open(root / "shard-0.tar", "w") as tar:
        tar.add(root / "kitti/images", ".")
    tars = FOLDERS.replace("ROOT/kitti/images", "ROOT/shard-{0..0}.tar")
    sources, said = read_sources(
        data(root, f"{HELD_OUT} {FOLDERS} {HELD_OUT} {FOLDERS} {HELD_OUT} {tars}"), "val", resolve=Path
    )

    folders, shards = sources  # folders one behind the other are one source
    assert shards.pictures is not None
    assert len(folders.samples) == 2 * len(shards.samples)
    by_name = {one.image.name: (one.size_hw, one.labels) for one in folders.samples}
    assert {one.image.name: (one.size_hw, one.labels) for one in shards.samples} == by_name
    labels = root / "kitti/labels"
    text = f"{root}/shard-{{0..0}}.tar: 1 picture without a label file in {labels} left out, e.g. c.png"
    assert said[-1].text == text


def test_a_damaged_picture_in_a_tar_is_told_where_it_is_labelled(root: Path) -> None:
    (root / "kitti/images/a.png").write_bytes(b"no picture")
    (root / "kitti/images/c.png").write_bytes(b"no picture, and no label either")
    with tarfile.open(root / "shard-0.tar", "w") as tar:
        tar.add(root / "kitti/images", "images")

    with pytest.raises(DataError, match=r"^images/a\.png: not a readable image .*; replace the file or remove it$"):
        read(root, "train", "data_sources " + FOLDERS.replace("ROOT/kitti/images", "ROOT/shard-0.tar"))


def test_records_that_do_not_say_where_their_pictures_are_are_refused_with_the_way_out(root: Path) -> None:
    path = root / "records" / "kitti_train"
    path.parent.mkdir()
    tfrecord.write_records(path, [tfrecord.Record("images/a", (24, 32), ())])

    with pytest.raises(DataError) as caught:
        read(root, "train", RECORDS % "")
    assert str(caught.value) == (
        f"{path}: its records do not say where their pictures are; convert them again with "
        "`taolite ssd dataset_convert`"
    )


def test_records_of_taos_own_ssd_are_told_from_ours(root: Path) -> None:
    example = tfrecord.example_class()()
    feature = example.features.feature
    feature["frame/id"].bytes_list.value.append(b"images/a")
    feature["frame/encoded"].bytes_list.value.append(b"\x89PNG")
    feature["target/object_class_id"].float_list.value.append(1.0)
    path = root / "records" / "kitti_train"
    path.parent.mkdir()
    tfrecord.write_payloads(path, [example.SerializeToString()])

    with pytest.raises(DataError) as caught:
        read(root, "train", RECORDS % "")
    assert str(caught.value) == (
        f"{path}: record 1 holds its picture and numbers of classes, as TAO's ssd writes them; convert the labels "
        "again with `taolite ssd dataset_convert`"
    )
