"""Targets against the numbers of reference 13.5 and a slow drawing, cell by cell and sample point by sample point."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.tasks.detectnet.decode import decode_grid
from taolite.tasks.detectnet.targets import Ellipse, Raster, rasterize, semi_axes

USUAL = Ellipse(0.5, 0.5, 0.4, 0.4, 1.0)


def test_the_reference_box_has_the_axes_that_the_reference_works_out():
    # reference 13.5 item 4: box (100, 50, 180, 130) at stride 16, radius .4, min 1, deadzone .4
    box_cells = [edge / 16 for edge in (100, 50, 180, 130)]

    axes = semi_axes(box_cells, USUAL, 0.4)

    assert axes == pytest.approx((8.75, 5.625, 1.0, 1.0, 1.6, 1.6))


def test_a_cell_encodes_the_distances_that_the_reference_works_out():
    # reference 13.5 item 3: cell (8, 5) has its reference point at (128.5, 80.5); 28.5, 30.5, 51.5, 49.5 pixels / 35
    raster = Raster((USUAL,), 0.4)

    targets = rasterize(
        np.float32([[100, 50, 180, 130]]), np.array([0]), raster=raster, input_hw=(384, 1248), grid_hw=(24, 78)
    )

    assert targets.bbox[0, :, 5, 8] == pytest.approx([0.814, 0.871, 1.471, 1.414], abs=5e-4)
    assert targets.norm[0, 5, 8] == pytest.approx(0.25 * targets.cov[0, 5, 8])  # inv_area = 1 / (4 * 1 * 1)
    assert set((targets.cov * 16).ravel().tolist()) <= set(range(17))


def test_what_is_drawn_decodes_to_the_box_it_was_drawn_from():
    box = np.float32([[100, 50, 180, 130]])
    targets = rasterize(box, np.array([0]), raster=Raster((USUAL,), 0.4), input_hw=(384, 1248), grid_hw=(24, 78))

    decoded = decode_grid(targets.bbox, input_hw=(384, 1248))[0][targets.cov[0] > 0]

    assert len(decoded) > 4
    np.testing.assert_allclose(decoded, np.repeat(box, len(decoded), axis=0), atol=1e-4)


def test_a_small_object_still_covers_its_least_radius():
    # half extents .25 cells, radius .4 -> .1 cells, grown to 1 cell: the ellipse has an area of pi cells
    targets = rasterize(
        np.float32([[60, 60, 68, 68]]), np.array([0]), raster=Raster((USUAL,), 0.4), input_hw=(128, 128), grid_hw=(8, 8)
    )

    assert targets.cov.sum() == pytest.approx(np.pi, abs=0.15)


def test_a_sample_point_on_the_ellipse_is_outside_it():
    # centre (8.125, 5.125) cells, semi-axes .4 * 2.5 = 1. The nearest points of the cells (9, 5) and (8, 6) are exactly
    # one cell away. Of cell (7, 5), whose points lie 1, .75, .5, .25 left of the centre, 0 + 3 + 4 + 4 are inside
    targets = rasterize(
        np.float32([[90, 42, 170, 122]]),
        np.array([0]),
        raster=Raster((USUAL,), 0.0),
        input_hw=(384, 1248),
        grid_hw=(24, 78),
    )

    assert targets.cov[0, 5, 8] == 15 / 16  # all but (8.875, 5.875), 1.06 cells away
    assert targets.cov[0, 5, 9] == targets.cov[0, 6, 8] == 0
    assert targets.cov[0, 5, 7] == 11 / 16


def test_the_weight_of_the_box_cost_never_passes_the_coverage():
    # semi-axes .1: 4 * .1 * .1 = .04, and 1 / .04 would be 25; centre on the point (8.125, 5.125), 1 of 16 covered
    tiny = Ellipse(0.5, 0.5, 0.4, 0.4, 0.05)

    targets = rasterize(
        np.float32([[128, 80, 132, 84]]),
        np.array([0]),
        raster=Raster((tiny,), 0.0),
        input_hw=(384, 1248),
        grid_hw=(24, 78),
    )

    assert targets.cov.sum() == targets.cov[0, 5, 8] == 1 / 16
    assert targets.norm[0, 5, 8] == 1 / 16


def test_a_box_thinner_than_a_tenth_of_a_cell_has_its_own_distances():
    # 1 pixel wide, 100 high; the semi-axis in x is grown to 1 cell, and cell (5, 4) has its point at (80.5, 64.5)
    box = np.float32([[87.5, 16, 88.5, 116]])

    targets = rasterize(box, np.array([0]), raster=Raster((USUAL,), 0.4), input_hw=(128, 128), grid_hw=(8, 8))

    assert targets.bbox[0, :, 4, 5].tolist() == pytest.approx([-7 / 35, 48.5 / 35, 8 / 35, 51.5 / 35])
    assert np.isfinite(targets.bbox).all()


def test_a_grid_that_does_not_divide_the_input_has_the_cells_that_decoding_takes_it_to_have():
    # DarkNet-19's pools make 2 x 3 cells of 80 x 112 pixels: 40 and 37.33 pixels a cell, not 32.
    box = np.float32([[40, 42, 104, 78]])
    targets = rasterize(box, np.array([0]), raster=Raster((USUAL,), 0.4), input_hw=(80, 112), grid_hw=(2, 3))

    assert targets.cov.shape == (1, 2, 3)
    rows, columns = np.nonzero(targets.cov[0])
    assert {(1, 1), (1, 2)} <= set(zip(rows.tolist(), columns.tolist(), strict=True))
    decoded = decode_grid(targets.bbox.reshape(4, 2, 3), input_hw=(80, 112))[0]
    np.testing.assert_allclose(decoded[rows, columns], np.repeat(box, len(rows), axis=0), atol=1e-4)


def test_the_deadzone_of_a_later_box_erases_what_it_covers_as_much_of():
    # both 80 px wide, centres (4.125, 4.125) and (5.125, 4.125) cells, semi-axes 1, deadzone semi-axes 1.6 of 2.5
    boxes = np.float32([[26, 26, 106, 106], [42, 26, 122, 106.01]])

    first, both = (
        rasterize(boxes[:n], np.zeros(n, np.int64), raster=Raster((USUAL,), 0.4), input_hw=(160, 160), grid_hw=(10, 10))
        for n in (1, 2)
    )

    assert (first.cov[0, 4, 3:6] * 16).tolist() == [11, 15, 0]
    # cell 4 is the later box's: its deadzone covers all of it. Of cell 3 it covers 7 of 16, less than the 11 there
    assert (both.cov[0, 4, 3:6] * 16).tolist() == [11, 11, 15]
    right_edges = both.bbox[0, 2, 4, 3:6] * 35 + [48.5, 64.5, 80.5]
    assert right_edges.tolist() == pytest.approx([106, 122, 122])


def test_classes_have_planes_of_their_own_and_boxes_beyond_the_image_are_cut():
    raster = Raster((USUAL, USUAL), 0.4)
    boxes = np.float32([[-40, 10, 40, 90], [100, 100, 400, 180]])

    targets = rasterize(boxes, np.array([1, 0]), raster=raster, input_hw=(128, 128), grid_hw=(8, 8))

    assert targets.cov[1].any()
    assert not targets.cov[0].any()  # its centre lies at x 250, far outside: the ellipse does not reach in
    assert targets.cov.shape == (2, 8, 8)


@pytest.mark.parametrize("seed", range(6))
def test_crowded_scenes_equal_a_slow_drawing(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-20, 150, (12, 2))
    boxes = np.hstack([corner, corner + rng.uniform(2, 90, (12, 2))]).astype(np.float32)
    classes = rng.integers(0, 2, 12)
    ellipses = (Ellipse(0.5, 0.5, 0.4, 0.6, 1.0), Ellipse(0.3, 0.7, 1.0, 0.8, 0.5))
    raster = Raster(ellipses, 0.67, scale=35.0, offset=0.5)

    fast = rasterize(boxes, classes, raster=raster, input_hw=(144, 176), grid_hw=(9, 11))
    slow = _slow(boxes, classes, raster, (9, 11), 16)

    np.testing.assert_array_equal(fast.cov, slow[0])
    np.testing.assert_allclose(fast.bbox, slow[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fast.norm, slow[2], rtol=1e-6)


def _slow(boxes, classes, raster, grid_hw, stride):
    """Reference 6 read aloud: every box, every cell, every sample point."""
    kinds, (rows, columns) = len(raster.ellipses), grid_hw
    cov = np.zeros((kinds, rows, columns), np.float32)
    bbox = np.zeros((kinds, 4, rows, columns), np.float32)
    norm = np.zeros((kinds, rows, columns), np.float32)
    for index in sorted(range(len(boxes)), key=lambda i: boxes[i][3]):
        x1, y1, x2, y2 = (float(edge) for edge in boxes[index])
        e, k = raster.ellipses[classes[index]], classes[index]
        gx1, gy1, gx2, gy2 = x1 / stride, y1 / stride, x2 / stride, y2 / stride
        cx, cy = gx1 + e.cov_center_x * (gx2 - gx1), gy1 + e.cov_center_y * (gy2 - gy1)
        sx = cx - gx1 if e.cov_center_x < 0.5 else gx2 - cx
        sy = cy - gy1 if e.cov_center_y < 0.5 else gy2 - cy
        csx, csy = max(e.cov_radius_x * sx, 0.1), max(e.cov_radius_y * sy, 0.1)
        m, dz = e.bbox_min_radius, raster.deadzone_radius
        if csx < m:
            csx, csy = m, m * csy / csx
        if csy < m:
            csx, csy = m * csx / csy, m
        dsx, dsy = max((1 - dz) * csx + dz * sx, csx), max((1 - dz) * csy + dz * sy, csy)
        for j in range(rows):
            for i in range(columns):
                points = [(i + (a + 0.5) / 4, j + (b + 0.5) / 4) for a in range(4) for b in range(4)]
                c = np.float32(sum(((x - cx) / csx) ** 2 + ((y - cy) / csy) ** 2 < 1 for x, y in points) / 16)
                a = np.float32(sum(((x - cx) / dsx) ** 2 + ((y - cy) / dsy) ** 2 < 1 for x, y in points) / 16)
                if a > 0 and a >= cov[k, j, i]:
                    cov[k, j, i] = norm[k, j, i] = 0
                    bbox[k, :, j, i] = 0
                if c > 0 and c >= cov[k, j, i]:
                    gx, gy = i * stride + raster.offset, j * stride + raster.offset
                    cov[k, j, i] = c
                    norm[k, j, i] = c / max(4 * csx * csy, 1)
                    bbox[k, :, j, i] = np.array([gx - x1, gy - y1, x2 - gx, y2 - gy]) / raster.scale
    return cov, bbox, norm


@pytest.mark.parametrize("at_once", [1, 40, 1 << 14])
def test_boxes_drawn_together_are_the_boxes_drawn_one_by_one_bit_by_bit(monkeypatch, at_once):
    monkeypatch.setattr("taolite.tasks.detectnet.targets._MOST_CELLS", at_once)
    raster = Raster((USUAL, Ellipse(0.5, 0.5, 1.0, 0.7, 1.0)), 0.5)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        corner = rng.uniform(-40, 150, (14, 2))
        boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 5, (14, 2)))], axis=1)
        boxes = (np.rint(boxes / 8) * 8 if seed % 2 else boxes).astype(np.float32)
        classes = rng.integers(0, 2, len(boxes))

        made = rasterize(boxes, classes, raster=raster, input_hw=(96, 160), grid_hw=(6, 10))

        slow = _slow(boxes, classes, raster, (6, 10), 16)
        assert [part.tobytes() for part in (made.cov, made.bbox, made.norm)] == [part.tobytes() for part in slow]
        assert (made.cov > 0).sum() > 15
