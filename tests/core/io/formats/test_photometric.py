"""What a stored pixel means: colours and greys as viewers show them, labels as the numbers that are stored."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume
from napari_unetseg.core.settings import Selection
from napari_unetseg.errors import InputError

rng = np.random.default_rng(0)
PICTURE = rng.integers(0, 256, (11, 13, 3), dtype=np.uint8)
MASK = rng.integers(0, 5, (11, 13), dtype=np.uint8)
PALETTE = rng.integers(0, 256, (256, 3), dtype=np.uint8)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def image(path: Path, **selection: object) -> np.ndarray:
    """Channels (C, Y, X) of a picture."""
    return load_volume(path, Selection(**selection)).array[:, 0]


def planes(picture: np.ndarray) -> np.ndarray:
    return np.moveaxis(picture, -1, 0)


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.uint32, 2**32 - 1)], ids=["8", "16", "32"]
)
def test_white_is_zero_is_inverted_as_an_image_and_not_as_labels(dtype: type, top: int, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", MASK.astype(dtype), photometric="miniswhite")
    np.testing.assert_array_equal(image(tmp_path / "a.tif")[0], top - MASK.astype(dtype))
    np.testing.assert_array_equal(load_labels(tmp_path / "a.tif").array[0], MASK)
    (note,) = inspect(tmp_path / "a.tif").notes
    assert note.code == "white-is-zero"


def test_white_is_zero_of_one_bit_of_signs_of_real_numbers_and_in_a_stack(tmp_path: Path) -> None:
    bits = rng.integers(0, 2, (3, 11, 13)).astype(bool)
    tifffile.imwrite(tmp_path / "bits.tif", bits, photometric="miniswhite")
    np.testing.assert_array_equal(load_volume(tmp_path / "bits.tif").array[0], ~bits)
    np.testing.assert_array_equal(load_labels(tmp_path / "bits.tif").array, bits)
    signed = rng.integers(-9, 9, (11, 13)).astype(np.int16)
    tifffile.imwrite(tmp_path / "signed.tif", signed, photometric="miniswhite")
    np.testing.assert_array_equal(image(tmp_path / "signed.tif")[0], -1 - signed)
    real = rng.random((11, 13), dtype=np.float32)
    tifffile.imwrite(tmp_path / "real.tif", real, photometric="miniswhite")
    np.testing.assert_array_equal(image(tmp_path / "real.tif")[0], real)


@pytest.mark.parametrize("bits", [2, 4, 10, 12])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_bits_that_are_packed(bits: int, photometric: str, tmp_path: Path) -> None:
    """Packed by hand, most significant bits first, each row to whole bytes."""
    array = rng.integers(0, 2**bits, (6, 16), dtype=np.uint16)
    rows = [np.packbits(((row[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).ravel()) for row in array]
    packed = np.stack(rows)
    tifffile.imwrite(tmp_path / "a.tif", packed, photometric=photometric, metadata=None, rowsperstrip=6)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(16)
        tif.pages[0].tags["BitsPerSample"].overwrite(bits)
    expected = array if photometric == "minisblack" else 2**bits - 1 - array
    np.testing.assert_array_equal(image(tmp_path / "a.tif")[0], expected)


def test_a_palette_gives_colours_of_an_image_and_indices_of_labels(tmp_path: Path) -> None:
    table = PALETTE.T.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", MASK, photometric="palette", colormap=table)
    picture = Image.fromarray(MASK, "P")
    picture.putpalette(PALETTE.ravel().tolist())
    for name in ("b.png", "c.tif", "d.bmp"):
        picture.save(tmp_path / name)
    for name in ("a.tif", "b.png", "c.tif", "d.bmp"):
        volume = load_volume(tmp_path / name)
        assert volume.is_colour, name
        np.testing.assert_array_equal(volume.array[:, 0], planes(PALETTE[MASK]), name)
        np.testing.assert_array_equal(image(tmp_path / name, channels=(2,))[0], PALETTE[MASK][..., 2], name)
        np.testing.assert_array_equal(load_labels(tmp_path / name).array[0], MASK, name)


def test_a_palette_of_greys_and_one_of_a_display(tmp_path: Path) -> None:
    grey = np.repeat(np.arange(255, -1, -1, dtype=np.uint16)[None] * 257, 3, axis=0)
    tifffile.imwrite(tmp_path / "grey.tif", MASK, photometric="palette", colormap=grey)
    np.testing.assert_array_equal(image(tmp_path / "grey.tif"), 255 - MASK[None])
    ramp = np.zeros((3, 256), np.uint16)
    ramp[1] = np.arange(256) * 257  # ImageJ's green
    tifffile.imwrite(tmp_path / "green.tif", MASK, imagej=True, photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(image(tmp_path / "green.tif"), MASK[None])
    tifffile.imwrite(
        tmp_path / "few.tif", MASK, imagej=True, photometric="palette", colormap=PALETTE.T * np.uint16(257)
    )
    np.testing.assert_array_equal(image(tmp_path / "few.tif"), planes(PALETTE[MASK]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_inks_become_the_colours_that_pillow_makes(dtype: type, planar: str, tmp_path: Path) -> None:
    inks = rng.integers(0, 256, (11, 13, 4), dtype=np.uint8)
    stored = inks.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    stored = stored if planar == "contig" else planes(stored)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="separated", planarconfig=planar)
    expected = planes(np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))).astype(float)
    volume = load_volume(tmp_path / "a.tif")
    assert volume.is_colour
    np.testing.assert_allclose(volume.array[:, 0] / (np.iinfo(dtype).max // 255), expected, atol=1.01)


def test_luma_and_colour_differences(tmp_path: Path) -> None:
    stored = np.asarray(Image.fromarray(PICTURE).convert("YCbCr"))
    tifffile.imwrite(tmp_path / "plain.tif", stored, photometric="ycbcr")
    np.testing.assert_allclose(image(tmp_path / "plain.tif").astype(int), planes(PICTURE).astype(int), atol=3)
    smooth = np.asarray(Image.fromarray(PICTURE).resize((64, 64), Image.Resampling.BICUBIC))
    tifffile.imwrite(tmp_path / "jpeg.tif", smooth, photometric="rgb", compression="jpeg")  # it stores YCbCr
    assert np.abs(image(tmp_path / "jpeg.tif").astype(int) - planes(smooth)).mean() < 12


def test_colours_of_a_lower_resolution_are_refused_as_such(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PICTURE, photometric="ycbcr", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        tif.pages[0].tags["YCbCrSubSampling"].overwrite((2, 2))
    with pytest.raises(InputError, match="lower resolution") as caught:
        inspect(tmp_path / "a.tif")
    assert "damaged" not in str(caught.value)


def test_lightness_and_two_colour_axes(tmp_path: Path) -> None:
    lab = np.zeros((2, 3, 3), np.int8)
    lab[..., 0] = np.array([[0, 255, 136]] * 2, np.uint8).view(np.int8)  # black, white, a middle red
    lab[:, 2] = np.array([136, 80, 67], np.uint8).view(np.int8)
    tifffile.imwrite(tmp_path / "a.tif", lab.view(np.uint8), photometric="cielab")
    got = image(tmp_path / "a.tif")
    np.testing.assert_array_equal(got[:, 0, 0], 0)
    np.testing.assert_array_equal(got[:, 0, 1], 255)
    np.testing.assert_allclose(got[:, 0, 2].astype(int), (255, 0, 0), atol=4)


@pytest.mark.parametrize(
    ("samples", "photometric", "extra", "channels"),
    [
        (3, "minisblack", None, ("channel 1", "channel 2", "channel 3")),
        (4, "minisblack", None, ("channel 1", "channel 2", "channel 3", "channel 4")),
        (2, "minisblack", ["unassalpha"], ("channel 1",)),
        (2, "minisblack", ["unspecified"], ("channel 1", "channel 2")),
        (4, "rgb", ["assocalpha"], ("red", "green", "blue")),
        (4, "rgb", ["unassalpha"], ("red", "green", "blue")),
        (4, "rgb", ["unspecified"], ("red", "green", "blue", "channel 4")),
        (5, "rgb", ["unspecified", "unassalpha"], ("red", "green", "blue", "channel 4")),
    ],
)
def test_samples_are_opacity_only_when_declared(
    samples: int, photometric: str, extra: list[str] | None, channels: tuple[str, ...], tmp_path: Path
) -> None:
    array = rng.integers(0, 2**16, (11, 13, samples), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=photometric, planarconfig="contig", extrasamples=extra)
    volume = load_volume(tmp_path / "a.tif")
    assert volume.channels == channels
    np.testing.assert_array_equal(volume.array[:, 0], planes(array)[: len(channels)])
    left_out = "opacity-left-out" in [getattr(note, "code", "") for note in inspect(tmp_path / "a.tif").notes]
    assert left_out == (extra is not None and extra[-1] != "unspecified")


def test_a_channel_of_a_stack_with_channels_last(tmp_path: Path) -> None:
    array = rng.integers(0, 255, (3, 11, 13, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(load_volume(tmp_path / "a.tif", Selection(channels=(3,))).array[0], array[..., 3])


def test_signed_numbers_of_imagej_and_its_calibration(tmp_path: Path) -> None:
    signed = rng.integers(-1000, 1000, (11, 13)).astype(np.int16)
    stored = (signed.astype(int) + 32768).astype(np.uint16)
    options = {"imagej": True, "metadata": {"cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "Gray Value"}}
    tifffile.imwrite(tmp_path / "signed.tif", stored, **options)
    volume = load_volume(tmp_path / "signed.tif")
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array[0, 0], signed)
    tifffile.imwrite(tmp_path / "line.tif", MASK, imagej=True, metadata={"cf": 0, "c0": 10.0, "c1": 0.5})
    np.testing.assert_allclose(image(tmp_path / "line.tif")[0], MASK * 0.5 + 10)
    np.testing.assert_array_equal(load_labels(tmp_path / "line.tif").array[0], MASK)


def test_scale_and_offset_of_gdal(tmp_path: Path) -> None:
    xml = (
        '<GDALMetadata><Item name="SCALE" sample="0" role="scale">0.25</Item>'
        '<Item name="OFFSET" sample="0" role="offset">-3</Item></GDALMetadata>'
    )
    tifffile.imwrite(tmp_path / "a.tif", MASK, metadata=None, extratags=[(42112, "s", 0, xml, True)])
    np.testing.assert_allclose(image(tmp_path / "a.tif")[0], MASK * 0.25 - 3)
    assert "values-scaled" in [note.code for note in inspect(tmp_path / "a.tif").notes]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_keeps_its_numbers(bits: int, tmp_path: Path) -> None:
    array = rng.integers(0, 2**bits, (11, 16), dtype=np.uint8)
    packed = np.packbits(((array[..., None] >> np.arange(bits)[::-1]) & 1).reshape(11, -1), axis=1)
    (tmp_path / "a.png").write_bytes(_png(packed, 16, bits))
    assert Image.open(tmp_path / "a.png").size == (16, 11)
    np.testing.assert_array_equal(load_labels(tmp_path / "a.png").array[0], array)
    np.testing.assert_array_equal(image(tmp_path / "a.png")[0], array)


def _png(rows: np.ndarray, width: int, bits: int) -> bytes:
    """A grey PNG of packed rows (https://www.w3.org/TR/png-3/)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_grey_mask_saved_as_colours_is_one_and_a_coloured_one_is_told(name: str, tmp_path: Path) -> None:
    grey = np.repeat(MASK[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / name)
    np.testing.assert_array_equal(load_labels(tmp_path / name).array[0], MASK)
    coloured = np.dstack([PALETTE[MASK], np.full(MASK.shape, 255, np.uint8)])
    Image.fromarray(coloured, "RGBA").save(tmp_path / name)
    with pytest.raises(InputError, match=r"3 channels that differ.*with a palette"):
        load_labels(tmp_path / name)


def test_a_folder_of_palettes_is_a_stack_of_colours_and_of_indices(tmp_path: Path) -> None:
    masks = rng.integers(0, 5, (3, 11, 13), dtype=np.uint8)
    for number, mask in enumerate(masks):
        picture = Image.fromarray(mask, "P")
        picture.putpalette(PALETTE.ravel().tolist())
        picture.save(tmp_path / f"{number}.png")
    np.testing.assert_array_equal(load_volume(tmp_path).array, np.moveaxis(PALETTE[masks], -1, 0))
    np.testing.assert_array_equal(load_labels(tmp_path).array, masks)
