"""Pictures of every format that is read, mutated by bytes and by the parts of their format: chunks of a PNG with
checksums that fit, segments of a JPEG doubled, sizes set to extremes.

The limit of pixels is 4 million in the process that reads them (TAOLITE_MAX_PIXELS), because time and memory grow with
the pixels that a header claims: at the default of 120 million a picture takes 30 times as much.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from random import Random

from .mutators import changed_bytes
from .target import Reader

__all__ = ["PIXELS", "picture"]

PIXELS = 4_000_000
SIZES = (0, 1, 2, 255, 256, 1999, 2000, 4096, 32767, 65535, 65536, 1 << 24, (1 << 31) - 1, (1 << 32) - 1)


def seeds() -> tuple[bytes, ...]:
    """Small pictures: every format, and the modes and encodings that decoders treat apart."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(1)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 40, 3), dtype=np.uint8))
    grey = rgb.convert("L")
    deep = Image.fromarray(rng.integers(0, 65536, (24, 40), dtype=np.uint16))
    real = Image.fromarray(rng.random((24, 40), dtype=np.float32))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "text"
    made: list[bytes] = []

    def add(image: Image.Image, kind: str, **options: object) -> None:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        made.append(stream.getvalue())

    add(rgb, "JPEG", exif=exif)
    add(rgb, "JPEG", progressive=True)
    add(grey, "JPEG", icc_profile=b"p" * 200)
    add(rgb.convert("CMYK"), "JPEG")
    for image in (rgb, grey, deep, rgb.convert("P"), rgb.convert("RGBA"), grey.convert("1")):
        add(image, "PNG", exif=exif)
    add(rgb, "BMP")
    add(rgb.convert("P"), "BMP")
    add(rgb.convert("P"), "GIF")
    add(rgb.convert("P"), "GIF", save_all=True, append_images=[grey.convert("P")])
    for image in (rgb, grey, grey.convert("1")):
        add(image, "PPM")
    made.append(b"P3\n# a comment\n2 2\n255\n1 2 3 4 5 6 7 8 9 10 11 12\n")
    made.append(b"P1\n4 2\n1 0 1 0\n0 1 0 1\n")
    for options in ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "packbits"},
                    {"compression": "jpeg"}):  # fmt: skip
        add(rgb, "TIFF", exif=exif, **options)
    for image in (deep, real, grey.convert("1")):
        add(image, "TIFF")
    add(grey.convert("1"), "TIFF", compression="group4")
    add(rgb, "WEBP", exif=exif)
    add(rgb.convert("RGBA"), "WEBP", lossless=True)
    add(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)])
    return tuple(made)


def _sized(data: bytes, rng: Random) -> bytes:
    """A width, a height or a count of the header set to an extreme."""
    kind = rng.choice((">H", "<H", ">I", "<I"))
    size, value = struct.calcsize(kind), rng.choice(SIZES)
    at = rng.randrange(min(len(data), 200))
    return data[:at] + struct.pack(kind, value & (256**size - 1)) + data[at + size :]


def _png(data: bytes, rng: Random) -> bytes:
    """Chunks dropped, doubled, exchanged or changed; their lengths and checksums fit."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(rng.choice((1, 2))):
        place = rng.randrange(len(chunks))
        way = rng.randrange(6)
        name, body = chunks[place]
        if way == 0:
            del chunks[place]
        elif way == 1:
            chunks[place:place] = [chunks[place]] * rng.choice((1, 3, 40))
        elif way == 2:
            chunks.insert(place, rng.choice(chunks))
        elif way == 3 and name == b"IHDR":
            size = struct.pack(">II", rng.choice(SIZES) & 0x7FFFFFFF, rng.choice(SIZES) & 0x7FFFFFFF)
            chunks[place] = (name, size + body[8:])
        elif way == 4:
            bomb = b"x\0" + b"\0" * rng.choice((0, 1)) + zlib.compress(bytes(1 << rng.choice((8, 16, 24))))
            chunks.insert(place, (rng.choice((b"zTXt", b"iCCP", b"iTXt", b"tEXt", b"eXIf", b"PLTE", b"tRNS")), bomb))
        else:
            chunks[place] = (name, changed_bytes(body, rng))
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return data[:8] + b"".join(parts)


def _jpeg(data: bytes, rng: Random) -> bytes:
    """Segments dropped, doubled (scans among them), exchanged or changed, and the frame's size set."""
    marks = [found.start() for found in re.finditer(rb"\xff[\xc0-\xcf\xda-\xef]", data)] + [len(data)]
    parts = [data[: marks[0]]] + [data[begin:end] for begin, end in pairwise(marks)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(parts))
        way = rng.randrange(4)
        if way == 0 and len(parts) > 1:
            del parts[place]
        elif way == 1:
            parts[place:place] = [parts[place]] * rng.choice((1, 5, 200))
        elif way == 2:
            parts[place] = changed_bytes(parts[place], rng)
        else:
            size = struct.pack(">HH", *rng.choices((1, 100, 1000, 1999, 2000, 65500), k=2))
            frames = [at for at, part in enumerate(parts) if part[:2] in (b"\xff\xc0", b"\xff\xc2")]
            for at in frames:
                parts[at] = parts[at][:5] + size + parts[at][9:]
    return b"".join(parts)


def picture(folder: Path) -> Reader:
    """A picture: its size, its pixels, and whether it ends as it should."""
    from taolite.errors import TaoliteError
    from taolite.formats.findings import Findings
    from taolite.formats.folders import is_whole
    from taolite.pictures import read_rgb, read_size

    path, whole = folder / "a.jpg", seeds()
    grey = iter(range(1 << 62))

    def mutate(rng: Random) -> bytes:
        data, way = rng.choice(whole), rng.randrange(4)
        if way == 0:
            return _sized(data, rng)
        if way == 1 and data[:4] == b"\x89PNG":
            return _png(data, rng)
        if way == 1 and data[:2] == b"\xff\xd8":
            return _jpeg(data, rng)
        return changed_bytes(data, rng)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        is_whole(path, Findings())
        try:
            size = read_size(path)
        except TaoliteError:
            size = None
        pixels = read_rgb(path, grey=next(grey) % 2 > 0)
        assert size is None or pixels.shape[:2] == size, f"read_size says {size}, read_rgb {pixels.shape[:2]}"
        assert size is not None, "its pixels can be read, and its size cannot"
        return pixels

    return Reader(mutate, read, whole, str(path))
