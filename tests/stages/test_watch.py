"""What a run shows of each frame: thresholds, tracks, counts, pictures; what of a live source is left out; the sum."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taolite.errors import UsageError
from taolite.media.overlay import Overlay
from taolite.media.sources import Frame
from taolite.preprocessing import Preprocessing
from taolite.sample import Detection
from taolite.stages.inference.following import CountLine
from taolite.stages.inference.listeners import Drawing
from taolite.stages.inference.look import Counted, Seen
from taolite.stages.inference.models import Model
from taolite.stages.inference.ranks import Manner
from taolite.stages.inference.tally import Tally
from taolite.stages.inference.watch import Tracking, Viewing, watch
from taolite.tasks.found import Found
from taolite.tasks.registry import find_use

HW = (64, 96)


class Finder:
    """A detector: a box 30 pixels wide at the x that the first pixel says, twice: `cat` 0.9, and `dog` 0.4."""

    network_type = 0

    def decode(self, outputs: Any, decoding: Any, *, preprocessing: Preprocessing) -> Found:
        x = float(outputs[0])
        boxes = np.array([[x, 20, x + 30, 50]] * 2, np.float32)
        scores = np.array([0.9, 0.4], np.float32)
        keep = scores >= decoding["least"]
        return Found(boxes[keep], scores[keep], np.array([0, 1])[keep])

    def at_threshold(self, decoding: Any, threshold: float) -> Any:
        return {**decoding, "least": threshold}


def finder(*, takes_s: float = 0.0) -> Model:
    def predict(pixels_nchw: Any) -> Any:
        time.sleep(takes_s)
        return (np.round(pixels_nchw[:, 0, 0, 0] * 255),)

    use: Any = Finder()
    prep = Preprocessing(HW, fit="stretch")
    return Model(Path("m"), use, ("cat", "dog"), prep, {"least": 0.0}, predict, "test", lambda: None)


@dataclass
class Frames:
    """A source of frames, one for each x, `every_s` seconds apart."""

    xs: tuple[int, ...]
    every_s: float = 0.0
    is_live: bool = False
    kind: str = "video"
    fps: float | None = 10.0
    stopped: int = 0

    def stop(self) -> None:
        self.stopped += 1

    def __iter__(self) -> Iterator[Frame]:
        for number, x in enumerate(self.xs):
            if x < 0:
                raise ValueError("the source broke off")
            time.sleep(self.every_s)
            image = np.zeros((*HW, 3), np.uint8)
            image[0, 0, 0] = x
            yield Frame(f"{number}.jpg", image, number, time_s=number / 10)


def watched(source: Frames, viewing: Viewing, *, model: Model | None = None, **options: Any) -> list[Seen]:
    given: Any = source
    return list(watch(model or finder(), given, viewing, **options))


def test_a_threshold_is_for_all_classes_or_for_each() -> None:
    def names(threshold: Any) -> list[str]:
        (seen,) = watched(Frames((5,)), Viewing(threshold))
        return [one.name for one in seen.found]

    assert names(None) == ["cat", "dog"]
    assert names(0.5) == ["cat"]
    assert names({"cat": 0.95, "dog": 0.3}) == ["dog"]
    assert names({"cat": 0.5}) == ["cat"]


def test_the_classes_of_a_frame_are_ranked() -> None:
    model = replace(finder(), use=find_use("classification"), classes=("a", "b", "c"), decoding={"top": 1})
    model = replace(model, predict=lambda pixels: (np.array([[0.2, 0.7, 0.1]] * len(pixels), np.float32),))

    def found(**manner: Any) -> list[tuple[str, float]]:
        (seen,) = watched(Frames((5,)), Viewing(manner=Manner(**manner)), model=model)
        return [(one.name, round(one.score, 3)) for one in seen.found]

    assert found() == [("b", 0.7)]
    assert found(top=2) == [("b", 0.7), ("a", 0.2)]
    assert found(top=0, threshold=0.15) == [("b", 0.7), ("a", 0.2)]
    assert found(top=0, smoothing=0.5) == [("b", 0.7), ("a", 0.2), ("c", 0.1)]


def test_an_object_keeps_its_number_and_is_counted_at_a_line() -> None:
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")
    source = Frames(tuple(range(0, 60, 3)))
    lines = [CountLine("gate", (0.5, 0, 0.5, 1)), CountLine("far", (90, 0, 90, 64))]

    seen = watched(source, Viewing(0.5, tracking=Tracking(), lines=lines))

    assert {one.track for frame in seen[2:] for one in frame.found} == {1}
    assert {one.name for frame in seen for one in frame.found} == {"cat"}
    gate, far = seen[-1].lines
    assert (gate.name, gate.start, gate.end) == ("gate", (48.0, 0.0), (48.0, 64.0))
    assert gate.counts == {"to_left": {"cat": 1}, "to_right": {}}  # seen by somebody who looks down the picture
    assert far.counts == {"to_left": {}, "to_right": {}}
    assert seen[5].lines[0].counts == {"to_left": {}, "to_right": {}}


def test_a_line_outside_of_the_frames_is_refused() -> None:
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")
    viewing = Viewing(0.5, tracking=Tracking(), lines=[CountLine("gate", (200, 0, 200, 64))])

    with pytest.raises(UsageError) as caught:
        watched(Frames((1, 2)), viewing)

    assert str(caught.value) == (
        "line gate from 200,0 to 200,64 lies outside of the frames, which have 96x64 pixels; give pixels of a frame, "
        "or shares of it such as 0,0.5,1,0.5"
    )


def test_trails_follow_the_objects_and_end_with_them() -> None:
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")
    drawing = Drawing(("cat", "dog"), overlay=Overlay(frozenset({"trails"})))

    seen = watched(Frames((0, 3, 6, 9)), Viewing(0.5, tracking=Tracking()), drawing=drawing)

    assert list(seen[-1].trails) == [1]
    assert seen[-1].trails[1][-1] == (9 + 15, 35)
    assert seen[-1].picture is not None
    row = seen[-1].picture[35].astype(int)
    assert (row.max(axis=1) > 150).sum() >= 5


def test_pictures_are_drawn_where_they_are_wanted_and_parts_are_timed() -> None:
    (plain,) = watched(Frames((5,)), Viewing(0.5))
    (drawn,) = watched(Frames((5,)), Viewing(0.5), drawing=Drawing(("cat", "dog")))

    assert plain.picture is None
    assert set(plain.times) == {"read", "prepare", "engine", "decode"}
    assert drawn.picture is not None
    assert drawn.picture.shape == (*HW, 3)
    assert (drawn.picture != drawn.frame.image_hwc).any()
    assert set(drawn.times) == {*plain.times, "draw"}


def test_frames_go_through_the_model_in_batches_and_come_out_one_by_one() -> None:
    given: list[int] = []
    model = finder()

    def predict(pixels: Any) -> Any:
        given.append(len(pixels))
        return model.predict(pixels)

    seen = watched(Frames(tuple(range(7))), Viewing(0.5, batch_size=3), model=replace(model, predict=predict))

    assert given == [3, 3, 1]
    assert [frame.found[0].box for frame in seen] == [(x, 20, x + 30, 50) for x in range(7)]


def test_a_run_ends_after_the_frames_that_are_asked_for() -> None:
    source = Frames(tuple(range(50)))

    assert [frame.frame.number for frame in watched(source, Viewing(0.5, max_frames=3))] == [0, 1, 2]
    assert source.stopped == 1


def test_after_the_end_was_asked_for_the_frames_on_their_way_come_out() -> None:
    ended, numbers = threading.Event(), list[int]()
    given: Any = Frames(tuple(range(200)), every_s=0.005)

    for seen in watch(finder(), given, Viewing(0.5), ended=ended):
        numbers.append(seen.frame.number)
        if len(numbers) == 5:
            ended.set()

    assert numbers == list(range(len(numbers)))
    assert 5 <= len(numbers) < 30


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_broken_source_is_an_error_after_its_last_frame(batch_size: int) -> None:
    numbers: list[int] = []
    given: Any = Frames((1, 2, 3, -1))

    with pytest.raises(ValueError, match="the source broke off"):
        numbers.extend(seen.frame.number for seen in watch(finder(), given, Viewing(0.5, batch_size=batch_size)))

    assert numbers == [0, 1, 2]


def test_a_live_source_is_never_far_behind_and_its_lost_frames_are_counted() -> None:
    source = Frames(tuple(range(100)), every_s=0.01, is_live=True)

    seen = watched(source, Viewing(0.5, batch_size=8), model=finder(takes_s=0.05))

    numbers = [frame.frame.number for frame in seen]
    assert 10 < len(seen) < 60
    assert sum(frame.lost for frame in seen) == 100 - len(seen)
    assert numbers == sorted(numbers)
    assert numbers[-1] == 99


def test_the_engine_works_while_results_are_written() -> None:
    began_s = time.perf_counter()
    given: Any = Frames(tuple(range(12)))
    for _ in watch(finder(takes_s=0.05), given, Viewing(0.5)):
        time.sleep(0.05)

    assert time.perf_counter() - began_s < 12 * 0.1 - 0.2  # one after the other is 1.2 s, at once 0.65 s


def test_a_run_adds_up() -> None:
    image = np.zeros((*HW, 3), np.uint8)
    tally, lines = Tally(), (Counted("gate", (0, 0), (1, 1), {"to_left": {"cat": 2}, "to_right": {}}),)
    box = (1.0, 2.0, 3.0, 4.0)
    times = {"read": 0.001, "engine": 0.02}
    tally.add(Seen(Frame("a", image, 0), (Detection("cat", box, 0.9, 1), Detection("dog", box, 0.9, 2)), 0.0, times))
    tally.add(Seen(Frame("b", image, 1), (Detection("cat", box, 0.9, 1),), 0.0, times, lost=3), write_s=0.004)
    tally.add(Seen(Frame("c", image, 2), (Detection("dog", box, 0.9, 3),), 0.0, times, lines=lines), write_s=0.006)

    report = tally.report()

    assert report.frames == 3
    assert report.fps > 0
    assert report.times == {"read": 0.001, "engine": 0.02, "write": 0.005}
    assert report.objects == {"cat": 2, "dog": 2}
    assert report.tracks == {"cat": 1, "dog": 2}
    assert report.lines == lines
    assert report.dropped == 3
