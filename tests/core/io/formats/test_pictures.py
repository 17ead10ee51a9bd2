"""PNG and JPEG pictures, and folders of slices."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume
from napari_unetseg.core.settings import Selection
from napari_unetseg.errors import InputError

rng = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_png(dtype: type, channels: int, tmp_path: Path) -> None:
    array = rng.integers(0, np.iinfo(dtype).max, (7, 9, channels)).astype(dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array.squeeze()))
    info, volume = inspect(tmp_path / "a.png"), load_volume(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.array, np.moveaxis(array, -1, 0)[:, None])
    assert volume.array.dtype == info.dtype == dtype
    assert (info.shape, volume.is_colour, volume.grid) == ((1, 7, 9), channels == 3, Grid())
    crop = load_volume(tmp_path / "a.png", Selection(crop=((0, 1), (2, 4), (1, 8)), channels=(0,)))
    np.testing.assert_array_equal(crop.array[0, 0], array[2:4, 1:8, 0])


def test_opacity_is_left_out(tmp_path: Path) -> None:
    array = rng.integers(0, 255, (7, 9, 4), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="opacity"):
        volume = load_volume(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.array[:, 0], np.moveaxis(array[..., :3], -1, 0))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (40, 30), 7).save(tmp_path / "a.jpg")
    volume = load_volume(tmp_path / "a.jpg")
    assert (volume.shape, volume.is_colour) == ((1, 30, 40), mode != "L")


def test_a_label_png_with_one_bit(tmp_path: Path) -> None:
    mask = rng.integers(0, 2, (7, 9)).astype(bool)
    Image.fromarray(mask).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_labels(tmp_path / "a.png").array[0], mask)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_picture_cut_off_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(rng.integers(0, 255, (50, 60, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=f"a{suffix}"):
        load_volume(path)


def slices(folder: Path, suffix: str, count: int = 12) -> np.ndarray:
    folder.mkdir()
    array = rng.integers(0, 255, (count, 7, 9), dtype=np.uint8)
    for i, plane in enumerate(array):
        if suffix == ".tif":
            tifffile.imwrite(folder / f"s{i}.tif", plane)
        else:
            Image.fromarray(plane).save(folder / f"s{i}{suffix}")
    (folder / ".hidden.png").write_text("not a slice")
    (folder / "notes.txt").write_text("not a slice")
    return array


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_folder_of_slices_is_a_stack_in_natural_order(suffix: str, tmp_path: Path) -> None:
    array = slices(tmp_path / "stack", suffix)
    info, volume = inspect(tmp_path / "stack"), load_volume(tmp_path / "stack")
    assert (info.shape, volume.name) == ((12, 7, 9), "series")
    np.testing.assert_array_equal(volume.array[0], array)
    crop = load_volume(tmp_path / "stack", Selection(crop=((9, 12), (1, 3), (2, 8))))
    np.testing.assert_array_equal(crop.array[0], array[9:12, 1:3, 2:8])


def test_slices_of_two_sizes_are_refused(tmp_path: Path) -> None:
    slices(tmp_path / "stack", ".png")
    Image.new("L", (9, 8)).save(tmp_path / "stack" / "s5.png")
    with pytest.raises(InputError, match=r"s5\.png \(8 × 9.*s0\.png \(7 × 9"):
        inspect(tmp_path / "stack")


def test_a_stack_among_slices_is_refused(tmp_path: Path) -> None:
    slices(tmp_path / "stack", ".tif")
    tifffile.imwrite(tmp_path / "stack" / "s0.tif", np.zeros((5, 7, 9), np.uint8))
    with pytest.raises(InputError, match="stack of its own"):
        inspect(tmp_path / "stack")


def test_the_distance_between_slices_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    for i in range(2):
        metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        tifffile.imwrite(tmp_path / "stack" / f"{i}.ome.tif", np.zeros((7, 9), np.uint8), metadata=metadata)
    with pytest.warns(UserWarning, match="distance between slices"):
        grid = load_volume(tmp_path / "stack").grid
    assert (grid.spacing, grid.unit) == ((0.5, 0.5, 0.5), "µm")
