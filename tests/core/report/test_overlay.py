from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.report import overlay
from napari_unetseg.core.report.overlay import draw_overlay, draw_thumbnail, save_overlay
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError, OutputError

RED = (Structure(label=1, name="thing", colour="#ff0000"),)


def black(shape: tuple[int, int, int], grid: Grid | None = None) -> Volume:
    return Volume(np.zeros((1, *shape), np.uint8), grid or Grid())


def count_of(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == colour).all(axis=-1).sum())


def test_a_filled_image_is_outlined_in_the_full_colour_and_filled_with_28_percent_of_it() -> None:
    array = np.zeros((1, 10, 10), np.uint8)
    array[0, 2:8, 2:8] = 1
    picture = draw_overlay(black((1, 10, 10)), {"model": Labels(array, structures=RED)})
    fill = count_of(picture, (71, 0, 0))
    side = (overlay.WIDTH / 2 - 4 * overlay.GAP) * 6 / 10
    assert fill == pytest.approx((side - 2) ** 2, rel=0.02)
    assert count_of(picture, (255, 0, 0)) == pytest.approx(4 * side + 14 * 14, rel=0.05)  # and the legend's swatch


def test_without_labels_nothing_is_painted() -> None:
    picture = draw_overlay(black((4, 10, 10)), {"model": Labels(np.zeros((4, 10, 10), np.uint8))})
    pixels = np.asarray(picture)
    assert (pixels.max(axis=-1) - pixels.min(axis=-1)).max() <= 7  # the paper's own tint


def test_planes_are_in_their_true_proportions() -> None:
    labels = Labels(np.zeros((5, 40, 20), np.uint8))
    volume = black((5, 40, 20), Grid((8.0, 1.0, 2.0), "µm"))
    views = overlay._views(volume, labels, scale=1.0)
    assert [(view.title, view.height, view.width) for view in views] == [("xy", 40, 40), ("zy", 40, 40), ("zx", 40, 40)]


def test_each_plane_is_the_one_that_holds_most() -> None:
    array = np.zeros((6, 7, 8), np.uint8)
    array[4, 1:4, 5] = 1
    array[4, 2, 5:8] = 1
    assert [overlay._fullest(array, axis) for axis in range(3)] == [4, 2, 5]
    assert [overlay._fullest(np.zeros((6, 7, 9)), axis) for axis in range(3)] == [3, 3, 4]


def test_touching_objects_have_colours_of_their_own() -> None:
    labels = Labels(np.array([[[1, 2]]], np.uint32), are_objects=True)
    assert overlay._colour(1, labels) != overlay._colour(2, labels)
    assert overlay._caption("model", labels) == "model: 2 x object"


def test_intensities_that_are_not_finite_are_drawn_black() -> None:
    plane = np.array([[np.nan, np.inf], [0.0, 10.0]])
    assert overlay._stretched(plane)[..., 0].tolist() == [[0, 0], [0, 255]]


def test_a_colour_picture_keeps_its_colours() -> None:
    array = np.zeros((3, 1, 20, 20), np.uint8)
    array[1, :, 5:15] = 255
    volume = Volume(array, channels=("red", "green", "blue"))
    picture = draw_overlay(volume, {"model": Labels(np.zeros((1, 20, 20), np.uint8))})
    assert count_of(picture, (0, 255, 0)) > 1000


@pytest.mark.parametrize(("at_most", "length"), [(1.0, 1.0), (0.99, 0.5), (49.0, 20.0), (50.0, 50.0), (0.0031, 0.002)])
def test_a_scale_bar_has_a_round_length(at_most: float, length: float) -> None:
    assert overlay._round_length(at_most) == pytest.approx(length)


def test_the_scale_bar_is_drawn_only_where_a_voxel_size_is_known() -> None:
    labels = {"model": Labels(np.zeros((1, 100, 100), np.uint8))}
    known = draw_overlay(black((1, 100, 100), Grid((1.0, 0.1, 0.1), "µm")), labels)
    unknown = draw_overlay(black((1, 100, 100)), labels)
    bar = 5 * (2.0 / 10.0) * (overlay.WIDTH / 2 - 4 * overlay.GAP)  # 2 µm of 10, 5 pixels high
    assert count_of(known, overlay.INK) - count_of(unknown, overlay.INK) == pytest.approx(bar, rel=0.5)


def test_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"model has shape \(1, 5, 5\); expected the image's, \(1, 4, 4\)"):
        draw_overlay(black((1, 4, 4)), {"model": Labels(np.zeros((1, 5, 5), np.uint8))})


def test_saving_writes_a_png_or_nothing(tmp_path: Path) -> None:
    labels = {"model": Labels(np.zeros((2, 9, 9), np.uint8))}
    save_overlay(tmp_path / "overlay.png", black((2, 9, 9)), labels)
    assert Image.open(tmp_path / "overlay.png").format == "PNG"
    with pytest.raises(OutputError):
        save_overlay(tmp_path / "missing" / "overlay.png", black((2, 9, 9)), labels)
    assert [path.name for path in tmp_path.iterdir()] == ["overlay.png"]


def test_a_thumbnail_shows_the_fullest_plane_or_the_one_asked_for() -> None:
    array = np.zeros((3, 20, 10), np.uint8)
    array[2] = 1
    labels = Labels(array, structures=RED)
    picture = draw_thumbnail(black((3, 20, 10), Grid((1, 1, 4), "µm")), labels, size=80)
    assert picture.size == (80, 40)  # 40 µm wide, 20 µm high
    assert count_of(picture, (71, 0, 0)) == 80 * 40
    assert np.asarray(draw_thumbnail(black((3, 20, 10)), labels, size=40, z=0)).max() == 0


def test_a_thumbnail_of_labels_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"labels of the image's shape, \(3, 20, 10\); got \(1, 2, 2\)"):
        draw_thumbnail(black((3, 20, 10)), Labels(np.zeros((1, 2, 2), np.uint8)), size=40)
