"""From text to model: every message whole, with its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import ValidationError

from taolite import spec
from taolite.errors import PathError, SpecError
from taolite.spec import Finding, Float, Int, OneOf, SpecModel, UInt, check, field


class Rule(spec.SpecEnum):
    NO_REG = "NO_REG"
    L1 = "L1"
    L2 = "L2"


class Oven(SpecModel):
    one_of: ClassVar = (OneOf("fuel", ("wood", "gas")),)

    low: Float = field(ge=0, le=1, doc="From.")
    high: Float = field(1.0, gt=0, doc="To.")
    wood: UInt | None = field(None, doc="Logs.")
    gas: UInt | None = field(None, doc="Litres.")

    @check("low", "high")
    def _grows(self) -> Iterator[Finding]:
        if self.high < self.low:
            yield Finding(("high",), f"is {self.high:g}; it needs to be {self.low:g} (low) or more")


class Kitchen(SpecModel):
    batch_size: UInt = field(ge=1, doc="Cakes at once.")
    width: UInt = field(32, gt=0, multiple_of=16, unit="px", doc="Width.")
    depth: Int = field(18, ge=1, zero_is_default=True, doc="Depth; 0 acts as 18.")
    rule: Rule = field(Rule.NO_REG, doc="Rule.")
    style: Literal["plain", "fancy"] = field("plain", doc="Style.")
    title: str = field("", doc="Title.")
    oven: Oven = field(doc="Oven.")
    tins: tuple[Oven, ...] = field((), doc="Tins.")
    shelves: dict[str, Oven] = field({}, doc="Shelves.")
    prices: dict[str, Float] = field({}, doc="Prices.")
    unused: UInt = field(0, ignored="nobody asks for it", doc="Without effect.")


class Feast(SpecModel):
    kitchen: Kitchen = field(doc="The kitchen.")
    model_config_: Oven | None = field(None, spec_name="model_config", doc="A name that pydantic keeps to itself.")
    random_seed: UInt = field(0, doc="Seed.")


def problems(text: str, model: type[SpecModel] = Kitchen) -> list[str]:
    with pytest.raises(SpecError) as caught:
        spec.loads(text, model)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


OVEN = "oven { low: 0.5 }"


def test_every_problem_in_a_spec_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = "kitchen {\n  batch_size: 0\n  oven { low: 2 hihg: 3 }\n  rule: L3\n}\nrandom_sead: 4\n"

    with pytest.raises(SpecError) as caught:
        spec.loads(text, Feast, path="specs/feast.txt")

    assert str(caught.value).splitlines() == [
        "specs/feast.txt: 5 problems",
        "  line 2:15: kitchen.batch_size is 0; it needs to be 1 or more",
        "  line 3:15: kitchen.oven.low is 2; it needs to be from 0 to 1",
        "  line 3:17: kitchen.oven.hihg is not a field here; did you mean `high`?",
        "  line 4:9: kitchen.rule is L3; it needs to be `NO_REG`, `L1` or `L2`",
        "  line 6:1: random_sead is not a field here; did you mean `random_seed`?",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("batch_size: -1", "line 1:13: batch_size is -1; it needs to be 1 or more"),
        ("batch_size: 99999999999", "line 1:13: batch_size is 99999999999; it needs to be from 1 to 4294967295"),
        ("batch_size: 1.5", "line 1:13: batch_size is 1.5; it needs to be a whole number"),
        ('batch_size: "8"', 'line 1:13: batch_size is the string "8"; it needs to be a whole number'),
        ("batch_size { }", "line 1:12: batch_size is a block; it needs to be a single value after `:`"),
        ("batch_size: [8]", "line 1:1: batch_size takes one value, not a list; remove the `[` and `]`"),
        ("batch_size 8", "line 1:12: `8` follows `batch_size`; put `:` before a value, or `{` for a block"),
        ("batch_size:", "line 2:1: found the end of the file; the value of `batch_size` is needed here"),
    ],
)
def test_a_wrong_number_is_named_with_what_it_needs(line: str, problem: str) -> None:
    assert problem in problems(line + "\n")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("width: 1250", "width is 1250; it needs to be a multiple of 16, such as 1248 or 1264"),
        ("width: 7", "width is 7; it needs to be a multiple of 16, such as 16"),
        ("width: 0", "width is 0; it needs to be a multiple of 16, more than 0"),
        ("depth: -1", "depth is -1; it needs to be 1 or more"),
        ("rule: 3", "rule is 3; it needs to be `NO_REG`, `L1` or `L2` (or its number, 0 to 2)"),
        ("style: 'fancey'", "style is 'fancey'; it needs to be `plain` or `fancy`; did you mean `fancy`?"),
        ("title: plain", "title is plain; it needs to be a string in quotes"),
        ("title: '\\xff'", "title is '\\xff'; its bytes are not UTF-8 text"),
        (
            "title: 'C:\\users'",
            "title has the escape `\\u`, which is not a character; write `\\\\` for a backslash",
        ),
        ("tins { low: .5 high: inf }", "tins.high is inf; it needs to be a finite number"),
        ("tins: 5", "tins is 5; it needs to be a block, `tins { }`"),
        ("shelves { key: 'a' value { low: 3 } }", 'shelves["a"].low is 3; it needs to be from 0 to 1'),
        ("prices { key: 'a' value: x }", 'prices["a"] is x; it needs to be a number'),
        ("prices { value: 1 }", "prices has an entry without `key`; add it"),
        ("prices { key: 'a' }", "prices has an entry without `value`; add it"),
        ("prices { ky: 'a' }", "prices.ky is not a field here; did you mean `key`?"),
        ("prices { x: 'a' }", "prices.x is not a field here; an entry has a `key` and a `value`"),
        ("tins { low: .5 wood: 1 gas: 2 }", "tins.gas is given beside `wood`; only one fuel can be"),
        ("tins { low: .5 high: .1 }", "tins.high is 0.1; it needs to be 0.5 (low) or more"),
        ("tins { high: 1 }", "tins.low is missing; it needs to be from 0 to 1"),
        ("title: 'x\n", "this string is not closed on its line; add the closing '"),
        ("} ", "`}` closes no block; remove it, or open its block above"),
        ("title: ?", "found `?`; the value of `title` is needed here"),
        ("= 3", "found `=`; the name of a field is needed here"),
    ],
)
def test_a_problem_says_what_was_found_and_what_is_needed(line: str, problem: str) -> None:
    found = problems(f"batch_size: 1 {OVEN}\n{line}\n")

    assert problem in [text.split(": ", 1)[1] for text in found]
    assert all(text.startswith("line 2:") for text in found)


def test_what_is_missing_is_reported_where_it_should_stand() -> None:
    assert problems("kitchen {\n}\n", Feast) == [
        "line 1:1: kitchen.batch_size is missing; it needs to be 1 or more",
        "line 1:1: kitchen.oven is missing; add the block `oven { }`",
    ]
    assert problems("random_seed: 1", Feast) == ["kitchen is missing; add the block `kitchen { }`"]


def test_checks_over_several_fields_wait_until_those_are_sound() -> None:
    found = problems(
        f"batch_size: 1 {OVEN}\ntins {{ low: 5 high: 0.1 }}\nshelves {{ key: 's' value {{ low: 1 high: .2 }} }}"
    )

    assert found == [
        "line 2:13: tins.low is 5; it needs to be from 0 to 1",
        'line 3:41: shelves["s"].high is 0.2; it needs to be 1 (low) or more',
    ]


def test_reading_goes_on_after_a_mistake_of_grammar() -> None:
    text = "kitchen {\n  batch_size 4\n  width: 5\n  title: 'a\n}\nrandom_seed: -1"

    assert problems(text, Feast) == [
        "line 2:14: `4` follows `batch_size`; put `:` before a value, or `{` for a block",
        "line 3:10: kitchen.width is 5; it needs to be a multiple of 16, such as 16",
        "line 4:10: this string is not closed on its line; add the closing '",
        "line 6:14: random_seed is -1; it needs to be 0 or more",
    ]


def test_a_block_left_open_is_named_with_the_place_of_its_missing_brace() -> None:
    assert problems(f"kitchen {{\n  batch_size: 0\n  {OVEN}\nrandom_seed: 3\n", Feast) == [
        "line 1:9: the block kitchen is not closed; add a `}` before `random_seed` on line 4",
        "line 2:15: kitchen.batch_size is 0; it needs to be 1 or more",
    ]
    assert problems("kitchen {\n  oven {\n    low: 0.1\n  }\n", Feast) == [
        "line 1:9: the block kitchen is not closed; add a `}`",
    ]


def test_the_wrong_bracket_is_named_with_the_right_one() -> None:
    assert problems("batch_size: 1 oven { low: 0 >") == ["line 1:29: `>` cannot close the `{` of `oven`; use `}`"]


def test_a_block_given_twice_is_one_and_the_last_of_two_values_counts_with_a_warning() -> None:
    text = "batch_size: 1\nbatch_size: 2\noven { low: 0.5 }\noven { wood: 3 }\n"
    text += "prices { key: 'a' value: 1 }\nprices { key: 'b' value: 2 }\nprices { key: 'a' value: 3 }\nunused: 5"

    reading = spec.reads(text, Kitchen)

    assert reading.model == Kitchen(batch_size=2, oven=Oven(low=0.5, wood=3), prices={"a": 3.0, "b": 2.0}, unused=5)
    assert [(w.line, w.column, w.text) for w in reading.warnings] == [
        (2, 13, "batch_size is given 2 times; the last is used"),
        (7, 1, 'prices has two entries for "a"; the last is used'),
        (8, 9, "unused is read and has no effect: nobody asks for it"),
    ]
    assert spec.warnings(reading.model) == ["unused is read and has no effect: nobody asks for it"]


def test_zero_reads_as_absent_where_tao_cannot_tell_them_apart() -> None:
    assert spec.loads(f"batch_size: 1 depth: 0 {OVEN}", Kitchen).depth == 18
    assert Kitchen(batch_size=1, depth=0, oven=Oven(low=0)).depth == 18


def test_models_are_frozen_and_checked_when_built_in_python() -> None:
    oven = Oven(low=0.5)

    with pytest.raises(ValidationError, match="frozen"):
        oven.low = 0.7  # type: ignore[misc]
    with pytest.raises(ValidationError, match=r"high is 0\.1; it needs to be 0\.5 \(low\) or more"):
        Oven(low=0.5, high=0.1)
    with pytest.raises(ValidationError, match="gas is given beside `wood`; only one fuel can be"):
        Oven(low=0.5, wood=1, gas=2)


def test_a_name_that_pydantic_keeps_is_read_under_the_specs_own_spelling() -> None:
    text = f"kitchen {{ batch_size: 1 {OVEN} }} model_config {{ low: 0.25 }}"

    model = spec.loads(text, Feast)

    assert model.model_config_ == Oven(low=0.25)
    assert "model_config {\n  low: 0.25\n}\n" in spec.dumps(model)
    assert problems(f"{text} model_config_ {{ }}", Feast)[0].endswith(
        "model_config_ is not a field here; did you mean `model_config`?"
    )


def test_a_file_that_is_not_there_gives_the_way_out(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "a.txt", f"Specfile not found at: {tmp_path}/a.txt; check the name, or look into {tmp_path}"),
        (
            tmp_path / "no" / "a.txt",
            f"Specfile not found at: {tmp_path}/no/a.txt; its folder {tmp_path}/no does not exist either",
        ),
        (tmp_path, f"{tmp_path}: this is a folder; name the spec file in it"),
    ):
        with pytest.raises(PathError) as caught:
            spec.load(path, Kitchen)
        assert str(caught.value) == message


def test_a_file_that_is_no_text_says_so_and_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_bytes(b"batch_size: 1 \xff")
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfbatch_size: 3 oven { low: 0 }")

    with pytest.raises(PathError) as caught:
        spec.load(tmp_path / "model.txt", Kitchen)

    assert str(caught.value) == (f"{tmp_path}/model.txt: not a text file (byte 14 is not UTF-8); a spec is plain text")
    assert spec.load(tmp_path / "bom.txt", Kitchen).batch_size == 3


def test_what_is_written_reads_back_equal() -> None:
    model = Kitchen(
        batch_size=3,
        rule=Rule.L1,
        title='a "quoted" \\ back\nnew\x00null é 日本',
        oven=Oven(low=0.1 + 0.2, gas=0),
        tins=(Oven(low=0), Oven(low=1e-9, high=1e300)),
        shelves={"z": Oven(low=0), "a": Oven(low=1)},
        prices={"b": 1.0, "a": 2.5},
    )

    for defaults in (False, True):
        again = spec.loads(spec.dumps(model, defaults=defaults), Kitchen)
        assert again == model
        assert list(again.shelves) == ["z", "a"]


def test_writing_keeps_to_what_was_set_unless_asked_for_defaults() -> None:
    model = spec.loads(f"batch_size: 3 width: 32 {OVEN}", Kitchen)

    assert spec.dumps(model) == "batch_size: 3\nwidth: 32\noven {\n  low: 0.5\n}\n"
    assert spec.dumps(model, defaults=True) == (
        "batch_size: 3\nwidth: 32\ndepth: 18\nrule: NO_REG\nstyle: \"plain\"\ntitle: \"\"\n"
        "oven {\n  low: 0.5\n  high: 1.0\n}\nunused: 0\n"
    )  # fmt: skip


def test_the_json_schema_carries_units_ranges_and_sentences() -> None:
    schema = spec.json_schema(Kitchen)

    assert schema["properties"]["width"] == {
        "default": 32,
        "description": "Width.",
        "exclusiveMinimum": 0,
        "multipleOf": 16,
        "title": "Width",
        "type": "integer",
        "unit": "px",
    }
    assert schema["required"] == ["batch_size", "oven"]
    assert "model_config" in spec.json_schema(Feast)["properties"]
