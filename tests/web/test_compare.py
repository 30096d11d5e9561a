"""Where specs differ, field by field."""

from __future__ import annotations

from taolite.web.compare import differences


def test_blocks_of_one_name_are_told_apart_by_the_name_inside_them_or_by_their_number():
    first = 'a { key: "cat" value { x: 1 } } a { key: "dog" value { x: 2 } } b { x: 1 } b { x: 2 } c: [1, 2]'
    second = 'a { key: "dog" value { x: 2 } } a { key: "cat" value { x: 5 } } b { x: 1 } b { x: 3 } c: [1, 4]'

    assert differences([first, second]) == [
        {"path": "a[cat].value.x", "values": ["1", "5"]},
        {"path": "b[1].x", "values": ["2", "3"]},
        {"path": "c[1]", "values": ["2", "4"]},
    ]


def test_layout_and_order_are_no_difference_and_a_spec_that_cannot_be_read_does_no_harm():
    assert differences(["a { b: 1 c: 2 }", "# changed\na {\n  c: 2\n  b: 1\n}\n"]) == []
    assert differences(["a: 1", "}} \0 ]", ""]) == [{"path": "a", "values": ["1", None, None]}]


def test_a_difference_in_the_middle_of_a_long_text_is_seen():
    first, second = (f'"{"x" * 200}{middle}{"x" * 200}"' for middle in "ab")

    assert differences([f"a: {first}", f"a: {second}"]) == [{"path": "a", "values": [first, second]}]
