"""What is written is read back equal, in every format, for any shape, dtype and grid."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels, save_volume
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Structure, Volume

LABEL_SUFFIXES = [".ome.tif", ".tif", ".nii", ".nii.gz", ".ome.zarr", ".nrrd"]
VOLUME_SUFFIXES = [".ome.tif", ".nii.gz", ".ome.zarr"]
STRUCTURES = (
    Structure(label=1, name="Zellkern µ", colour="#ff8000"),
    Structure(label=3, name="membrane, outer", colour="#0000ff"),
)

sizes = st.floats(1e-3, 1e3, allow_subnormal=False)
places = st.floats(-1e4, 1e4, allow_subnormal=False)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7))
grids = st.builds(
    Grid,
    spacing=st.tuples(sizes, sizes, sizes),
    unit=st.sampled_from(["nm", "µm", "mm", "cm", "m", "pixel"]),
    origin=st.tuples(places, places, places),
)
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.uint32, np.int64, np.bool_]))
    largest = min(np.iinfo(dtype).max, 2**32 - 1) if dtype != np.bool_ else 1
    values = st.integers(0, int(largest)) if dtype != np.bool_ else st.booleans()
    array = draw(hnp.arrays(dtype, draw(shapes), elements=values))
    objects = draw(st.booleans())
    return Labels(array, draw(grids), draw(st.sampled_from([(), STRUCTURES])), objects)


def assert_same_place(got: Grid, expected: Grid, tolerance: float = 1e-6) -> None:
    assert got.unit == expected.unit
    np.testing.assert_allclose(got.spacing, expected.spacing, rtol=tolerance)
    np.testing.assert_allclose(got.origin, expected.origin, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
@quick
@given(made=labels())
def test_labels_come_back(suffix: str, made: Labels) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out{suffix}"
        save_labels(path, made)
        got = load_labels(path)
        info = inspect(path)
    np.testing.assert_array_equal(got.array, made.array)
    assert got.array.dtype == np.min_scalar_type(int(made.array.max()))
    assert_same_place(got.grid, made.grid)
    assert (got.structures, got.are_objects) == (made.structures, made.are_objects)
    assert (info.shape, info.channels, info.times) == (made.array.shape, ("channel 1",), 1)


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@quick
@given(
    array=st.tuples(st.integers(1, 4), shapes).flatmap(
        lambda s: hnp.arrays(np.float32, (s[0], *s[1]), elements=st.floats(0, 1, width=32))
    ),
    grid=grids,
)
def test_probabilities_come_back(suffix: str, array: np.ndarray, grid: Grid) -> None:
    made = Volume(array, grid, tuple(f"structure {c}" for c in range(array.shape[0])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out{suffix}"
        save_volume(path, made)
        got = load_volume(path)
    np.testing.assert_array_equal(got.array, made.array)
    assert got.channels == made.channels
    assert_same_place(got.grid, made.grid)


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@pytest.mark.parametrize(("given_dtype", "stored"), [(np.float16, np.float32), (np.bool_, np.uint8)])
def test_what_formats_do_not_hold_becomes_the_next_that_they_do(
    suffix: str, given_dtype: type, stored: type, tmp_path: Path
) -> None:
    made = np.linspace(0, 1, 24).reshape(1, 2, 3, 4).astype(given_dtype)
    save_volume(tmp_path / f"p{suffix}", Volume(made))
    got = load_volume(tmp_path / f"p{suffix}").array
    assert got.dtype == stored
    np.testing.assert_array_equal(got, made)


@pytest.mark.parametrize("suffix", [".ome.tif", ".nii.gz", ".ome.zarr", ".nrrd"])
@quick
@given(data=st.data())
def test_a_crop_is_the_same_part_of_the_whole(suffix: str, data: st.DataObject) -> None:
    shape = data.draw(shapes)
    crop = tuple(
        tuple(sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))) for n in shape
    )
    made = Labels(
        np.arange(np.prod(shape), dtype=np.uint32).reshape(shape), Grid((3.0, 0.5, 0.25), "µm", (5.0, 6.0, 7.0))
    )
    with tempfile.TemporaryDirectory() as folder:
        save_labels(Path(folder) / f"out{suffix}", made)
        got = load_labels(Path(folder) / f"out{suffix}", Selection(crop=crop))
    (z, z1), (y, y1), (x, x1) = crop
    np.testing.assert_array_equal(got.array, made.array[z:z1, y:y1, x:x1])
    np.testing.assert_allclose(got.grid.origin, (5 + 3 * z, 6 + 0.5 * y, 7 + 0.25 * x), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".ome.tif", ".nii.gz", ".ome.zarr", ".nrrd"])
def test_the_scanner_frame_survives_any_format(suffix: str, tmp_path: Path) -> None:
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", (0.1, 0.2, -0.3)).as_matrix()
    affine[:3, :3] = rotation @ [[0, 0, -2.0], [0, -1.5, 0], [3.0, 0, 0]]
    affine[:3, 3] = (10, 20, -30)
    frame = ScannerFrame(tuple(map(tuple, affine.tolist())), ("R", "S", "A"))
    made = Labels(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), Grid((3.0, 1.5, 2.0), "mm", scanner=frame))
    save_labels(tmp_path / f"out{suffix}", made)
    got = load_labels(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(got.array, made.array)
    assert got.grid.scanner is not None
    assert got.grid.scanner.file_codes == ("R", "S", "A")
    np.testing.assert_allclose(got.grid.scanner.affine, affine, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_an_existing_file_is_replaced(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    for value in (1, 2):
        save_labels(path, Labels(np.full((1, 2, 2), value, dtype=np.uint8)))
    assert load_labels(path).array.min() == 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
