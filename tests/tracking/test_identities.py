"""How well numbers stay with objects in a drawn crowd, by a slow and obvious measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from taolite.boxes import iou_matrix
from taolite.sample import Detection
from taolite.tracking import open_tracker

HW = (720, 1280)


@dataclass
class Frame:
    """Who is to be seen where, and what a detector says of it: best boxes first."""

    truth: dict[int, tuple[float, ...]]
    found: list[Detection]


def crowd(seed: int, *, people: int = 14, frames: int = 300) -> list[Frame]:
    """People who walk about. Scores fall where a nearer one covers them, 8 % are missed, some boxes are of nobody."""
    rng = np.random.default_rng(seed)
    sizes = np.stack([rng.uniform(40, 90, people), rng.uniform(80, 160, people)], axis=1)
    places, speeds = rng.uniform((100, 100), (1180, 620), (people, 2)), rng.normal(0, 3, (people, 2))
    drawn = []
    for _ in range(frames):
        speeds = speeds * 0.98 + rng.normal(0, 0.25, (people, 2))
        places = places + speeds
        speeds = np.where((places < 50) | (places > (1230, 670)), -speeds, speeds)
        boxes = np.concatenate([places - sizes / 2, places + sizes / 2], axis=1)
        covered = [
            max((_share(box, nearer) for nearer in boxes[:index]), default=0.0) for index, box in enumerate(boxes)
        ]
        found = []
        for box, cover in zip(boxes, covered, strict=True):
            score = 0.9 - 0.8 * cover + rng.normal(0, 0.06)
            if score > 0.1 and rng.random() > 0.08:
                found.append(Detection("person", tuple((box + rng.normal(0, 2, 4)).tolist()), float(score)))
        for x, y in rng.uniform((50, 50), (1100, 550), (rng.poisson(0.4), 2)):
            found.append(Detection("person", (x, y, x + 60, y + 120), float(rng.uniform(0.1, 0.6))))
        drawn.append(Frame({who: tuple(boxes[who]) for who in range(people) if covered[who] < 0.75}, found))
    return drawn


def _share(box: np.ndarray, nearer: np.ndarray) -> float:
    """The share of `box` that `nearer` covers."""
    wide, high = np.clip(np.minimum(box[2:], nearer[2:]) - np.maximum(box[:2], nearer[:2]), 0, None)
    return float(wide * high / np.prod(box[2:] - box[:2]))


def idf1(frames: list[Frame], shown: list[list[Detection]]) -> float:
    """Twice the boxes that have the right identity, over all true and all numbered boxes, where each person has the one
    number that suits the whole video best."""
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy, which scikit-learn brings, is not installed")
    together: dict[tuple[int, int], int] = {}
    true = numbered = 0
    for frame, found in zip(frames, shown, strict=True):
        tracked = [one for one in found if one.track is not None]
        true, numbered = true + len(frame.truth), numbered + len(tracked)
        if frame.truth and tracked:
            near = iou_matrix(np.float32(list(frame.truth.values())), np.float32([one.box for one in tracked])) >= 0.5
            for row, column in np.argwhere(near):
                pair = (list(frame.truth)[row], tracked[column].track or 0)
                together[pair] = together.get(pair, 0) + 1
    people, tracks = sorted({who for who, _ in together}), sorted({track for _, track in together})
    table = np.array([[together.get((who, track), 0) for track in tracks] for who in people])
    return float(2 * table[optimize.linear_sum_assignment(table, maximize=True)].sum() / (true + numbered))


@pytest.fixture(autouse=True)
def library():
    pytest.importorskip("edgefirst.tracker", reason="the track extra is not installed")


def test_the_measure_knows_a_perfect_video_and_one_whose_numbers_change_halfway():
    frames = [Frame({0: (0, 0, 10, 10), 1: (20, 0, 30, 10)}, []) for _ in range(10)]

    def said(numbers: tuple[int, int]) -> list[Detection]:
        boxes = [(0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)]
        return [Detection("person", box, 0.9, number) for box, number in zip(boxes, numbers, strict=True)]

    assert idf1(frames, [said((1, 2))] * 10) == 1
    assert idf1(frames, [said((1, 2))] * 5 + [said((2, 1))] * 5) == 0.5


def test_in_a_crowd_numbers_stay_with_their_objects_and_low_scores_help():
    everything, confident = [], []
    for seed in range(3):
        frames = crowd(seed)
        tracker, other = open_tracker(), open_tracker()
        shown = [tracker.update(frame.found, HW) for frame in frames]
        without = [other.update([one for one in frame.found if one.score >= 0.5], HW) for frame in frames]
        everything.append(idf1(frames, shown))
        confident.append(idf1(frames, without))

    print(f"\nIDF1 {np.mean(everything):.3f}, without low scores {np.mean(confident):.3f}")
    assert np.mean(everything) > 0.85
    assert np.mean(everything) > np.mean(confident) + 0.01
