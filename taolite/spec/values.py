"""From the tokens of a spec to Python values: the meaning of `0x1F`, `1e-3f`, `'a\\tb'`, `t` and `INTEGRATE`.

The accepted spellings are those of text_format in the `protobuf` package (the oracle of the tests). Each function takes
a `Scalar` and raises `UnfitError`, whose text continues a sentence that begins with the field's name.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from taolite.spec.shape import Shape
from taolite.spec.text import Scalar, Token
from taolite.wording import nearest

__all__ = ["UnfitError", "value_of"]

_BEYOND = 10**18  # a whole number that no field of a spec can hold
_LONGEST_STRING = 1 << 16  # characters


class UnfitError(Exception):
    """The value does not fit. The text continues a sentence that begins with the field's name."""


def value_of(shape: Shape, scalar: Scalar) -> Any:
    """The value of one element of the field `shape`. Raises UnfitError if it is not valid."""
    if shape.kind == "enum":
        assert shape.enum is not None
        return _enum(scalar, shape.enum)
    if shape.kind == "bool":
        return _bool(scalar)
    value: Any
    if shape.kind == "string":
        value = _string(scalar)
    elif shape.kind == "int":
        value = _integer(scalar)
        if abs(value) == _BEYOND:
            raise UnfitError(f"is {scalar.text}; it needs to be {_need(shape, value)}")
    else:
        value = _number(scalar, keep_integer=shape.kind == "int_or_float")
    if shape.zero_is_default and shape.repeats == "no" and value in (0, ""):
        return shape.default
    _check(shape, value, scalar)
    return value


def _need(shape: Shape, value: Any) -> str:
    """The end of `it needs to be ...`, for a field of choices or numbers whose `value` is not valid."""
    if not shape.choices:
        return shape.range.needs(value)
    return _listed([f"`{choice}`" if isinstance(choice, str) else str(choice) for choice in shape.choices])


def _check(shape: Shape, value: Any, scalar: Scalar) -> None:
    if shape.choices:
        if value not in shape.choices:
            near = nearest(value, [str(choice) for choice in shape.choices]) if isinstance(value, str) else ""
            raise UnfitError(f"is {scalar.text}; it needs to be {_need(shape, value)}{near}")
    elif isinstance(value, str):
        if shape.repeats == "no" and len(value) < shape.range.min_length:
            raise UnfitError('is ""; it needs a value')
    elif not shape.range.holds(value):
        raise UnfitError(f"is {scalar.text}; it needs to be {_need(shape, value)}")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _one(scalar: Scalar, need: str) -> Token:
    token = scalar.tokens[0]
    if token.kind == "string":
        raise UnfitError(f"is the string {scalar.text}; it needs to be {need}")
    return token


def _integer(scalar: Scalar) -> int:
    """The whole number. One of more than 18 digits, which no field can hold, becomes `_BEYOND` or its negative."""
    text = _one(scalar, "a whole number").text
    if re.fullmatch(r"-?[1-9][0-9]{18,}", text):  # Python itself reads no more than 4300 digits
        return -_BEYOND if text.startswith("-") else _BEYOND
    octal = re.fullmatch(r"(-?)0([0-9]+)", text)
    try:
        number = int(f"{octal[1]}0o{octal[2]}" if octal else text, 0)
        return max(-_BEYOND, min(number, _BEYOND))
    except ValueError:
        raise UnfitError(f"is {scalar.text}; it needs to be a whole number") from None


def _number(scalar: Scalar, *, keep_integer: bool) -> int | float:
    text = _one(scalar, "a number").text
    if re.match(r"-?0[0-9]+", text):
        raise UnfitError(f"is {scalar.text}; it needs to be a number, without the leading 0")
    if keep_integer and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    special = re.fullmatch(r"(-?)(inf|infinity|nan)f?", text, re.IGNORECASE)
    if special:
        return float(special[1] + special[2])
    for spelling in (text, text.rstrip("fF")):
        try:
            return float(spelling)
        except ValueError:
            continue
    raise UnfitError(f"is {scalar.text}; it needs to be a number")


def _bool(scalar: Scalar) -> bool:
    text = _one(scalar, "true or false").text
    if text in ("true", "t", "1", "True"):
        return True
    if text in ("false", "f", "0", "False"):
        return False
    raise UnfitError(f"is {scalar.text}; it needs to be true or false")


def _enum(scalar: Scalar, enum: type[Enum]) -> Enum:
    members = list(enum)
    names = _listed([f"`{member.name}`" for member in members])
    text = _one(scalar, names).text
    for member in members:
        if member.name == text:
            return member
    try:
        number = int(text, 0)
    except ValueError:
        near = nearest(text, [m.name for m in members])
        raise UnfitError(f"is {scalar.text}; it needs to be {names}{near}") from None
    if not 0 <= number < len(members):
        raise UnfitError(f"is {scalar.text}; it needs to be {names} (or its number, 0 to {len(members) - 1})")
    return members[number]


_SIMPLE = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "\\": 92, "'": 39, '"': 34}
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)


def _string(scalar: Scalar) -> str:
    if scalar.tokens[0].kind != "string":
        raise UnfitError(f"is {scalar.text}; it needs to be a string in quotes")
    raw = b"".join(_unescape(token) for token in scalar.tokens)
    if len(raw) > _LONGEST_STRING:
        raise UnfitError(f"has {len(raw)} bytes; it needs to have {_LONGEST_STRING} or fewer")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UnfitError(f"is {scalar.text}; its bytes are not UTF-8 text") from None


def _unescape(token: Token) -> bytes:
    """The bytes of a quoted token. A backslash before a letter without a meaning is kept, as in TAO."""
    text, out, position = token.text[1:-1], bytearray(), 0
    for match in _ESCAPE.finditer(text):
        out += text[position : match.start()].encode("utf-8")
        position = match.end()
        octal, hexadecimal, short, long, simple = match.groups()
        if octal and int(octal, 8) < 256:
            out.append(int(octal, 8))
        elif hexadecimal:
            out.append(int(hexadecimal, 16))
        elif short or long:
            out += _character(match.group(), int(short or long, 16))
        elif simple in _SIMPLE:
            out.append(_SIMPLE[simple])
        elif octal or simple in ("x", "u", "U", "N"):
            raise UnfitError(
                f"has the escape `{match.group()}`, which is not a character; write `\\\\` for a backslash"
            )
        else:
            out += match.group().encode("utf-8")
    return bytes(out + text[position:].encode("utf-8"))


def _character(text: str, code: int) -> bytes:
    try:
        return chr(code).encode("utf-8")
    except (ValueError, UnicodeEncodeError):
        raise UnfitError(f"has the escape `{text}`, which is not a character; write `\\\\` for a backslash") from None
