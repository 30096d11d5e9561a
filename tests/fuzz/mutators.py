"""Seeded mutators: bytes, words of a text, values of a JSON document. The same generator gives the same mutation on
every machine, so a case is named by its target and its number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

__all__ = ["changed_bytes", "changed_json", "changed_value", "changed_words", "hostile_values"]

NASTY = (
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"NaN", b"Infinity", b"-1e308", b"1e400", b"9" * 5000, b"[" * 3000,
    b"null", b"true", b"\"\"", b"[]", b"{}", b"\n", b"\r", b"\x1b[2J", b"../../../", b"x" * 300, b"&#0;",
    b"<!DOCTYPE a>", b"\\ud800", b"-", b"1_000", b"\xc2\xb2", b"\"", b",", b"'", b"\xe2\x80\xa8", b"-1", b"0", b"3.5",
    b"4294967295", b"18446744073709551615", b"{\"a\":" * 3000, b"(" * 2000, b"&a;", b"%s%n", b"\xef\xbb\xbf",
)  # fmt: skip
NUMBERS = (b"\xff", b"\x7f", b"\x80", b"\x00", b"\x01", b"\xfe")

WORD = re.compile(rb'"[^"\n]*"|[-+.\w]+|[^\s\w]')


def changed_bytes(data: bytes, rng: Random) -> bytes:
    """Bytes changed, lost, doubled or put in; a field of 1, 2, 4 or 8 bytes set to an extreme; or the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.choice((1, 2, 4, 8, 12, 32, 64)))
        way = rng.randrange(10)
        if way == 0 and changed:
            changed[at % len(changed)] = rng.randrange(256)
        elif way == 1 and changed:
            changed[at % len(changed)] ^= 1 << rng.randrange(8)
        elif way == 2:
            del changed[at:end]
        elif way == 3:
            changed[at:at] = rng.choice(NASTY)
        elif way == 4:
            changed[at:end] = rng.choice(NASTY)
        elif way == 5:
            changed[at:at] = changed[at:end] * rng.randint(1, 20)
        elif way == 6:
            changed[at:end] = rng.choice(NUMBERS) * (end - at)
        elif way == 7 and len(changed) > 8:
            begin = rng.randrange(len(changed))
            changed[at:end] = changed[begin : begin + end - at]
        elif way == 8:
            changed[at:end] = rng.randrange(1 << 63).to_bytes(8, rng.choice(("little", "big")))[: end - at]
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def changed_words(data: bytes, rng: Random) -> bytes:
    """One to three words or signs of a text dropped, doubled, exchanged, or replaced by a hostile one."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = [found.span() for found in WORD.finditer(data)]
        if not places:
            return data
        (start, stop), (other, last) = rng.choice(places), rng.choice(places)
        word = data[other:last]
        way = rng.randrange(5)
        if way == 0:
            data = data[:start] + data[stop:]
        elif way == 1:
            data = data[:start] + word + b" " + data[start:]
        elif way == 2:
            data = data[:start] + word + data[stop:]
        elif way == 3:
            data = data[:start] + rng.choice(NASTY) + data[stop:]
        else:
            lines = data.split(b"\n")
            at = rng.randrange(len(lines))
            lines[at:at] = [rng.choice(lines)] * rng.choice((1, 1, 30))
            data = b"\n".join(lines)
    return data


def hostile_values() -> list[Any]:
    """A value of each kind that JSON has, and the extremes of each."""
    return [
        *(None, True, False, 0, -1, 1, 3, 2**31, 2**63, 10**400, 0.5, -0.0, 1e300, float("nan"), float("inf")),
        *("", "a", "x" * 300, "\ud800", "../../etc/passwd", "/dev/zero", "\x1b[2J", "\u202e", "0", "nan", "犬"),
        *([], [[]], [1, "2", None], [0.0] * 4, [1e308] * 4, ["a"] * 1000, {}, {"a": {}}, {"": None}),
    ]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _places(value)


def changed_value(document: Any, rng: Random) -> Any:
    """One to three values of a JSON document, which is changed in place, replaced, removed, doubled or exchanged."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            return rng.choice(hostile_values())
        node, key = rng.choice(places)
        way = rng.randrange(8)
        if way == 0:
            del node[key]
        elif way == 1 and isinstance(node, list):
            node[key:key] = [node[key]] * rng.choice((1, 2, 50))
        elif way == 2:
            other, where = rng.choice(places)
            node[key] = json.loads(json.dumps(other[where]))
        elif way == 3 and type(node[key]) in (int, float):
            node[key] = node[key] * rng.choice((-1, 0, 2, 1e6, 10**9)) if abs(node[key]) < 1e290 else 1
        elif way == 4:
            node[key] = [node[key]]
        else:
            node[key] = rng.choice(hostile_values())
    return document


def changed_json(data: bytes, rng: Random) -> bytes:
    """A JSON text with values, words or bytes changed."""
    way = rng.randrange(8)
    if way == 0:
        return changed_bytes(data, rng)
    if way == 1:
        return changed_words(data, rng)
    document = changed_value(json.loads(data), rng)
    return json.dumps(document, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")
