"""TFRecords, tars and the index of a tar, mutated outside and inside their checksums."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tarfile
from pathlib import Path
from random import Random

from .mutators import changed_bytes, changed_json
from .target import Reader

__all__ = ["index", "tar", "tfrecord"]

TAIL = struct.Struct("<IIQ8s")


def tfrecord(folder: Path) -> Reader:
    """A record file; in half of the cases with checksums that fit."""
    from taolite.formats.record_rows import read_rows
    from taolite.formats.tfrecord import Record, framed, read_records, write_records
    from taolite.sample import Label

    path = folder / "records"
    label = Label("cat", (1, 2, 3, 4), attributes={"height_m": "1.5"})
    write_records(path, [Record("images/a", (9, 9), (label, label)), Record("images/b", (9, 9), ())])
    whole = path.read_bytes()
    payload = whole[12 : 12 + int.from_bytes(whole[:8], "little")]

    def mutate(rng: Random) -> bytes:
        if rng.random() < 0.5:
            return changed_bytes(whole, rng)
        return framed(changed_bytes(payload, rng))

    def read(data: bytes) -> object:
        path.write_bytes(data)
        rows, records = list(read_rows(path)), list(read_records(path))
        assert [row.size_hw for row in rows] == [record.size_hw for record in records]
        return records

    return Reader(mutate, read, (whole,), str(path))


def seed_tar() -> bytes:
    """A tar with short, long and Unicode names, folders, a link and a picture."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (7, 5)).save(picture, "PNG")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as out:
        for name in ("cat/a.png", "dog/" + "long/" * 40 + "b.png", "犬/c.png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture.getvalue())
            out.addfile(member, io.BytesIO(picture.getvalue()))
        link = tarfile.TarInfo("cat/d.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    return stream.getvalue()


def with_sum(block: bytes) -> bytes:
    """A header of a tar whose checksum fits."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def changed_tar(whole: bytes, rng: Random) -> bytes:
    """A tar with changed bytes, or with a changed header whose checksum fits."""
    if rng.randrange(3) == 0:
        return changed_bytes(whole, rng)
    headers = [at for at in range(0, len(whole), 512) if whole[at + 257 : at + 262] == b"ustar"]
    at = rng.choice(headers)
    block = (changed_bytes(whole[at : at + 512], rng) + bytes(512))[:512]
    changed = whole[:at] + with_sum(block) + whole[at + 512 :]
    if rng.randrange(3) == 0:  # what a PAX header says stands behind it
        behind = at + 512
        changed = (
            changed[:behind]
            + (changed_bytes(changed[behind : behind + 512], rng) + bytes(512))[:512]
            + changed[behind + 512 :]
        )
    return changed


def tar(folder: Path) -> Reader:
    """A tar of pictures, listed with and without their sizes."""
    from taolite.formats.index_file import index_path
    from taolite.formats.tar_listing import list_tar

    path, whole = folder / "a.tar", seed_tar()
    numbers = iter(range(1 << 62))

    def read(data: bytes) -> object:
        path.write_bytes(data)
        index_path(str(path)).unlink(missing_ok=True)
        listing = list_tar(str(path), measured=next(numbers) % 2 > 0)
        return [listing.names[at] for at in range(len(listing))]

    return Reader(lambda rng: changed_tar(whole, rng), read, (whole,), str(path))


def index(folder: Path) -> Reader:
    """The index beside a tar, mutated also under digests that fit: the listing is always that of the tar, or the one a
    forger with write access to the folder wrote, which is never an error."""
    from taolite.formats.index_file import index_path
    from taolite.formats.tar_listing import list_tar
    from taolite.formats.tfrecord import masked_crc

    path = folder / "a.tar"
    path.write_bytes(seed_tar())
    os.utime(path, ns=(1, 1))
    list_tar(str(path), measured=True)
    target = index_path(str(path))
    whole = target.read_bytes()
    truth = list_tar(str(path), measured=True)
    names = [truth.names[at] for at in range(len(truth))]
    _, _, length, _ = TAIL.unpack(whole[-TAIL.size :])
    columns, text = whole[: -TAIL.size - length], whole[-TAIL.size - length : -TAIL.size]

    def signed(columns: bytes, text: bytes) -> bytes:
        return columns + text + TAIL.pack(2, masked_crc(text), len(text), b"TAOINDEX")

    def mutate(rng: Random) -> bytes:
        way = rng.randrange(4)
        if way == 0:
            return b"raw" + changed_bytes(whole, rng)
        contents = json.loads(text)
        contents["records"] = None  # the state of this folder's file, which no other machine has; see read
        if way == 1:
            changed = changed_bytes(columns, rng)
            contents |= {"length": len(changed), "columns_digest": hashlib.blake2b(changed, digest_size=32).hexdigest()}
            return b"fit" + signed(changed, json.dumps(contents).encode())
        contents["blocks"] = []
        return b"fit" + signed(columns, changed_json(json.dumps(contents).encode(), rng))

    def read(data: bytes) -> object:
        raw = data[3:]
        if data[:3] == b"fit":  # a forged index is of this very file
            _, _, length, _ = TAIL.unpack(raw[-TAIL.size :])
            try:
                contents = json.loads(raw[-TAIL.size - length : -TAIL.size])
                contents["records"] = json.loads(text)["records"]
                raw = signed(raw[: -TAIL.size - length], json.dumps(contents).encode())
            except (ValueError, TypeError, RecursionError):
                pass
        target.write_bytes(raw)
        listing = list_tar(str(path), measured=True)
        found = [listing.names[at] for at in range(len(listing))]
        assert data[:3] == b"fit" or found == names, "a damaged index changed the listing"
        return found

    return Reader(mutate, read, (b"raw" + whole,), str(path))
