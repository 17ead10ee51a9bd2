"""TIFF of every make: axes, channels, spacing and unit come from the file; a damaged one is refused."""

import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError, OutputError, ResourceError, SettingsError

rng = np.random.default_rng(0)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return rng.integers(0, 255, shape).astype(dtype)


def write(path: Path, array: np.ndarray | None = None, **options: object) -> None:
    tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_plain_stack(big: bool, compression: str | None, dtype: type, byteorder: str, tmp_path: Path) -> None:
    array = noise(4, 5, 6, dtype=dtype)
    write(tmp_path / "a.tif", array, bigtiff=big, compression=compression, byteorder=byteorder)
    volume = load_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.array[0], array)
    assert volume.array.dtype == inspect(tmp_path / "a.tif").dtype == dtype
    assert volume.array.dtype.isnative
    assert (volume.grid, volume.name) == (Grid(), "a")


@pytest.mark.parametrize(
    ("unit", "size", "expected"),
    [
        ("µm", 0.5, (0.5, "µm")),
        ("nm", 8, (8, "nm")),
        ("mm", 2, (2, "mm")),
        ("Å", 5, (5e-4, "µm")),
        ("pixel", 3, (3, "pixel")),
    ],
)
def test_the_physical_size_of_an_ome_tiff(unit: str, size: float, expected: tuple[float, str], tmp_path: Path) -> None:
    metadata = {"axes": "CZYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    metadata |= {f"PhysicalSize{a}": size for a in "XYZ"} | {f"PhysicalSize{a}Unit": unit for a in "XYZ"}
    array = noise(2, 3, 4, 5)
    write(tmp_path / "a.ome.tif", array, metadata=metadata)
    volume = load_volume(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(volume.array, array)
    assert volume.channels == ("DAPI", "GFP")
    assert volume.grid.unit == expected[1]
    np.testing.assert_allclose(volume.grid.spacing, expected[0])


def test_units_that_differ_between_axes_become_one(tmp_path: Path) -> None:
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.1,
        "PhysicalSizeZ": 300,
        "PhysicalSizeZUnit": "nm",
    }
    write(tmp_path / "a.ome.tif", noise(3, 4, 5), metadata=metadata)
    grid = inspect(tmp_path / "a.ome.tif").grid
    np.testing.assert_allclose(grid.spacing, (0.3, 0.1, 0.1))
    assert grid.unit == "µm"


def test_an_imagej_hyperstack(tmp_path: Path) -> None:
    array = noise(2, 3, 4, 5, 6, dtype=np.uint16)  # time, z, channel, y, x
    write(
        tmp_path / "a.tif",
        array,
        imagej=True,
        resolution=(10, 5),
        metadata={"axes": "TZCYX", "spacing": 0.75, "unit": "um"},
    )
    info = inspect(tmp_path / "a.tif")
    assert (info.shape, len(info.channels), info.times, info.format) == ((3, 5, 6), 4, 2, "ImageJ TIFF")
    np.testing.assert_allclose(info.grid.spacing, (0.75, 0.2, 0.1))
    assert info.grid.unit == "µm"
    volume = load_volume(tmp_path / "a.tif", Selection(time=1, channels=(2, 0), crop=((1, 3), (0, 2), (4, 6))))
    np.testing.assert_array_equal(volume.array, array[1, 1:3, [2, 0], 0:2, 4:6])
    assert volume.channels == ("channel 3", "channel 1")
    np.testing.assert_allclose(volume.grid.origin, (0.75, 0, 0.4))


def test_a_stack_saved_by_fiji_has_one_directory_for_all_slices(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    array = noise(6, 32, 32)
    write(path, array, imagej=True, metadata={"axes": "ZYX"})
    data = bytearray(path.read_bytes())
    tags = int.from_bytes(data[8:10], "little")
    data[10 + 12 * tags : 14 + 12 * tags] = bytes(4)  # no next directory
    path.write_bytes(data)
    np.testing.assert_array_equal(load_volume(path).array[0], array)
    np.testing.assert_array_equal(
        load_volume(path, Selection(crop=((2, 5), (3, 9), (0, 7)))).array[0], array[2:5, 3:9, :7]
    )
    with tifffile.TiffFile(path) as tif:
        end = tif.series[0].dataoffset + array.nbytes
    path.write_bytes(data[: end - 100])
    with pytest.raises(InputError, match="cut off"):
        inspect(path)


def test_an_ome_tiff_in_two_files(tmp_path: Path) -> None:
    array = noise(2, 4, 5)
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(2)
    )
    for z in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{z}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
            f'SizeX="5" SizeY="4" SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>'
            f"{planes}</Pixels></Image></OME>"
        )
        write(tmp_path / f"{z}.ome.tif", array[z], description=xml, metadata=None)
    np.testing.assert_array_equal(load_volume(tmp_path / "0.ome.tif").array[0], array)
    (tmp_path / "1.ome.tif").unlink()
    with pytest.raises(InputError, match="with all its files"):
        inspect(tmp_path / "0.ome.tif")


def test_print_resolution_is_not_a_voxel_size(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(5, 6), resolution=(300, 300), resolutionunit="INCH")
    assert inspect(tmp_path / "a.tif").grid == Grid()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colour(planar: str, samples: int, tmp_path: Path) -> None:
    array = noise(5, 6, samples)
    stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
    write(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    volume = load_volume(tmp_path / "a.tif")
    assert volume.is_colour
    assert volume.is_2d
    np.testing.assert_array_equal(volume.array[:, 0], np.moveaxis(array[..., :3], -1, 0))
    crop = load_volume(tmp_path / "a.tif", Selection(channels=(1,), crop=((0, 1), (2, 4), (1, 5))))
    np.testing.assert_array_equal(crop.array[0, 0], array[2:4, 1:5, 1])


def test_a_colour_stack(tmp_path: Path) -> None:
    array = noise(3, 4, 5, 3)
    write(tmp_path / "a.tif", array, photometric="rgb")
    np.testing.assert_array_equal(load_volume(tmp_path / "a.tif").array, np.moveaxis(array, -1, 0))


def test_a_pyramid(tmp_path: Path) -> None:
    array = noise(2, 64, 96, dtype=np.uint16)
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(array, subifds=2, tile=(16, 16), metadata=metadata)
        tif.write(array[:, ::2, ::2], subfiletype=1, tile=(16, 16))
        tif.write(array[:, ::4, ::4], subfiletype=1, tile=(16, 16))
    info = inspect(tmp_path / "a.ome.tif")
    assert info.levels == ((2, 64, 96), (2, 32, 48), (2, 16, 24))
    level = load_volume(tmp_path / "a.ome.tif", Selection(level=1))
    np.testing.assert_array_equal(level.array[0], array[:, ::2, ::2])
    np.testing.assert_allclose(level.grid.spacing, (2, 1, 1))
    np.testing.assert_allclose(level.grid.origin, (0, 0.25, 0.25))  # the centre of the first 2 × 2 voxels
    crop = load_volume(tmp_path / "a.ome.tif", Selection(level=2, crop=((1, 2), (3, 9), (5, 24))))
    np.testing.assert_array_equal(crop.array[0], array[1:2, ::4, ::4][:, 3:9, 5:24])


def test_of_several_images_one_is_chosen(tmp_path: Path) -> None:
    first, second = noise(4, 5), noise(7, 8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(first, metadata=None)
        tif.write(second, metadata=None)
    with pytest.raises(InputError, match=r"2 images \(0: .*y 4, x 5; 1: .*y 7, x 8\).*--image N"):
        load_volume(tmp_path / "a.tif")
    for number, array in enumerate((first, second)):
        np.testing.assert_array_equal(load_volume(tmp_path / "a.tif", Selection(image=number)).array[0, 0], array)
    assert len(inspect(tmp_path / "a.tif").images) == 2
    with pytest.raises(SettingsError, match="0 to 1"):
        load_volume(tmp_path / "a.tif", Selection(image=2))


def test_spacing_given_by_the_user(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(3, 4, 5))
    grid = load_volume(tmp_path / "a.tif", Selection(spacing=(2, 1, 0.5))).grid
    assert (grid.spacing, grid.unit) == ((2, 1, 0.5), "µm")
    grid = load_volume(tmp_path / "a.tif", Selection(spacing=(2, 1, 0.5), unit="nm")).grid
    assert (grid.spacing, grid.unit) == ((2, 1, 0.5), "nm")
    with pytest.raises(SettingsError):
        load_volume(tmp_path / "a.tif", Selection(spacing=(0, 1, 1)))


@pytest.mark.parametrize(
    "selection",
    [
        Selection(time=1),
        Selection(level=1),
        Selection(channels=(1,)),
        Selection(channels=()),
        Selection(crop=((0, 4), (0, 4), (0, 5))),
        Selection(crop=((2, 2), (0, 4), (0, 5))),
        Selection(crop=((-1, 2), (0, 4), (0, 5))),
    ],
)
def test_a_selection_outside_the_file_is_refused(selection: Selection, tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(3, 4, 5))
    with pytest.raises(SettingsError, match="Expected"):
        load_volume(tmp_path / "a.tif", selection)


def test_labels_open_in_other_programs(tmp_path: Path) -> None:
    structures = (Structure(label=1, name="nucleus", colour="#00ff00"),)
    labels = Labels(noise(3, 4, 5), Grid((2, 0.5, 0.25), "µm"), structures)
    save_labels(tmp_path / "a.ome.tif", labels)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.is_ome
        np.testing.assert_array_equal(tif.asarray(), labels.array)
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [pixels[f"PhysicalSize{a}"] for a in "ZYX"] == [2, 0.5, 0.25]
    assert [pixels[f"PhysicalSize{a}Unit"] for a in "ZYX"] == ["µm"] * 3


WAYS = {
    "plain": {},
    "zlib": {"compression": "zlib"},
    "imagej": {"imagej": True},
    "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
    "ome-zlib": {"ome": True, "compression": "zlib", "metadata": {"axes": "ZYX"}},
    "bare-zlib": {"compression": "zlib", "metadata": None},
    "tiles": {"tile": (16, 16), "compression": "zlib"},
    "big": {"bigtiff": True, "compression": "zlib"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_cut_off_anywhere_is_refused(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(path, noise(6, 32, 32), **WAYS[way])
    data = path.read_bytes()
    for cut in [1, 3, 7, 8, 20, *range(60, len(data), max(1, len(data) // 60)), len(data) - 20]:
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"a\.tif"):
            load_volume(path)


def test_an_ome_tiff_that_lacks_planes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", noise(3, 4, 5), metadata={"axes": "ZYX"})
    data = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "a.ome.tif").write_bytes(data.replace(b'SizeZ="3"', b'SizeZ="9"'))
    with pytest.raises(InputError, match="9"):
        inspect(tmp_path / "a.ome.tif")


def tiny_bomb(path: Path, compression: int) -> Path:
    """138 bytes that declare 200,000 × 200,000 pixels."""
    tags = [
        (256, 4, 200_000), (257, 4, 200_000), (258, 3, 8), (259, 3, compression), (262, 3, 1), (273, 4, 130),
        (277, 3, 1), (278, 4, 200_000), (279, 4, 8), (339, 3, 1),
    ]  # fmt: skip
    body = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, kind, value in tags
    )
    data = b"II*\0" + (8).to_bytes(4, "little") + len(tags).to_bytes(2, "little") + body + bytes(4)
    path.write_bytes(data.ljust(138, b"\0"))
    return path


@pytest.mark.parametrize("compression", [1, 5, 8, 32773, 50000])
def test_a_tiny_file_that_declares_40_gigabytes_is_refused(compression: int, tmp_path: Path) -> None:
    path = tiny_bomb(tmp_path / "bomb.tif", compression)
    assert path.stat().st_size == 138
    with pytest.raises(InputError, match=r"bomb\.tif"):
        inspect(path)


def test_more_than_the_free_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.tif", noise(3, 40, 50))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": 5000})())
    assert inspect(tmp_path / "a.tif").nbytes == 6000
    with pytest.raises(ResourceError, match="crop"):
        load_volume(tmp_path / "a.tif")
    assert load_volume(tmp_path / "a.tif", Selection(crop=((0, 1), (0, 40), (0, 50)))).shape == (1, 40, 50)


def test_inspecting_a_gigabyte_is_instant(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(path, shape=(256, 2048, 2048), dtype=np.uint8)  # a sparse file on disk
    start = time.perf_counter()
    info = inspect(path)
    assert time.perf_counter() - start < 0.5
    assert info.nbytes == 2**30
    start = time.perf_counter()
    load_volume(path, Selection(crop=((100, 102), (5, 50), (5, 50))))
    assert time.perf_counter() - start < 3


def test_damaged_tiles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(path, noise(6, 64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[3].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 60] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(InputError):
        load_volume(path)
    with pytest.raises(InputError):
        load_volume(path, Selection(crop=((2, 5), (0, 64), (0, 64))))


@pytest.mark.parametrize(("size", "told"), [((3, 4, 5), True), ((4, 5), False)])
def test_a_stack_without_a_slice_distance_is_told(size: tuple[int, ...], told: bool, tmp_path: Path) -> None:
    metadata = {"axes": "ZYX"[-len(size) :], "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    write(tmp_path / "a.ome.tif", noise(*size), metadata=metadata)
    info = inspect(tmp_path / "a.ome.tif")
    assert info.grid.spacing == (0.5, 0.5, 0.5)
    assert bool(info.notes) == told


def test_labels_too_large_for_an_ome_tiff(tmp_path: Path) -> None:
    labels = Labels(np.full((1, 2, 2), 2**40, np.uint64))
    with pytest.raises(OutputError, match="uint64"):
        save_labels(tmp_path / "a.tif", labels)
    save_labels(tmp_path / "a.nii", labels)
    assert load_labels(tmp_path / "a.nii").array.max() == 2**40


@pytest.mark.parametrize(("file", "name"), [("scan.v2.ome.tif", "scan.v2"), ("a.TIFF", "a"), ("b.c.tif", "b.c")])
def test_a_volume_is_called_by_its_file(file: str, name: str, tmp_path: Path) -> None:
    write(tmp_path / file, noise(4, 5))
    assert load_volume(tmp_path / file).name == name


def test_labels_need_one_channel(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(5, 6, 3), photometric="rgb")
    with pytest.raises(InputError, match="3 channels"):
        load_labels(tmp_path / "a.tif")
    assert load_labels(tmp_path / "a.tif", Selection(channels=(0,))).array.shape == (1, 5, 6)
