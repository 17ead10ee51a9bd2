from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core.geometry.isosurface import surface_size
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError

from .shapes import blobs

GRID = Grid((2.0, 0.5, 0.5), "µm")
NUCLEUS = (Structure(label=1, name="nucleus", colour="#ff0000"),)


def box_of_two() -> np.ndarray:
    array = np.zeros((4, 8, 10), np.uint16)
    array[1:3, 2:6, 3:8] = 1  # 2 × 4 × 5 voxels: 4 × 2 × 2.5 µm
    array[0, 0, 0] = 7
    return array


def test_a_box_by_hand():
    image = Volume(np.stack([np.full((4, 8, 10), 3), np.arange(320).reshape(4, 8, 10)]), GRID, ("dapi", "gfp"))
    first, second = measure_structures(Labels(box_of_two(), GRID, NUCLEUS), image)
    assert (first["label"], first["name"], first["voxels"], first["parts"]) == (1, "nucleus", 40, 1)
    assert (first["extent_z"], first["extent_y"], first["extent_x"]) == (4, 2, 2.5)
    assert first["volume"] == pytest.approx(4 * 2 * 2.5)
    assert first["mean_intensity dapi"] == 3
    assert first["mean_intensity gfp"] == image.array[1, 1:3, 2:6, 3:8].mean()
    assert first["unit"] == "µm"
    assert (second["label"], second["name"], second["voxels"]) == (7, "structure 7", 1)
    # the mesh cuts the edges and corners of the box off
    assert 0.8 * 2 * (4 * 2 + 4 * 2.5 + 2 * 2.5) < first["surface"] < 2 * (4 * 2 + 4 * 2.5 + 2 * 2.5)


def test_surface_of_a_ball_and_length_of_a_circle():
    z, y, x = np.indices((50, 50, 50)) - 24.5
    ball = z**2 + y**2 + x**2 < 20**2
    assert surface_size(ball, (1, 1, 1)) == pytest.approx(4 * np.pi * 20**2, rel=0.1)
    assert surface_size(ball[24], (1, 1)) == pytest.approx(2 * np.pi * 20, rel=0.1)
    assert surface_size(ball[::2], (2, 1, 1)) == pytest.approx(4 * np.pi * 20**2, rel=0.15)


def test_structures_agree_with_scipy():
    array = blobs((8, 20, 22), 3, 0)
    rows = measure_structures(Labels(array, GRID), Volume(array[None] * 2.0, GRID))
    for row, box in zip(rows, ndimage.find_objects(array), strict=True):
        mask = array == row["label"]
        assert row["volume"] == pytest.approx(mask.sum() * 0.5)
        assert row["parts"] == ndimage.label(mask, np.ones((3, 3, 3)))[1]
        assert row["extent_y"] == (box[1].stop - box[1].start) * 0.5
        assert row["mean_intensity"] == row["label"] * 2


def test_objects_of_structures_are_their_parts():
    array = box_of_two()
    array[1:3, 2:6, 9] = 1
    rows = measure_objects(Labels(array, GRID, NUCLEUS))
    assert [row["structure"] for row in rows].count("nucleus") == 2
    large = max(rows, key=lambda row: row["volume"])
    assert large["volume"] == pytest.approx(20)
    assert (large["centre_z"], large["centre_y"], large["centre_x"]) == (3.0, 1.75, 2.5)
    assert large["equivalent_diameter"] == pytest.approx((6 * 20 / np.pi) ** (1 / 3))
    assert large["extent_x"] == 2.5
    assert large["major_axis"] >= large["minor_axis"] > 0


def test_numbered_objects_keep_their_numbers_and_are_one_structure():
    labels = Labels(box_of_two().astype(np.uint32) * 100_000, GRID, NUCLEUS, are_objects=True)
    rows = measure_objects(labels)
    assert [(row["object"], row["structure"]) for row in rows] == [(100_000, "nucleus"), (700_000, "nucleus")]
    (all_of_them,) = measure_structures(labels)
    assert (all_of_them["name"], all_of_them["voxels"], all_of_them["parts"]) == ("nucleus", 41, 2)


def test_an_image_has_areas_and_contours():
    array = np.zeros((1, 6, 7), np.uint8)
    array[0, 1:4, 2:6] = 2
    (row,) = measure_structures(Labels(array, GRID), Volume(np.ones((1, 1, 6, 7)), GRID))
    assert row["volume"] == 12 * 0.25
    assert "extent_z" not in row
    assert row["surface"] == pytest.approx(2 * (2 + 3) * 0.5 + 4 * np.hypot(0.25, 0.25))  # four cut corners
    (one,) = measure_objects(Labels(array, GRID))
    assert (one["centre_y"], one["centre_x"]) == (1, 1.75)


def test_empty_labels_give_no_rows():
    nothing = Labels(np.zeros((2, 3, 4), np.uint8))
    assert measure_structures(nothing) == measure_objects(nothing) == []


def test_a_single_voxel():
    labels = Labels(np.ones((1, 1, 1), np.uint8))
    assert measure_structures(labels)[0]["voxels"] == 1
    assert measure_objects(labels)[0]["volume"] == 1
    labels = Labels(np.pad(np.ones((1, 1, 1), np.uint8), 2))
    assert measure_structures(labels)[0]["surface"] == pytest.approx(np.sqrt(3))  # an octahedron of edge √½
    assert measure_objects(labels)[0]["major_axis"] == 0


def test_an_image_of_another_shape_is_refused():
    with pytest.raises(InputError, match="shapes differ"):
        measure_structures(Labels(box_of_two()), Volume(np.zeros((1, 4, 8, 9))))
