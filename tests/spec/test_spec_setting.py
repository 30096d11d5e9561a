"""`--set PATH=VALUE`: what it does to the text of a spec, and where its problems are said to be."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

import pytest

from taolite import spec
from taolite.errors import SpecError, UsageError
from taolite.spec import Float, SpecModel, UInt, field
from taolite.spec.model import Key


class Rule(spec.SpecEnum):
    NO_REG = "NO_REG"
    L1 = "L1"


class Oven(SpecModel):
    low: Float = field(0.0, ge=0, le=1, doc="From.")
    high: Float = field(1.0, gt=0, doc="To.")


class Cake(SpecModel):
    name: str = field("", doc="Name.")
    eggs: UInt = field(0, doc="Eggs.")
    oven: Oven | None = field(None, doc="Oven.")


class Kitchen(SpecModel):
    batch_size: UInt = field(ge=1, doc="Cakes at once.")
    rule: Rule = field(Rule.NO_REG, doc="Rule.")
    title: str = field("", doc="Title.")
    open: bool = field(False, doc="Open.")
    oven: Oven | None = field(None, doc="Oven.")
    cakes: tuple[Cake, ...] = field((), doc="Cakes.")
    shelves: dict[str, Oven] = field({}, doc="Shelves.")
    prices: dict[str, Float] = field({}, doc="Prices.")
    codes: tuple[UInt, ...] = field((), doc="Codes.")
    tags: tuple[str, ...] = field((), doc="Tags.")


TEXT = """\
# A kitchen.
batch_size: 8  # cakes
title: "old"
cakes { name: "plum" eggs: 2 }
cakes {
  name: "apple"
  # no eggs
}
shelves { key: "top" value { low: 0.5 } }
prices { key: "plum" value: 3 }
codes: 1
codes: 2
"""


def changed(*words: str, text: str = TEXT) -> list[str]:
    """The lines that a setting changes: those that go with -, those that come with +."""
    new = spec.edited(text, Kitchen, settings=[spec.parse_setting(word) for word in words])[0]
    found = list(unified_diff(text.splitlines(), new.splitlines(), n=0, lineterm=""))
    return [line for line in found[2:] if line[0] in "-+"]


def problems(*words: str, text: str = TEXT) -> list[str]:
    settings = [spec.parse_setting(word) for word in words]
    with pytest.raises(SpecError) as caught:
        spec.reads(text, Kitchen, path="kitchen.txt", settings=settings)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("word", "lines"),
    [
        ("batch_size=4", ["-batch_size: 8  # cakes", "+batch_size: 4  # cakes"]),
        ("title=new one", ['-title: "old"', '+title: "new one"']),
        ('title="new"', ['-title: "old"', '+title: "new"']),
        ("title=40", ['-title: "old"', '+title: "40"']),
        ('title=say "hi"', ['-title: "old"', '+title: "say \\"hi\\""']),
        ("title=a } b", ['-title: "old"', '+title: "a } b"']),
        ("title=", ['-title: "old"']),
        ("rule=L1", ["+rule: L1"]),
        ("open=true", ["+open: true"]),
        ("oven.low=0.2", ["+oven {", "+  low: 0.2", "+}"]),
        ("oven={low: 0.2 high: 2}", ["+oven {low: 0.2 high: 2}"]),
        ("cakes[0].eggs=3", ['-cakes { name: "plum" eggs: 2 }', '+cakes { name: "plum" eggs: 3 }']),
        ("cakes[plum].eggs=3", ['-cakes { name: "plum" eggs: 2 }', '+cakes { name: "plum" eggs: 3 }']),
        ("cakes[1].eggs=3", ["+  eggs: 3"]),
        ("cakes[apple].oven.low=0", ["+  oven {", "+    low: 0", "+  }"]),
        ("cakes[plum].oven.low=0", [
            '-cakes { name: "plum" eggs: 2 }', '+cakes { name: "plum" eggs: 2 oven { low: 0 } }'
        ]),
        ("cakes[2].eggs=1", ["+cakes {", "+  eggs: 1", "+}"]),
        ("cakes[0]=", ['-cakes { name: "plum" eggs: 2 }']),
        ("shelves[top].low=0.1", [
            '-shelves { key: "top" value { low: 0.5 } }', '+shelves { key: "top" value { low: 0.1 } }'
        ]),
        ("shelves.top.high=2", [
            '-shelves { key: "top" value { low: 0.5 } }', '+shelves { key: "top" value { low: 0.5 high: 2 } }'
        ]),
        ('prices["plum"]=4', ['-prices { key: "plum" value: 3 }', '+prices { key: "plum" value: 4 }']),
        ("prices.plum=4", ['-prices { key: "plum" value: 3 }', '+prices { key: "plum" value: 4 }']),
        ("prices[a pie]=5", ['+prices { key: "a pie" value: 5 }']),
        ("prices[plum]=", ['-prices { key: "plum" value: 3 }']),
        ("prices=", ['-prices { key: "plum" value: 3 }']),
        ("codes=[7, 8]", ["-codes: 1", "-codes: 2", "+codes: [7, 8]"]),
        ("codes=7", ["-codes: 1", "-codes: 2", "+codes: [7]"]),
        ("codes[1]=9", ["-codes: 2", "+codes: 9"]),
        ("codes[2]=9", ["+codes: 9"]),
        ("codes[0]=", ["-codes: 1"]),
        ("codes=", ["-codes: 1", "-codes: 2"]),
        ("tags=[a b, 'c, d']", ["+tags: [\"a b\", 'c, d']"]),
        ("shelves[none]=", []),
        ("oven.low=", []),
    ],
)  # fmt: skip
def test_a_setting_changes_its_field_and_leaves_the_rest_of_the_text(word: str, lines: list[str]) -> None:
    assert changed(word) == lines


def test_settings_are_made_one_after_the_other_and_a_block_that_one_adds_is_there_for_the_next() -> None:
    assert changed("oven.low=0.2", "oven.high=2", "oven.low=0.3") == ["+oven {", "+  low: 0.3", "+  high: 2", "+}"]


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("batch_size: 1", "open=true", "batch_size: 1\nopen: true"),
        ("oven {}\nbatch_size: 1\n", "oven.low=0", "oven { low: 0 }\nbatch_size: 1\n"),
        ("oven {\n}\nbatch_size: 1\n", "oven.low=0", "oven {\n  low: 0\n}\nbatch_size: 1\n"),
        ("oven {\n\t# hot\n\thigh: 2, # to\n}\nbatch_size: 1\n", "oven.low=0",
         "oven {\n\t# hot\n\thigh: 2, # to\n\tlow: 0\n}\nbatch_size: 1\n"),
        ("oven { low: 0 }\noven { high: 2 }\nbatch_size: 1\n", "oven.high=3",
         "oven { low: 0 }\noven { high: 3 }\nbatch_size: 1\n"),
        ("batch_size: 1\nbatch_size: 2\n", "batch_size=3", "batch_size: 1\nbatch_size: 3\n"),
        ("batch_size: 1 title: 'a' 'b'\n", "title=c", 'batch_size: 1 title: "c"\n'),
        ("batch_size: 1 title: 'a' # b\n", "title=", "batch_size: 1  # b\n"),
        ("batch_size: 1\r\ntitle: 'a'\r\n", "title=", "batch_size: 1\r\n"),
        ("batch_size: 1\r\n", "oven.low=0", "batch_size: 1\r\noven {\r\n  low: 0\r\n}\r\n"),
        ("batch_size: 1\ncakes: [{eggs: 1}, {eggs: 2}]\n", "cakes[1].eggs=3",
         "batch_size: 1\ncakes: [{eggs: 1}, {eggs: 3}]\n"),
        ("batch_size: 1\nprices { key: 'a' value: 1 }\nprices { key: 'a' value: 2 }\n", "prices.a=3",
         "batch_size: 1\nprices { key: 'a' value: 1 }\nprices { key: 'a' value: 3 }\n"),
    ],
)  # fmt: skip
def test_a_value_goes_where_the_binder_reads_it_in_the_layout_that_is_there(
    text: str, word: str, expected: str
) -> None:
    assert spec.edited(text, Kitchen, settings=[spec.parse_setting(word)])[0] == expected


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("batch_sise=4", "batch_sise is not a field here; did you mean `batch_size`?"),
        ("batch_size=0", "batch_size is 0; it needs to be 1 or more"),
        ("batch_size=4 5", 'batch_size is the string "4 5"; it needs to be a whole number'),
        ("batch_size=4 } x {", 'batch_size is the string "4 } x {"; it needs to be a whole number'),
        ("batch_size=", "batch_size is needed; it cannot be taken out"),
        ("batch_size.x=4", "batch_size has no fields; it is one value"),
        ("rule=L3", "rule is L3; it needs to be `NO_REG` or `L1`"),
        ("open=yes", "open is yes; it needs to be true or false"),
        ("title='a", None),
        ("oven=3", "oven is a block; set a field of it (low, high), or all of it with { ... }"),
        ("oven={low: 1", "oven: a `{` is not closed, or something follows its `}`"),
        ("oven={low: 1} batch_size: 3", "oven: a `{` is not closed, or something follows its `}`"),
        ("oven={low}", "oven: `}` follows `low`; put `:` before a value, or `{` for a block"),
        ("oven={hihg: 1}", "oven.hihg is not a field here; did you mean `high`?"),
        ("oven.hihg=1", "oven.hihg is not a field here; did you mean `high`?"),
        ("oven[0].low=1", "oven is one block; leave [0] out"),
        ("cakes.eggs=1", "cakes has 2 elements; say which: cakes[0] to [1]"),
        ("cakes[plom].eggs=1", 'cakes has no "plom"; did you mean `plum`?'),
        ("cakes[bread].eggs=1", 'cakes has no "bread"; there are plum, apple'),
        ("cakes[7].eggs=1", "cakes has 2 elements, counted from 0; there is no [7]"),
        ("shelves[tip].low=1", 'shelves has no "tip"; did you mean `top`?'),
        ("shelves=1", "shelves has an entry for each key; name one, as shelves[KEY]"),
        ("shelves[top]=1", 'shelves["top"] is a block; name a field of it'),
        ("prices=1", "prices has an entry for each key; name one, as prices[KEY]=VALUE"),
        ("prices[plum].x=1", 'prices["plum"] has no fields; it is one value'),
        ("codes=[1, x]", "codes is x; it needs to be a whole number"),
        ("codes=[1", "codes: the list has no `]` at its end"),
    ],
)
def test_a_problem_of_a_setting_is_reported_as_that_of_the_setting(word: str, problem: str | None) -> None:
    if problem is None:
        assert changed(word) == ['-title: "old"', '+title: "\'a"']
        return
    assert problems(word) == ["kitchen.txt: 1 problem", f"  --set {word}: {problem}"]


def test_problems_of_settings_and_of_the_file_come_at_once_and_those_of_the_file_keep_their_line() -> None:
    text = "oven {\n  low: 0.1\n}\ncakes { egs: 3 }\nbatch_size: 1\n"

    assert problems("oven.high=-1", "rule=L2", "titel=x", text=text) == [
        "kitchen.txt: 4 problems",
        "  --set oven.high=-1: oven.high is -1; it needs to be more than 0",
        "  --set rule=L2: rule is L2; it needs to be `NO_REG` or `L1`",
        "  --set titel=x: titel is not a field here; did you mean `title`?",
        "  line 4:9: cakes.egs is not a field here; did you mean `eggs`?",
    ]


def test_a_file_whose_grammar_is_broken_gets_its_own_problems_alone() -> None:
    assert problems("batch_size=0", text="batch_size: 1\noven {\n") == [
        "kitchen.txt: 1 problem",
        "  line 2:6: the block oven is not closed; add a `}`",
    ]


def test_a_warning_about_a_value_that_was_set_names_the_setting() -> None:
    settings = [spec.parse_setting("old=3")]

    class Shop(SpecModel):
        old: UInt = field(0, ignored="nobody asks for it", doc="Without effect.")
        new: UInt = field(0, doc="New.")

    reading = spec.reads("new: 1\n", Shop, settings=settings)

    assert [(one.line, one.text) for one in reading.warnings] == [
        (0, "--set old=3: old is read and has no effect: nobody asks for it")
    ]


def test_a_spec_that_is_read_from_its_file_has_the_settings_in_force_and_none_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "kitchen.txt"
    path.write_text(TEXT)

    with spec.in_force([spec.parse_setting("batch_size=4")]):
        inside = spec.load(path, Kitchen)

    assert (inside.batch_size, spec.load(path, Kitchen).batch_size) == (4, 8)
    assert path.read_text() == TEXT


def test_a_reading_knows_where_each_field_is_written() -> None:
    places = spec.reads(TEXT, Kitchen).places

    assert places[("batch_size",)] == (2, 13)
    assert places[("shelves", Key("top"), "low")] == (9, 35)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("batch_size", "needs PATH=VALUE, as in training_config.num_epochs=40"),
        ("=4", "needs PATH=VALUE, as in training_config.num_epochs=40"),
        ("[0].x=4", "needs PATH=VALUE, as in training_config.num_epochs=40"),
        ("a b=4", "the path cannot be read at ` b=4`; it has field names, dots and [KEY], as in a.b[car].c=40"),
        ("a..b=4", "the path cannot be read at `.b=4`; it has field names, dots and [KEY], as in a.b[car].c=40"),
        ("a[x=4", "the path cannot be read at `[x=4`; it has field names, dots and [KEY], as in a.b[car].c=40"),
    ],
)
def test_a_word_that_is_no_setting_is_refused(word: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec.parse_setting(word)

    assert str(caught.value) == f"--set {word}: {message}"


def test_a_key_may_hold_dots_and_equals_signs_and_a_value_too() -> None:
    setting = spec.parse_setting('prices["a.b=c"]=x=y')

    assert [step.text for step in setting.steps] == ["prices", "a.b=c"]
    assert setting.value == "x=y"
