"""Which cells learn which object, against hand calculations and a slow loop."""

from __future__ import annotations

import numpy as np

from taolite.boxes import iou_matrix
from taolite.tasks.detectnet.assign import assign
from taolite.tasks.detectnet.decode import decode_grid
from taolite.tasks.detectnet.targets import Ellipse, Raster

INPUT_HW, GRID_HW = (64, 96), (4, 6)  # cells of 16 pixels
RASTER = Raster((Ellipse(0.5, 0.5, 0.6, 0.6, 0.5),) * 2, 0.67)


def test_a_cell_learns_an_object_where_its_centre_lies_in_the_ellipse():
    boxes, classes = np.array([[8, 4, 88, 60]], np.float32), np.array([1])

    found = assign(boxes, classes, raster=RASTER, input_hw=INPUT_HW, grid_hw=GRID_HW)

    expected = np.zeros((2, *GRID_HW))
    for row in range(4):
        for column in range(6):
            dx, dy = (16 * column + 8 - 48) / (0.6 * 40), (16 * row + 8 - 32) / (0.6 * 28)
            expected[1, row, column] = dx**2 + dy**2 <= 1
    assert np.array_equal(found.cov, expected)
    assert np.array_equal(found.norm, expected)
    assert expected.sum() == 4
    assert np.allclose(decode_grid(found.bbox, input_hw=INPUT_HW)[1, found.cov[1] > 0], boxes[0])


def test_of_two_objects_on_one_cell_the_smaller_wins_whichever_comes_first():
    large, small = [0, 0, 96, 64], [40, 24, 56, 40]
    for boxes in ([large, small], [small, large]):
        found = assign(np.array(boxes, np.float32), np.array([0, 0]), raster=RASTER, input_hw=INPUT_HW, grid_hw=GRID_HW)
        drawn = decode_grid(found.bbox, input_hw=INPUT_HW)[0, found.cov[0] > 0]
        sizes = sorted({round(float(x2 - x1)) for x1, _, x2, _ in drawn})
        assert sizes == [16, 96]

    lower = assign(
        np.array([large, small], np.float32),
        np.array([0, 0]),
        raster=RASTER,
        input_hw=INPUT_HW,
        grid_hw=GRID_HW,
        smaller_wins=False,
    )
    assert (
        iou_matrix(decode_grid(lower.bbox, input_hw=INPUT_HW)[0, lower.cov[0] > 0], np.array([large], np.float32)).min()
        > 0.99
    )


def test_every_object_has_the_cell_of_its_centre_however_small_and_at_every_edge():
    boxes = np.array([[1, 1, 3, 3], [93, 61, 96, 64], [46, 30, 47, 33]], np.float32)

    found = assign(boxes, np.array([0, 0, 0]), raster=RASTER, input_hw=INPUT_HW, grid_hw=GRID_HW)

    assert found.cov[0, 0, 0] == found.cov[0, 3, 5] == found.cov[0, 1, 2] == 1
    assert found.cov[1].sum() == 0


def test_a_picture_without_objects_has_no_object_cell():
    found = assign(
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), raster=RASTER, input_hw=INPUT_HW, grid_hw=GRID_HW
    )

    assert found.cov.sum() == found.bbox.sum() == 0
