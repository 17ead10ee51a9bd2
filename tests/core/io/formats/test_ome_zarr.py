"""OME-Zarr 0.4 and 0.5; missing chunks are told, a damaged store is refused."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from yaozarrs import v05

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels, save_volume
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError

ARRAY = np.random.default_rng(0).integers(1, 255, (2, 3, 4, 10, 12), dtype=np.uint16)  # t, c, z, y, x
UNIT = {"z": "nanometer", "y": "micrometer", "x": "micrometer"}


def write(path: Path, version: str, array: np.ndarray = ARRAY, axes: str = "tczyx", **options: Any) -> Path:
    """An image of two levels, as the specification describes it."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    scale = {"t": 1.0, "c": 1.0, "z": 300.0, "y": 0.1, "x": 0.1}
    datasets = []
    for level, step in enumerate((1, 2)):
        data = array[..., ::step, ::step]
        made = group.create_array(
            str(level),
            shape=data.shape,
            dtype=data.dtype,
            dimension_names=list(axes) if version == "0.5" else None,
            **{"chunks": (*(1,) * (data.ndim - 2), 5, 6), **options},
        )
        made[...] = data
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [scale[a] * (step if a in "yx" else 1) for a in axes]},
                    {
                        "type": "translation",
                        "translation": [{"z": 600.0, "y": 2.0, "x": 3.0}.get(a, 0.0) for a in axes],
                    },
                ],
            }
        )
    kinds = {"t": "time", "c": "channel"}
    multiscale = {
        "name": "image",
        "axes": [{"name": a, "type": kinds.get(a, "space"), **({"unit": UNIT[a]} if a in UNIT else {})} for a in axes],
        "datasets": datasets,
    }
    omero = {
        "channels": [
            {"label": f"dye {i}", "color": "FFFFFF", "window": {"start": 0, "end": 1, "min": 0, "max": 1}}
            for i in range(3)
        ]
    }
    if version == "0.4":
        group.attrs.update({"multiscales": [{**multiscale, "version": "0.4"}], "omero": omero})
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "omero": omero}
    yaozarrs.validate_zarr_store(str(path))
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image(version: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", version)
    info = inspect(path)
    assert (info.shape, info.times, info.levels) == ((4, 10, 12), 2, ((4, 10, 12), (4, 5, 6)))
    assert info.format == f"OME-Zarr {version}"
    assert info.channels == ("dye 0", "dye 1", "dye 2")
    np.testing.assert_allclose(info.grid.spacing, (0.3, 0.1, 0.1))
    np.testing.assert_allclose(info.grid.origin, (0.6, 2, 3))
    assert info.grid.unit == "µm"
    volume = load_volume(path, Selection(time=1, channels=(2, 0), crop=((1, 3), (4, 9), (0, 7))))
    np.testing.assert_array_equal(volume.array, ARRAY[1, [2, 0], 1:3, 4:9, 0:7])
    assert volume.channels == ("dye 2", "dye 0")
    level = load_volume(path, Selection(level=1))
    np.testing.assert_array_equal(level.array, ARRAY[0, ..., ::2, ::2])
    np.testing.assert_allclose(level.grid.spacing, (0.3, 0.2, 0.2))


@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx"])
def test_fewer_axes(axes: str, tmp_path: Path) -> None:
    array = ARRAY[tuple(slice(None) if a in axes else 0 for a in "tczyx")]
    volume = load_volume(write(tmp_path / "a.zarr", "0.5", array, axes))
    expected = ARRAY[0, :, :1] if axes == "cyx" else ARRAY[0, :1] if axes == "zyx" else ARRAY[0, :1, :1]
    np.testing.assert_array_equal(volume.array, expected)


def test_shards(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", "0.5", shards=(1, 1, 4, 10, 12))
    np.testing.assert_array_equal(load_volume(path).array, ARRAY[0])


def test_transformations_of_the_pyramid_follow_those_of_the_level(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", "0.5", ARRAY[0, 0], "zyx")
    group = zarr.open_group(str(path), mode="r+")
    ome = dict(group.attrs["ome"])
    ome["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1.0, 2.0, 3.0]},
        {"type": "translation", "translation": [0.0, 1.0, 0.0]},
    ]
    group.attrs["ome"] = ome
    np.testing.assert_allclose(inspect(path).grid.spacing, (0.3, 0.2, 0.3))
    np.testing.assert_allclose(inspect(path).grid.origin, (0.6, 5, 9))


def test_a_bare_array_and_numbered_images(tmp_path: Path) -> None:
    zarr.save_array(str(tmp_path / "a.zarr"), ARRAY[0, 0])
    with pytest.warns(UserWarning, match="z, y, x are assumed"):
        np.testing.assert_array_equal(load_volume(tmp_path / "a.zarr").array[0], ARRAY[0, 0])
    zarr.open_group(str(tmp_path / "b.zarr"), mode="w").attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    write(tmp_path / "b.zarr" / "0", "0.5")
    assert inspect(tmp_path / "b.zarr").shape == (4, 10, 12)


def test_written_labels_are_valid_and_open_elsewhere(tmp_path: Path) -> None:
    structures = (Structure(label=1, name="nucleus", colour="#00ff80"),)
    array = np.random.default_rng(0).integers(0, 2, (3, 40, 1200), dtype=np.uint8)
    path = tmp_path / "labels.ome.zarr"
    save_labels(path, Labels(array, Grid((2, 0.5, 0.5), "µm", (1, 2, 3)), structures))
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(str(path), mode="r")
    np.testing.assert_array_equal(group["0"][...], array)
    np.testing.assert_array_equal(group["2"][...], array[:, ::4, ::4])
    label = group.attrs["ome"]["image-label"]
    assert label["colors"] == [{"label-value": 1, "rgba": [0, 255, 128, 255]}]
    assert label["properties"] == [{"label-value": 1, "name": "nucleus"}]
    v05.LabelImage.model_validate(group.attrs["ome"])
    assert inspect(path).levels == ((3, 40, 1200), (3, 20, 600), (3, 10, 300))
    np.testing.assert_allclose(load_labels(path, Selection(level=2)).grid.spacing, (2, 2, 2))


def test_colours_and_names_written_by_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", "0.5", ARRAY[0, 0], "zyx")
    group = zarr.open_group(str(path), mode="r+")
    group.attrs["ome"] = {
        **dict(group.attrs["ome"]),
        "image-label": {
            "colors": [{"label-value": 7, "rgba": [255, 0, 1, 255]}, {"label-value": 0, "rgba": [0, 0, 0, 0]}]
        },
    }
    assert load_labels(path).structures == (Structure(label=7, name="label 7", colour="#ff0001"),)


def test_an_empty_result_has_all_its_chunks(tmp_path: Path) -> None:
    save_labels(tmp_path / "a.zarr", Labels(np.zeros((2, 3, 4), np.uint8)))
    save_volume(tmp_path / "b.zarr", Volume(np.zeros((2, 2, 3, 4), np.float32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_labels(tmp_path / "a.zarr").array.max() == 0
        assert load_volume(tmp_path / "b.zarr").array.max() == 0


def chunk_files(path: Path) -> list[Path]:
    return sorted(
        p for p in (path / "0").rglob("*") if p.is_file() and p.name not in ("zarr.json", ".zarray", ".zattrs")
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_some_missing_chunks_are_told(version: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", version, ARRAY[0, 0], "zyx")
    for chunk in chunk_files(path)[:3]:
        chunk.unlink()
    with pytest.warns(UserWarning, match="3 chunks"):
        volume = load_volume(path)
    assert (volume.array == 0).sum() == 3 * 5 * 6


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_no_chunks_at_all_are_refused(version: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", version, ARRAY[0, 0], "zyx")
    for chunk in chunk_files(path):
        chunk.unlink()
    with pytest.raises(InputError, match="no chunks"):
        load_volume(path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("options", [{}, {"compressors": None}])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b""])
def test_a_broken_chunk_is_refused(version: str, options: dict[str, Any], damage: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", version, ARRAY[0, 0], "zyx", **options)
    chunk = chunk_files(path)[2]
    chunk.write_bytes(damage(chunk.read_bytes()))
    with pytest.raises(InputError, match="OME-Zarr"):
        load_volume(path)


def test_what_is_no_ome_zarr_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    (tmp_path / "folder.zarr").mkdir()
    broken = write(tmp_path / "broken.zarr", "0.5")
    (broken / "zarr.json").write_text((broken / "zarr.json").read_text()[:-20])
    lost = write(tmp_path / "lost.zarr", "0.5")
    (lost / "1" / "zarr.json").unlink()
    odd = write(tmp_path / "odd.zarr", "0.5")
    text = (odd / "zarr.json").read_text()
    (odd / "zarr.json").write_text(json.dumps(json.loads(text.replace('"name": "z"', '"name": "depth"'))))
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=path.name):
            inspect(path)
