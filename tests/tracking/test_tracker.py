"""Numbers of objects over the frames of a video, on scenes whose identities are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from taolite.errors import UsageError
from taolite.sample import Detection
from taolite.tracking import Tracker, open_tracker

SIZE = (720, 1280)


@pytest.fixture(autouse=True)
def library():
    pytest.importorskip("edgefirst.tracker", reason="the track extra is not installed")


def at(x: float, y: float, *, name: str = "car", score: float = 0.9, size: float = 100) -> Detection:
    """A square box around (x, y)."""
    half = size / 2
    return Detection(name, (x - half, y - half, x + half, y + half), score)


def numbers(tracker: Tracker, frames: Sequence[Sequence[Detection]]) -> list[list[int | None]]:
    return [[one.track for one in tracker.update(found, SIZE)] for found in frames]


def test_numbers_start_from_1_in_the_second_frame_of_an_object_and_follow_it():
    frames = [[at(100 + 8 * frame, 300), at(900, 100 + 5 * frame)] for frame in range(20)]

    shown = numbers(open_tracker(), frames)

    assert shown == [[None, None]] + [[1, 2]] * 19


def test_two_objects_that_cross_keep_their_numbers():
    """The second one, farther away, is half hidden on the way: its score falls below the threshold."""
    frames = []
    for frame in range(60):
        near, far = 200 + 10 * frame, 800 - 10 * frame
        frames.append([at(near, 300), at(far, 330, score=0.3 if abs(near - far) < 90 else 0.9)])

    shown = numbers(open_tracker(), frames)

    assert shown[1:] == [[1, 2]] * 59


def test_an_object_that_was_hidden_keeps_its_number_until_it_was_not_seen_for_too_long():
    path = [at(100 + 6 * frame, 300) for frame in range(120)]

    def hidden(count: int) -> list[int | None]:
        tracker = open_tracker(drop_frames=15)
        frames = [[] if 40 <= frame < 40 + count else [one] for frame, one in enumerate(path)]
        return [tracks[0] for tracks in numbers(tracker, frames)[40 + count :]]

    assert set(hidden(15)) == {1}
    assert hidden(16)[:3] == [None, 2, 2]


def test_one_second_is_what_an_object_may_be_hidden_for():
    def back(fps: float, count: int) -> int | None:
        frames = [[at(100, 300)]] * 5 + [[]] * count + [[at(100, 300)]] * 2
        return numbers(open_tracker(fps=fps), frames)[-1][0]

    assert [back(5, 5), back(5, 6), back(30, 30), back(30, 31)] == [1, 2, 1, 2]


def test_a_box_below_the_threshold_is_shown_only_where_it_goes_on_with_an_object():
    dips = [[at(100 + 6 * frame, 300, score=0.2 if 20 <= frame < 50 else 0.9)] for frame in range(60)]
    ghost = at(900, 600, score=0.45)
    tracker = open_tracker()

    shown = [tracker.update([*found, ghost], SIZE) for found in dips]

    assert [[one.track for one in found] for found in shown] == [[None]] + [[1]] * 59
    assert shown[30] == [Detection("car", dips[30][0].box, 0.2, 1)]


def test_what_is_shown_without_a_tracker_is_shown_with_one():
    tracker = open_tracker(threshold=0.5, min_frames=3)
    flickering = [[at(300, 300)] if frame % 2 else [] for frame in range(20)]

    shown = numbers(tracker, flickering)

    assert shown == [[None] if frame % 2 else [] for frame in range(20)], "seen, but never three times in a row"


def test_an_object_never_changes_its_class():
    names = ["bus" if frame == 5 else "car" for frame in range(10)]

    shown = numbers(open_tracker(), [[at(300, 300, name=name)] for name in names])

    assert shown[4:7] == [[1], [None], [1]]


def test_numbers_are_of_all_classes_together():
    frames = [[at(100, 300, name="car"), at(600, 300, name="bus"), at(900, 300, name="car")]] * 2

    assert sorted(numbers(open_tracker(), frames)[1]) == [1, 2, 3]


def test_each_class_may_have_its_threshold():
    tracker = open_tracker(threshold={"car": 4.0, "bus": 0.5}, min_frames=1)
    found = [at(100, 300, score=3.9), at(400, 300, score=12.5), at(700, 300, name="bus"), at(900, 300, name="dog")]

    shown = tracker.update(found, SIZE)

    assert [(one.name, one.score, one.track) for one in shown] == [("car", 12.5, 1), ("bus", 0.9, 2)]


def test_a_detection_of_the_whole_picture_has_no_number():
    whole = Detection("cat", None, 0.8)

    assert numbers(open_tracker(), [[whole]] * 3) == [[None]] * 3


def test_frames_without_detections_and_damaged_boxes_are_no_harm():
    odd = [Detection("car", box, 0.9) for box in ((0, 0, 0, 0), (5, 5, 1, 1), (float("nan"),) * 4, (-1e30, 0, 1e30, 5))]

    shown = numbers(open_tracker(), [[], *[[*odd, at(300, 300)]] * 5, []])

    assert shown[-1] == []
    assert len({tracks[-1] for tracks in shown[2:-1]}) == 1


def test_memory_stays_flat_over_objects_that_come_and_go():
    tracker = open_tracker(drop_frames=3)

    for frame in range(2000):
        tracker.update([at(*np.random.default_rng(frame).uniform(100, 600, 2), size=20)], SIZE)

    assert len(tracker._objects) <= 6


def test_the_same_video_gives_the_same_numbers():
    rng = np.random.default_rng(0)
    frames = [[at(*rng.uniform(50, 700, 2), score=rng.random()) for _ in range(15)] for _ in range(40)]

    assert numbers(open_tracker(), frames) == numbers(open_tracker(), frames)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "bytetrak"}, "tracker 'bytetrak' is not one of bytetrack; did you mean `bytetrack`?"),
        ({"fps": 0}, "the tracker's frame rate is 0; it needs to be more than 0"),
        ({"min_frames": 0}, "the tracker's min_frames is 0; it needs to be 1 or more"),
        ({"drop_frames": -1}, "the tracker's drop_frames is -1; it needs to be 0 or more"),
        ({"overlap": 0}, "the tracker's overlap is 0; it needs to be above 0 and at most 1"),
    ],
)
def test_values_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError) as caught:
        open_tracker(**options)

    assert str(caught.value) == message
