"""The sealed container: opened by the book, and every kind of damage told for what it is."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import math
import struct
import tracemalloc
import zlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from taolite.artifacts.container import KdfCost, read_header, seal, unseal
from taolite.artifacts.keys import Key
from taolite.errors import ArtifactError, DamagedError, ForeignError, TruncatedError, UsageError, WrongKeyError

KEY = Key("tlt_encode")
CHEAP = KdfCost(memory_kib=64, iterations=1, lanes=1)
CHUNK = 1024
PAYLOAD = bytes(range(256)) * 10  # 2560 bytes: two whole chunks and half a one


def sealed(payload: bytes = PAYLOAD) -> bytes:
    stream = io.BytesIO()
    seal(stream, payload, kind="bundle", key=KEY, public={"task": "detectnet"}, cost=CHEAP, chunk_size=CHUNK)
    return stream.getvalue()


def boundaries(data: bytes) -> dict[str, tuple[int, int]]:
    """First and last + 1 byte of each region of `data`, as docs/FORMAT.md draws them."""
    (header,) = struct.unpack_from("<I", data, 12)
    sizes = {"magic": 8, "version": 2, "zero": 2, "length": 4, "crc": 4, "header": header, "check": 32, "digest": 32}
    sizes |= {"chunk 1": CHUNK, "tag 1": 16, "chunk 2": CHUNK, "tag 2": 16, "chunk 3": len(PAYLOAD) - 2 * CHUNK}
    regions, start = {}, 0
    for name, size in {**sizes, "tag 3": 16}.items():
        regions[name] = (start, start + size)
        start += size
    assert start == len(data)
    return regions


def open_by_the_book(data: bytes, passphrase: bytes) -> bytes:
    """A second reader, written from docs/FORMAT.md alone."""
    magic, version, zero, length, crc = struct.unpack_from("<8sHHII", data)
    assert (magic, version, zero) == (b"\x89TAOLITE", 1, 0)
    assert crc == zlib.crc32(data[:16])
    header = json.loads(data[20 : 20 + length])
    kdf = header["kdf"]
    keys = Argon2id(
        salt=bytes.fromhex(kdf["salt"]),
        length=64,
        iterations=kdf["iterations"],
        lanes=kdf["lanes"],
        memory_cost=kdf["memory_kib"],
    ).derive(passphrase)
    assert data[20 + length : 52 + length] == hmac.new(keys[32:], data[: 20 + length], hashlib.sha256).digest()
    digest = data[52 + length : 84 + length]
    assert digest == hashlib.sha256(data[: 52 + length]).digest()
    rest, out, left, index = data[84 + length :], b"", header["payload_length"], 0
    while True:
        size = min(left, header["chunk_size"])
        last = size == left
        nonce = bytes.fromhex(header["nonce_prefix"]) + index.to_bytes(4, "big") + (b"\1" if last else b"\0")
        out += AESGCM(keys[:32]).decrypt(nonce, rest[: size + 16], digest)
        rest, left, index = rest[size + 16 :], left - size, index + 1
        if last:
            assert rest == b""
            return out


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_what_was_sealed_comes_back_and_a_reader_written_from_the_format_page_agrees(size):
    payload = PAYLOAD[:1] * size

    data = sealed(payload)

    header, opened = unseal(data, key=KEY, where="m.tlt")
    assert opened == payload
    assert open_by_the_book(data, b"tlt_encode") == payload
    assert (header.kind, header.public, header.payload_length) == ("bundle", {"task": "detectnet"}, size)


def test_two_files_of_the_same_payload_share_no_sealed_bytes():
    one, two = sealed(bytes(64)), sealed(bytes(64))

    assert one[-80:] != two[-80:]


@pytest.mark.parametrize(
    "region",
    ["magic", "version", "zero", "length", "crc", "header", "check", "digest"]
    + [f"{part} {number}" for number in (1, 2, 3) for part in ("chunk", "tag")],
)
def test_one_changed_byte_anywhere_is_called_damage_and_never_a_wrong_key(region):
    data = sealed()
    start, end = boundaries(data)[region]
    every = range(start, end) if end - start <= 64 else range(start, end, 37)

    for position in every:
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            with pytest.raises(DamagedError):
                unseal(bytes(damaged), key=KEY, where="m.tlt")


def test_the_message_for_a_changed_chunk_names_it():
    data = bytearray(sealed())
    data[boundaries(bytes(data))["chunk 2"][0]] ^= 1

    with pytest.raises(DamagedError) as caught:
        unseal(bytes(data), key=KEY, where="m.tlt")

    assert str(caught.value) == (
        "m.tlt: chunk 2 of 3 was changed after it was written; restore the file from a backup, or recreate it"
    )


def test_a_file_that_ends_early_is_called_truncated_whatever_the_key():
    data = sealed()
    cuts = {edge for region in boundaries(data).values() for edge in region} | {1, 7, 9, 19, len(data) - 1}

    for cut in sorted(cuts - {len(data)}):
        for key in (KEY, Key("other"), None):
            with pytest.raises(TruncatedError):
                unseal(data[:cut], key=key, where="m.tlt")


@pytest.mark.parametrize("length", [8, 12, 19])
def test_a_file_of_a_damaged_magic_alone_is_truncated(length):
    data = b"\x89TAOLIT?" + sealed()[8:length]

    with pytest.raises(TruncatedError) as caught:
        unseal(data, key=KEY, where="m.tlt")

    assert str(caught.value) == (
        f"m.tlt: the file ends after {length} bytes, inside its header; copy it again, or recreate it"
    )


def test_the_message_for_a_truncated_file_says_how_much_is_there():
    data = sealed()

    with pytest.raises(TruncatedError) as caught:
        unseal(data[:-5], key=KEY, where="m.tlt")

    assert (
        str(caught.value)
        == f"m.tlt: the file ends after {len(data) - 5} of {len(data)} bytes; copy it again, or recreate it"
    )


def test_bytes_behind_the_end_are_damage():
    with pytest.raises(DamagedError) as caught:
        unseal(sealed() + b"xy", key=KEY, where="m.tlt")

    assert str(caught.value) == "m.tlt: 2 extra bytes follow the end; restore the file from a backup"


def test_two_whole_chunks_that_changed_places_are_damage():
    data = sealed()
    regions = boundaries(data)
    (one, _), (two, _), (three, _) = regions["chunk 1"], regions["chunk 2"], regions["chunk 3"]

    swapped = data[:one] + data[two:three] + data[one:two] + data[three:]

    with pytest.raises(DamagedError):
        unseal(swapped, key=KEY, where="m.tlt")


def test_a_chunk_of_another_file_with_the_same_key_is_damage():
    data, other = sealed(), sealed()
    start, end = boundaries(data)["chunk 1"][0], boundaries(data)["tag 1"][1]

    with pytest.raises(DamagedError):
        unseal(data[:start] + other[start:end] + data[end:], key=KEY, where="m.tlt")


def test_a_whole_file_and_another_key_say_so_and_show_neither():
    with pytest.raises(WrongKeyError) as caught:
        unseal(sealed(), key=Key("not_this_one"), where="m.tlt")

    assert str(caught.value) == "m.tlt: the file is intact, but this is not the key it was sealed with; check -k"


def test_no_key_says_how_to_give_one():
    with pytest.raises(UsageError) as caught:
        unseal(sealed(), key=None, where="m.tlt")

    assert str(caught.value) == (
        "m.tlt: this file is sealed, and no key was given; give -k KEY, -k @FILE, or TAOLITE_KEY"
    )


def test_something_else_is_foreign():
    with pytest.raises(ForeignError):
        unseal(b"\x89HDF\r\n\x1a\n" + bytes(200), key=KEY, where="m.tlt")


def forged(**changes: object) -> bytes:
    """A container whose readable front says something else, with checksums that fit it."""
    data = sealed()
    (length,) = struct.unpack_from("<I", data, 12)
    header = json.loads(data[20 : 20 + length])
    for name, value in changes.items():
        (header["kdf"] if name in header["kdf"] else header)[name] = value
    text = json.dumps(header).encode()
    start = struct.pack("<8sHHI", b"\x89TAOLITE", 1, 0, len(text))
    front = start + struct.pack("<I", zlib.crc32(start)) + text + data[20 + length : 52 + length]
    return front + hashlib.sha256(front).digest() + data[84 + length :]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"memory_kib": 100 << 20}, "memory_kib is 104857600; 8 to 524288 is allowed"),
        ({"memory_kib": math.inf}, "memory_kib is inf; 8 to 524288 is allowed"),
        ({"memory_kib": 65536.0}, "memory_kib is 65536.0; 8 to 524288 is allowed"),
        ({"memory_kib": "65536"}, "memory_kib is 65536; 8 to 524288 is allowed"),
        ({"memory_kib": 1 << 19, "iterations": 3}, "memory_kib x iterations is 1572864; 1 to 1048576 is allowed"),
        ({"iterations": 10**9}, "iterations is 1000000000; 1 to 16 is allowed"),
        ({"iterations": True}, "iterations is True; 1 to 16 is allowed"),
        ({"lanes": math.nan}, "lanes is nan; 1 to 16 is allowed"),
        ({"lanes": 1000}, "lanes is 1000; 1 to 16 is allowed"),
        ({"chunk_size": 1}, "chunk_size is 1; 1024 to 16777216 is allowed"),
        ({"payload_length": math.inf}, "payload_length is inf; 0 to 281474976710656 is allowed"),
        ({"payload_length": 10**400}, f"payload_length is {10**400}; 0 to 281474976710656 is allowed"),
        ({"public": [["task", "x"]]}, "`public` needs to be an object, `kind` a text"),
        ({"kind": 3}, "`public` needs to be an object, `kind` a text"),
        ({"kdf": {}}, "`name` is missing"),
        ({"nonce_prefix": None}, "fromhex() argument must be str, not None"),
        ({"payload_length": -1}, "payload_length is -1; 0 to 281474976710656 is allowed"),
        ({"salt": "00"}, "length of salt is 1; 16 to 16 is allowed"),
        ({"name": "md5"}, "key derivation 'md5' is not known"),
    ],
)
def test_a_hostile_header_is_refused_before_it_costs_anything(changes, complaint):
    data = forged(**changes)
    tracemalloc.start()

    with pytest.raises(DamagedError) as caught:
        unseal(data, key=KEY, where="m.tlt")

    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert str(caught.value) == f"m.tlt: its header cannot be used ({complaint}); it was not written by taolite"


def with_header(text: bytes) -> bytes:
    """A container with this header, and checksums that fit it."""
    start = struct.pack("<8sHHI", b"\x89TAOLITE", 1, 0, len(text))
    front = start + struct.pack("<I", zlib.crc32(start)) + text + bytes(32)
    return front + hashlib.sha256(front).digest() + bytes(len(PAYLOAD) + 3 * 16)


@pytest.mark.parametrize("text", [b"[" * 60000, b'{"kdf": ' + b"9" * 5000 + b"}", b"null", b"\xff", b""])
def test_a_header_that_is_none_is_refused(text):
    with pytest.raises(DamagedError):
        unseal(with_header(text), key=KEY, where="m.tlt")


def test_a_file_is_read_chunk_by_chunk_from_where_it_stands():
    class Noted(io.BytesIO):
        largest = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert size > 0
            self.largest = max(self.largest, size)
            return super().read(size)

    stream = Noted(b"name" + sealed(PAYLOAD * 50))
    stream.seek(4)

    assert unseal(stream, key=KEY, where="m.tlt")[1] == PAYLOAD * 50
    assert stream.largest == 20 + 65536 + 32 + 32  # the front; a chunk is smaller


def test_a_large_payload_takes_memory_once():
    stream, size = io.BytesIO(), 64 << 20
    seal(stream, bytes(size), kind="bundle", key=KEY, cost=CHEAP)
    stream.seek(0)
    tracemalloc.start()

    unseal(stream, key=KEY, where="m.tlt")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * size


def test_a_cipher_that_cannot_write_into_buffers_seals_and_opens_the_same(monkeypatch):
    class Older:  # of cryptography 45 and 46
        def __init__(self, key: bytes) -> None:
            self.encrypt, self.decrypt = AESGCM(key).encrypt, AESGCM(key).decrypt

    newer = sealed()
    monkeypatch.setattr("cryptography.hazmat.primitives.ciphers.aead.AESGCM", Older)
    older = sealed()

    assert unseal(newer, key=KEY, where="m.tlt")[1] == PAYLOAD
    assert open_by_the_book(older, KEY.reveal()) == PAYLOAD
    with pytest.raises(DamagedError):
        unseal(newer[:-1] + bytes([newer[-1] ^ 1]), key=KEY, where="m.tlt")
    monkeypatch.undo()
    assert unseal(older, key=KEY, where="m.tlt")[1] == PAYLOAD


def test_a_file_that_becomes_shorter_while_it_is_read_is_damaged():
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size)[:-1] if size == CHUNK + 16 else super().read(size)

    with pytest.raises(DamagedError) as caught:
        unseal(Shrinking(sealed()), key=KEY, where="m.tlt")

    assert str(caught.value) == (
        "m.tlt: chunk 1 of 3 was changed after it was written; restore the file from a backup, or recreate it"
    )


def test_a_claimed_length_beyond_the_file_is_told_without_making_room_for_it():
    with pytest.raises(TruncatedError):
        unseal(forged(payload_length=1 << 40), key=KEY, where="m.tlt")


def test_a_cheaper_header_than_was_sealed_does_not_open():
    with pytest.raises(WrongKeyError):
        unseal(forged(iterations=2), key=KEY, where="m.tlt")


def test_a_newer_format_asks_for_a_newer_taolite():
    data = bytearray(sealed())
    data[8] = 2
    data[16:20] = struct.pack("<I", zlib.crc32(data[:16]))

    with pytest.raises(ArtifactError) as caught:
        unseal(bytes(data), key=KEY, where="m.tlt")

    assert str(caught.value) == "m.tlt: written in format 2, and this taolite reads 1; upgrade taolite"


def test_the_front_can_be_read_without_a_key_and_without_the_rest():
    data = sealed()

    header = read_header(data[:4096], where="m.tlt", size=len(data))

    assert (header.kind, header.cost, header.chunk_count) == ("bundle", CHEAP, 3)
