"""Pictures are opened in one place: by a list of formats, within a bound on pixels, with their range kept."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import taolite
from taolite.errors import DataError, PathError, PictureError, TaoliteError, UsageError
from taolite.pictures import MAX_PIXELS, limit_pixels, max_pixels, open_image, read_rgb, read_size, to_grey


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_a_grey_photo_is_the_to_grey_the_colour_photo(tmp_path: Path, mode: str):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    path = tmp_path / "photo.tif"
    Image.fromarray(pixels).convert(mode).save(path)

    grey = read_rgb(path, grey=True)

    assert grey.shape == (20, 30, 1)
    assert np.array_equal(grey, to_grey(read_rgb(path)))


def test_grey_is_pillows():
    # (19595 R + 38470 G + 7471 B + 32768) >> 16
    rgb = np.random.default_rng(1).integers(0, 256, (50, 40, 3)).astype(np.uint8)

    luma = (rgb.astype(np.int64) @ [19595, 38470, 7471] + 32768) >> 16

    assert np.array_equal(to_grey(rgb)[..., 0], luma)


def png(path: Path, *kinds_and_bodies: tuple[bytes, bytes]) -> Path:
    """A grey PNG of 30x20, its chunks behind the header as told."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 0, 0, 0, 0)), *kinds_and_bodies)
    rows = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(rows))
    return path


PIXELS = (b"IDAT", zlib.compress(bytes(21 * 30)))
TURNED = (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")  # orientation 6
END = (b"IEND", b"")


@pytest.mark.parametrize(
    ("chunks", "size_hw"),
    [
        ((PIXELS, END), (20, 30)),
        ((TURNED, PIXELS, END), (30, 20)),
        ((PIXELS, TURNED, END), (30, 20)),
        ((PIXELS, (b"tEXt", b"Comment\0none"), END), (20, 30)),
        ((PIXELS, (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="8"/>'), END), (30, 20)),
    ],
)
def test_a_png_is_turned_as_its_exif_says_wherever_that_stands(
    tmp_path: Path, chunks: tuple[tuple[bytes, bytes], ...], size_hw: tuple[int, int]
):
    path = png(tmp_path / "a.png", *chunks)

    assert read_size(path) == size_hw == read_rgb(path).shape[:2]


def progressive(scans: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again, so that it has so many."""
    stream = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (scans - data.count(b"\xff\xda") + 1) + data[-2:]


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(progressive(100))
    (tmp_path / "b.jpg").write_bytes(progressive(70_000))  # 1 MB, minutes

    assert read_rgb(tmp_path / "a.jpg").shape == (200, 300, 3)
    assert read_size(tmp_path / "b.jpg") == (200, 300)
    with pytest.raises(PictureError) as caught:
        read_rgb(tmp_path / "b.jpg")
    assert str(caught.value) == (
        f"{tmp_path}/b.jpg: not a readable image (it has 70,000 scans, and up to 100 are read; save it as another "
        "JPEG); replace the file or remove it"
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_has_the_size_of_its_pixels(tmp_path: Path, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / "a.tif", exif=exif, compression="tiff_lzw")

    wanted = (30, 20) if orientation >= 5 else (20, 30)
    assert read_size(tmp_path / "a.tif") == read_rgb(tmp_path / "a.tif").shape[:2] == wanted


def test_the_size_of_a_png_does_not_take_its_pixels(tmp_path: Path):
    garbled = png(tmp_path / "a.png", (b"IDAT", b"no deflated pixels"), END)

    assert read_size(garbled) == (20, 30)
    with pytest.raises(DataError):
        read_rgb(garbled)


def test_a_png_that_was_cut_off_has_no_size(tmp_path: Path):
    whole = png(tmp_path / "a.png", PIXELS, END).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:-24])

    with pytest.raises(DataError, match="truncated"):
        read_size(tmp_path / "a.png")


def complaint(path: Path) -> str:
    """What is said of the file, which its size and its pixels get alike."""
    with pytest.raises(PictureError) as caught:
        read_rgb(path)
    with pytest.raises(PictureError) as of_size:
        read_size(path)
    assert str(of_size.value) == str(caught.value)
    return (
        str(caught.value)
        .removeprefix(f"{path}: not a readable image (")
        .removesuffix("); replace the file or remove it")
    )


READ = "JPEG, PNG, BMP, GIF, PPM, TIFF and WEBP are read"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n", f"an EPS or PostScript file; {READ}"),
        (b"DDS " + struct.pack("<I", 124) + bytes(120), f"a DDS texture; {READ}"),
        (b"%PDF-1.7\n", f"a PDF; {READ}"),
        (b"\0\0\0\x1cftypavif" + bytes(40), f"an AVIF or HEIC picture, or a video; {READ}"),
        (b"<!doctype html><title>404</title>", f"a web page; {READ}"),
        (b"version https://git-lfs.github.com/spec/v1\noid", f"a Git LFS pointer; run `git lfs pull`; {READ}"),
        (b"\xff\xd8\xff\xe0" + bytes(9), "a damaged JPEG"),
        (b"cat", f"unknown image format; {READ}"),
        (b"", "the file is empty"),
        (bytes(500), "the file begins with zeros; it was probably not copied completely"),
    ],
)
def test_a_file_of_another_format_with_a_pictures_name_is_named_and_not_decoded(tmp_path: Path, data: bytes, said: str):
    (tmp_path / "a.jpg").write_bytes(data)

    assert complaint(tmp_path / "a.jpg") == said


def test_ghostscript_is_not_run_for_an_eps_with_a_pictures_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from PIL import EpsImagePlugin

    def run(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was run")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")

    with pytest.raises(PictureError):
        read_rgb(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP"])
def test_what_users_of_labels_have_is_read_under_any_name(tmp_path: Path, kind: str):
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "a.jpg", kind)

    pixels = read_rgb(tmp_path / "a.jpg")

    assert pixels.shape == (20, 30, 3)
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 2  # JPEG and WebP lose a little


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    side = 13_300
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    row = b"IDAT" + zlib.compress(bytes(100))
    data += struct.pack(">I", len(row) - 4) + row + struct.pack(">I", zlib.crc32(row)) + b"\0\0\0\0IEND\xaeB`\x82"
    (tmp_path / "a.png").write_bytes(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # so that Pillow's bound is moved, and it does not warn
    monkeypatch.setattr(Image.core, "new", lambda *_: pytest.fail("memory was taken for its pixels"))

    assert complaint(tmp_path / "a.png") == (
        f"it has 13300 x 13300 = 176,890,000 pixels, and the limit is {MAX_PIXELS:,}; "
        "--max-pixels or TAOLITE_MAX_PIXELS raises it"
    )


def test_a_picture_that_pillow_refuses_itself_is_too_large_too(tmp_path: Path):
    (tmp_path / "a.ppm").write_bytes(b"P6 60000 60000 255\n")

    assert complaint(tmp_path / "a.ppm") == (
        "it has more than 240,000,000 pixels, and the limit is 120,000,000; "
        "--max-pixels or TAOLITE_MAX_PIXELS raises it"
    )


def test_the_bound_on_pixels_is_raised_and_lowered_for_this_process_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAOLITE_MAX_PIXELS", "")
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    assert max_pixels() == MAX_PIXELS

    limit_pixels(599)

    assert os.environ["TAOLITE_MAX_PIXELS"] == "599"
    assert complaint(tmp_path / "a.png") == (
        "it has 30 x 20 = 600 pixels, and the limit is 599; --max-pixels or TAOLITE_MAX_PIXELS raises it"
    )
    with open_image(tmp_path / "a.png", most=600) as image:
        assert image.size == (30, 20)
    limit_pixels(600)
    assert read_size(tmp_path / "a.png") == (20, 30)


def test_a_picture_beyond_pillows_own_bound_is_read_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setenv("TAOLITE_MAX_PIXELS", "600")
    Image.new("L", (30, 20)).save(tmp_path / "a.png")

    assert read_rgb(tmp_path / "a.png").shape == (20, 30, 3)


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e9", "١٢", "9" * 400])
def test_a_bound_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("TAOLITE_MAX_PIXELS", text)

    with pytest.raises(UsageError) as caught:
        max_pixels()

    assert str(caught.value) == (f"TAOLITE_MAX_PIXELS is {text!r}; a whole number of pixels is needed, 1 or more")


def test_no_other_place_of_the_package_decodes_pictures():
    folder = Path(taolite.__file__).parent
    decoders = re.compile(r"\bImage\.open\(|\bimread\(|\bimdecode\(|\bread_image\(|\bdecode_(?:image|jpeg|png)\(")

    found = [path for path in sorted(folder.rglob("*.py")) if decoders.search(path.read_text(encoding="utf-8"))]

    assert found == [folder / "pictures.py"]


@pytest.mark.parametrize(
    ("kind", "options", "unread"),
    [
        ("JPEG", {}, 0),
        ("JPEG", {"progressive": True}, 0),
        ("PNG", {}, 20),  # its checksum of the pixels, Adler-32 and CRC-32, and the empty chunk at its end
        ("BMP", {}, 0),
        ("GIF", {}, 2),
        ("PPM", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {}, 0),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of cut-off TIFFs
def test_a_picture_that_was_cut_short_is_an_error_with_its_name(kind: str, options: dict[str, bool], unread: int):
    photo = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, kind, **options)
    data = stream.getvalue()

    for cut in {*range(40), *range(40, len(data) - 60, 97), *range(len(data) - 60, len(data) - unread)}:
        with pytest.raises(PictureError, match=r"^photos/a\.jpg: not a readable image \("):
            read_rgb(Path("photos/a.jpg"), stream=io.BytesIO(data[:cut]))


def refusal(read: Callable[..., object], data: bytes) -> str:
    """What is said of a picture that is refused, or "read"."""
    try:
        read(Path("a.jpg"), stream=io.BytesIO(data))
    except PictureError as error:
        return str(error)
    return "read"


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0.0, 0.25, 0.5, 1.0], np.float32, [0, 64, 128, 255]),  # x 255, rounded
        ([0.0, 2.0, 100.0, 255.0], np.float32, [0, 2, 100, 255]),
        ([0, 1, 200, 255], np.uint16, [0, 1, 200, 255]),  # 8 bits, stored wider
        ([0, 257, 25_700, 65_535], np.uint16, [0, 1, 100, 255]),  # / 257
        ([0, 256, 25_700, 65_535], np.int32, [0, 0, 100, 255]),
    ],
)
def test_wide_greys_keep_their_range(tmp_path: Path, values: list[float], kind: type, expected: list[int]):
    Image.fromarray(np.array([values], kind)).save(tmp_path / "a.tif")

    assert read_rgb(tmp_path / "a.tif")[0, :, 0].tolist() == expected
    assert read_rgb(tmp_path / "a.tif", grey=True)[0, :, 0].tolist() == expected


def test_16_bits_are_read_alike_in_either_byte_order_and_as_png(tmp_path: Path):
    values = np.array([[0, 257, 25_700, 65_535]], np.uint16)
    Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes()).save(tmp_path / "b.tif")
    Image.fromarray(values).save(tmp_path / "a.png")

    assert read_rgb(tmp_path / "b.tif").tolist() == read_rgb(tmp_path / "a.png").tolist()
    assert read_rgb(tmp_path / "b.tif")[0, :, 1].tolist() == [0, 1, 100, 255]


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ([0.0, np.nan], np.float32, "some grey values are not finite numbers (NaN, infinity); convert it to 8 bits"),
        ([0.0, np.inf], np.float32, "some grey values are not finite numbers (NaN, infinity); convert it to 8 bits"),
        (
            [0.0, 1.25],
            np.float32,
            "its grey values are 0 to 1.25; convert it to 8 bits (0 to 1 and 0 to 255 are read too)",
        ),
        (
            [-1.0, 1.0],
            np.float32,
            "its grey values are -1 to 1; convert it to 8 bits (0 to 1 and 0 to 255 are read too)",
        ),
        (
            [0.0, 4e3],
            np.float32,
            "its grey values are 0 to 4000; convert it to 8 bits (0 to 1 and 0 to 255 are read too)",
        ),
        ([-3, 9], np.int32, "its grey values are -3 to 9; convert it to 8 bits (0 to 65535 is read too)"),
        ([0, 70_000], np.int32, "its grey values are 0 to 70000; convert it to 8 bits (0 to 65535 is read too)"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_greys_whose_range_cannot_be_kept_are_refused(tmp_path: Path, values: list[float], kind: type, said: str):
    Image.fromarray(np.array([values], kind)).save(tmp_path / "a.tif")

    with pytest.raises(PictureError) as caught:
        read_rgb(tmp_path / "a.tif")

    assert caught.value.reason == said


def test_a_pipe_with_a_pictures_name_does_not_stop_a_reader(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jpg")

    with pytest.raises(PathError) as caught:
        read_size(tmp_path / "a.jpg")

    assert str(caught.value) == f"{tmp_path}/a.jpg: this is a pipe; a file is needed"


def test_a_missing_picture_says_so(tmp_path: Path):
    with pytest.raises(PathError) as caught:
        read_rgb(tmp_path / "a.jpg")

    assert str(caught.value) == f"{tmp_path}/a.jpg: this image is missing; restore it or remove its label"


def test_an_error_of_the_stream_that_holds_a_picture_stays_what_it_is():
    class Broken(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise TaoliteError("the server is gone")

    with pytest.raises(TaoliteError) as caught:
        read_rgb(Path("a.jpg"), stream=Broken(b"x"))

    assert str(caught.value) == "the server is gone"


def test_a_pictures_error_comes_back_from_another_process():
    error = pickle.loads(pickle.dumps(PictureError(Path("a.jpg"), "the file is empty")))

    assert (str(error), error.reason) == (
        "a.jpg: not a readable image (the file is empty); replace the file or remove it",
        "the file is empty",
    )
