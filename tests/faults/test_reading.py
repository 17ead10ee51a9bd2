"""Faults 1 to 15, 17 and 19: files that are damaged, lie, or mean something else than they seem to."""

import gzip
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib

import nibabel
import numcodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
import tifffile
import zarr
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from napari_unetseg.core.io.loadsave import load_labels, load_volume, save_labels
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import UnetsegError


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def refused(command, path, *words):
    """`info` ends with one clear line that names the file, and `segment` writes nothing."""
    outcome = command("segment", path, "-o", path.parent / "out.tif", "-m", "nuclei-2d")
    assert outcome.code == 2
    assert outcome.err.strip().count("\n") == 0
    assert path.name in outcome.err
    assert any(word in outcome.err for word in words), outcome.err
    assert not (path.parent / "out.tif").exists()
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize("compression", ["zlib", None], ids=["fault_01_zlib", "fault_02_raw"])
def test_fault_01_and_02_a_tiff_that_is_cut(command, tmp_path, compression):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, noise(8, 64, 64), compression=compression)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(command, path, "cut off", "damaged", "truncated")


def test_fault_03_a_strip_with_a_wrong_bit(command, tmp_path):
    path = tmp_path / "flipped.tif"
    tifffile.imwrite(path, noise(64, 64), compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[place + 40] ^= 0x55
    path.write_bytes(content)
    refused(command, path, "damaged", "cut off")


def test_fault_04_a_small_tiff_that_declares_a_huge_image(command, tmp_path):
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, noise(16, 16), photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(200_000)
    refused(command, path, "damaged", "cut off", "memory")


@pytest.mark.parametrize("content", [b"", b"not a picture at all", b"II*\0"], ids=["empty", "text", "magic alone"])
def test_fault_05_an_empty_file_and_one_of_another_kind(command, tmp_path, content):
    path = tmp_path / "strange.tif"
    path.write_bytes(content)
    refused(command, path, "empty", "not", "damaged", "cut off")


def test_fault_06_a_cut_nifti(command, tmp_path):
    path = tmp_path / "cut.nii.gz"
    nibabel.save(nibabel.Nifti1Image(noise(32, 32, 32), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(command, path, "cut off", "damaged")


def test_fault_07_a_nifti_that_declares_a_huge_image(command, tmp_path):
    whole, path = tmp_path / "whole.nii", tmp_path / "huge.nii.gz"
    nibabel.save(nibabel.Nifti1Image(noise(8, 8, 8), np.eye(4)), whole)
    content = bytearray(whole.read_bytes())
    content[42:48] = struct.pack("<3h", 30_000, 30_000, 30_000)
    path.write_bytes(gzip.compress(bytes(content)))
    refused(command, path, "memory", "cut off", "damaged", "GB")


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan)], ids=["singular", "nan"])
def test_fault_08_an_affine_that_means_nothing(tmp_path, affine):
    path = tmp_path / "image.nii"
    image = nibabel.Nifti1Image(noise(6, 5, 4), np.eye(4))
    image.header["sform_code"] = 1
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        image.header[name] = affine[row]
    image.header["qform_code"] = 0
    nibabel.save(image, path)
    content = bytearray(path.read_bytes())
    content[280:328] = affine[:3].astype("<f4").tobytes()
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="affine|unit|voxel size"):
        volume = load_volume(path)
    assert volume.grid.spacing == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("axes", ["LAS", "RAS", "PIR"])
def test_fault_09_orientation_is_that_of_other_programs(tmp_path, axes):
    path, out = tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz"
    turned = nibabel.orientations.axcodes2ornt(axes)
    image = nibabel.Nifti1Image(noise(7, 6, 5), np.diag([2, 3, 4, 1.0]))
    nibabel.save(image.as_reoriented(turned), path)
    volume = load_volume(path)
    save_labels(out, Labels((volume.array[0] > 127).astype(np.uint8), volume.grid))
    ours, theirs = SimpleITK.ReadImage(out), SimpleITK.ReadImage(path)
    assert np.array_equal(SimpleITK.GetArrayFromImage(ours), SimpleITK.GetArrayFromImage(theirs) > 127)
    assert np.allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-5)
    assert np.allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-4)


def test_fault_10_large_whole_numbers_go_into_the_smallest_type_that_holds_them(tmp_path):
    for largest in (3, 300, 70_000):
        path, array = tmp_path / f"{largest}.nii.gz", np.zeros((2, 3, 4), np.int64)
        array[1, 2, 3] = largest
        save_labels(path, Labels(array))
        image = nibabel.load(path)
        assert image.get_data_dtype().itemsize == (1 if largest < 256 else 2 if largest < 65536 else 4)
        assert np.asarray(image.dataobj).max() == largest


def zarr_of_ours(folder):
    array = np.zeros((8, 32, 32), np.uint8)
    array[2:5] = 1
    path = folder / "labels.zarr"
    save_labels(path, Labels(array))
    return path


def test_fault_11_a_recorded_part_of_a_zarr_that_is_gone(command, tmp_path):
    path = zarr_of_ours(tmp_path)
    part = next(file for file in path.rglob("c/**/*") if file.is_file())
    part.unlink()
    outcome = command("measure", path, "-o", tmp_path / "table.csv")
    assert outcome.code == 2
    assert "missing" in outcome.err or "gone" in outcome.err
    outcome = command("measure", path, "-o", tmp_path / "table.csv", "--allow-missing")
    assert outcome.code == 0, outcome.err


def test_fault_12_a_part_of_a_zarr_that_is_cut(command, tmp_path):
    path = zarr_of_ours(tmp_path)
    part = next(file for file in path.rglob("c/**/*") if file.is_file())
    part.write_bytes(part.read_bytes()[:7])
    outcome = command("measure", path, "-o", tmp_path / "table.csv")
    assert outcome.code == 2
    assert outcome.err.strip().count("\n") == 0
    assert not (tmp_path / "table.csv").exists()


READ_IN_LITTLE_MEMORY = """
import resource, sys
from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.errors import UnetsegError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_volume(sys.argv[1])
except UnetsegError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_fault_13_a_chunk_of_hundreds_of_megabytes_for_four_voxels(tmp_path):
    path, side = tmp_path / "bomb.zarr", 20_000
    array = zarr.create_array(
        path, shape=(2, 2), chunks=(side, side), dtype="u1", zarr_format=2, compressors=numcodecs.Zlib(1)
    )
    packer = zlib.compressobj(1)
    content = b"".join(packer.compress(bytes(side)) for _ in range(side)) + packer.flush()
    (path / f"0{array.metadata.dimension_separator}0").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ_IN_LITTLE_MEMORY, path], capture_output=True, text=True, check=True, timeout=100
    )
    assert int(done.stdout.splitlines()[-1]) < 150_000, "kilobytes"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fault_14_ngff_of_other_programs(tmp_path, version):
    path, data = tmp_path / "image.zarr", noise(4, 5, 6)
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=data)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}], "version": version}]
    if version == "0.4":
        group.attrs["multiscales"] = scales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": scales}
    volume = load_volume(path)
    assert np.array_equal(volume.array[0], data)
    assert volume.grid.spacing == (2.0, 0.5, 0.5)
    scales[0]["datasets"][0]["path"] = "../../etc"
    group.attrs.update({"multiscales": scales} if version == "0.4" else {"ome": {"multiscales": scales}})
    with pytest.raises(UnetsegError):
        load_volume(path)


def ct_slices(folder, places, tilt=0.0):
    """A series of CT slices of other programs, one file each."""
    folder.mkdir()
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for number, z in enumerate(places):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        slice_ = pydicom.Dataset()
        slice_.file_meta = meta
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID, slice_.FrameOfReferenceUID = series, study, frame
        slice_.Modality, slice_.InstanceNumber = "CT", number + 1
        slice_.Rows = slice_.Columns = 16
        slice_.BitsAllocated = slice_.BitsStored = 16
        slice_.HighBit, slice_.PixelRepresentation, slice_.SamplesPerPixel = 15, 0, 1
        slice_.PhotometricInterpretation = "MONOCHROME2"
        slice_.PixelSpacing, slice_.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, np.cos(tilt), np.sin(tilt)]
        slice_.ImagePositionPatient = [0, 0, float(z)]
        slice_.PixelData = noise(16, 16, dtype=np.uint16).tobytes()
        slice_.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


@pytest.mark.parametrize(
    ("places", "tilt"), [((0, 1, 2, 4, 5), 0.0), ((0, 1, 2, 3), 0.3)], ids=["a slice is missing", "a tilted gantry"]
)
def test_fault_15_a_series_that_is_no_grid_is_refused_or_said(command, tmp_path, places, tilt):
    folder = ct_slices(tmp_path / "series", places, tilt)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        outcome = command("info", folder)
    words = outcome.out + outcome.err + " ".join(str(w.message) for w in said)
    assert outcome.code in (0, 2)
    assert any(word in words for word in ("missing", "apart", "evenly", "tilt", "sheared")), words


@pytest.mark.parametrize(
    "array",
    [noise(1, 20, 20), noise(3, 3, 3), np.full((4, 20, 20), 7, np.uint8), np.full((4, 20, 20), np.nan, np.float32)],
    ids=["one slice", "smaller than a patch", "constant", "not a number"],
)
def test_fault_17_images_of_odd_shapes_and_values(command, tmp_path, tiny_model, array):
    path, out = tmp_path / "odd.tif", tmp_path / "out.tif"
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"}, photometric="minisblack")
    outcome = command("segment", path, "-o", out, "-m", tiny_model, "--spacing", "1,1,1")
    if outcome.code == 0:
        assert load_labels(out).shape == array.shape
    else:
        assert outcome.code == 2
        assert outcome.err.strip().count("\n") == 0
        assert not out.exists()


def packed(folder, kind):
    path = folder / f"evil.{'zip' if kind != 'tar' else 'tar'}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        if kind == "slip":
            file.writestr("../outside.yaml", "name: evil")
            file.writestr("rdf.yaml", "name: evil\nformat_version: 0.5.3\ntype: model\n")
        elif kind == "bomb":
            file.writestr("rdf.yaml", "name: evil\nformat_version: 0.5.3\ntype: model\n")
            file.writestr("weights.pt", bytes(300_000_000))
        elif kind == "link":
            link = zipfile.ZipInfo("rdf.yaml")
            link.external_attr = 0o120777 << 16
            file.writestr(link, "/etc/passwd")
    return path


@pytest.mark.parametrize("kind", ["slip", "bomb", "link"])
def test_fault_19_a_package_that_reaches_out_or_swells(command, tmp_path, kind):
    inside = tmp_path / "inside"
    inside.mkdir()
    path = packed(inside, kind)
    outcome = command("import-model", path, "-o", inside / "model.safetensors")
    assert outcome.code == 2
    assert outcome.err.strip().count("\n") == 0
    assert "root:" not in outcome.err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["inside"]
    assert sorted(entry.name for entry in inside.iterdir()) == [path.name]
