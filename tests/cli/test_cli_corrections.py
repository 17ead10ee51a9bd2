"""Result, corrected, learned: ``finetune --corrected`` with values for every way that it can go."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetseg.api import corrections_path
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.models.catalogue import read_card, weights_sha256
from napari_unetseg.core.volume import Labels, Structure
from support import Command, ModelMaker

SHAPE = (6, 16, 24)


@dataclass(frozen=True)
class Round:
    """An image, the result of a model on it, and where the corrected copy, the model and the next result go."""

    folder: Path
    made_by: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in ("image.tif", "result.tif", "corrected.tif", "m.safetensors"))

    @property
    def next(self) -> Path:
        return self.folder / "next.tif"

    def correct(self, change, structures: tuple[Structure, ...] | None = None) -> np.ndarray:
        """Write the corrected copy, and return its labels."""
        result = load_labels(self.folder / "result.tif")
        array = result.array.copy()
        change(array)
        named = result.structures if structures is None else structures
        save_labels(self.folder / "corrected.tif", replace(result, array=array, structures=named))
        return array

    def arguments(self, *more: object) -> list[object]:
        image, result, corrected, model = self.files
        told = ["--corrected", corrected, "--result", result, "-o", model, "--labels-out", self.next, "--steps", 2]
        return ["finetune", image, *told, "--json", *more]


def made(command: Command, folder: Path, model: Path) -> Round:
    image = np.zeros(SHAPE, np.uint8)
    image[1:5, 3:12, 4:14] = 200
    image[1:5, 3:12, 16:22] = 100  # what the model does not see
    tifffile.imwrite(folder / "image.tif", image)
    outcome = command("segment", folder / "image.tif", "-o", folder / "result.tif", "-m", model)
    assert outcome.code == 0, outcome.err
    return Round(folder, model)


@pytest.fixture
def begun(command: Command, tmp_path: Path, tiny_model: Path) -> Round:
    return made(command, tmp_path, tiny_model)


def missed(array: np.ndarray) -> None:
    """The person adds in slice 2 what the model did not see, and takes away a corner of what it did."""
    array[2, 3:12, 16:22] = 1
    array[2, 3:5, 4:6] = 0


def paint_of(begun: Round) -> np.ndarray:
    return load_labels(corrections_path(begun.next)).array


def test_a_result_names_the_model_that_made_it_by_its_weights(begun: Round) -> None:
    made_by = load_labels(begun.files[1]).made_by
    assert (made_by.name, made_by.sha256, made_by.corrected) == ("threshold", weights_sha256(begun.made_by), 0)


def test_what_differs_is_painted_and_kept(begun: Round) -> None:
    """In a process of its own, as a user runs it."""
    corrected, before = begun.correct(missed), load_labels(begun.files[1]).array
    command = [sys.executable, "-m", "napari_unetseg", *map(str, begun.arguments())]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    expected = np.where(corrected != before, corrected + 1, 0)
    assert np.array_equal(paint_of(begun), expected)
    assert (np.count_nonzero(expected == 2), np.count_nonzero(expected == 1)) == (54, 4)
    found, told = load_labels(begun.next), expected > 0
    assert np.array_equal(found.array[told], corrected[told])
    model = begun.files[3]
    assert (found.made_by.name, found.made_by.sha256, found.made_by.corrected) == ("m", weights_sha256(model), 58)
    card = read_card(model)
    assert [s.name for s in card.structures] == ["bright"]
    assert "Began with threshold" in card.training
    assert f'"corrected": {58}' in outcome.stdout
    assert '"start": "threshold"' in outcome.stdout


@pytest.mark.parametrize(
    ("mark", "place"), [("z=2,4", np.s_[[2, 4]]), ("y=5", np.s_[:, 5]), ("x=0,23", np.s_[..., [0, 23]])]
)
def test_slices_that_are_right_are_painted_as_a_whole(command: Command, begun: Round, mark: str, place) -> None:
    corrected, before = begun.correct(missed), load_labels(begun.files[1]).array
    outcome = command(*begun.arguments("--right", mark))
    assert outcome.code == 0, outcome.err
    told = corrected != before
    told[place] = True
    assert np.array_equal(paint_of(begun), np.where(told, corrected + 1, 0))
    assert outcome.json["corrected"] == told.sum()
    assert np.array_equal(load_labels(begun.next).array[told], corrected[told])


def test_a_slice_that_is_right_needs_no_other_correction(command: Command, begun: Round) -> None:
    begun.correct(lambda array: None)
    outcome = command(*begun.arguments("--right", "z=3", "--right", "y=4"))
    assert (outcome.code, outcome.json["corrected"]) == (0, 16 * 24 + 5 * 24)


def test_a_new_structure_is_kept_with_its_name(command: Command, begun: Round) -> None:
    halo = Structure(label=2, name="halo", colour="#123456")
    bright = load_labels(begun.files[1]).structures[0]

    def change(array: np.ndarray) -> None:
        array[2, 3:12, 16:22] = 2

    begun.correct(change, (bright, halo))
    outcome = command(*begun.arguments())
    assert outcome.code == 0, outcome.err
    found = load_labels(begun.next)
    assert (found.array[2, 3:12, 16:22] == 2).all()
    assert [(s.label, s.name) for s in found.structures] == [(1, "bright"), (2, "halo")]
    painted = load_labels(corrections_path(begun.next))
    assert [(s.label, s.name) for s in painted.structures] == [(1, "background"), (2, "bright"), (3, "halo")]


def test_the_model_is_found_by_its_weights_and_told_of_where_it_is_gone(
    command: Command, begun: Round, make_model: ModelMaker, tmp_path: Path
) -> None:
    begun.correct(missed)
    renamed = begun.made_by.rename(tmp_path / "other-name.safetensors")
    assert command(*begun.arguments()).json["start"] == "threshold"
    (tmp_path / "away").mkdir()
    shutil.move(renamed, tmp_path / "away" / renamed.name)
    begun.files[3].unlink()
    gone = command(*begun.arguments())
    assert (gone.code, gone.err.count("\n")) == (2, 1)
    assert "was made by threshold" in gone.err
    assert "--model" in gone.err
    assert not begun.files[3].exists()
    named = command(*begun.arguments("-m", tmp_path / "away" / renamed.name))
    assert (named.code, named.err) == (0, "")
    another = command(*begun.arguments("-m", make_model("darker", inputs=1)))
    assert another.code == 0, another.err
    assert another.json["start"] == "darker"


def test_another_model_that_is_named_is_told_of(command: Command, begun: Round, tiny_object_model: Path) -> None:
    begun.correct(missed)
    outcome = command(*begun.arguments("-m", tiny_object_model))
    assert "note: The result was made by threshold; learning goes on from threshold-objects." in outcome.err


def test_labels_that_do_not_say_what_made_them_need_a_model(command: Command, begun: Round) -> None:
    begun.correct(missed)
    _, result, corrected, _ = begun.files
    for path in (result, corrected):
        save_labels(path, replace(load_labels(path), made_by=None, structures=()))
    outcome = command(*begun.arguments())
    assert outcome.code == 2
    assert "no model that it names" in outcome.err
    outcome = command(*begun.arguments("-m", begun.made_by))
    assert outcome.code == 0, outcome.err
    assert [s.name for s in load_labels(begun.next).structures] == ["bright"]


REFUSED = {
    "another shape": (lambda labels: replace(labels, array=labels.array[:4]), (), "their shapes differ"),
    "another spacing": (lambda labels: replace(labels, grid=Grid((2.0, 1.0, 1.0), "mm")), (), "differ"),
    "nothing corrected": (lambda labels: labels, (), "there is nothing to learn"),
    "a gap": (lambda labels: replace(labels, array=labels.array * 7), (), "follow the result's, from 2"),
    "too many": (lambda labels: replace(labels, array=labels.array.astype(np.uint16) * 300), (), "below 128"),
    "objects": (
        lambda labels: replace(labels, array=labels.array + labels.array, are_objects=True), (), "got numbered objects",
    ),
    "no such slice": (lambda labels: labels, ("--right", "z=6"), "a slice of 0 to 5 along z; got 6"),
    "no axis": (lambda labels: labels, ("--right", "12"), "right as z=12,40; got '12'"),
    "no such image": (lambda labels: labels, ("--right", "2:z=1"), "one of 1 images"),
    "painted": (lambda labels: labels, ("--painted", "p.tif"), "without --painted"),
    "whole": (lambda labels: labels, ("--whole",), "without --painted, --whole"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "more", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learned_is_one_line_and_leaves_nothing(
    command: Command, begun: Round, change, more: tuple[str, ...], message: str
) -> None:
    result = load_labels(begun.files[1])
    save_labels(begun.files[2], change(replace(result, grid=Grid((1.0, 1.0, 1.0), "mm"))))
    save_labels(begun.files[1], replace(result, grid=Grid((1.0, 1.0, 1.0), "mm")))
    outcome = command(*begun.arguments(*more))
    assert (outcome.code, outcome.err.strip().count("\n")) == (2, 0), outcome.err
    assert message in outcome.err
    assert not begun.files[3].exists()
    assert not begun.next.exists()


def test_real_numbers_are_no_labels(command: Command, begun: Round) -> None:
    tifffile.imwrite(begun.files[2], np.full(SHAPE, 0.5, np.float32))
    outcome = command(*begun.arguments())
    assert (outcome.code, outcome.err.strip().count("\n")) == (2, 0)
    assert "whole" in outcome.err


def test_each_image_has_a_result_and_a_corrected_copy(command: Command, begun: Round) -> None:
    image, result, corrected, model = begun.files
    begun.correct(missed)
    for files in (["--corrected", corrected], ["--result", result], ["--right", "z=1"], ["--labels-out", begun.next]):
        outcome = command("finetune", image, *files, "-o", model, "--steps", 0)
        assert outcome.code == 2
        assert "--result" in outcome.err


def test_a_result_is_no_paint(command: Command, begun: Round) -> None:
    image, result, _, model = begun.files
    outcome = command("finetune", image, "--painted", result, "-o", model, "--steps", 0)
    assert (outcome.code, outcome.err.strip().count("\n")) == (2, 0)
    assert "is a result of threshold" in outcome.err
    assert "--corrected" in outcome.err


def test_all_corrections_of_all_rounds_are_kept(command: Command, begun: Round, tmp_path: Path) -> None:
    """The second round corrects the first one's result elsewhere, and takes one voxel back."""
    first = begun.correct(missed)
    before = load_labels(begun.files[1]).array
    assert command(*begun.arguments()).code == 0
    again = load_labels(begun.next)
    array = again.array.copy()
    array[4, 0, :5], array[2, 3, 16] = 1 - array[4, 0, :5], 0
    save_labels(tmp_path / "again.tif", replace(again, array=array))
    files = ["--corrected", tmp_path / "again.tif", "--result", begun.next, "-o", tmp_path / "m2.safetensors"]
    last = tmp_path / "last.tif"
    outcome = command("finetune", begun.files[0], *files, "--labels-out", last, "--steps", 2, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["start"], outcome.json["corrected"]) == ("m", 58 + 5)
    found, told = load_labels(last).array, first != before
    told[2, 3, 16] = False
    assert np.array_equal(found[told], first[told])
    assert found[2, 3, 16] == 0
    assert np.array_equal(found[4, 0, :5], array[4, 0, :5])
    corrections_path(begun.next).unlink()
    outcome = command("finetune", begun.files[0], *files, "--labels-out", last, "--steps", 0)
    assert outcome.code == 0
    assert "keeps 58 corrected voxels" in outcome.err


def test_several_images_are_learned_together(command: Command, begun: Round, tmp_path: Path) -> None:
    image, result, corrected, model = begun.files
    labels = begun.correct(missed)
    shutil.copy(image, tmp_path / "other.tif")
    (tmp_path / "out").mkdir()
    twice = ["--corrected", corrected, "--corrected", result, "--result", result, "--result", result]
    files = ["finetune", image, tmp_path / "other.tif", *twice, "-o", model, "--labels-out", tmp_path / "out"]
    outcome = command(*files, "--right", "2:z=0", "--steps", 2, "--json")
    assert outcome.code == 0, outcome.err
    first, second = (load_labels(Path(path)) for path in outcome.json["labels"])
    assert (first.made_by.corrected, second.made_by.corrected) == (58, 16 * 24)
    assert np.array_equal(first.array[2, 3:12, 16:22], labels[2, 3:12, 16:22])
    assert not second.array[0].any()
    outcome = command(*files, "--right", "z=0", "--steps", 2)
    assert "with the image's number before it" in outcome.err


def test_a_learned_model_goes_on_learning(command: Command, begun: Round, tmp_path: Path) -> None:
    """A pixel classifier, as *Learn* makes it."""
    image, result, *_ = begun.files
    labels = load_labels(result).array
    painted = np.zeros(SHAPE, np.uint8)
    painted[[1, 3]] = labels[[1, 3]] + 1
    save_labels(tmp_path / "painted.tif", Labels(painted))
    learned = tmp_path / "learned.safetensors"
    assert command("finetune", image, "--painted", tmp_path / "painted.tif", "-o", learned, "--steps", 0).code == 0
    assert command("segment", image, "-o", result, "-m", learned).code == 0
    assert load_labels(result).made_by.sha256 == weights_sha256(learned)
    corrected = begun.correct(missed)
    outcome = command(*begun.arguments("--right", "z=2", "--steps", 0))
    assert outcome.code == 0, outcome.err
    found = load_labels(begun.next)
    assert outcome.json["start"] == "learned"
    assert np.array_equal(found.array[2], corrected[2])
    assert found.array[3, 3:12, 16:22].mean() > 0.8  # and so it is in the next slice
    assert found.array[3, 4:11, 5:13].mean() > 0.9  # what it knew before is still there
    assert found.array[:, 13:].mean() < 0.1


def test_objects_stay_numbered_and_hold_what_was_corrected(
    command: Command, tmp_path: Path, tiny_object_model: Path
) -> None:
    begun = made(command, tmp_path, tiny_object_model)
    assert load_labels(begun.files[1]).are_objects
    numbers = begun.correct(lambda array: array.__setitem__((2, slice(3, 12), slice(16, 22)), 7))
    outcome = command(*begun.arguments("--right", "z=2"))
    assert outcome.code == 0, outcome.err
    found = load_labels(begun.next)
    assert found.are_objects
    assert np.array_equal(found.array[2] > 0, numbers[2] > 0)
    assert len(np.unique(found.array[2])) == 3
    assert read_card(begun.files[3]).structures == read_card(tiny_object_model).structures


def test_anonymous_results_name_no_model_of_the_user(command: Command, begun: Round) -> None:
    begun.correct(missed)
    outcome = command("segment", begun.files[0], "-o", begun.files[1], "-m", begun.made_by, "--anonymous")
    assert outcome.code == 0
    made_by = load_labels(begun.files[1]).made_by
    assert (made_by.name, made_by.sha256) == ("a model of the user", weights_sha256(begun.made_by))
    outcome = command(*begun.arguments("--anonymous"))
    assert outcome.code == 0, outcome.err
    assert load_labels(begun.next).made_by.name == "a model of the user"
