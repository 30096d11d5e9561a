"""Decoding: TAO's box formula by hand, clustering against scikit-learn and against slow obvious loops."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from taolite.boxes import iou_matrix
from taolite.errors import ModelError
from taolite.tasks.detectnet.cluster import cluster, dbscan
from taolite.tasks.detectnet.decode import Clustering, decode, decode_grid
from taolite.tasks.suppress import nms

INPUT_HW = (384, 1248)
GRID_HW = (24, 78)


def encode_grid(boxes_c4, *, input_hw=INPUT_HW, grid_hw=GRID_HW, scale=35.0, offset=0.5):
    """(4C, h, w): every cell of class c points at box c; the inverse of `decode_grid`."""
    y, x = np.mgrid[: grid_hw[0], : grid_hw[1]].astype(np.float64)
    x = x * (input_hw[1] / grid_hw[1]) + offset
    y = y * (input_hw[0] / grid_hw[0]) + offset
    return np.concatenate([np.stack([x - x1, y - y1, x2 - x, y2 - y]) / scale for x1, y1, x2, y2 in boxes_c4]).astype(
        np.float32
    )


def scattered(rng, *, objects, candidates, spread=6.0):
    """Candidates around `objects` true boxes, and their coverages."""
    corner = rng.uniform(0, 500, (objects, 2))
    truth = np.concatenate([corner, corner + rng.uniform(20, 140, (objects, 2))], axis=1)
    boxes = truth[rng.integers(objects, size=candidates)] + rng.normal(0, spread, (candidates, 4))
    return boxes.astype(np.float32), rng.uniform(0.01, 1, candidates).astype(np.float32)


def test_the_reference_box_encodes_to_the_reference_numbers_and_decodes_back():
    planes = encode_grid([(100, 50, 180, 130)])

    boxes = decode_grid(planes, input_hw=INPUT_HW)

    assert planes[:, 5, 8].round(3).tolist() == pytest.approx([0.814, 0.871, 1.471, 1.414])
    assert boxes.shape == (1, 24, 78, 4)
    np.testing.assert_allclose(boxes[0], np.broadcast_to([100, 50, 180, 130], (24, 78, 4)), atol=2e-4)


def test_a_box_that_ends_before_it_begins_is_closed_by_clipping():
    planes = encode_grid([(300, -10, 200, 500)])

    assert decode_grid(planes, input_hw=INPUT_HW, clip=True)[0, 0, 0].tolist() == [300, 0, 300, 384]


def test_dbscan_gives_scikit_learns_labels():
    for seed, (eps, min_samples) in enumerate([(0.15, 1), (0.3, 2.0), (0.5, 1), (0.05, 1), (0.4, 5)] * 4):
        rng = np.random.default_rng(seed)
        boxes, weights = scattered(rng, objects=12, candidates=int(rng.integers(1, 300)))
        distance = np.clip(1 - iou_matrix(boxes, boxes, epsilon=1e-5), 0, None)

        labels = dbscan(boxes, weights, eps=eps, min_samples=min_samples)

        oracle = DBSCAN(eps=eps, min_samples=1, metric="precomputed")
        oracle.fit(distance, sample_weight=weights.astype(np.float64) / min_samples)
        assert labels.tolist() == oracle.labels_.tolist()


def test_the_union_of_a_distance_is_a_hundred_thousandth_of_a_pixel_larger():
    # a box of one pixel and its double: 1 - 1 / 1.00001 is 0.0000099999
    boxes, weights = np.float32([[0, 0, 1, 1]] * 2), np.float32([1, 1])

    assert dbscan(boxes, weights, eps=1.0e-5, min_samples=1).tolist() == [0, 0]
    assert dbscan(boxes, weights, eps=0.9e-5, min_samples=1).tolist() == [0, 1]  # each its own neighbour still


def test_a_distance_that_is_eps_on_paper_is_within_it():
    # 10 of 260 square pixels; in floating point 1 - intersection / union comes out a bit above the same on paper
    boxes, union = np.float32([[0, 0, 1, 10], [0, 0, 26, 10]]), 260 + 1e-5
    eps = (union - 10) / union
    assert 1 - 10 / union > eps

    assert dbscan(boxes, np.float32([1, 1]), eps=eps, min_samples=1).tolist() == [0, 0]


@pytest.mark.parametrize(("written", "acts_as"), [(0, 1), (0.05, 1), (1, 1), (1.9, 1), (2.9, 2), (3, 3)])
def test_min_samples_is_cut_to_a_whole_number_of_1_or_more(written, acts_as):
    pile = np.float32([[0, 0, 100, 100]] * 4)
    rule = Clustering(dbscan_eps=0.3, dbscan_min_samples=written)

    enough, little = (cluster(pile, np.full(4, total / 4, np.float32), rule)[0] for total in (acts_as, acts_as - 0.01))

    assert (len(enough), len(little)) == (1, 0)


def test_no_candidates_make_no_clusters():
    empty, none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)

    assert dbscan(empty, none, eps=0.3, min_samples=1).tolist() == []
    assert nms(empty, none, iou_threshold=0.3, plus=1.0).tolist() == []
    for algorithm in ("dbscan", "nms", "hybrid"):
        boxes, scores = cluster(empty, none, Clustering(algorithm=algorithm))
        assert (boxes.shape, scores.shape) == ((0, 4), (0,))


def test_a_cluster_is_the_coverage_weighted_mean_and_its_confidence_the_sum():
    boxes = np.float32([[0, 0, 100, 100], [4, 0, 104, 100], [300, 300, 340, 340]])
    coverage = np.float32([0.9, 0.3, 0.5])

    found, scores = cluster(boxes, coverage, Clustering(dbscan_eps=0.3, dbscan_min_samples=0.05))

    np.testing.assert_allclose(found, [[1, 0, 101, 100]], rtol=1e-6)  # (0.9 * 0 + 0.3 * 4) / 1.2 = 1
    np.testing.assert_allclose(scores, [1.2], rtol=1e-6)  # the lone 0.5 is noise: less than 1 in its neighbourhood


def test_clusters_are_dropped_at_the_minimum_height_and_below_the_confidence_threshold():
    boxes = np.float32([[0, 0, 50, 20], [100, 0, 150, 21], [200, 0, 250, 60]])
    coverage = np.float32([1, 1, 1])
    rule = Clustering(dbscan_eps=0.3, minimum_height=20, dbscan_confidence_threshold=1.0)

    assert cluster(boxes, coverage, rule)[0].tolist() == [[100, 0, 150, 21], [200, 0, 250, 60]]
    assert len(cluster(boxes, coverage, Clustering(dbscan_eps=0.3, dbscan_confidence_threshold=1.01))[0]) == 0


def test_mean_cov_places_the_mean_between_the_weakest_and_the_strongest_member():
    boxes = np.float32([[0, 0, 100, 100]] * 3 + [[300, 300, 340, 340]])
    coverage = np.float32([0.2, 0.4, 0.9, 1.0])

    found, scores = cluster(boxes, coverage, Clustering(dbscan_eps=0.3, confidence_model="mean_cov"))

    np.testing.assert_allclose(scores, [(0.5 - 0.2) / (0.9 - 0.2)], rtol=1e-5)  # the lone box has no value: dropped
    np.testing.assert_allclose(found, [[0, 0, 100, 100]], atol=1e-4)


def test_nms_keeps_what_a_slow_loop_keeps_with_true_scores():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        boxes, scores = scattered(rng, objects=30, candidates=700)
        threshold = float(rng.uniform(0.1, 0.8))
        overlap = iou_matrix(boxes, boxes, plus=1.0)
        kept: list[int] = []
        for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
            if all(overlap[index, better] <= threshold for better in kept):
                kept.append(index)

        assert nms(boxes, scores, iou_threshold=threshold, plus=1.0).tolist() == kept

        found, confidence = cluster(boxes, scores, Clustering(algorithm="nms", nms_iou_threshold=threshold))
        assert found.tolist() == boxes[kept].tolist()
        assert confidence.tolist() == scores[kept].tolist()


def test_nms_areas_are_pixel_inclusive():
    boxes = np.float32([[0, 0, 9, 9], [0, 0, 9, 4]])  # 10x10 and 10x5 pixels: IoU 0.5; continuous it would be 4/9

    assert nms(boxes, np.float32([1, 0.5]), iou_threshold=0.49, plus=1.0).tolist() == [0]
    assert nms(boxes, np.float32([1, 0.5]), iou_threshold=0.5, plus=1.0).tolist() == [0, 1]


def test_an_nms_threshold_of_zero_is_taos_inference_default():
    boxes = np.float32([[0, 0, 9, 9], [6, 0, 15, 9], [0, 0, 9, 8]])  # IoU of the first two: 40 / 160 = 0.25

    found, _ = cluster(boxes, np.float32([0.9, 0.8, 0.7]), Clustering(algorithm="nms", nms_iou_threshold=0.0))

    assert found.tolist() == boxes[:2].tolist()


def test_nms_drops_scores_below_its_confidence_threshold():
    boxes = np.float32([[0, 0, 9, 9], [50, 0, 59, 9], [100, 0, 109, 9]])
    rule = Clustering(algorithm="nms", nms_confidence_threshold=0.5)

    assert cluster(boxes, np.float32([0.4, 0.5, 0.6]), rule)[1].tolist() == pytest.approx([0.6, 0.5])


def test_hybrid_runs_nms_over_the_members_of_surviving_clusters():
    boxes = np.float32([[0, 0, 100, 100], [4, 0, 104, 100], [300, 300, 340, 340], [500, 300, 540, 304]])
    coverage = np.float32([0.3, 0.9, 0.5, 1.0])  # an object, noise, and a cluster too flat
    rule = Clustering(algorithm="hybrid", dbscan_eps=0.3, minimum_height=10, nms_iou_threshold=0.3)

    found, scores = cluster(boxes, coverage, rule)

    assert found.tolist() == [[4, 0, 104, 100]]
    assert scores.tolist() == pytest.approx([0.9])


def test_an_image_decodes_to_its_objects_best_first_inside_the_input():
    planes = encode_grid([(100, 50, 180, 130), (1200, 300, 1300, 400)])
    cov = np.zeros((2, *GRID_HW), np.float32)
    cov[0, 4:7, 7:10] = 0.5
    cov[1, 20, 76:78] = (0.9, 1.0)
    nothing = Clustering(algorithm="nms", coverage_threshold=0.005)

    found = decode(cov, planes, input_hw=INPUT_HW, clusterings=[Clustering(dbscan_eps=0.3), nothing])

    np.testing.assert_allclose(found.boxes_n4, [[100, 50, 180, 130], [1200, 300, 1248, 384]], atol=1e-3)
    assert found.scores_n.tolist() == [4.5, 1.0]
    assert found.classes_n.tolist() == [0, 1]
    assert (found.boxes_n4.dtype, found.scores_n.dtype, found.classes_n.dtype) == (np.float32, np.float32, np.int64)
    assert len(found) == 2


def test_a_cell_at_the_coverage_threshold_is_no_candidate():
    cov = np.full((1, *GRID_HW), 0.25, np.float32)
    planes = encode_grid([(100, 50, 180, 130)])

    at = decode(cov, planes, input_hw=INPUT_HW, clusterings=[Clustering(coverage_threshold=0.25, dbscan_eps=0.1)])
    below = decode(cov, planes, input_hw=INPUT_HW, clusterings=[Clustering(coverage_threshold=0.2, dbscan_eps=0.1)])

    assert (len(at), len(below)) == (0, 1)
    assert (at.boxes_n4.shape, at.classes_n.dtype) == ((0, 4), np.int64)


def test_candidates_are_clipped_before_clustering_unless_asked_otherwise():
    planes = encode_grid([(-100, 0, 100, 100)])
    planes[:, :, 1] = encode_grid([(0, 0, 100, 100)])[:, :, 1]  # half the cells see only the visible half
    cov = np.zeros((1, *GRID_HW), np.float32)
    cov[0, 0, :2] = 1.0
    rule = Clustering(dbscan_eps=0.3)

    clipped = decode(cov, planes, input_hw=INPUT_HW, clusterings=[rule])
    as_they_are = decode(cov, planes, input_hw=INPUT_HW, clusterings=[rule], clip=False)

    assert clipped.scores_n.tolist() == [2.0]
    assert as_they_are.scores_n.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(as_they_are.boxes_n4, [[0, 0, 100, 100]] * 2, atol=1e-3)


def test_outputs_that_do_not_fit_the_classes_are_refused():
    with pytest.raises(ModelError) as caught:
        decode(np.zeros((3, 24, 78)), np.zeros((12, 24, 78)), input_hw=INPUT_HW, clusterings=[Clustering()])

    assert str(caught.value) == (
        "the network gives coverage (3, 24, 78) and boxes (12, 24, 78); a list of 1 class needs (1, h, w) "
        "and (4, h, w): list the classes the model was trained on"
    )


def test_outputs_that_are_not_finite_are_refused():
    cov = np.zeros((1, *GRID_HW), np.float32)
    cov[0, 3, 3] = np.nan

    with pytest.raises(ModelError) as caught:
        decode(cov, np.zeros((4, *GRID_HW)), input_hw=INPUT_HW, clusterings=[Clustering()])

    assert str(caught.value) == (
        "the network's output holds values that are not finite; where an fp16 or int8 engine overflows, use fp32, "
        "otherwise train again with a lower learning rate"
    )


def test_a_clustering_survives_json():
    rule = Clustering(algorithm="hybrid", coverage_threshold=0.005, dbscan_eps=0.15, minimum_height=4)

    assert Clustering.from_json(json.loads(json.dumps(rule.to_json()))) == rule


@pytest.mark.bench
def test_clustering_is_quick_enough_for_an_edge_device():
    rng = np.random.default_rng(0)
    boxes, scores = scattered(rng, objects=15, candidates=600)
    many, many_scores = scattered(rng, objects=15, candidates=1000)

    def best_ms(work):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return 1000 * min(times)

    assert best_ms(lambda: nms(boxes, scores, iou_threshold=0.3, plus=1.0)) < 15
    assert best_ms(lambda: dbscan(many, many_scores, eps=0.3, min_samples=1)) < 50
