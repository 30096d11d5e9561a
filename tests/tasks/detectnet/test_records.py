"""Which files a split reads, and in what sources its samples come (reference 4.1, 13.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite import spec
from taolite.errors import DataError, PathError
from taolite.formats.tfrecord import Record, write_records
from taolite.tasks.detectnet.records import class_lookup, split_sources
from taolite.tasks.detectnet.spec import DatasetConfig


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two data sets, `a` in folds of 2 and 3 samples with an empty shard, `b` in one fold file of 4."""
    for name in ("a", "b"):
        (tmp_path / name / "records").mkdir(parents=True)
    put(tmp_path / "a/records/a-fold-000-of-002-shard-00000-of-00001", 2)
    put(tmp_path / "a/records/a-fold-001-of-002-shard-00000-of-00002", 0)
    put(tmp_path / "a/records/a-fold-001-of-002-shard-00001-of-00002", 3)
    put(tmp_path / "b/records/b", 4)
    return tmp_path


def put(path: Path, count: int) -> None:
    write_records(path, [Record(f"images/{path.name}_{index}", (48, 64), ()) for index in range(count)])


def config(root: Path, *lines: str) -> DatasetConfig:
    text = 'image_extension: ".png" target_class_mapping { key: "cat" value: "cat" } '
    return spec.loads(text + " ".join(lines).replace("ROOT", str(root)), DatasetConfig)


A = "data_sources { tfrecords_path: 'ROOT/a/records/*' image_directory_path: 'ROOT/a' }"
B = "data_sources { tfrecords_path: 'ROOT/b/records/*' image_directory_path: 'ROOT/b' source_weight: 0.25 }"


def sizes(dataset: DatasetConfig, split) -> list[int]:
    sources, notices = split_sources(dataset, split, resolve=Path)
    assert notices == []
    return [len(source.samples) for source in sources]


def test_a_fold_is_held_out_of_every_source(root: Path):
    dataset = config(root, A, B, "validation_fold: 0")

    assert sizes(dataset, "train") == [3, 4]  # the empty shard has none; b has no folds, so it trains
    assert sizes(dataset, "val") == [2, 0]


def test_sources_keep_their_weights_and_samples_their_folders(root: Path):
    sources, _ = split_sources(config(root, A, B, "validation_fold: 0"), "train", resolve=Path)

    assert [source.weight for source in sources] == [1.0, 0.25]
    assert sources[1].samples[0].image == root / "b/images/b_0.png"


def test_a_fold_may_stand_anywhere_in_the_path(root: Path):
    put_in = root / "c" / "fold-003-of-004"
    put_in.mkdir(parents=True)
    put(put_in / "part", 5)
    dataset = config(root, A, A.replace("a/records/*", "c/*/*"), "validation_fold: 3")

    assert sizes(dataset, "val") == [0, 5]
    assert sizes(dataset, "train") == [5, 0]


def test_a_validation_source_of_its_own_leaves_all_folds_to_training(root: Path):
    held_out = B.replace("data_sources", "validation_data_source")
    dataset = config(root, A, held_out)

    assert sizes(dataset, "train") == [5]
    assert sizes(dataset, "val") == [4]


def test_foreign_files_are_named_and_left_out(root: Path):
    (root / "b/records/notes.txt").write_text("nothing to learn here")
    (root / "b/records/b_warning.json").write_text("{}")  # the converter's own: no word
    dataset = config(root, B)

    sources, notices = split_sources(dataset, "train", resolve=Path)

    assert [len(source.samples) for source in sources] == [4]
    assert notices == [f"{root}/b/records/notes.txt: matches tfrecords_path and is no TFRecord file; it is left out"]


def test_a_shard_that_is_damaged_from_its_first_byte_is_not_passed_over(root: Path):
    shard = root / "a/records/a-fold-001-of-002-shard-00001-of-00002"
    shard.write_bytes(b"\xff" + shard.read_bytes()[1:])

    with pytest.raises(DataError, match="not a TFRecord file"):
        split_sources(config(root, A, "validation_fold: 0"), "train", resolve=Path)


@pytest.mark.parametrize(
    ("lines", "split", "message"),
    [
        ((A, "validation_fold: 7"), "val",
         "no validation record in ROOT/a/records/*: no path holds 'fold-007-of-'; "
         "set validation_fold to a fold that was written, or convert with a val_split above 0"),
        ((A,), "val", "dataset_config has neither validation_fold nor validation_data_source; set one of them"),
        ((A.replace("a/records/*", "a/records/*fold-000*"), "validation_fold: 0"), "train",
         "no training record in ROOT/a/records/*fold-000*: every file belongs to validation_fold 0; "
         "choose another fold, or convert with a smaller val_split"),
        ((A.replace("a/records/*", "a/records/*00000-of-00002"),), "train",
         "no training record in ROOT/a/records/*00000-of-00002: the files are empty; run dataset_convert again"),
    ],
)  # fmt: skip
def test_a_split_without_a_record_is_an_error_with_the_way_out(root: Path, lines, split, message):
    with pytest.raises(DataError) as caught:
        split_sources(config(root, *lines), split, resolve=Path)

    assert str(caught.value) == message.replace("ROOT", str(root))


def test_a_pattern_that_matches_only_foreign_files_is_an_error(root: Path):
    (root / "b/records/b").write_text("no longer records")

    with pytest.raises(PathError, match="No files match pattern"):
        split_sources(config(root, B), "train", resolve=Path)


def test_class_names_match_in_any_case_and_a_target_class_needs_no_entry():
    lookup = class_lookup({"Kitten": "cat", "Dog": "dog", "bird": "elsewhere"}, ["dog", "Cat", "cat"])

    assert [lookup(name) for name in ("kitten", "KITTEN", "dog", "Dog", "bird", "dontcare")] == [2, 2, 0, 0, None, None]
