"""What a file declares is held against what it is and holds, before anything is allocated or waited for."""

import gzip
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.lazy import open_volume
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels, save_volume
from napari_unetseg.core.models.bioimageio import read_model_file
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError, ModelError, ResourceError, SettingsError
from support import Command

NOISE = np.random.default_rng(0).integers(1, 255, (6, 40, 50), dtype=np.uint8)
MOST = 2**29
"""Bytes of memory beyond what the program has when it is loaded, in which an input must be refused."""
PROGRAM = """
import resource, sys
from pathlib import Path
from napari_unetseg.core.io import loadsave
from napari_unetseg.core.io.formats.dicom import reading
from napari_unetseg.core.io.formats import itk, nifti, ome_zarr, pictures, slices, tiff
from napari_unetseg.errors import UnetsegError
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]),) * 2)
for path in sys.argv[2:]:
    try:
        print(loadsave.load_volume(path).array.shape)
    except UnetsegError as error:
        print(error)
"""


def loaded(*paths: Path) -> list[str]:
    """What a process of its own with little memory makes of each file: the shape, or the one line."""
    words = [sys.executable, "-c", PROGRAM, str(MOST), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout.splitlines()


def giant_chunk(folder: Path) -> Path:
    path = folder / "giant.zarr"
    array = zarr.create_array(path, shape=(2, 2), chunks=(2, 2), dtype="u1")
    array[...] = 1
    description = json.loads((path / "zarr.json").read_text())
    description["chunk_grid"]["configuration"]["chunk_shape"] = [36000, 36000]
    (path / "zarr.json").write_text(json.dumps(description))
    return path


def many_planes(folder: Path) -> Path:
    path = folder / "planes.ome.tif"
    tifffile.imwrite(path, NOISE, ome=True, metadata={"axes": "ZYX"})
    told = tifffile.tiffcomment(path)
    tifffile.tiffcomment(path, told.replace('SizeZ="6"', 'SizeZ="2000000000"').encode())
    return path


def giant_tile(folder: Path) -> Path:
    path = folder / "tile.tif"
    tifffile.imwrite(path, NOISE[0], tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages[0].tags[name].overwrite(48000)
    return path


def huge_nifti(folder: Path, name: str) -> Path:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((30000, 30000, 30000))
    header["vox_offset"] = 352
    content = header.binaryblock + bytes(4) + bytes(1000)
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name


def huge_nrrd(folder: Path) -> Path:
    text = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 30000 30000 30000\nencoding: gzip\n\n"
    (folder / "huge.nrrd").write_bytes(text.encode() + gzip.compress(bytes(1000)))
    return folder / "huge.nrrd"


def huge_picture(folder: Path) -> Path:
    path = folder / "huge.png"
    Image.fromarray(NOISE[0]).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 12000, 12000)  # width and height (https://www.w3.org/TR/png-3/#11IHDR)
    path.write_bytes(content)
    return path


def test_sizes_far_above_what_is_there_are_refused_without_memory(tmp_path: Path) -> None:
    niftis = [huge_nifti(tmp_path, name) for name in ("huge.nii", "huge.nii.gz")]
    made = [make(tmp_path) for make in (giant_chunk, many_planes, giant_tile, huge_nrrd, huge_picture)]
    told = loaded(*made, *niftis)
    for path, line in zip([*made, *niftis], told, strict=True):
        assert line.startswith(str(path))
        assert "memory" not in line


def test_what_is_large_for_good_reason_is_read(tmp_path: Path) -> None:
    """A chunk that reaches beyond a small image, and voxels that pack to nearly nothing."""
    array = zarr.create_array(tmp_path / "a.zarr", shape=(2, 30, 30), chunks=(16, 1024, 1024), dtype="u1")
    array[...] = 7
    assert (load_volume(tmp_path / "a.zarr").array == 7).all()
    zeros = np.zeros((200, 400, 400), np.uint8)
    nibabel.save(nibabel.Nifti1Image(zeros, np.eye(4)), tmp_path / "zeros.nii.gz")
    Image.fromarray(zeros[0]).save(tmp_path / "zeros.png")
    for name in ("zeros.nii.gz", "zeros.png"):
        assert load_volume(tmp_path / name).array.max() == 0


def test_a_chunk_counts_as_memory_though_four_voxels_are_asked_for(tmp_path: Path, monkeypatch) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(64, 512, 512), chunks=(64, 512, 512), dtype="u1")
    array[...] = 7
    free = type("Memory", (), {"available": 2**24})
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    source = open_volume(tmp_path / "a.zarr")
    with pytest.raises(ResourceError, match="memory"):
        source.read(((0, 1), (0, 2), (0, 2)))


def looping_tiff(folder: Path) -> Path:
    """The directory of the second page says that the first one follows."""
    path = folder / "loop.tif"
    tifffile.imwrite(path, NOISE[:2], photometric="minisblack", metadata=None)
    content = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    (second,) = struct.unpack_from("<I", content, first + 2 + 12 * count)
    (count,) = struct.unpack_from("<H", content, second)
    struct.pack_into("<I", content, second + 2 + 12 * count, first)
    path.write_bytes(content)
    return path


def overlapping_tiff(folder: Path) -> Path:
    """Directories without end, each two bytes behind the one before."""
    path = folder / "overlap.tif"
    content = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(60000))
    for start in range(8, 50000, 6):
        struct.pack_into("<HI", content, start, 0, start + 6)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("make", [looping_tiff, overlapping_tiff])
def test_a_chain_of_pages_that_does_not_end_is_refused_at_once(make, tmp_path: Path) -> None:
    path = make(tmp_path)
    words = [sys.executable, "-m", "napari_unetseg", "info", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert path.name in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("bits", [1, 12])
def test_voxels_of_less_than_a_byte_or_two_are_whole(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    image = NOISE[0, :32, :48] % 2 if bits == 1 else NOISE[0, :32, :48].astype(np.uint16) * 16
    if bits == 1:
        Image.fromarray(image.astype(bool)).save(path)
    else:
        packed = np.zeros((32, 24, 3), np.uint8)
        left, right = image[:, ::2], image[:, 1::2]
        packed[..., 0], packed[..., 1], packed[..., 2] = left >> 4, ((left & 15) << 4) | (right >> 8), right & 255
        tifffile.imwrite(path, packed.reshape(32, 72), photometric="minisblack", metadata=None)
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages[0].tags["ImageWidth"].overwrite(48)
            file.pages[0].tags["BitsPerSample"].overwrite(12)
    np.testing.assert_array_equal(load_volume(path).array[0, 0], image)


@pytest.mark.parametrize("name", ["pipe.tif", "pipe.safetensors"])
def test_a_pipe_is_refused_and_never_waited_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    words = [sys.executable, "-m", "napari_unetseg", "info", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert name in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_device_and_pipes_in_folders_are_refused(command: Command, tmp_path: Path) -> None:
    outcome = command("measure", "/dev/zero")
    assert outcome.code == 2
    assert "a device" in outcome.err
    (tmp_path / "a.zarr").mkdir()
    os.mkfifo(tmp_path / "a.zarr" / "zarr.json")
    with pytest.raises(InputError, match="a pipe"):
        inspect(tmp_path / "a.zarr")
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(ModelError, match=r"a\.zip is not a whole zip file"):
        read_model_file(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["a.tif", "a.nii", "a.zarr"])
def test_a_file_that_is_replaced_while_it_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    save_volume(path, Volume(NOISE[None]))
    source = open_volume(path)
    assert source.read(((0, 1), (0, 40), (0, 50))).max() > 0
    save_volume(path, Volume(NOISE[None, :4]))
    with pytest.raises(InputError, match="replaced after it was opened"):
        source.read(((1, 2), (0, 40), (0, 50)))
    assert open_volume(path).shape == (4, 40, 50)


def test_a_slice_of_a_folder_that_is_replaced(tmp_path: Path) -> None:
    for z in range(3):
        tifffile.imwrite(tmp_path / f"{z}.tif", NOISE[z])
    source = open_volume(tmp_path)
    tifffile.imwrite(tmp_path / "1.tif", NOISE[1, :20])
    with pytest.raises(InputError, match=r"1\.tif was changed"):
        source.load()


def test_an_array_outside_of_its_store_is_not_read(tmp_path: Path) -> None:
    save_volume(tmp_path / "a.zarr", Volume(NOISE[None]))
    save_volume(tmp_path / "b.zarr", Volume(NOISE[None]))
    description = tmp_path / "a.zarr" / "zarr.json"
    description.write_text(description.read_text().replace('"path": "0"', '"path": "../b.zarr/0"'))
    with pytest.raises((InputError, SettingsError), match=r"a\.zarr"):
        inspect(tmp_path / "a.zarr")


def test_a_package_that_unpacks_to_far_more_than_it_is(command: Command, tmp_path: Path) -> None:
    package = tmp_path / "bomb.zip"
    entry = {"source": "m.safetensors", "sha256": "a" * 64}
    description = f"type: model\nconfig: {{napari_unetseg: {{model: {entry}}}}}\n".replace("'", "")
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rdf.yaml", description)
        archive.writestr("m.safetensors", bytes(2**27))
    outcome = command("import-model", package, "-o", tmp_path / "m.safetensors")
    assert outcome.code == 2
    assert "larger than 64 MiB" in outcome.err
    assert outcome.err.count("\n") == 1


NAN, FAR = float("nan"), 1e300
FRAME = [[0.0, 0.0, -0.5, 1.0], [0.0, -0.5, 0.0, 2.0], [2.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0]]


def odd_legend(folder: Path, **fields: object) -> Path:
    """Labels of this program whose own attribute was changed."""
    path = folder / "odd.ome.zarr"
    save_labels(path, Labels(NOISE[:2, :8, :8] // 100, Grid((2.0, 0.5, 0.5), "µm")))
    attributes = json.loads((path / "zarr.json").read_text())
    attributes["attributes"]["napari_unetseg"] = json.dumps({"unit": "µm", **fields})
    (path / "zarr.json").write_text(json.dumps(attributes))
    return path


@pytest.mark.parametrize(
    "fields",
    [
        {"affine": FRAME, "file_codes": ["\0", "P", "S"]},
        {"affine": FRAME, "file_codes": ["L", "R", "S"]},
        {"affine": FRAME[:3], "file_codes": ["L", "P", "S"]},
        {"affine": [[0.0] * 4] * 4, "file_codes": ["L", "P", "S"]},
        {"affine": [[FAR, *row[1:]] for row in FRAME], "file_codes": ["L", "P", "S"]},
        {"origin": [1.0, NAN, 3.0]},
        {"origin": [1.0, FAR, 3.0]},
        {"unit": "furlong"},
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".ome.tif", ".ome.zarr"])
def test_a_place_that_cannot_be_is_left_out_and_every_format_written(
    command: Command, tmp_path: Path, fields: dict[str, object], suffix: str
) -> None:
    path = odd_legend(tmp_path, **fields)
    outcome = command("clean", path, "-o", tmp_path / f"clean{suffix}", "--step", "keep_largest")
    assert outcome.code == 0, outcome.err
    np.testing.assert_allclose(load_labels(tmp_path / f"clean{suffix}").grid.spacing, (2.0, 0.5, 0.5), rtol=1e-6)


@pytest.mark.parametrize(("index", "value"), [(0, 1e-300), (1, NAN), (1, FAR)])
def test_scales_that_cannot_be_are_told_in_one_line(command: Command, tmp_path: Path, index: int, value: float) -> None:
    path = odd_legend(tmp_path)
    attributes = json.loads((path / "zarr.json").read_text())
    ((transforms,),) = (
        [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
        for multiscale in attributes["attributes"]["ome"]["multiscales"]
    )
    transforms[index]["scale" if index == 0 else "translation"][1] = value
    (path / "zarr.json").write_text(json.dumps(attributes))
    outcome = command("measure", path)
    assert outcome.code == 2, outcome.err
    assert "odd.ome.zarr" in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_archive_that_goes_on_behind_its_voxels_is_not_read_to_its_end(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(NOISE, np.eye(4)), tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "few.nii.gz").write_bytes(gzip.compress(content + bytes(1000)))
    (tmp_path / "many.nii.gz").write_bytes(gzip.compress(content + bytes(2**25), 1))
    assert load_volume(tmp_path / "few.nii.gz").array.sum() == NOISE.sum(dtype=int)
    with pytest.raises(InputError, match="behind its last voxel"):
        load_volume(tmp_path / "many.nii.gz")


def test_a_nifti_that_is_placed_in_two_ways_is_told(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(NOISE, np.diag([1.0, 2.0, 3.0, 1.0]))
    image.set_qform(np.diag([1.0, 2.0, 3.0, 1.0]), code=1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "same.nii")
    assert inspect(tmp_path / "same.nii").notes == ()
    image.set_qform(np.diag([-1.0, -2.0, 3.0, 1.0]), code=1)
    nibabel.save(image, tmp_path / "two.nii")
    (told,) = inspect(tmp_path / "two.nii").notes
    assert "the sform is taken" in told
