from __future__ import annotations

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.report.meshes import save_surfaces, surface_of, surface_paths
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError, OutputError

GRID = Grid((2.0, 0.5, 1.0), "µm", origin=(10.0, 20.0, 30.0))
STRUCTURES = (Structure(label=1, name="cell body", colour="#ff0000"),)


@pytest.fixture
def labels() -> Labels:
    z, y, x = np.indices((20, 40, 30))
    ball = ((z - 10) * 2.0) ** 2 + ((y - 20) * 0.5) ** 2 + (x - 15.0) ** 2 < 8**2
    array = ball.astype(np.uint8)
    array[0, 0, 0] = 7
    return Labels(array, GRID, STRUCTURES)


def volume_of(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, corner]].astype(float) for corner in range(3))
    return float(np.sum(a * np.cross(b, c)) / 6)


def test_a_ball_is_where_and_as_large_as_it_is(labels):
    mesh = surface_of(labels, 1)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [30 + 15, 20 + 10, 10 + 20], atol=0.2)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [15, 15.5, 14], atol=1)
    assert volume_of(mesh.vertices, mesh.faces) == pytest.approx(np.sum(labels.array == 1), rel=0.02)


def test_the_surface_is_closed(labels):
    faces = surface_of(labels, 1).faces
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_in_the_scanners_frame_it_is_in_lps(labels):
    affine = ((0.0, 0.0, -1.0, 5.0), (0.0, 2.0, 0.0, 6.0), (3.0, 0.0, 0.0, 7.0), (0.0, 0.0, 0.0, 1.0))
    framed = Labels(labels.array, Grid((3, 2, 1), "mm", scanner=ScannerFrame(affine, ("L", "A", "S"))))
    mesh = surface_of(framed, 7)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [-5, -6, 7], atol=1e-5)
    assert volume_of(mesh.vertices - [-5, -6, 7], mesh.faces) > 0


@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_files_hold_the_mesh(labels, tmp_path, suffix):
    paths = save_surfaces(tmp_path, labels, suffix)
    assert [path.name for path in paths] == [f"cell_body{suffix}", f"structure_7{suffix}"]
    mesh, content = surface_of(labels, 1), paths[0].read_bytes()
    if suffix == ".stl":
        assert content.startswith(b"SPACE=LPS")
        assert int.from_bytes(content[80:84], "little") == len(mesh.faces)
        records = np.frombuffer(content, "<f4,<f4,<f4,(3,3)<f4,<u2", offset=84)
        np.testing.assert_array_equal(records["f3"], mesh.vertices[mesh.faces])
        outward = records["f3"].mean(axis=1) - mesh.vertices.mean(axis=0)
        normals = np.stack([records[name] for name in ("f0", "f1", "f2")], axis=1)
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-4)
        assert (np.sum(outward * normals, axis=1) > 0).all()
    else:
        header, _, body = content.partition(b"end_header\n")
        assert f"element vertex {len(mesh.vertices)}".encode() in header
        points = np.frombuffer(body, "<f4", 3 * len(mesh.vertices)).reshape(-1, 3)
        np.testing.assert_array_equal(points, mesh.vertices)
        faces = np.frombuffer(body, "u1,(3,)<i4", offset=points.nbytes)
        np.testing.assert_array_equal(faces["f1"], mesh.faces)
        assert (faces["f0"] == 3).all()


def test_what_cannot_be_a_surface(labels, tmp_path):
    with pytest.raises(InputError, match="there are none"):
        surface_of(labels, 3)
    with pytest.raises(InputError, match="single slice"):
        save_surfaces(tmp_path, Labels(labels.array[:1]))
    with pytest.raises(OutputError, match=r"\.ply or \.stl"):
        save_surfaces(tmp_path, labels, ".obj")
    with pytest.raises(OutputError, match="Make it first"):
        save_surfaces(tmp_path / "none", labels)
    assert save_surfaces(tmp_path, Labels(np.zeros((2, 3, 4), np.uint8))) == []


def test_no_two_surfaces_have_one_name_nor_one_that_is_too_long(tmp_path):
    names = ["a b", "a/b", "A_b_2", "x" * 300, "x" * 300 + "y"]
    structures = tuple(Structure(label=i, name=name, colour="#000000") for i, name in enumerate(names, start=1))
    paths = surface_paths(
        tmp_path, Labels(np.arange(6, dtype=np.uint8).reshape(1, 2, 3), structures=structures), ".ply"
    )
    long = "x" * 60
    assert [path.name for path in paths.values()] == [
        "a_b.ply",
        "a_b_2.ply",
        "A_b_2_3.ply",
        f"{long}.ply",
        f"{long}_5.ply",
    ]
