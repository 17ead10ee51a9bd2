"""Voxel sizes in every spelling and of any sign, and the parts of a file: time points, images, companions, wells."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the custom of the field
import tifffile
import zarr

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_series
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.units import length_unit
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError, OutputError, SettingsError
from support import Command

NOISE = np.random.default_rng(0).integers(0, 4, (3, 4, 5), dtype=np.uint8)
OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def codes(path: Path) -> list[str]:
    return [getattr(note, "code", "") for note in inspect(path).notes]


@pytest.mark.parametrize(
    ("words", "metres"),
    [
        (("um", "µm", "μm", "Micron", "MICRONS", "micrometre", '"um"', "UM", "\\u00B5m"), 1e-6),
        (("nm", "NM", "Nanometer", "nanometres"), 1e-9),
        (("mm", "MM", " millimeter ", "Millimetres"), 1e-3),
        (("Å", "angstrom", "Angstroms"), 1e-10),
        (("inch", "in", "[in_i]", "Inches"), 0.0254),
        (("Mm", "megameter"), 1e6),
        (("furlong", "", "pixel", "sec"), None),
    ],
)
def test_spellings_of_a_unit(words: tuple[str, ...], metres: float | None) -> None:
    found = {unit and unit.metres for unit in map(length_unit, words)}
    assert found == {metres}


def nrrd(path: Path, *lines: str) -> Path:
    head = (
        "NRRD0005\ntype: uint8\ndimension: 3\nsizes: 5 4 3\nencoding: raw\n"
        + "".join(f"{line}\n" for line in lines)
        + "\n"
    )
    path.write_bytes(head.encode() + NOISE.tobytes())
    return path


@pytest.mark.parametrize(
    ("lines", "size", "unit", "notes"),
    [
        (["spacings: 0.5 0.5 2", 'units: "um" "um" "um"'], (2, 0.5, 0.5), "µm", []),
        (["spacings: 0.5 0.5 2", 'units: "microns" "microns" "nm"'], (0.002, 0.5, 0.5), "µm", []),
        (["spacings: 0.5 0.5 -2"], (2, 0.5, 0.5), "mm", ["spacing-negative"]),
        (["spacings: 0.5 0.5 2", 'units: "furlong" "um" "um"'], (2, 0.5, 0.5), "mm", ["unit-assumed"]),
        ([], (1, 1, 1), "mm", ["spacing-assumed"]),
        (
            [
                "space: left-posterior-superior",
                "space directions: (0.5,0,0) (0,0.5,0) (0,0,2)",
                'space units: "cm" "cm" "cm"',
            ],
            (2, 0.5, 0.5),
            "cm",
            [],
        ),
    ],
)
def test_units_of_a_nrrd(
    lines: list[str], size: tuple[float, ...], unit: str, notes: list[str], tmp_path: Path
) -> None:
    path = nrrd(tmp_path / "a.nrrd", *lines)
    grid = inspect(path).grid
    np.testing.assert_allclose(grid.spacing, size)
    assert (grid.unit, codes(path)) == (unit, notes)
    np.testing.assert_array_equal(load_volume(path).array.sum(), NOISE.sum())


def test_a_nrrd_of_size_0_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="size of 0") as caught:
        inspect(nrrd(tmp_path / "a.nrrd", "spacings: 0.5 0.5 0"))
    assert "damaged" not in str(caught.value)


def test_the_unit_of_a_metaimage(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(NOISE)
    image.SetSpacing((0.5, 0.5, 2.0))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    content = (tmp_path / "a.mha").read_bytes()
    assert inspect(tmp_path / "a.mha").grid.unit == "mm"
    (tmp_path / "a.mha").write_bytes(content.replace(b"DimSize", b"DistanceUnits = um\nDimSize"))
    grid = inspect(tmp_path / "a.mha").grid
    assert (grid.unit, grid.spacing) == ("µm", (2.0, 0.5, 0.5))


def test_segments_in_layers_are_one_volume_of_labels(tmp_path: Path) -> None:
    layers = np.zeros((3, 4, 5, 2), np.uint8)
    layers[1, 1:3, :, 0], layers[1, 2:, 2:, 1] = 1, 1
    image = sitk.GetImageFromArray(layers, isVector=True)
    for number, name in enumerate(("organ", "lesion")):
        for key, value in {"Name": name, "Color": "1 0 0", "LabelValue": "1", "Layer": str(number)}.items():
            image.SetMetaData(f"Segment{number}_{key}", value)
    sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    with pytest.warns(UserWarning, match="may overlap"):
        labels = load_labels(tmp_path / "a.seg.nrrd")
    expected = np.where(layers[..., 1], 2, layers[..., 0])
    assert sorted(np.unique(labels.array, return_counts=True)[1]) == sorted(np.unique(expected, return_counts=True)[1])
    assert [(s.label, s.name) for s in labels.structures] == [(1, "organ"), (2, "lesion")]
    assert len(load_volume(tmp_path / "a.seg.nrrd").channels) == 2


@pytest.mark.parametrize(
    ("code", "unit", "notes"), [(1, "m", 0), (2, "mm", 0), (3, "µm", 0), (0, "mm", 1), (7, "mm", 1), (255, "mm", 1)]
)
def test_units_of_a_nifti(code: int, unit: str, notes: int, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(NOISE, np.diag([1.0, 2, 3, 1]))
    image.header["xyzt_units"] = code
    nibabel.save(image, tmp_path / "a.nii")
    assert (inspect(tmp_path / "a.nii").grid.unit, codes(tmp_path / "a.nii").count("unit-assumed")) == (unit, notes)


@pytest.mark.parametrize(
    ("spacing", "z", "note"), [(-3.0, 3.0, "spacing-negative"), (0.0, 0.5, "spacing-assumed"), (3.0, 3.0, None)]
)
def test_the_distance_of_slices_of_imagej(spacing: float, z: float, note: str | None, tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "spacing": spacing, "unit": "micron"}
    tifffile.imwrite(tmp_path / "a.tif", NOISE, imagej=True, resolution=(2, 2), metadata=metadata)
    assert inspect(tmp_path / "a.tif").grid == Grid((z, 0.5, 0.5), "µm")
    assert note is None or note in codes(tmp_path / "a.tif")


@pytest.mark.parametrize(("size", "grid"), [(-0.5, Grid((2, 0.5, 0.5), "µm")), (0.0, Grid())])
def test_odd_sizes_of_an_ome_tiff(size: float, grid: Grid, tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": size, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2}
    tifffile.imwrite(tmp_path / "a.ome.tif", NOISE, metadata=metadata)
    assert inspect(tmp_path / "a.ome.tif").grid == grid
    assert codes(tmp_path / "a.ome.tif") == ["spacing-negative" if size else "spacing-not-known"]


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [(50800, "INCH", 0.5), (20000, "CENTIMETER", 0.5), (300, "INCH", None), (72, "INCH", None), (2, "NONE", None)],
)
def test_resolution_tags_finer_than_print_are_believed(
    resolution: int, unit: str, size: float | None, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", NOISE[0], resolution=(resolution,) * 2, resolutionunit=unit, metadata=None)
    grid = inspect(tmp_path / "a.tif").grid
    assert grid.is_physical == (size is not None)
    if size is not None:
        np.testing.assert_allclose(grid.spacing, size)
        assert codes(tmp_path / "a.tif") == ["spacing-of-resolution-tags"]


def test_imagej_in_inches(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", NOISE, imagej=True, resolution=(25400, 25400), metadata={"unit": "inch", "spacing": 0.0001}
    )
    np.testing.assert_allclose(inspect(tmp_path / "a.tif").grid.spacing_in("µm"), (2.54, 1, 1))


def companions(folder: Path) -> None:
    """Three TIFFs of a plane each, which name the file that describes them."""
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="s{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(3)
    )
    (folder / "set.companion.ome").write_text(
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}" UUID="urn:uuid:99"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="5" SizeY="4" SizeZ="3" SizeC="1" SizeT="1" '
        'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="2"><Channel ID="Channel:0:0" Name="DAPI"/>'
        f"{planes}</Pixels></Image></OME>"
    )
    for z in range(3):
        xml = (
            f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}" UUID="urn:uuid:{z}">'
            '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:99"/></OME>'
        )
        tifffile.imwrite(folder / f"s{z}.ome.tif", NOISE[z], description=xml, metadata=None)


@pytest.mark.parametrize("name", ["s0.ome.tif", "s2.ome.tif", "set.companion.ome"])
def test_a_companion_file_describes_the_whole_set(name: str, tmp_path: Path) -> None:
    companions(tmp_path)
    volume = load_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.array[0], NOISE)
    assert (volume.grid, volume.channels) == (Grid((2, 0.5, 0.5), "µm"), ("DAPI",))
    crop = load_volume(tmp_path / name, Selection(crop=((1, 3), (1, 3), (0, 2))))
    np.testing.assert_array_equal(crop.array[0], NOISE[1:3, 1:3, 0:2])


def test_a_missing_or_damaged_companion_is_told(tmp_path: Path) -> None:
    companions(tmp_path)
    (tmp_path / "set.companion.ome").write_text("<OME><Ima")
    with pytest.raises(InputError, match=r"set\.companion\.ome is not whole OME-XML"):
        inspect(tmp_path / "set.companion.ome")
    (tmp_path / "set.companion.ome").unlink()
    (note,) = inspect(tmp_path / "s0.ome.tif").notes
    assert "set.companion.ome" in note
    np.testing.assert_array_equal(load_volume(tmp_path / "s0.ome.tif").array[0, 0], NOISE[0])


def test_two_images_of_an_ome_tiff_have_their_own_sizes(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        for number, size in enumerate((0.5, 0.25)):
            tif.write(
                NOISE[number:],
                photometric="minisblack",
                metadata={"axes": "ZYX", "Name": f"n{number}", "PhysicalSizeX": size, "PhysicalSizeY": size},
            )
    for number, size in enumerate((0.5, 0.25)):
        volume = load_volume(tmp_path / "a.ome.tif", Selection(image=number))
        np.testing.assert_array_equal(volume.array[0], NOISE[number:])
        assert volume.grid.spacing == (size,) * 3
    assert [text.split(",")[0] for text in inspect(tmp_path / "a.ome.tif").images] == ["n0", "n1"]


def test_a_reduced_page_is_no_image_of_its_own(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(NOISE[0], metadata=None)
        tif.write(NOISE[0, ::2, ::2], metadata=None, subfiletype=1)
    assert inspect(tmp_path / "a.tif").images == ()
    np.testing.assert_array_equal(load_volume(tmp_path / "a.tif").array[0, 0], NOISE[0])


def multiscale(folder: Path, scale: list[float] | None, unit: str | None = "um", version: str = "0.4") -> None:
    """A Zarr 2 as other programs write it."""
    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    group.create_array("0", data=NOISE)
    axes: object = [{"name": a, "type": "space", **({"unit": unit} if unit else {})} for a in "zyx"]
    record: dict[str, object] = {"version": version, "datasets": [{"path": "0"}], "axes": axes}
    if version < "0.4":
        record["axes"] = list("zyx")
    if version < "0.3":
        del record["axes"]
    if scale is not None:
        record["datasets"] = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    group.attrs["multiscales"] = [record]


@pytest.mark.parametrize(
    ("word", "unit", "size"),
    [("um", "µm", 0.5), ("micron", "µm", 0.5), ("mm", "mm", 0.5), ("nanometer", "nm", 0.5), ("angstrom", "µm", 5e-5)],
)
def test_units_of_an_ome_zarr_raise_no_warning(
    word: str, unit: str, size: float, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    multiscale(tmp_path / "a.zarr", [2, 0.5, 0.5], word)
    recwarn.clear()
    grid = inspect(tmp_path / "a.zarr").grid
    assert (grid.unit, len(recwarn)) == (unit, 0)
    np.testing.assert_allclose(grid.spacing, (4 * size, size, size))


@pytest.mark.parametrize(
    ("z", "grid", "code"),
    [
        (0.0, Grid((1, 0.5, 0.5)), "spacing-not-known"),
        (float("nan"), Grid((1, 0.5, 0.5)), "spacing-not-known"),
        (-2.0, Grid((2, 0.5, 0.5), "µm"), "spacing-negative"),
    ],
)
def test_odd_sizes_of_an_ome_zarr(z: float, grid: Grid, code: str, tmp_path: Path) -> None:
    multiscale(tmp_path / "a.zarr", [z, 0.5, 0.5])
    assert (inspect(tmp_path / "a.zarr").grid, codes(tmp_path / "a.zarr")) == (grid, [code])
    given = load_volume(tmp_path / "a.zarr", Selection(spacing=(2, 0.5, 0.5), unit="µm")).grid
    assert (given.spacing, given.unit) == ((2, 0.5, 0.5), "µm")


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_old_versions_of_ome_zarr(version: str, tmp_path: Path) -> None:
    multiscale(tmp_path / "a.zarr", None, version=version)
    volume = load_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(volume.array[0], NOISE)
    assert inspect(tmp_path / "a.zarr").format == f"OME-Zarr {version}"
    assert codes(tmp_path / "a.zarr") == ["spacing-not-known"]


def test_metadata_that_make_no_sense_are_told_in_our_words(tmp_path: Path) -> None:
    multiscale(tmp_path / "a.zarr", [2, 0.5])
    with pytest.raises(InputError, match=r"not those of OME-Zarr 0\.1 to 0\.5") as caught:
        inspect(tmp_path / "a.zarr")
    assert not any(word in str(caught.value) for word in ("pydantic", "Field required", "damaged"))


def test_a_group_of_arrays_says_how_to_open_one(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_array("raw", data=NOISE)
    with pytest.raises(InputError, match=r"without an image.*one of its arrays by its own path: raw"):
        inspect(tmp_path / "a.zarr")
    np.testing.assert_array_equal(load_volume(tmp_path / "a.zarr/raw").array[0], NOISE)


def plate(folder: Path, wells: dict[str, int]) -> None:
    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    group.attrs["plate"] = {"version": "0.4", "wells": [{"path": name} for name in wells]}
    for name, fields in wells.items():
        (folder / name).mkdir(parents=True)
        (folder / name / ".zgroup").write_text('{"zarr_format": 2}')
        images = [{"path": str(number)} for number in range(fields)]
        (folder / name / ".zattrs").write_text(json.dumps({"well": {"images": images, "version": "0.4"}}))
        for number in range(fields):
            multiscale(folder / name / str(number), [2, 0.5, 0.5])


def test_a_plate_is_listed_and_a_field_chosen(command: Command, tmp_path: Path) -> None:
    plate(tmp_path / "p.zarr", {"A/1": 2, "B/3": 1})
    zarr.open_array(str(tmp_path / "p.zarr/B/3/0/0"), mode="r+")[...] = 7
    with pytest.raises(InputError, match=r"3 images \(0: A/1/0; 1: A/1/1; 2: B/3/0\).*--image N"):
        load_volume(tmp_path / "p.zarr")
    assert (load_volume(tmp_path / "p.zarr", Selection(image=2)).array == 7).all()
    outcome = command("info", tmp_path / "p.zarr", "--json")
    record = json.loads(outcome.out)
    assert record["images"] == ["A/1/0", "A/1/1", "B/3/0"]
    assert {note["option"] for note in record["notes"]} == {"--image"}
    assert inspect(tmp_path / "p.zarr/B/3").images == ()


def series(kind: str) -> tuple[list[Labels] | list[Volume], np.ndarray]:
    array = np.random.default_rng(1).integers(0, 200, (4, 2, 3, 6, 7), dtype=np.uint8)  # t, c, z, y, x
    grid = Grid((2, 0.5, 0.5), "µm")
    if kind == "labels":
        return [Labels(frame, grid) for frame in array[:, 0]], array[:, 0]
    return [Volume(frame, grid, ("a", "b")) for frame in array], array


@pytest.mark.parametrize("kind", ["labels", "image"])
@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr", ".nii.gz"])
def test_a_series_comes_back_here_and_in_other_libraries(suffix: str, kind: str, tmp_path: Path) -> None:
    path, (frames, array) = tmp_path / f"a{suffix}", series(kind)
    save_series(path, frames)
    info = inspect(path)
    assert (info.times, info.shape, len(info.channels)) == (4, (3, 6, 7), 1 if kind == "labels" else 2)
    np.testing.assert_allclose(info.grid.spacing, (2, 0.5, 0.5))
    for time in range(4):
        volume = load_volume(path, Selection(time=time))
        np.testing.assert_array_equal(volume.array if kind == "image" else volume.array[0], array[time])
    if suffix == ".ome.tif":
        with tifffile.TiffFile(path) as tif:
            assert tif.series[0].axes == ("TZYX" if kind == "labels" else "TCZYX")
            np.testing.assert_array_equal(tif.asarray(), array)
    elif suffix == ".ome.zarr":
        np.testing.assert_array_equal(zarr.open_array(str(path / "0"), mode="r")[...], array)
    else:
        assert nibabel.load(path).shape == ((7, 6, 3, 4) if kind == "labels" else (7, 6, 3, 4, 2))


def test_a_series_is_refused_where_the_format_holds_one_time_point(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.nrrd can hold one time point"):
        save_series(tmp_path / "a.nrrd", series("labels")[0])
    assert not any(tmp_path.iterdir())
    path = tmp_path / "a.nii.gz"
    save_series(path, series("labels")[0])
    with pytest.raises(SettingsError, match="one time point"):
        load_volume(path, Selection(time="all"))


def test_segment_takes_the_first_time_point_with_a_note_or_all(command: Command, tmp_path: Path) -> None:
    yy, xx = np.mgrid[:64, :64]
    frames = [((yy - 20 - 5 * t) ** 2 + (xx - 30) ** 2 < 81) * np.uint8(200) for t in range(3)]
    metadata = {"axes": "TYX", "unit": "um"}
    tifffile.imwrite(tmp_path / "t.tif", np.stack(frames), imagej=True, resolution=(2, 2), metadata=metadata)
    first = command("segment", tmp_path / "t.tif", "-o", tmp_path / "first.ome.tif", "-m", "nuclei-2d")
    assert "The first of 3 time points is taken" in first.err
    assert inspect(tmp_path / "first.ome.tif").times == 1
    chosen = command("segment", tmp_path / "t.tif", "-o", tmp_path / "c.ome.tif", "-m", "nuclei-2d", "--time", "2")
    assert "time point" not in chosen.err
    every = command("segment", tmp_path / "t.tif", "-o", tmp_path / "all.ome.tif", "-m", "nuclei-2d", "--time", "all")
    assert every.code == 0, every.err
    assert inspect(tmp_path / "all.ome.tif").times == 3
    for name, time in (("first", 0), ("c", 2)):
        one, of_all = (
            load_labels(tmp_path / f"{name}.ome.tif"),
            load_labels(tmp_path / "all.ome.tif", Selection(time=time)),
        )
        np.testing.assert_array_equal(one.array, of_all.array)
    refused = command("segment", tmp_path / "t.tif", "-o", tmp_path / "all.nrrd", "-m", "nuclei-2d", "--time", "all")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert not (tmp_path / "all.nrrd").exists()


def test_labels_that_have_no_number_in_common_are_told(command: Command, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (NOISE[0] > 1).astype(np.uint8))
    tifffile.imwrite(tmp_path / "b.tif", (NOISE[0] > 1) * np.uint8(255))
    outcome = command("evaluate", tmp_path / "a.tif", tmp_path / "b.tif")
    assert "No label occurs in both: the prediction has 1, and the reference 255" in outcome.err
    assert "No label" not in command("evaluate", tmp_path / "a.tif", tmp_path / "a.tif").err
