"""Random volumes in microscopy formats: tifffile and zarr write them and we read, and the other way round."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import inspect, load_volume, save_labels, save_series, save_volume
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Volume
from support import random_voxels

NAMES = {"nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
METRES = {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "Å": 1e-10}
INTEGERS = ["u1", "i1", "u2", "i2", "u4", "i4"]
quick = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],  # to shrink an example that fails would take minutes
)
lengths = st.floats(1e-3, 1e3)
triples = st.tuples(lengths, lengths, lengths)
places = st.tuples(*[st.floats(-1e4, 1e4)] * 3)
seeds = st.integers(0, 2**32 - 1)
shapes = st.fixed_dictionaries({axis: st.integers(2, 4) for axis in "TCZ"} | {a: st.integers(5, 9) for a in "YX"})


def in_order(array: np.ndarray, axes: str) -> np.ndarray:
    """The array with all axes T, C, Z, Y, X, in this order."""
    present = [axes.index(axis) for axis in "TCZYX" if axis in axes]
    return np.expand_dims(array.transpose(present), [n for n, axis in enumerate("TCZYX") if axis not in axes])


def assert_read(path: Path, expected: np.ndarray, dtype: str) -> None:
    """Each time point and channel (t, c, z, y, x), and a crop of the last one, come as they were written."""
    info = inspect(path)
    assert (info.times, len(info.channels), info.shape) == (expected.shape[0], expected.shape[1], expected.shape[2:])
    assert info.dtype == np.dtype(dtype)
    for time, frame in enumerate(expected):
        np.testing.assert_array_equal(load_volume(path, Selection(time=time)).array, frame)
    _, y, x = info.shape
    part = Selection(time=time, channels=(len(frame) - 1,), crop=((0, 1), (1, y - 1), (2, x)))
    crop = load_volume(path, part)
    np.testing.assert_array_equal(crop.array[0], frame[-1][:1, 1 : y - 1, 2:])


def assert_sizes(grid: Grid, metres: tuple[float, ...], places: tuple[float, ...] = (0.0, 0.0, 0.0)) -> None:
    np.testing.assert_allclose(np.array(grid.spacing) * METRES[grid.unit], metres, rtol=1e-6)
    np.testing.assert_allclose(np.array(grid.origin) * METRES[grid.unit], places, rtol=1e-6, atol=1e-15)


@quick
@given(
    sizes=shapes, axes=st.sampled_from(["YX", "ZYX", "CYX", "TYX", "CZYX", "TZYX", "TCZYX", "TZCYX", "ZCYX", "ZTCYX"]),
    dtype=st.sampled_from([*INTEGERS, "f4", "f8"]), seed=seeds, size=triples,
    units=st.tuples(*[st.sampled_from([*METRES])] * 3), compression=st.sampled_from([None, "zlib", "lzw"]),
    tile=st.sampled_from([None, (16, 16)]), big=st.booleans(), byteorder=st.sampled_from(["<", ">"]),
)  # fmt: skip
def test_an_ome_tiff_of_tifffile(
    sizes, axes, dtype, seed, size, units, compression, tile, big, byteorder, tmp_path: Path
) -> None:
    array, path = random_voxels(tuple(sizes[a] for a in axes), dtype, seed), tmp_path / "a.ome.tif"
    told = {f"PhysicalSize{a}": s for a, s in zip("ZYX", size, strict=True)}
    told |= {f"PhysicalSize{a}Unit": u for a, u in zip("ZYX", units, strict=True)}
    tifffile.imwrite(
        path, array, ome=True, photometric="minisblack", metadata={"axes": axes, **told}, compression=compression,
        tile=tile, bigtiff=big, byteorder=byteorder,
    )  # fmt: skip
    assert_read(path, in_order(array, axes), dtype)
    assert inspect(path).notes == ()
    assert_sizes(inspect(path).grid, tuple(s * METRES[u] for s, u in zip(size, units, strict=True)))


@quick
@given(
    sizes=shapes, axes=st.sampled_from(["YX", "ZYX", "CYX", "TYX", "ZCYX", "TZYX", "TCYX", "TZCYX"]),
    dtype=st.sampled_from(["u1", "u2", "f4"]), seed=seeds, size=triples, unit=st.sampled_from(["nm", "um", "mm", "cm"]),
)  # fmt: skip
def test_an_imagej_stack_of_tifffile(sizes, axes, dtype, seed, size, unit, tmp_path: Path) -> None:
    array, path = random_voxels(tuple(sizes[a] for a in axes), dtype, seed), tmp_path / "a.tif"
    z, y, x = size
    told = {"axes": axes, "unit": unit, **({"spacing": z} if "Z" in axes else {})}
    tifffile.imwrite(path, array, imagej=True, photometric="minisblack", resolution=(1 / x, 1 / y), metadata=told)
    assert_read(path, in_order(array, axes), dtype)
    grid = inspect(path).grid
    np.testing.assert_allclose(grid.spacing, (z if "Z" in axes else x, y, x), rtol=1e-5)
    assert grid.unit == unit.replace("u", "µ")


def write_zarr(
    path: Path, version: str, array: np.ndarray, axes: str, size: dict[str, float], place: dict[str, float],
    units: dict[str, str],
) -> None:  # fmt: skip
    """A group with one array, as the specification of OME-Zarr describes it."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    names = {"dimension_names": list(axes)} if version == "0.5" else {}
    level = group.create_array("s0", shape=array.shape, dtype=array.dtype, chunks=(3,) * array.ndim, **names)
    level[...] = array
    kinds, named = {"t": "time", "c": "channel"}, {a: {"unit": units[a]} for a in units}
    multiscale: dict[str, Any] = {
        "axes": [{"name": a, "type": kinds.get(a, "space"), **named.get(a, {})} for a in axes],
        "datasets": [{"path": "s0", "coordinateTransformations": [
            {"type": "scale", "scale": [size.get(a, 1.0) for a in axes]},
            {"type": "translation", "translation": [place.get(a, 0.0) for a in axes]},
        ]}],
    }  # fmt: skip
    if version == "0.4":
        group.attrs["multiscales"] = [{**multiscale, "version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@quick
@given(
    sizes=shapes, axes=st.sampled_from(["yx", "zyx", "cyx", "tyx", "czyx", "tzyx", "tczyx"]),
    dtype=st.sampled_from([*INTEGERS, "i8", "u8", "f4", "f8"]), seed=seeds, size=triples, place=places,
    units=st.tuples(*[st.sampled_from([*NAMES])] * 3),
)  # fmt: skip
def test_an_ome_zarr_of_zarr(version, sizes, axes, dtype, seed, size, place, units, tmp_path: Path) -> None:
    array, path = random_voxels(tuple(sizes[a.upper()] for a in axes), dtype, seed), tmp_path / f"{seed}.ome.zarr"
    by_axis = [dict(zip("zyx", each, strict=True)) for each in (size, place, [NAMES[u] for u in units])]
    write_zarr(path, version, array, axes, *by_axis)
    assert_read(path, in_order(array, axes.upper()), dtype)
    info = inspect(path)
    assert (info.notes, info.format) == ((), f"OME-Zarr {version}")
    metres = [s * METRES[u] for s, u in zip(size, units, strict=True)]
    apart = [p * METRES[u] for p, u in zip(place, units, strict=True)]
    flat = "z" not in axes
    assert_sizes(info.grid, (metres[2] if flat else metres[0], *metres[1:]), (0.0 if flat else apart[0], *apart[1:]))


grids = st.builds(Grid, triples, st.sampled_from([*NAMES, "pixel"]), places)


def written(path: Path, kind: str, array: np.ndarray, grid: Grid) -> np.ndarray:
    """Write (t, c, z, y, x) as labels or an image, one time point or several; returns what the file must hold."""
    frames = [Volume(f, grid, tuple("abcd")[: len(f)]) if kind == "image" else Labels(f[0], grid) for f in array]
    if len(frames) > 1:
        save_series(path, frames)
    elif kind == "image":
        save_volume(path, frames[0])
    else:
        save_labels(path, frames[0])
    kept = array if kind == "image" else array[:, 0]
    return kept if len(frames) > 1 else kept[0]


@pytest.mark.parametrize("kind", ["labels", "image"])
@quick
@given(
    shape=st.tuples(*[st.integers(1, 3)] * 3, *[st.integers(3, 6)] * 2), dtype=st.sampled_from(["u1", "u2", "f4"]),
    seed=seeds, grid=grids,
)  # fmt: skip
def test_tifffile_reads_what_we_write(kind, shape, dtype, seed, grid, tmp_path: Path) -> None:
    array = random_voxels(shape, "u1" if kind == "labels" else dtype, seed)
    kept = written(tmp_path / "a.ome.tif", kind, array, grid)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        np.testing.assert_array_equal(tif.asarray().reshape(kept.shape), kept)
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    times, channels, *zyx = shape
    expected = (times, channels if kind == "image" else 1, *zyx)
    assert tuple(pixels[f"Size{axis}"] for axis in "TCZYX") == expected
    assert [pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"] == [grid.unit] * 3
    np.testing.assert_allclose([pixels[f"PhysicalSize{axis}"] for axis in "ZYX"], grid.spacing, rtol=1e-6)
    assert_back(tmp_path / "a.ome.tif", array, grid)


@pytest.mark.parametrize("kind", ["labels", "image"])
@quick
@given(
    shape=st.tuples(*[st.integers(1, 3)] * 3, *[st.integers(3, 6)] * 2), seed=seeds, grid=grids,
    dtype=st.sampled_from([*INTEGERS, "i8", "u8", "f4", "f8"]),
)  # fmt: skip
def test_zarr_reads_what_we_write(kind, shape, dtype, seed, grid, tmp_path: Path) -> None:
    array, path = random_voxels(shape, "u2" if kind == "labels" else dtype, seed), tmp_path / "a.ome.zarr"
    kept = written(path, kind, array, grid)
    group = zarr.open_group(str(path), mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    (dataset,) = multiscale["datasets"]
    np.testing.assert_array_equal(group[dataset["path"]][...], kept)
    axes = "".join(axis["name"] for axis in multiscale["axes"])
    assert axes == ("t" if shape[0] > 1 else "") + ("c" if kind == "image" else "") + "zyx"
    assert [axis.get("unit") for axis in multiscale["axes"][-3:]] == [NAMES.get(grid.unit)] * 3
    scale, translation = dataset["coordinateTransformations"]
    np.testing.assert_allclose(scale["scale"][-3:], grid.spacing)
    np.testing.assert_allclose(translation["translation"][-3:], grid.origin)
    assert_back(path, array, grid)


def assert_back(path: Path, array: np.ndarray, grid: Grid) -> None:
    """The last time point is read with its spacing, unit and origin."""
    got = load_volume(path, Selection(time=len(array) - 1))
    np.testing.assert_array_equal(got.array, array[-1][: len(got.array)])
    assert (got.grid.unit, inspect(path).notes) == (grid.unit, ())
    np.testing.assert_allclose(got.grid.spacing, grid.spacing, rtol=1e-6)
    np.testing.assert_allclose(got.grid.origin, grid.origin, rtol=1e-6)
