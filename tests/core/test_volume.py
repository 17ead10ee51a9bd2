import numpy as np
import pytest

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.volume import Labels, Volume, default_channels
from napari_unetseg.errors import InputError, SettingsError

AFFINE = ((0.0, 0, -3, 10), (0, -2, 0, 20), (5, 0, 0, 30), (0, 0, 0, 1))


@pytest.mark.parametrize(
    ("unit", "expected"), [("µm", (2.0, 0.5, 0.25)), ("nm", (2000, 500, 250)), ("mm", (2e-3, 5e-4, 2.5e-4))]
)
def test_spacing_in_another_unit(unit: str, expected: tuple[float, float, float]) -> None:
    assert Grid((2, 0.5, 0.25), "µm").spacing_in(unit) == pytest.approx(expected)


def test_pixels_have_no_length() -> None:
    assert not Grid().is_physical
    with pytest.raises(SettingsError, match="voxel size"):
        Grid().spacing_in("mm")
    with pytest.raises(SettingsError):
        Grid((1, 1, 1), "mm").spacing_in("pixel")


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1, float("inf")), (1, 1)])
def test_a_spacing_that_is_none_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="above 0"):
        Grid(spacing)  # type: ignore[arg-type]


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(SettingsError, match="furlong"):
        Grid(unit="furlong")


def test_a_crop_begins_where_its_first_voxel_lay() -> None:
    grid = Grid((5, 2, 3), "mm", (30, -20, -10), ScannerFrame(AFFINE, ("L", "P", "S"))).cropped((2, 1, 4))
    assert grid.origin == (40, -18, 2)
    assert grid.scanner is not None
    np.testing.assert_allclose(np.array(grid.scanner.affine)[:3, 3], np.array(AFFINE)[:3] @ [2, 1, 4, 1])
    np.testing.assert_array_equal(np.array(grid.scanner.affine)[:3, :3], np.array(AFFINE)[:3, :3])


def test_a_volume_knows_its_kind() -> None:
    flat = Volume(np.zeros((3, 1, 4, 5), np.uint8), channels=("red", "green", "blue"))
    assert (flat.shape, flat.is_2d, flat.is_colour) == ((1, 4, 5), True, True)
    stack = Volume(np.zeros((2, 3, 4, 5)))
    assert (stack.channels, stack.is_2d, stack.is_colour) == (("channel 1", "channel 2"), False, False)
    assert default_channels(0) == ()


@pytest.mark.parametrize(
    "array", [np.zeros((3, 4, 5)), np.zeros((1, 0, 4, 5)), np.zeros((1, 2, 2, 2), complex), np.full((1, 1, 1, 1), "a")]
)
def test_what_is_no_volume_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="Expected"):
        Volume(array)


def test_channel_names_must_match() -> None:
    with pytest.raises(InputError, match="2 channel names"):
        Volume(np.zeros((2, 1, 2, 2)), channels=("a",))


@pytest.mark.parametrize(
    "array", [np.zeros((4, 5), np.uint8), np.zeros((0, 4, 5), np.uint8), np.zeros((1, 4, 5)), np.full((1, 2, 2), -1)]
)
def test_what_are_no_labels_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="Expected labels"):
        Labels(array)
