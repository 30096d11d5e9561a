"""Our reading of protobuf text format against the protobuf package's own, on real files, a torture text and noise."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from taolite import spec
from taolite.errors import SpecError
from taolite.spec.text import Block, parse
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec

pytestmark = pytest.mark.filterwarnings("ignore:invalid:DeprecationWarning")  # protobuf's, on escapes such as \\q


class Flavour(spec.SpecEnum):
    SWEET = "SWEET"
    SOUR = "SOUR"
    BITTER = "BITTER"


class Torture(spec.SpecModel):
    """Every kind of field, no limits but those of the types."""

    count: spec.UInt | None = spec.field(None, doc="A uint32.")
    offset: spec.Int | None = spec.field(None, doc="An int32.")
    ratio: float | None = spec.field(None, doc="A double, which may be infinite.")
    samples: spec.IntOrFloat | None = spec.field(None, doc="A number of either kind.")
    on: bool | None = spec.field(None, doc="A bool.")
    name: str | None = spec.field(None, doc="A string.")
    flavour: Flavour | None = spec.field(None, doc="An enum.")
    child: Torture | None = spec.field(None, doc="A message in itself.")
    counts: tuple[spec.Int, ...] = spec.field((), doc="Repeated numbers.")
    names: tuple[str, ...] = spec.field((), doc="Repeated strings.")
    flavours: tuple[Flavour, ...] = spec.field((), doc="Repeated enums.")
    children: tuple[Torture, ...] = spec.field((), doc="Repeated messages.")
    words: dict[str, str] = spec.field({}, doc="A map of strings.")
    limits: dict[str, float] = spec.field({}, doc="A map of numbers.")
    boxes: dict[str, Torture] = spec.field({}, doc="A map of messages.")


TORTURE = r"""# a comment first
count: 0x1F  # and one behind
offset: -017, ratio: 1.5e-3f; samples: 0.05
on: True name: "a\tb" 'it''s' "\"q\"" "\x41\101\u00e9 é 日本" 'C:\data'
flavour: SOUR
child { count: 1 child < offset: -2147483648 > }
child: { count: 4294967295, name: '' }
child: < ratio: .5 >;
counts: 1 counts: [2, -3, 0x7fffffff] counts: [] counts: 04
names: ["x" "y", 'z'] names: "\\" names: "\?\q"
flavours: [SWEET, 1, BITTER] flavours: 0x2
children { on: t } children: [{ on: f }, < on: 1 > , {on:0}] children [ { name: "#no comment" } ]
words { key: "b" value: "1" } words: { value: "2" key: "a" } words { key: "b" value: "3" }
limits { key: "x" value: -inf } limits < key: 'y', value: 1 > limits { key: "z" value: 1e3F };
boxes { key: "k" value { count: 3 } value { offset: 9 } } boxes { key: "" value: {} }
ratio: 5 ratio: infinity count: 007
child { children { } words { key: "\"" value: "\n\r\0" } samples: 7 }"""

TEXTS = {
    "nothing": "",
    "only a comment": "# nothing",
    "windows line ends": "count: 1\r\nname: 'x'\r\n",
    "a tab before a comment": "count:\t1\t# x\n",
    "a value on the next line": "count:\n  3\nchild\n{\n}\n",
    "numbers": "ratio: -1.e5 samples: -3 offset: +4 ratio: 1_0.5",
    "nan": "ratio: nan",
    "minus infinity": "ratio: -Infinity",
    "no colon before a number": "count 1",
    "no colon before a list of numbers": "counts [1]",
    "an empty list": "children [] counts: []",
    "an empty list without a colon": "counts []",
    "a comma too many in a list": "counts: [1,]",
    "a comma too many": "count: 1,,",
    "two separators": "count: 1,;",
    "a list for a single value": "count: [1]",
    "a block for a number": "count { }",
    "a number for a block": "child: 1",
    "a float for an int": "count: 1.0",
    "a negative unsigned": "count: -1",
    "beyond 32 bits": "count: 4294967296",
    "beyond 32 bits, signed": "offset: 2147483648",
    "octal that is none": "count: 08",
    "octal float": "ratio: 010.5",
    "hexadecimal float": "ratio: 0x10",
    "a long suffix": "ratio: 1fF",
    "a minus apart": "offset: - 1",
    "a string for an int": 'count: "1"',
    "a string for a bool": 'on: "true"',
    "TRUE": "on: TRUE",
    "2 for a bool": "on: 2",
    "a word for a string": "name: x",
    "a number for a string": "name: 1",
    "a string for an enum": 'flavour: "SWEET"',
    "an unknown enum": "flavour: SALTY",
    "an enum beyond": "flavour: 3",
    "an enum below": "flavour: -1",
    "an unclosed string": 'name: "x\ncount: 1',
    "an unclosed string at the end": "name: 'x",
    "an escaped last quote": r'name: "x\"',
    "a lone quote": 'name: "',
    "an octal escape too large": r'name: "\400"',
    "an unfinished hexadecimal escape": r'name: "\x"',
    "an unfinished unicode escape": r'name: "\u12"',
    "a surrogate": r'name: "\ud800"',
    "bytes that are no UTF-8": r'name: "\xff"',
    "UTF-8 by bytes": r'name: "\xe6\x97\xa5"',
    "beyond the plane": r'name: "\U0001F600"',
    "the wrong bracket": "child { count: 1 >",
    "an unclosed block": "child { count: 1",
    "a bracket too many": "child { } }",
    "an extension": "[a.b]: 1",
    "an unknown field": "cuont: 1",
    "a name with a minus": "count-er: 1",
    "a number as name": "1: 1",
    "a strange sign": "count: 1 ?",
    "a strange letter": "çount: 1",
    "a map key that is a number": "words { key: 1 value: 'x' }",
    "a map entry without key": "words { value: 'x' }",
    "a map entry without value": "words { key: 'x' }",
    "a map entry as a list": "words: [{ key: 'x' value: 'y' }, { key: 'a' value: 'b' }]",
    "a strange field in a map entry": "words { key: 'x' value: 'y' other: 1 }",
    "a slash comment": "// count: 1",
}

Reader: TypeAlias = Callable[[type[spec.SpecModel], str], spec.SpecModel | None]


def _same(first: Any, second: Any) -> bool:
    """Equal, with nan equal to itself."""
    if isinstance(first, spec.SpecModel):
        return type(first) is type(second) and _same(dict(first), dict(second))
    if isinstance(first, dict):
        return list(first) == list(second) and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)


def _ours(text: str, model: type[spec.SpecModel]) -> spec.SpecModel | None:
    try:
        return spec.loads(text, model)
    except SpecError:
        return None


def test_the_torture_text_means_what_it_should() -> None:
    got = spec.loads(TORTURE, Torture)

    assert (got.count, got.offset, got.ratio, got.samples, got.on) == (7, -15, math.inf, 0.05, True)
    assert got.name == 'a\tbits"q"AAé é 日本C:\\data'
    assert got.child is not None
    assert (got.child.count, got.child.name, got.child.ratio, got.child.samples) == (4294967295, "", 0.5, 7)
    assert got.counts == (1, 2, -3, 2147483647, 4)
    assert got.flavours == (Flavour.SWEET, Flavour.SOUR, Flavour.BITTER, Flavour.BITTER)
    assert got.words == {"b": "3", "a": "2"}
    assert list(got.words) == ["b", "a"]
    assert got.boxes == {"k": Torture(count=3, offset=9), "": Torture()}


def test_the_torture_text_means_the_same_to_protobuf(protobuf_reads: Reader) -> None:
    theirs = protobuf_reads(Torture, TORTURE)

    assert theirs is not None
    assert _same(spec.loads(TORTURE, Torture), theirs)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_protobuf_takes_and_refuses_the_same(protobuf_reads: Reader, text: str) -> None:
    ours, theirs = _ours(text, Torture), protobuf_reads(Torture, text)

    assert (ours is None) == (theirs is None)
    assert _same(ours, theirs)


@pytest.mark.parametrize(
    ("folder", "model"),
    [
        ("detectnet_v2", DetectNetSpec),
        ("detectnet_v2_inference", InferenceSpec),
        ("tfrecords", DatasetExportSpec),
        ("classification", ClassificationSpec),
    ],
)
def test_every_real_file_reads_as_protobuf_reads_it(
    shared_data: Path, protobuf_reads: Reader, folder: str, model: type[spec.SpecModel]
) -> None:
    files = sorted((shared_data / "tao_specs" / folder).iterdir())
    assert files

    for file in files:
        text = file.read_text()
        assert _same(_ours(text, model), protobuf_reads(model, text)), file.name


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_taken_or_refused_as_protobuf_does(protobuf_reads: Reader, seed: int) -> None:
    rng = random.Random(seed)
    accepted = 0

    for _ in range(250):
        text = _mutated(TORTURE, rng)
        ours, theirs = _ours(text, Torture), protobuf_reads(Torture, text)
        assert (ours is None) == (theirs is None), text
        assert _same(ours, theirs), text
        accepted += ours is not None

    assert 20 < accepted < 230  # the noise tries both sides


def test_noise_in_a_real_spec_is_judged_as_protobuf_and_pydantic_do(shared_data: Path, protobuf_reads: Reader) -> None:
    folder = shared_data / "tao_specs" / "detectnet_v2"
    original = (folder / "latonaio__detection-ai-model-learn__detectnet_train.txt").read_text()
    rng = random.Random(7)
    accepted = 0

    for _ in range(150):
        text = _mutated(original, rng)
        ours, theirs = _ours(text, DetectNetSpec), protobuf_reads(DetectNetSpec, text)
        assert (ours is None) == (theirs is None), text
        assert _same(ours, theirs), text
        accepted += ours is not None

    assert 10 < accepted < 140


_PIECES = re.compile(r"\s+|#.*|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[\w.+-]+|.")
_SPICE = (
    "{", "}", "<", ">", "[", "]", ":", ",", ";", "#", '"', "'", "\n", "-", "0", "1", "-1", "1.5", "1e9", "inf", "nan",
    "0x10", "010", "t", "f", "true", "SOUR", '"x"', "'y'", r'"\x4"', "count", "child", "name", "key", "value", " ",
)  # fmt: skip


def _mutated(text: str, rng: random.Random) -> str:
    """`text` with one to three pieces dropped, doubled, swapped or replaced."""
    pieces = _PIECES.findall(text)
    for _ in range(rng.randint(1, 3)):
        at, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
        deed = rng.randrange(5)
        if deed == 0:
            del pieces[at]
        elif deed == 1:
            pieces.insert(at, pieces[other])
        elif deed == 2:
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif deed == 3:
            pieces[at] = rng.choice(_SPICE)
        else:
            pieces.insert(at, rng.choice(_SPICE))
    return "".join(pieces)


def test_positions_are_those_of_the_first_character() -> None:
    root = parse('a: 1\n  b {\n\tc: "é" d: [x, y]\n}').root

    (a, b) = root.entries
    inner = b.values[0]
    assert isinstance(inner, Block)
    (c, d) = inner.entries
    assert [(e.name, e.line, e.column) for e in (a, b, c, d)] == [("a", 1, 1), ("b", 2, 3), ("c", 3, 2), ("d", 3, 9)]
    assert [(v.line, v.column) for v in (a.values[0], inner, c.values[0], *d.values)] == [
        (1, 4), (2, 5), (3, 5), (3, 13), (3, 16),
    ]  # fmt: skip


def test_a_very_deep_text_is_a_problem_and_no_crash() -> None:
    with pytest.raises(SpecError) as caught:
        spec.loads("child {" * 5000, Torture)

    assert caught.value.problems[0].text == "blocks are nested more than 100 deep here; close some of them"
