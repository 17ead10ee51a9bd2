"""What a card says of its held-out images is what is loaded, and its figures are what is measured."""

from pathlib import Path

import numpy as np
import pydantic
import pytest
import tifffile

from napari_unetseg.core.models.card import Score, VerificationSet
from napari_unetseg.core.models.verification import (
    boundary_dice,
    compare,
    dice_of,
    examples,
    figures,
    mean_scores,
    verification_paths,
)
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError

BRIGHT = (Structure(label=1, name="bright", colour="#ff0000", channels=(1,)),)
WALL = (Structure(label=1, name="wall", colour="#ff0000", channels=(1,)),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of ten images (4, 6, 5); image n has the value n at its voxels, and labels 0, 1 and 2 along z."""
    (tmp_path / "cells").mkdir()
    labels = np.repeat(np.array([0, 1, 2, 2], np.uint8), 30).reshape(4, 6, 5)
    for number in range(10):
        image = np.full((4, 6, 5), number, np.uint8)
        image[:, 0] = np.arange(4)[:, None]
        tifffile.imwrite(tmp_path / f"cells/c{number}_image.tif", image, photometric="minisblack")
        tifffile.imwrite(tmp_path / f"cells/c{number}_label.tif", labels, photometric="minisblack")
    return tmp_path


def rule(**fields: object) -> VerificationSet:
    return VerificationSet.model_validate({"name": "cells", "images": "cells/*_image.tif", **fields})


def test_every_nth_image_by_name_is_held_out(folder: Path) -> None:
    assert [path.name for path in verification_paths(rule(every=4), folder)] == ["c3_image.tif", "c7_image.tif"]
    assert len(verification_paths(rule(), folder)) == 10
    assert [path.name for path in verification_paths(rule(begins=("c2", "c9")), folder)] == [
        "c2_image.tif",
        "c9_image.tif",
    ]


def test_a_folder_without_the_set_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match=r"holds no cells/\*_image.tif; expected the folder of the sets"):
        verification_paths(rule(), folder / "cells")


def test_a_part_is_cut_from_image_and_labels_alike(folder: Path) -> None:
    (example,) = examples(rule(begins=("c5",), axis="z", part=(1, 3)), folder)
    assert example.volume.array.shape == (1, 2, 6, 5)
    assert example.volume.array[0, :, 0, 0].tolist() == [1, 2]
    assert example.truth.array[:, 0, 0].tolist() == [1, 2]
    assert not example.truth.are_objects


def test_slices_are_images_of_their_own(folder: Path) -> None:
    found = list(examples(rule(begins=("c5",), slices=2), folder))
    assert [example.volume.array[0, 0, 0, 0] for example in found] == [0, 2]
    assert [example.truth.array[0, 0, 0] for example in found] == [0, 2]


def test_the_voxel_size_of_the_rule_is_both_grids(folder: Path) -> None:
    (example,) = examples(rule(begins=("c5",), spacing=(2, 0.5, 0.5), unit="µm"), folder)
    assert example.volume.grid.spacing == example.truth.grid.spacing == (2, 0.5, 0.5)
    assert example.volume.grid.unit == example.truth.grid.unit == "µm"


@pytest.mark.parametrize(
    ("truth", "expected"), [("labels", [0, 1, 2, 2]), ("foreground", [0, 1, 1, 1]), ("gaps", [1, 0, 0, 0])]
)
def test_what_the_truth_is(folder: Path, truth: str, expected: list[int]) -> None:
    (example,) = examples(rule(begins=("c5",), truth=truth), folder)
    assert example.truth.array[:, 0, 0].tolist() == expected


def test_labels_of_another_shape_are_told(folder: Path) -> None:
    tifffile.imwrite(folder / "cells/c5_label.tif", np.ones((3, 6, 5), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match=r"its labels cells/c5_label\.tif have"):
        list(examples(rule(begins=("c5",)), folder))


@pytest.mark.parametrize("fields", [{"images": "../*.tif"}, {"images": "/etc/*"}, {"labels": ("_image", "/../../x")}])
def test_a_card_cannot_point_out_of_its_folder(fields: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError, match="must lie below the folder"):
        rule(**fields)


def test_the_figures_of_each_measure() -> None:
    truth = np.zeros((1, 8, 8), np.uint8)
    truth[0, 1:3, 1:3], truth[0, 5:7, 5:7] = 1, 2
    found = truth.copy()
    found[found == 2] = 0
    masks = Labels((found > 0).astype(np.uint8)), Labels((truth > 0).astype(np.uint8))
    assert list(figures(rule(), *masks, BRIGHT)) == [("bright", "Dice", pytest.approx(2 * 4 / 12))]
    objects = Labels(found, are_objects=True), Labels(truth, are_objects=True)
    assert list(figures(rule(measure="objects"), *objects, BRIGHT)) == [
        ("bright", "Dice", pytest.approx(2 * 4 / 12)),
        ("bright", "F1@0.5", pytest.approx(2 / 3)),
    ]
    assert [(name, metric) for name, metric, _ in figures(rule(measure="boundary"), *masks, WALL)] == [
        ("wall", "Dice"),
        ("wall", "boundary Dice, 2 voxels"),
    ]


def test_boundary_dice_forgives_two_voxels_and_no_more() -> None:
    wall = np.zeros((12, 12), bool)
    wall[5] = True
    assert boundary_dice(np.roll(wall, 2, axis=0), wall) == 1
    assert boundary_dice(np.roll(wall, 3, axis=0), wall) == 0
    assert boundary_dice(np.zeros_like(wall), wall) == 0
    assert boundary_dice(np.zeros_like(wall), np.zeros_like(wall)) == 1
    assert dice_of(np.zeros_like(wall), np.zeros_like(wall)) == 1


def test_means_leave_out_what_is_in_neither() -> None:
    (score,) = mean_scores("cells", [("a", "Dice", 0.5), ("a", "Dice", float("nan")), ("a", "Dice", 0.7)])
    assert (score.value, score.images, score.held_out) == (0.6, 2, "cells")


def test_a_figure_agrees_within_a_hundredth_and_where_both_sides_have_it() -> None:
    def score(structure: str, value: float) -> Score:
        return Score(held_out="cells", structure=structure, metric="Dice", value=value, images=2)

    checks = compare(
        [score("a", 0.9), score("b", 0.9), score("c", 0.9)], [score("a", 0.908), score("b", 0.88), score("d", 1)]
    )
    assert [(check.score.structure, check.agrees) for check in checks] == [
        ("a", True),
        ("b", False),
        ("c", False),
        ("d", False),
    ]
    assert (checks[2].measured, checks[3].card) == (None, None)
