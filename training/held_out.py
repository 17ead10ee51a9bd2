"""The held-out part of each model's data, as its card says it: with the splits that training uses."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from napari_unetseg.core.models.card import VerificationSet
from napari_unetseg.core.models.verification import Example, examples

SPLITS = tomllib.loads((Path(__file__).parent / "splits.toml").read_text())
NUCLEI_2D = {"fluo": "fluorescence", "colour": "stained tissue", "grey": "bright field"}
NUCLEI_3D: dict[str, tuple[str, dict[str, Any]]] = {
    "plant_1135": ("plant nuclei, confocal", {"spacing": (0.28, 0.127, 0.127), "unit": "µm"}),
    "ovule": ("plant ovule nuclei", {}),
    "embryo_16cell": ("mouse embryo nuclei", {"spacing": (1.75, 0.8, 0.8), "unit": "µm"}),
}


def _slab(split: dict[str, Any]) -> dict[str, Any]:
    return {"axis": split["axis"], "part": tuple(split["held_out"])}


def _nuclei_2d(kind: str) -> VerificationSet:
    every, images = SPLITS["nuclei2d"]["every"], f"nuclei2d/{kind}_*_image.tif"
    return VerificationSet(name=NUCLEI_2D[kind], images=images, every=every, measure="objects")


def _nuclei_3d(stack: str) -> VerificationSet:
    name, grid = NUCLEI_3D[stack]
    part = _slab(SPLITS["nuclei3d"][stack])
    return VerificationSet(name=name, images=f"nuclei3d/{stack}_image.tif", measure="objects", **part, **grid)


HIPPOCAMPUS = VerificationSet(
    name="hippocampus, T1 MR",
    images="hippocampus3d/images/*.nii.gz",
    labels=("/images/", "/labels/"),
    every=SPLITS["hippocampus3d"]["every"],
)
AXONS = VerificationSet(name="rat nerve, SEM", images="axon2d/*_image.tif", begins=tuple(SPLITS["axon2d"]["held_out"]))
FLY_MEDULLA = VerificationSet(
    name="fly medulla, FIB-SEM",
    images="em3d/fib25_image.tif",
    labels=("_image", "_boundary"),
    **_slab(SPLITS["em3d"]["fib25"]),
    spacing=(10, 10, 10),
    unit="nm",
    measure="boundary",
)
OVULE_WALLS = VerificationSet(
    name="plant ovule, membrane stain",
    images="cells3d/ovule_image.tif",
    labels=("_image", "_boundary"),
    **_slab(SPLITS["cells3d"]["ovule"]),
    spacing=(0.235, 0.15, 0.15),
    unit="µm",
    measure="boundary",
)
LEAF = VerificationSet(
    name="plant leaf, EM",
    images="chloroplast2d/image.tif",
    labels=("image.tif", "label.tif"),
    **_slab(SPLITS["chloroplast2d"]),
    slices=1,
    truth="foreground",
)
RULES: dict[str, tuple[VerificationSet, ...]] = {
    "axon-myelin-2d": (AXONS,),
    "cell-boundary-3d": (OVULE_WALLS,),
    "chloroplast-2d": (LEAF,),
    "em-membrane-2d": (FLY_MEDULLA.model_copy(update={"slices": 4}),),
    "em-membrane-3d": (FLY_MEDULLA,),
    "hippocampus-3d": (HIPPOCAMPUS,),
    "nuclei-2d": tuple(map(_nuclei_2d, NUCLEI_2D)),
    "nuclei-3d": tuple(map(_nuclei_3d, NUCLEI_3D)),
}


def held_out(name: str, root: Path) -> list[Example]:
    """The held-out examples of a model's card."""
    return [example for rule in RULES[name] for example in examples(rule, root)]
