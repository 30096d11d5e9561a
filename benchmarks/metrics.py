"""Scoring: `score` by boxes an image, COCO's mAP beside faster-coco-eval and pycocotools, DBSCAN beside scikit-learn.

    python benchmarks/metrics.py [--rounds 5]

Objects and finds are made. Processor time of one thread, ways in turn; a peer that is not installed is left out. Every
peer's figures are compared with ours before anything is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import in_turn, machine, ratio, table

from taolite.boxes import Boxes, iou_matrix
from taolite.metrics import coco_map, score
from taolite.sample import Truth
from taolite.tasks.detectnet.cluster import dbscan


@dataclass(frozen=True)
class Finds:
    boxes_n4: Boxes
    scores_n: NDArray[np.float32]
    classes_n: NDArray[np.int64]


def scene(
    images: int, objects: int, *, classes: int, side: float, clutter: int = 0, seed: int = 1
) -> tuple[list[Truth], list[Finds]]:
    """Images with so many objects, each found within a few pixels, and with `clutter` finds from nowhere."""
    rng, truths, finds = np.random.default_rng(seed), [], []
    for _ in range(images):
        corner = rng.uniform(0, side, (objects + clutter, 2))
        boxes = np.hstack([corner, corner + rng.uniform(8, 120, (objects + clutter, 2))])
        kinds = rng.integers(0, classes, objects + clutter)
        seen = (boxes + rng.normal(0, 5, boxes.shape)).astype(np.float32)
        truths.append(Truth(boxes[:objects].astype(np.float32), kinds[:objects]))
        finds.append(Finds(seen, rng.random(len(seen)).astype(np.float32), kinds))
    return truths, finds


def scoring(rounds: int) -> None:
    rows = []
    for objects in (20, 40, 80, 160, 320, 640):
        images = max(32_000 // objects, 25)
        truths, finds = scene(images, objects, classes=3, side=1000)
        names = ("a", "b", "c")
        ways: dict[str, Callable[[], object]] = {
            "TAO's": partial(score, truths, finds, names=names, mode="INTEGRATE"),
            "VOC's": partial(score, truths, finds, names=names),
        }
        taken = in_turn(ways, rounds, clock=time.process_time)
        rows.append([objects, *(f"{1e6 * median(taken[name]) / images / objects:.2f}" for name in ways)])
    print(table(["boxes an image", "`score`, TAO's mode, us a box", "VOC's mode, us a box"], rows))


def of_coco(
    truths: Sequence[Truth], finds: Sequence[Finds], classes: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Labels and results as COCO's programs take them."""

    def rows(boxes: Boxes) -> list[list[float]]:
        return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes.tolist()]

    labels = [
        {"image_id": image, "category_id": kind, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for image, truth in enumerate(truths)
        for box, kind in zip(rows(truth.boxes_n4), truth.classes_n.tolist(), strict=True)
    ]
    results = [
        {"image_id": image, "category_id": kind, "bbox": box, "score": sure}
        for image, one in enumerate(finds)
        for box, kind, sure in zip(rows(one.boxes_n4), one.classes_n.tolist(), one.scores_n.tolist(), strict=True)
    ]
    for number, label in enumerate(labels, start=1):
        label["id"] = number
    found = {
        "info": {},
        "images": [{"id": image} for image in range(len(truths))],
        "annotations": labels,
        "categories": [{"id": kind, "name": str(kind)} for kind in range(classes)],
    }
    return found, results


def by_faster(labels: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    from faster_coco_eval import COCO, COCOeval_faster

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(labels)
        run = COCOeval_faster(truth, truth.loadRes(results), iouType="bbox", print_function=lambda *_: None)
        run.run()
    return [float(value) for value in run.stats[:6]]


def by_pycocotools(labels: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = labels
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(value) for value in run.stats[:6]]


def coco(rounds: int) -> None:
    truths, finds = scene(2000, 7, classes=80, side=500, clutter=13)
    labels, results = of_coco(truths, finds, 80)
    names = [str(kind) for kind in range(80)]

    def ours() -> list[float]:
        got = coco_map(truths, finds, names=names)
        return [got.ap, got.ap50, got.ap75, got.ap_small, got.ap_medium, got.ap_large]

    ways: dict[str, Callable[[], object]] = {"taolite": ours}
    rows, wanted = [], ours()
    for name, package, peer in (
        ("faster-coco-eval", "faster_coco_eval", by_faster),
        ("pycocotools", "pycocotools", by_pycocotools),
    ):
        if importlib.util.find_spec(package) is None:
            rows.append([name, "skipped: not installed", "", ""])
            continue
        off = max(abs(one - other) for one, other in zip(wanted, peer(labels, results), strict=True))
        ways[name] = partial(peer, labels, results)
        rows.append([name, "", "", f"{off:.0e}"])
    taken = in_turn(ways, rounds, clock=time.process_time)
    for row in rows:
        if row[0] in taken:
            row[1:3] = [f"{median(taken[str(row[0])]):.2f}", f"{ratio(taken, str(row[0]), 'taolite'):.1f}"]
    print(
        table(
            ["COCO's mAP, 2,000 images", "s", "times ours", "largest difference"],
            [["taolite", f"{median(taken['taolite']):.2f}", "1.0", ""], *rows],
        )
    )


def clustering(rounds: int) -> None:
    if importlib.util.find_spec("sklearn") is None:
        print("scikit-learn skipped: not installed")
        return
    from sklearn.cluster import DBSCAN

    rows = []
    for count in (100, 300, 1000, 3000):
        rng = np.random.default_rng(1)
        corner = np.repeat(rng.uniform(0, 900, (count // 25, 2)), 25, axis=0)
        boxes = np.hstack([corner, corner + 60]) + rng.normal(0, 4, (count, 4))
        rounded, random = boxes.astype(np.float32), rng.random(count)

        def theirs(boxes: Boxes = rounded, weights: NDArray[np.float64] = random) -> NDArray[np.int64]:
            far = np.clip(1 - iou_matrix(boxes, boxes, epsilon=1e-5), 0, None)
            np.fill_diagonal(far, 0)
            found: NDArray[np.int64] = DBSCAN(eps=0.3, min_samples=1, metric="precomputed").fit_predict(
                far, sample_weight=weights
            )
            return found

        def ours(boxes: Boxes = rounded, weights: NDArray[np.float64] = random) -> NDArray[np.int64]:
            return dbscan(boxes, weights, eps=0.3, min_samples=1)

        same = "the same" if np.array_equal(theirs(), ours()) else "DIFFERENT"
        taken = in_turn({"ours": ours, "theirs": theirs}, rounds, clock=time.process_time)
        rows.append([count, f"{1e3 * median(taken['ours']):.2f}", f"{ratio(taken, 'theirs', 'ours'):.1f}", same])
    print(table(["candidates, DBSCAN", "ms", "scikit-learn, times ours", "clusters"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{machine('numpy', 'faster-coco-eval', 'pycocotools', 'scikit-learn')}\n")
    scoring(options.rounds)
    print()
    coco(options.rounds)
    print()
    clustering(options.rounds)


if __name__ == "__main__":
    main()
