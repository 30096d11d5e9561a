"""VOC files as tools of all kinds write them: encodings, corners that are no pixels, turned boxes, other tools' XML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import formats
from taolite.errors import DataError, UsageError
from taolite.events import Event, Notice
from taolite.formats.check import check
from taolite.sample import Label, Sample

Draw = Callable[..., Path]
Write = Callable[..., Path]


def text_of(name: str, corners: tuple[object, ...] = (11, 21, 30, 50), *, declared: str = "", extra: str = "") -> str:
    box = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    return f"{head}<annotation>\n<object><name>{name}</name>{extra}\n<bndbox>{box}</bndbox></object>\n</annotation>"


@pytest.fixture
def write(tmp_path: Path, draw: Draw) -> Write:
    """`write(bytes or text, ...)` puts a.xml, b.xml, ... with pictures of 120x160 into `set`."""

    def make(*files: bytes | str) -> Path:
        for stem, data in zip("abcdef", files, strict=False):
            draw(tmp_path / "set/images" / f"{stem}.png", hw=(120, 160), seed=ord(stem))
            (tmp_path / "set/xml").mkdir(parents=True, exist_ok=True)
            data = data if isinstance(data, bytes) else data.encode()
            (tmp_path / "set/xml" / f"{stem}.xml").write_bytes(data)
        return tmp_path / "set"

    return make


def names(root: Path) -> list[str]:
    return [label.name for sample in formats.read(root) for label in sample.labels]


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("gb2312", "gb2312", "猫"),  # its two bytes are also a letter of UTF-8
        ("gb2312", "gbk", "齾犬"),  # beyond GB2312, as Chinese tools write it
        ("GBK", "gbk", "不导电"),
        ("gb18030", "gb18030", "角位漏底"),
        ("Big5", "big5", "貓"),
        ("euc-kr", "euc-kr", "고양이"),
        ("euc-kr", "cp949", "뷁"),  # beyond EUC-KR
        ("Shift_JIS", "shift_jis", "ねこ"),
        ("shift_jis", "cp932", "髙橋①"),  # beyond Shift JIS
        ("EUC-JP", "euc-jp", "犬"),
        ("iso-2022-jp", "iso-2022-jp", "犬"),
        ("windows-1252", "cp1252", "Köter"),
        ("koi8-r", "koi8-r", "кошка"),
        ("utf-8", "utf-8", "猫"),
        ("utf-8", "utf-8-sig", "猫"),
        ("utf-16", "utf-16", "猫"),
        ("utf-16", "utf-16-le", "猫"),
        ("utf-16", "utf-16-be", "猫"),
        ("", "utf-8", "Köter"),
    ],
)
def test_a_file_is_decoded_by_the_encoding_it_declares(write: Write, declared: str, codec: str, name: str):
    root = write(text_of(name, declared=declared).encode(codec))

    assert names(root) == [name]
    assert check(root).problems == ()


def test_a_file_that_is_utf_8_and_declares_another_encoding_is_read_and_told(write: Write):
    root = write(
        text_of("不导电", declared="gb2312"),
        text_of("cat", declared="utf-16"),
        text_of("Köter", declared="iso-8859-1"),
    )

    assert names(root) == ["不导电", "cat", "Köter"]
    assert [str(problem) for problem in check(root).problems] == [
        f"{root}/xml/{stem}.xml:1: declares the encoding `{declared}` and is UTF-8; it is read as UTF-8; correct its "
        "first line"
        for stem, declared in (("a", "gb2312"), ("b", "utf-16"), ("c", "iso-8859-1"))
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (text_of("不导电").encode("gbk"),
         "declares no encoding, which means UTF-8, and its bytes are not of that encoding; perhaps it is gb18030: "
         'write encoding="gb18030" into its first line, or save it as UTF-8'),
        (text_of("Köter", declared="utf-8").encode("latin-1"),
         "declares the encoding `utf-8`, and its bytes are not of that encoding; perhaps it is "),
        (text_of("cat", declared="x-martian").encode(),
         "declares the encoding `x-martian`, which does not exist; save it as UTF-8"),
        (text_of("Köter", declared="hex").encode("latin-1"),
         "declares the encoding `hex`, and its bytes are not of that"),
    ],
)  # fmt: skip
def test_a_missing_or_wrong_declaration_is_named(write: Write, data: bytes, problem: str):
    root = write(data)

    with pytest.raises(DataError) as caught:
        formats.read(root, "voc")

    assert str(caught.value).startswith(f"{root}/xml/a.xml:1: {problem}")


def test_corners_are_edges_in_a_file_with_a_fraction_and_this_is_told_once(write: Write):
    root = write(text_of("cat", (40.36, 30.13, 100.27, 90.43)), text_of("cat", (41, 31, 100, 90)), text_of("cat"))
    told: list[Event] = []

    boxes = [sample.labels[0].box for sample in formats.read(root, listener=told.append)]

    assert boxes == [(40.36, 30.13, 100.27, 90.43), (40, 30, 100, 90), (10, 20, 30, 50)]
    note = "1 of 3 files has corners with fractions (or CVAT's rotation): taken as edges from 0, and no 1 is subtracted"
    assert told == [Notice(f"{root}: {note}; the first is a.xml", "warning")]
    report = check(root)
    assert (report.problems, [str(one) for one in report.notes]) == ((), [f"{root}: {note}; the first is a.xml"])


def test_corners_that_are_fractions_of_the_picture_are_scaled_and_told(write: Write):
    root = write(text_of("cat", (0.125, 0.25, 0.5, 0.75)), text_of("dog", (0.0, 0.0, 1, 1)))

    house, whole = formats.read(root)

    assert house.labels[0].box == (20, 30, 80, 90)
    assert whole.labels[0].box == (0, 0, 1, 1)  # whole numbers: a stray pixel, not the whole picture
    (problem,) = check(root).problems
    assert str(problem) == (
        f"{root}/xml/a.xml:3: 1 of 2 files has corners from 0 to 1, which are no pixels: taken as fractions of the "
        "picture"
    )


ROTATION = "<attributes><attribute><name>rotation</name><value>{}</value></attribute></attributes>"


@pytest.mark.parametrize(
    ("degrees", "box"),
    [
        ("90.0", (75, 0, 85, 120)),
        ("-90", (75, 0, 85, 120)),
        ("180", (20, 55, 140, 65)),
        ("0.0", (20, 55, 140, 65)),
        # half the sides: 60 cos 30 + 5 sin 30 = 54.46, 60 sin 30 + 5 cos 30 = 34.33, around (80, 60)
        ("30", (25.538, 25.670, 134.462, 94.330)),
    ],
)
@pytest.mark.parametrize("to", ["kitti", "voc", "coco", "yolo", "labelme"])
def test_a_turned_box_gives_the_box_around_it_in_every_format(
    write: Write, tmp_path: Path, degrees: str, box: tuple[float, ...], to: str
):
    root = write(text_of("bar", (20, 55, 140, 65), extra=ROTATION.format(degrees)))

    (sample,) = formats.read(root)
    formats.write([sample], tmp_path / "out", to)
    (again,) = formats.read(tmp_path / "out")

    assert sample.labels[0].box == pytest.approx(box, abs=1e-3)
    assert again.labels[0].box == pytest.approx(box, abs=0.01)
    assert "rotation" not in sample.labels[0].attributes  # else the next reader turned it a second time


def test_a_box_of_rolabelimg_is_turned_by_its_angle_in_radians(write: Write):
    turned = "<robndbox><cx>80</cx><cy>60</cy><w>120</w><h>10</h><angle>1.5707963</angle></robndbox>"
    root = write(f"<annotation><object><type>robndbox</type><name>bar</name>{turned}</object></annotation>")

    assert formats.read(root)[0].labels[0].box == pytest.approx((75, 0, 85, 120), abs=1e-4)


def test_a_written_file_with_a_fraction_is_read_back_as_it_was(tmp_path: Path, draw: Draw):
    picture = draw(tmp_path / "a.png", hw=(120, 160))
    whole = Sample(picture, (120, 160), (Label("a", (0, 0, 160, 120)), Label("b", (3, 4, 5, 6))))
    fraction = Sample(draw(tmp_path / "b.png", hw=(120, 160)), (120, 160), (*whole.labels, Label("c", (1.5, 2, 3, 4))))

    formats.write([whole, fraction], tmp_path / "voc", "voc")

    text = (tmp_path / "voc/Annotations/a.xml").read_text()
    assert "<xmin>1</xmin>" in text  # VOC's first pixel
    assert [[label.box for label in sample.labels] for sample in formats.read(tmp_path / "voc")] == [
        [(0, 0, 160, 120), (3, 4, 5, 6)],
        [(0, 0, 160, 120), (3, 4, 5, 6), (1.5, 2, 3, 4)],
    ]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><image id="0" name="a.png"/></annotations>"""


def test_cvat_s_own_xml_is_named_with_the_export_to_choose(write: Write):
    root, said = write(CVAT), "this is CVAT's own XML (CVAT for images), which is not read here; export the task again"

    for format in (None, "voc"):
        with pytest.raises((UsageError, DataError)) as caught:
            formats.read(root, format)
        assert said in str(caught.value)
        assert str(caught.value).startswith(f"{root}/xml/a.xml:")
        assert str(caught.value).endswith("as `PASCAL VOC 1.1` or `COCO 1.0`")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("project.json", '[{"id": 1, "annotations": [{"result": []}], "data": {"image": "/a.jpg"}}]',
         "this is Label Studio's own JSON, which is not read here; export the project again as `COCO`, `Pascal VOC "
         "XML` or `YOLO`"),
        ("min.json", '[{"image": "a.jpg", "label": [{"x": 1, "original_width": 3, "rectanglelabels": ["a"]}]}]',
         "this is Label Studio's own JSON (JSON-MIN)"),
        ("via.json", '{"a.jpg1": {"regions": [{"shape_attributes": {"name": "rect"}}]}}',
         "this is VGG Image Annotator's JSON"),
        ("labels.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,1,1,cat,0,0,1,1\n",
         "this is Roboflow's or TensorFlow's table of boxes"),
    ],
)  # fmt: skip
def test_files_of_other_tools_are_named_with_the_export_to_choose(tmp_path: Path, name: str, text: str, said: str):
    (tmp_path / name).write_text(text)

    with pytest.raises(UsageError) as caught:
        formats.read(tmp_path)

    assert str(caught.value).startswith(f"{tmp_path}/{name}: {said}")
