from __future__ import annotations

import numpy as np
import pytest

from napari_unetseg.core.metrics.pairing import Pair, common_grid
from napari_unetseg.core.volume import Grid, Labels, ScannerFrame
from napari_unetseg.errors import InputError

PIXELS = Grid()


def labels(grid: Grid = PIXELS, shape: tuple[int, ...] = (2, 3, 4), dtype: str = "u1") -> Labels:
    return Labels(np.ones(shape, dtype), grid)


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


def test_an_image_has_two_axes_and_a_volume_three():
    image = Pair.of(labels(Grid((9, 2, 3), "µm"), (1, 3, 4)), labels(shape=(1, 3, 4)))
    assert (image.spacing, image.voxel, image.images[0].shape) == ((2, 3), 6, (3, 4))
    volume = Pair.of(labels(Grid((9, 2, 3), "µm")), labels())
    assert (volume.spacing, volume.voxel, volume.images[0].shape) == ((9, 2, 3), 54, (2, 3, 4))


@pytest.mark.parametrize("dtype", ["?", ">u2", "<i8", "u4"])
def test_any_integer_type_is_taken(dtype):
    assert Pair.of(labels(dtype=dtype), labels()).predicted.dtype.isnative
