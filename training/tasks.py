"""Many labelled sets as tasks of one network, each with a head of its own: what the general starts are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tifffile
import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.engine.training.losses import painted_loss
from napari_unetseg.engine.training.patches import Case
from training.data import (
    SPLITS,
    SYNTHETIC,
    axons,
    cell_boundaries,
    chloroplasts,
    hippocampus,
    is_held_out,
    membranes,
    normalised,
    nuclei_2d,
    nuclei_3d,
    stack_part,
)
from training.recipe import Split
from training.synthetic_shapes import CLASSES, cached_shapes

SHAPES = 64  # generated volumes of shapes
EVERY = 3  # slices of a stack that are taken as 2D images


@dataclass(frozen=True)
class Task:
    """Cases that share a head.

    Parameters
    ----------
    share : float
        How often they are drawn, relative to other tasks.
    outputs : int
        Classes of the head.
    """

    name: str
    share: float
    outputs: int
    cases: list[Case]


def joined(tasks: list[Task]) -> list[Case]:
    """The cases of all tasks; their classes are counted on from task to task, so that each says which head it is."""
    cases, first = [], 0
    for task in tasks:
        total = sum(case.weight for case in task.cases)
        for case in task.cases:
            labels = torch.where(case.labels == IGNORE, IGNORE, case.labels + first).to(torch.int8)
            cases.append(Case(case.image, labels, task.share * case.weight / total))
        first += task.outputs
    return cases


@dataclass(frozen=True)
class HeadsLoss:
    """`painted_loss` of each patch, among the outputs of its own task.

    Parameters
    ----------
    outputs : tuple of int
        Classes of each task's head, in the order of `joined`.
    """

    outputs: tuple[int, ...]

    def __call__(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean over the patches, scores (N, outputs, …), labels (N, …); 0 where nothing is known."""
        total, first = scores.sum() * 0, 0
        for count in self.outputs:
            mine = ((labels >= first) & (labels < first + count)).flatten(1).any(1)
            if mine.any():
                own = torch.where(labels[mine] == IGNORE, IGNORE, labels[mine] - first)
                total = total + mine.sum() * painted_loss(scores[mine, first : first + count], own)
            first += count
        return total / len(labels)


HEADS_2D = (3, 3, 2, 2, 2, 3, 4, 3, 3, 3, 2, 2, CLASSES)  # outputs of the tasks below, in their order
HEADS_3D = (3, 2, 2, 3, 2, CLASSES)


def general_2d(root: Path, *, generated: bool = True) -> Split:
    """All tasks in 2D; what is held out only serves to measure the halo."""
    tasks = _checked(general_2d_tasks(root, generated=generated), HEADS_2D if generated else HEADS_2D[:-1])
    return Split(joined(tasks), [*nuclei_2d(root).held_out, *chloroplasts(root).held_out])


def general_3d(root: Path) -> Split:
    """All tasks in 3D; what is held out only serves to measure the halo."""
    return Split(joined(_checked(general_3d_tasks(root), HEADS_3D)), membranes(root).held_out)


def _checked(tasks: list[Task], heads: tuple[int, ...]) -> list[Task]:
    if tuple(task.outputs for task in tasks) != heads:
        raise ValueError(f"Expected tasks with {heads} outputs; got {[(task.name, task.outputs) for task in tasks]}.")
    return tasks


def general_2d_tasks(root: Path, *, generated: bool = True) -> list[Task]:
    """Every labelled set, in slices; held-out parts are left out."""
    tasks = [
        Task("nuclei", 0.20, 3, nuclei_2d(root).train),
        Task("axons", 0.08, 3, axons(root).train),
        Task("chloroplasts", 0.08, 2, chloroplasts(root).train),
        Task("EM membranes", 0.12, 2, sliced(membranes(root), axes=(0, 1, 2))),
        Task("cell boundaries", 0.06, 2, sliced(cell_boundaries(root))),
        Task("nuclei, slices", 0.08, 3, sliced(Split(nuclei_3d(root).train[:3], []))),
        Task("sandstone", 0.05, 4, sandstone(root)),
        Task("barrier coatings", 0.04, 3, metals(root, "EBC1")),
        Task("superalloys", 0.04, 3, metals(root, "Super1")),
        Task("hippocampus", 0.06, 3, sliced(hippocampus(root), axes=(0, 1, 2), every=9)),
        Task("sarcoma, CT", 0.03, 2, sliced(sarcoma(root, "CT"), every=2)),
        Task("sarcoma, MR", 0.04, 2, sliced(sarcoma(root, "MR_T1"), every=2)),
    ]
    return [*tasks, Task("shapes", 0.25, CLASSES, sliced(shapes(), every=8))] if generated else tasks


def general_3d_tasks(root: Path) -> list[Task]:
    """The labelled stacks, and generated ones."""
    return [
        Task("nuclei", 0.3, 3, nuclei_3d(root).train),
        Task("EM membranes", 0.15, 2, membranes(root).train),
        Task("cell boundaries", 0.1, 2, cell_boundaries(root).train),
        Task("hippocampus", 0.15, 3, hippocampus(root).train),
        Task("sarcoma, MR", 0.05, 2, sarcoma(root, "MR_T1").train),
        Task("shapes", 0.25, CLASSES, shapes().train),
    ]


def sliced(split: Split, axes: tuple[int, ...] = (0,), every: int = EVERY) -> list[Case]:
    """Every so many slices of the training stacks, across each of `axes`, as 2D cases."""
    return [
        Case(case.image.select(axis + 1, index), case.labels.select(axis, index), case.weight)
        for case in split.train
        for axis in axes
        for index in range(every // 2, case.labels.shape[axis], every)
    ]


def shapes() -> Split:
    """Generated volumes of shapes."""
    return Split(
        [
            Case(normalised(stack.image), torch.from_numpy(stack.objects.astype("int8")))
            for stack in cached_shapes(SHAPES, SYNTHETIC)
        ],
        [],
    )


def sandstone(root: Path) -> list[Case]:
    """Four phases in seven slices of one scan, far apart."""
    rule, path = SPLITS["sandstone2d"], root / "sandstone2d/image.tif"
    image, labels = (stack_part(tifffile.imread(p), rule, "train") for p in (path, path.with_name("label.tif")))
    return [
        Case(normalised(plane), torch.from_numpy((classes - labels.min()).astype("int8")))
        for plane, classes in zip(image, labels, strict=True)
    ]


def metals(root: Path, kind: str) -> list[Case]:
    """Micrographs of one kind of metal."""
    paths = sorted((root / "metals2d").glob(f"{kind}*_image.tif"))
    every = SPLITS["metals2d"]["every"]
    return [_flat(path) for index, path in enumerate(paths) if not is_held_out(index, every)]


def _flat(path: Path) -> Case:
    labels = tifffile.imread(path.with_name(path.name.replace("_image", "_label")))
    return Case(normalised(tifffile.imread(path)), torch.from_numpy(labels.astype("int8")))


def sarcoma(root: Path, kind: str) -> Split:
    """Soft-tissue sarcoma in ``CT`` or ``MR_T1``, by patient: the slices with tumour and some around them."""
    held_out = tuple(SPLITS["sarcoma3d"]["held_out"])
    paths = sorted((root / "sarcoma3d").glob(f"*_{kind}_image.nii.gz"))
    return Split([_tumour(path) for path in paths if not path.name.startswith(held_out)], [])


MARGIN = 8  # slices around a tumour


def _tumour(path: Path) -> Case:
    mask = load_labels(path.with_name(path.name.replace("_image", "_mask"))).array
    rows = mask.any(axis=(1, 2)).nonzero()[0]
    part = slice(max(0, rows[0] - MARGIN), rows[-1] + MARGIN + 1)
    image = load_volume(path).array[0, part]
    return Case(normalised(image), torch.from_numpy((mask[part] > 0).astype("int8")))
