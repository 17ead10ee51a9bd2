from __future__ import annotations

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.pairing import Pair
from napari_unetseg.core.volume import Labels

PIXELS = Grid()


def labels(grid: Grid = PIXELS, shape: tuple[int, ...] = (2, 3, 4), dtype: str = "u1") -> Labels:
    return Labels(np.ones(shape, dtype), grid)


def test_an_image_has_two_axes_and_a_volume_three():
    image = Pair.of(labels(Grid((9, 2, 3), "µm"), (1, 3, 4)), labels(shape=(1, 3, 4)))
    assert (image.spacing, image.voxel, image.images[0].shape) == ((2, 3), 6, (3, 4))
    volume = Pair.of(labels(Grid((9, 2, 3), "µm")), labels())
    assert (volume.spacing, volume.voxel, volume.images[0].shape) == ((9, 2, 3), 54, (2, 3, 4))


@pytest.mark.parametrize("dtype", ["?", ">u2", "<i8", "u4"])
def test_any_integer_type_is_taken(dtype):
    assert Pair.of(labels(dtype=dtype), labels()).images[0].dtype.isnative
