"""Readers of foreign bytes: a few hundred seeded mutations of each end in samples or in an error of ours."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from taolite import formats
from taolite.errors import TaoliteError
from taolite.formats.check import check
from taolite.formats.folders import check_labels, read_classmap
from taolite.formats.openimages import read_openimages_classes
from taolite.formats.part import read_labels
from taolite.formats.split import read_list
from taolite.formats.tags import read_nuswide
from taolite.formats.tar_listing import list_tar
from taolite.formats.tfrecord import Record, framed, read_records, write_records
from taolite.formats.voc_sets import read_voc_set
from taolite.formats.yolo_names import read_yolo_names
from taolite.sample import Label, Sample

COUNT = 300  # mutations of each reader
NASTY = (
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"NaN", b"Infinity", b"-1e308", b"1e400", b"9" * 5000, b"[" * 3000,
    b"null", b"true", b"\"\"", b"[]", b"{}", b"\n", b"\r", b"\x1b[2J", b"../../../", b"x" * 300, b"&#0;",
    b"<!DOCTYPE a>",
    b"\\ud800", b"-", b"1_000", b"\xc2\xb2", b"\"", b",", b"'", b"\xe2\x80\xa8",
)  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, lost, doubled or put in, or the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        end = at + rng.randint(0, 12)
        match rng.randrange(6):
            case 0 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at:end]
            case 2:
                changed[at:at] = rng.choice(NASTY)
            case 3:
                changed[at:end] = rng.choice(NASTY)
            case 4:
                changed[at:at] = changed[at:end] * rng.randint(1, 20)
            case _:
                if rng.random() < 0.2:
                    del changed[at:]
    return bytes(changed)


def in_place_of_values(data: bytes, rng: random.Random) -> bytes:
    """One value of a JSON document replaced by one of another kind."""
    document = json.loads(data)
    places: list[tuple[object, object]] = []

    def walk(node: object) -> Iterator[tuple[object, object]]:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            yield node, key
            yield from walk(value)

    places = list(walk(document))
    node, key = rng.choice(places)
    values = [None, True, -1, 1e300, "", "x" * 300, "\ud800", [], [[]], {}, {"a": {}}, 10**400, [1, "2", None], 0.5]
    node[key] = rng.choice(values)  # type: ignore[index]
    return json.dumps(document, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")


def convert(root: Path, format: str, number: int) -> None:
    to = formats.FORMATS[number // 10 % len(formats.FORMATS)]
    formats.write(formats.read(root, format, strict=False), root.parent / f"out {number}", to)


def reads(read: Callable[[], object], data: bytes) -> bool:
    """Whether a reader ends in a result, or else in an error of ours; any other error is raised with the bytes."""
    try:
        read()
    except TaoliteError:
        return False
    except BaseException as error:
        error.add_note(f"the bytes were {data[:2000]!r}")
        raise
    return True


@pytest.fixture
def scene_of(tmp_path: Path, scene: list[Sample]) -> Callable[[str], Path]:
    """The scene in a format, small pictures and all."""

    def make(format: str) -> Path:
        formats.write(scene, tmp_path / format, format)
        return tmp_path / format

    return make


FILES = {
    "labelme": "house.json",
    "kitti": "label_2/house.txt",
    "voc": "Annotations/house.xml",
    "coco": "annotations.json",
    "yolo": "labels/house.txt",
}


@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_mutated_label_file_ends_in_samples_or_an_error_of_ours(scene_of: Callable[[str], Path], format: str):
    root, rng = scene_of(format), random.Random(format)
    path = root / FILES[format]
    whole = path.read_bytes()
    ends = set[bool]()
    for index in range(COUNT):
        data = mutated(whole, rng)
        if format in ("labelme", "coco") and index % 2:
            data = in_place_of_values(whole, rng)
        path.write_bytes(data)
        strict = index % 3 > 0
        named = format if index % 2 else None
        ends.add(reads(lambda named=named, strict=strict: formats.read(root, named, strict=strict), data))
        if index % 10 == 0:
            reads(partial(convert, root, format, index), data)
    path.write_bytes(whole)
    assert len(formats.read(root)) == 3


@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_check_of_a_mutated_set_reports_and_prints(scene_of: Callable[[str], Path], format: str):
    root, rng = scene_of(format), random.Random(f"check {format}")
    path = root / FILES[format]
    whole = path.read_bytes()
    for _ in range(40):
        data = mutated(whole, rng)
        path.write_bytes(data)
        reads(lambda: [str(problem).encode() for problem in check(root, format).problems], data)


TEXTS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "yaml": ("data.yaml", b"path: .\nnc: 2\nnames:\n  0: cat\n  1: 'hot dog'\nkpt_shape: [2, 3]\n",
             lambda path: read_yolo_names(path.parent)),
    "list": ("train.txt", b"a.jpg\nb -1\nc  1\n\n./x/d.png\n", read_list),
    "csv list": ("train.csv", b"filename,width\na.jpg,5\n\"b.jpg\",6\n", read_list),
    "labels.txt": ("labels.txt", b"cat\nhot dog\n\nBACKGROUND\n", read_labels),
    "class order": ("labels.txt", b"cat\nhot_dog\n", lambda path: check_labels(path, ["cat", "hot dog"])),
    "classmap": ("classmap.json", b'{"cat": 0, "dog": 1}', read_classmap),
    "open images": ("sub-train-annotations-bbox.csv",
                    b"ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,ClassName\n"
                    b"a,x,/m/1,1,0.1,0.5,0.2,0.6,0,Apple\n\"b\",x,/m/1,1,0,1,0,1,1,Pear\n",
                    lambda path: read_openimages_classes(path.parent)),
    "cvat": ("annotations.xml", b"<annotations><version>1.1</version><image id='0'/></annotations>",
             lambda path: formats.read(path.parent)),
    "voc set": ("Annotations/a.xml", b'<?xml version="1.0" encoding="gb2312"?><annotation><filename>a</filename>'
                b"<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"
                b"</annotation>", lambda path: read_voc_set(path.parent.parent)),
    "tags": ("classification_labels/classification_test.csv", b"row,cat,dog\n0,1,0\n1,0,-1\n",
             lambda path: read_nuswide(path.parent.parent, split="test")),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_mutated_text_file_ends_in_a_value_or_an_error_of_ours(tmp_path: Path, name: str):
    (tmp_path / "ImageList").mkdir()
    (tmp_path / "ImageList/TestImagelist.txt").write_text("a\\0001_1.jpg\na\\0002_2.jpg\n")
    file, whole, read = TEXTS[name]
    path, rng = tmp_path / file, random.Random(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(whole)
    readable, ends = reads(partial(read, path), whole), set[bool]()  # some are refused as they are, in a known way
    for _ in range(COUNT):
        data = mutated(whole, rng)
        path.write_bytes(data)
        ends.add(reads(partial(read, path), data))
    assert ends == {readable, False}


def test_mutated_records_end_in_records_or_an_error_of_ours(tmp_path: Path):
    path, rng = tmp_path / "records", random.Random("records")
    label = Label("cat", (1, 2, 3, 4), attributes={"height_m": "1.5"})
    write_records(path, [Record("images/a", (9, 9), (label, label)), Record("images/b", (9, 9), ())])
    whole = path.read_bytes()
    ends = set[bool]()
    payload = whole[12 : 12 + int.from_bytes(whole[:8], "little")]
    for index in range(COUNT):
        data = framed(mutated(payload, rng)) if index % 2 else mutated(whole, rng)
        path.write_bytes(data)
        ends.add(reads(lambda: list(read_records(path)), data))
    assert ends == {True, False}


@pytest.mark.parametrize("height", [float("nan"), float("inf"), -1.0, 0.0, 1e30])
def test_a_frame_height_that_is_no_number_of_pixels_is_refused(tmp_path: Path, height: float):
    from taolite.formats.tfrecord import _example_class, encode  # the one way to write what our writer never does

    example = _example_class()()
    example.ParseFromString(encode(Record("images/a", (9, 9), ())))
    example.features.feature["frame/height"].float_list.value.append(height)
    (tmp_path / "records").write_bytes(framed(example.SerializeToString()))

    with pytest.raises(TaoliteError, match=r"records: record 1 has a size"):
        list(read_records(tmp_path / "records"))


def test_mutated_tars_end_in_a_listing_or_an_error_of_ours(tmp_path: Path):
    path, rng = tmp_path / "a.tar", random.Random("tar")
    with tarfile.open(path, "w") as tar:
        for name in ("cat/a.jpg", "dog/" + "long/" * 40 + "b.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 30
            tar.addfile(member, io.BytesIO(bytes(30)))
    whole, ends = path.read_bytes()[:6000], set[bool]()
    for index in range(COUNT):
        data = mutated(whole, rng)
        path.write_bytes(data)
        ends.add(reads(lambda index=index: list_tar(str(path), measured=index % 2 > 0), data))
    assert ends == {True, False}
