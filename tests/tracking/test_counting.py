"""Crossings of a line, on paths made by hand. Boxes are 20 x 20 pixels: with band 0.1 the band is 2 pixels each way."""

from __future__ import annotations

import pytest

from taolite.errors import UsageError
from taolite.sample import Detection
from taolite.tracking import Crossing, LineCounter

LEVEL = ((0.0, 100.0), (200.0, 100.0))  # from left to right


def seen(x: float, y: float, *, track: int | None = 1, name: str = "car") -> Detection:
    """A box with its centre at (x, y)."""
    return Detection(name, (x - 10, y - 10, x + 10, y + 10), 0.9, track)


def walk(counter: LineCounter, *points: tuple[float, float], track: int = 1, name: str = "car") -> list[Crossing]:
    return [done for x, y in points for done in counter.update([seen(x, y, track=track, name=name)])]


def test_down_over_a_line_from_left_to_right_is_to_the_right():
    counter = LineCounter(*LEVEL)

    assert walk(counter, (50, 80), (50, 95), (50, 110)) == [Crossing(1, "car", "to_right")]
    assert counter.counts == {"to_left": {}, "to_right": {"car": 1}}


def test_the_reverse_of_the_line_reverses_the_direction():
    counter = LineCounter(LEVEL[1], LEVEL[0])

    assert walk(counter, (50, 80), (50, 110)) == [Crossing(1, "car", "to_left")]


def test_there_and_back_counts_once_in_each_direction():
    counter = LineCounter(*LEVEL)

    done = walk(counter, (50, 80), (50, 120), (50, 140), (50, 120), (50, 80), (50, 60))

    assert [one.direction for one in done] == ["to_right", "to_left"]


def test_a_box_that_trembles_on_the_line_counts_once_when_it_has_left_it():
    counter = LineCounter(*LEVEL)

    trembling = walk(counter, (50, 80), *[(50, 100 + shift) for shift in (-1, 1, -1.5, 1.9, -1, 0, 1)])
    leaving = walk(counter, (50, 103), (50, 101), (50, 99), (50, 104))

    assert trembling == []
    assert leaving == [Crossing(1, "car", "to_right")]


def test_a_box_that_turns_back_on_the_line_does_not_count():
    counter = LineCounter(*LEVEL)

    assert walk(counter, (50, 80), (50, 101), (50, 99), (50, 80)) == []


def test_who_begins_on_the_line_has_come_from_no_side():
    counter = LineCounter(*LEVEL)

    assert walk(counter, (50, 100), (50, 101), (50, 120)) == []
    assert walk(counter, (50, 80)) == [Crossing(1, "car", "to_left")]


@pytest.mark.parametrize(("x", "count"), [(-5, 0), (1, 1), (199, 1), (205, 0)])
def test_only_the_line_between_its_ends_counts(x, count):
    counter = LineCounter(*LEVEL)

    assert len(walk(counter, (x, 80), (x, 120))) == count


def test_the_way_around_the_end_of_the_line_does_not_count_and_the_way_back_through_it_does():
    counter = LineCounter(*LEVEL)

    around = walk(counter, (190, 80), (220, 80), (220, 120), (190, 120))
    back = walk(counter, (190, 80))

    assert around == []
    assert back == [Crossing(1, "car", "to_left")]


def test_along_the_band_the_place_of_the_way_through_decides():
    counter = LineCounter(*LEVEL)

    assert walk(counter, (190, 80), (195, 99), (205, 99), (205, 101), (195, 101), (190, 120)) == []


def test_a_slanted_line_and_the_middle_of_the_lower_edge():
    up_right = ((0.0, 200.0), (200.0, 0.0))  # x + y = 200
    centre, bottom = LineCounter(*up_right, band=0), LineCounter(*up_right, anchor="bottom", band=0)

    for x, y in ((90, 90), (94, 100)):  # centre sums 180, 194; with the lower edge 190, 204
        counted = centre.update([seen(x, y)]), bottom.update([seen(x, y)])

    assert counted == ([], [Crossing(1, "car", "to_right")])


def test_tracks_and_classes_are_counted_apart():
    counter = LineCounter(*LEVEL)

    walk(counter, (50, 80), (50, 120), track=1, name="car")
    walk(counter, (50, 80), (50, 120), track=2, name="car")
    walk(counter, (50, 120), (50, 80), track=3, name="bus")

    assert counter.counts == {"to_left": {"bus": 1}, "to_right": {"car": 2}}


def test_only_the_named_classes_and_only_tracks_are_counted():
    counter = LineCounter(*LEVEL, names=["car"])

    walk(counter, (50, 80), (50, 120), name="bus")
    for y in (80, 120):
        counter.update([seen(50, y, track=None), Detection("car", None, 0.9, 5)])

    assert counter.counts == {"to_left": {}, "to_right": {}}


def test_a_track_that_was_hidden_while_it_crossed_counts():
    counter = LineCounter(*LEVEL)

    walk(counter, (50, 80))
    for _ in range(20):
        counter.update([])

    assert walk(counter, (50, 120)) == [Crossing(1, "car", "to_right")]


def test_tracks_of_long_ago_are_forgotten(monkeypatch):
    monkeypatch.setattr("taolite.tracking.counting._FORGOTTEN", 100)
    counter = LineCounter(*LEVEL)

    for track in range(1000):
        counter.update([seen(50, 80, track=track)])

    assert len(counter._paths) <= 200


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        (((5, 5), (5, 5)), {}, "the line from (5, 5) to (5, 5) has no length; give two different points"),
        (LEVEL, {"band": -1}, "the band around the line is -1; it needs to be 0 or more"),
    ],
)
def test_a_line_that_cannot_be_crossed_is_refused(line, options, message):
    with pytest.raises(UsageError) as caught:
        LineCounter(*line, **options)

    assert str(caught.value) == message
