"""A spec as paths and values."""

from __future__ import annotations

from taolite import spec
from taolite.spec.flat import changed, flatten, flatten_text
from tests.spec.test_spec_bind import Kitchen, Rule

TEXT = """
batch_size: 4
rule: L2
oven { low: 0.5 wood: 3 }
tins { low: 0.1 high: 2 }
tins { low: 0.2 }
shelves { key: "a b" value { low: 0 } }
prices { key: "tea" value: 1.5 }
"""

FLAT = {
    "batch_size": 4,
    "width": 32,
    "depth": 18,
    "rule": "L2",
    "style": "plain",
    "title": "",
    "oven.low": 0.5,
    "oven.high": 1.0,
    "oven.wood": 3,
    "tins[0].low": 0.1,
    "tins[0].high": 2.0,
    "tins[1].low": 0.2,
    "tins[1].high": 1.0,
    'shelves["a b"].low': 0.0,
    'shelves["a b"].high': 1.0,
    'prices["tea"]': 1.5,
    "unused": 0,
}


def test_a_spec_is_one_value_a_path_with_the_defaults_of_what_is_not_given():
    assert flatten(spec.loads(TEXT, Kitchen)) == FLAT


def test_a_spec_that_is_written_with_all_defaults_has_the_same_values():
    written = spec.dumps(spec.loads(TEXT, Kitchen), defaults=True)

    assert flatten(spec.loads(written, Kitchen)) == FLAT


def test_the_text_of_a_spec_gives_the_same_paths_without_a_model_but_for_the_place_of_a_first_element():
    written = spec.dumps(spec.loads(TEXT, Kitchen), defaults=True)

    assert flatten_text(written) == {
        "batch_size": "4",
        "width": "32",
        "depth": "18",
        "rule": "L2",
        "style": '"plain"',
        "title": '""',
        "oven.low": "0.5",
        "oven.high": "1.0",
        "oven.wood": "3",
        "tins.low": "0.1",
        "tins.high": "2.0",
        "tins[1].low": "0.2",
        "tins[1].high": "1.0",
        'shelves["a b"].low': "0.0",
        'shelves["a b"].high': "1.0",
        'prices["tea"]': "1.5",
        "unused": "0",
    }


def test_any_text_is_read_without_an_error():
    assert flatten_text('}\n}\na {\nvalue: 3\n}\nb: "x {\nkey: 1') == {"a.value": "3", "b": '"x {', "key": "1"}


def test_what_was_changed_has_its_default_where_there_is_one():
    written = spec.loads(f"title: ''\n{TEXT}", Kitchen)

    assert list(changed(written)) == [
        ("batch_size", 4, None),
        ("rule", Rule.L2, Rule.NO_REG),
        ("oven.low", 0.5, None),
        ("oven.wood", 3, None),
        ("tins[0].low", 0.1, None),
        ("tins[0].high", 2.0, 1.0),
        ("tins[1].low", 0.2, None),
        ('shelves["a b"].low', 0.0, None),
        ('prices["tea"]', 1.5, None),
    ]
