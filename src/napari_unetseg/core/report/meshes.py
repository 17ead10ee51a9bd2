"""Surfaces of structures as triangle meshes in physical units, written as PLY or STL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage.measure import marching_cubes

from napari_unetseg.core.geometry.isosurface import HALF, sharpened, structure_field
from napari_unetseg.core.geometry.label_arrays import grown_box, plain, regions
from napari_unetseg.core.geometry.same_grid import common_grid
from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError, OutputError

LONGEST_NAME = 60
"""Characters of a structure's name in a file's."""
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Mesh:
    """A closed surface, its triangles seen anticlockwise from outside.

    Parameters
    ----------
    vertices : ndarray of float32, shape (n, 3)
        x, y, z in the labels' unit; in mm towards left, posterior and superior where the scanner's frame is known.
    faces : ndarray of int32, shape (m, 3)
        Indices of vertices.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]


def surface_of(labels: Labels, label: int, probabilities: Volume | None = None) -> Mesh:
    """The surface of one structure by marching cubes, see `core.geometry.isosurface`.

    It runs half-way between voxel centres, or, where there are probabilities on the labels' grid (background first,
    then structures, or the one structure alone), where these are even.

    Raises
    ------
    InputError
        If the label does not occur, or the labels are a single slice.
    """
    if labels.array.shape[0] == 1:
        raise InputError("Expected a volume to make a surface of; got a single slice.")
    box = dict(regions(labels.array)).get(label)
    if box is None:
        raise InputError(f"Expected voxels of label {label} to make a surface of; there are none.")
    box = grown_box(box, (1, 1, 1), labels.array.shape)
    field = (plain(labels.array)[box] == label).astype(np.float32)
    if probabilities is not None:
        common_grid(probabilities, labels)
        known = structure_field(probabilities.array[:, *box], 1 if labels.are_objects else label)
        field = sharpened(field > HALF, known)
    vertices, faces, _, _ = marching_cubes(np.pad(field, 1), HALF)
    placed = _placed(vertices - 1 + [side.start for side in box], labels)
    if _signed_volume(placed, faces) < 0:
        faces = faces[:, ::-1]
    return Mesh(placed.astype(np.float32), faces.astype(np.int32))


def save_surfaces(
    folder: Path, labels: Labels, suffix: str = ".ply", probabilities: Volume | None = None
) -> list[Path]:
    """Write one file a label into an existing folder, called after the structure.

    Parameters
    ----------
    suffix : str
        ``.ply`` or ``.stl``, both binary.
    probabilities : Volume, optional
        See `surface_of`.

    Returns
    -------
    list of Path
        In the order of the labels; empty where there are none.

    Raises
    ------
    InputError
        If the labels are a single slice.
    OutputError
        If the format is another one, or a file cannot be written.
    """
    if suffix not in (".ply", ".stl"):
        raise OutputError(f"Expected surfaces as .ply or .stl; got {suffix!r}.")
    paths = surface_paths(folder, labels, suffix)
    for label, path in paths.items():
        save_mesh(path, surface_of(labels, label, probabilities))
    return list(paths.values())


def surface_paths(folder: str | Path, labels: Labels, suffix: str) -> dict[int, Path]:
    """Where the surface of each label goes that occurs: no two have one name, however structures are called."""
    names = {} if labels.are_objects else {s.label: s.name for s in labels.structures}
    kind = "object" if labels.are_objects else "structure"
    paths: dict[int, Path] = {}
    taken: set[str] = set()
    for label, _ in regions(labels.array):
        name = re.sub(r"[^\w.-]+", "_", names.get(label, f"{kind}_{label}"))[:LONGEST_NAME]
        while name.lower() in taken:
            name += f"_{label}"
        taken.add(name.lower())
        paths[label] = Path(folder) / f"{name}{suffix}"
    return paths


def save_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh as binary PLY or STL, by the path's suffix; raises `OutputError` if it cannot be written."""
    content = _stl(mesh) if path.suffix == ".stl" else _ply(mesh)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _placed(index: npt.NDArray[np.float64], labels: Labels) -> npt.NDArray[np.float64]:
    """From array indices (z, y, x) to positions (x, y, z)."""
    scanner = labels.grid.scanner
    if scanner is not None:
        affine = np.array(scanner.affine)
        placed: npt.NDArray[np.float64] = (index @ affine[:3, :3].T + affine[:3, 3]) @ LPS_FROM_RAS
        return placed
    return np.asarray((index * labels.grid.spacing + labels.grid.origin)[:, ::-1])


def _signed_volume(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int32]) -> float:
    """What the mesh encloses; negative where its triangles are seen clockwise from outside."""
    a, b, c = (vertices[faces[:, corner]] - vertices.mean(axis=0) for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _ply(mesh: Mesh) -> bytes:
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment SPACE=LPS\n"
        f"element vertex {len(mesh.vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(mesh.faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.empty(len(mesh.faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    faces["count"], faces["corners"] = 3, mesh.faces
    return header.encode("ascii") + mesh.vertices.astype("<f4").tobytes() + faces.tobytes()


def _stl(mesh: Mesh) -> bytes:
    triangles = np.zeros(len(mesh.faces), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")]))
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    triangles["corners"] = corners
    triangles["normal"] = normals / np.maximum(
        np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(np.float32).tiny
    )
    count = np.array(len(mesh.faces), "<u4")
    return b"SPACE=LPS".ljust(80) + count.tobytes() + triangles.tobytes()
