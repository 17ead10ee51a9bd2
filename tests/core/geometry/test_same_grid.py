from __future__ import annotations

import numpy as np
import pytest

from napari_unetseg.core.geometry.same_grid import common_grid
from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError

PIXELS = Grid()


def labels(grid: Grid = PIXELS, shape: tuple[int, ...] = (2, 3, 4)) -> Labels:
    return Labels(np.ones(shape, np.uint8), grid)


def framed(matrix: np.ndarray) -> Labels:
    frame = ScannerFrame(tuple(tuple(row) for row in matrix.tolist()), ("R", "A", "S"))
    return labels(Grid((1, 1, 1), "mm", scanner=frame))


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        (labels(), labels(shape=(2, 3, 5)), "shapes differ: (2, 3, 4) and (2, 3, 5)"),
        (
            labels(Grid((2, 1, 1), "mm")),
            labels(Grid((1, 1, 1), "mm")),
            "spacings differ: 2 × 1 × 1 mm and 1 × 1 × 1 mm",
        ),
        (labels(Grid((2, 1, 1))), labels(Grid((1, 2, 1))), "spacings differ"),
        (labels(Grid((1, 1, 1), "mm")), labels(Grid((1, 1, 1), "µm")), "spacings differ"),
        (labels(Grid((2, 1, 1))), labels(Grid((2, 1, 1), "mm")), "units of spacing differ: pixel and mm"),
        (framed(np.diag([1.0, -1, 1, 1])), framed(np.eye(4)), "orientations differ"),
        (framed(np.eye(4) + np.eye(4, k=3) * 7), framed(np.eye(4)), "positions (mm) differ"),
    ],
)
def test_says_what_differs(one, other, named):
    with pytest.raises(InputError) as caught:
        common_grid(one, other)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_grids_that_only_round_differently_are_one():
    assert common_grid(labels(Grid((0.3, 0.1, 0.1), "mm")), labels(Grid((300.0001, 100, 100), "µm"))).unit == "µm"
    assert common_grid(framed(np.eye(4) * (1 + 1e-7)), framed(np.eye(4))).unit == "mm"


def test_a_volume_without_voxel_size_takes_the_others():
    physical = Grid((3, 1, 1), "mm")
    assert common_grid(labels(), labels(physical)) == physical
    assert common_grid(labels(physical), labels()) == physical
    assert common_grid(labels(), labels()) == Grid()
