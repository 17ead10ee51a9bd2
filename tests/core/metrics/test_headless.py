"""The commands that score, measure and clean, on files; every figure of the table is worked out again."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_unetseg import api
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_labels, save_labels, save_volume
from napari_unetseg.core.io.samples import find_sample
from napari_unetseg.core.metrics.folders import iter_evaluate_pairs, pair_by_name, summarise
from napari_unetseg.core.metrics.scores import METRICS
from napari_unetseg.core.progress import finish
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError, UnetsegError

from .oracles import boundary_dice, monai_overlap, monai_surfaces
from .shapes import distorted

SPACING = (1.5, 1.0, 0.8)
CASES = ("hippocampus_001", "hippocampus_003")


def write(path: Path, array: np.ndarray) -> None:
    """A NIfTI file as other programs write it: x, y, z, with the voxel size in the header."""
    image = nibabel.Nifti1Image(array.transpose(2, 1, 0), np.diag([*SPACING[::-1], 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two cases from a real hippocampus; the predictions are distorted and named as `segment` names them."""
    predicted, reference = (tmp_path_factory.mktemp(name) for name in ("predicted", "reference"))
    real = load_labels(find_sample("hippocampus").labels).array.astype(np.uint8)
    for number, case in enumerate(CASES):
        array = real[:, :, ::-1] if number else real
        write(reference / f"{case}.nii.gz", array)
        write(predicted / f"{case}-labels.nii.gz", distorted(array, seed=number))
    return predicted, reference


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def expected(predicted: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    voxel, tolerance = np.prod(SPACING), max(SPACING)
    sizes = predicted.sum() * voxel, reference.sum() * voxel
    return (
        monai_overlap(predicted, reference)
        | monai_surfaces(predicted, reference, SPACING, tolerance)
        | {
            "boundary_dice": boundary_dice(predicted, reference, SPACING, tolerance),
            "volume": sizes[0],
            "reference_volume": sizes[1],
            "volume_difference": sizes[0] - sizes[1],
            "volume_difference_percent": 100 * (sizes[0] - sizes[1]) / sizes[1],
        }
    )


def test_two_folders_give_a_table_that_the_oracles_agree_with(folders, tmp_path, command):
    outcome = command("evaluate", *folders, "-o", tmp_path / "t.csv", "--processes", 2, "--json")
    assert outcome.code == 0, outcome.err
    rows = rows_of(tmp_path / "t.csv")
    assert [(row["case"], row["label"]) for row in rows] == [(case, label) for case in CASES for label in "12"]
    for row in rows:
        files = folders[0] / f"{row['case']}-labels.nii.gz", folders[1] / f"{row['case']}.nii.gz"
        masks = [np.asarray(nibabel.load(file).dataobj).transpose(2, 1, 0) == int(row["label"]) for file in files]
        for name, value in expected(*masks).items():
            assert float(row[name]) == pytest.approx(value, rel=1e-5), (row["case"], row["label"], name)
        assert row["unit"] == "mm"
    dice = [float(row["dice"]) for row in rows]
    assert outcome.json["mean_dice"] == pytest.approx(np.mean(dice))
    assert outcome.json["structures"][0]["dice"] == pytest.approx((dice[0] + dice[2]) / 2)
    assert [case["case"] for case in outcome.json["cases"]] == list(CASES)
    assert outcome.json["cases"][0]["structures"][1]["dice"] == dice[1]


def test_one_pair_gives_the_same_figures(folders, command):
    outcome = command("evaluate", folders[0] / f"{CASES[0]}-labels.nii.gz", folders[1] / f"{CASES[0]}.nii.gz", "--json")
    (evaluation,) = finish(iter_evaluate_pairs(dict(list(pair_by_name(*folders).items())[:1]))).values()
    assert outcome.json["structures"] == evaluation.to_dict()["structures"]
    assert outcome.json["unit"] == "mm"
    assert outcome.json["structures"][0].keys() == {"label", "name", *METRICS}


def test_folders_are_shown_as_tables(folders, command):
    outcome = command("evaluate", *folders, "--processes", 1)
    assert all(case in outcome.out for case in CASES)
    assert "means over 2 cases" in outcome.out


def test_a_case_that_is_missing_is_named(folders, tmp_path, command):
    write(tmp_path / f"{CASES[0]}.nii.gz", np.ones((3, 4, 5), np.uint8))
    outcome = command("evaluate", folders[0], tmp_path, "-o", tmp_path / "t.csv")
    assert outcome.code == 2
    assert CASES[1] in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "t.csv").exists()


def test_a_case_that_cannot_be_scored_is_named(folders, tmp_path):
    for case in CASES:
        write(tmp_path / f"{case}.nii.gz", np.ones((3, 4, 5), np.uint8))
    with pytest.raises(UnetsegError, match=r"hippocampus_00\d: .* shapes differ"):
        finish(iter_evaluate_pairs(pair_by_name(folders[0], tmp_path), processes=2))


def test_names_may_differ_in_format_alone(tmp_path):
    for folder, name in (("p", "a-labels.ome.tif"), ("r", "a.tif")):
        (tmp_path / folder).mkdir()
        save_labels(tmp_path / folder / name, Labels(np.ones((2, 3, 4), np.uint8)))
    assert pair_by_name(tmp_path / "p", tmp_path / "r").keys() == {"a"}
    save_labels(tmp_path / "r" / "a.nii.gz", Labels(np.ones((2, 3, 4), np.uint8)))
    with pytest.raises(InputError, match="several for a"):
        pair_by_name(tmp_path / "p", tmp_path / "r")


def test_names_with_dots_stay_apart(tmp_path):
    for folder, ending in (("predicted", "-labels.ome.tif"), ("reference", ".nii.gz")):
        (tmp_path / folder).mkdir()
        for case in ("cell.v1", "cell.v2"):
            (tmp_path / folder / f"{case}{ending}").touch()
    pairs = pair_by_name(tmp_path / "predicted", tmp_path / "reference")
    assert {case: [path.name for path in pair] for case, pair in pairs.items()} == {
        "cell.v1": ["cell.v1-labels.ome.tif", "cell.v1.nii.gz"],
        "cell.v2": ["cell.v2-labels.ome.tif", "cell.v2.nii.gz"],
    }


def test_no_cases_have_no_mean():
    assert summarise({}) == {"structures": [], "mean_dice": None, "mean_iou": None, "unit": None, "cases": []}


@pytest.fixture
def cell(tmp_path):
    array = np.zeros((4, 10, 10), np.uint8)
    array[1:3, 2:6, 2:6] = 1
    array[0, 9, 9] = 1
    path = tmp_path / "cell.ome.tif"
    structures = (Structure(label=1, name="cell", colour="#ff0000"),)
    save_labels(path, Labels(array, Grid((2.0, 0.5, 0.5), "µm"), structures))
    return path


def test_measure_writes_a_table(cell, tmp_path, command):
    outcome = command("measure", cell, "-o", tmp_path / "t.csv", "--json")
    (row,) = outcome.json["structures"]
    assert (row["name"], row["voxels"], row["parts"], row["volume"]) == ("cell", 33, 2, 33 * 0.5)
    assert outcome.json["unit"] == "µm"
    assert float(rows_of(tmp_path / "t.csv")[0]["extent_z"]) == 6
    assert len(command("measure", cell, "--objects", "--json").json["objects"]) == 2
    assert "cell" in command("measure", cell).out


def test_clean_writes_labels_and_says_the_steps(cell, tmp_path, command):
    out = tmp_path / "clean.ome.tif"
    outcome = command(
        "clean", cell, "-o", out, "--step", "keep_largest", "--step", "erode distance=0.5 unit=um", "--json"
    )
    assert [step["kind"] for step in outcome.json["steps"]] == ["keep_largest", "erode"]
    cleaned = load_labels(out)
    assert cleaned.array.sum() == 2 * 2 * 2
    assert (cleaned.grid.spacing, cleaned.structures[0].name) == ((2.0, 0.5, 0.5), "cell")


def test_clean_follows_the_image_and_a_prior(cell, tmp_path, command):
    """The image has the cell a voxel wider; the painted slices say that nothing is in the corner."""
    image, painted = np.zeros((4, 10, 10), np.float32), np.zeros((4, 10, 10), np.uint8)
    image[1:3, 1:7, 1:7] = 1
    painted[[0, 3]] = 1
    painted[[0, 3], 1:7, 1:7] = 2
    grid = Grid((2.0, 0.5, 0.5), "µm")
    save_volume(tmp_path / "image.ome.tif", Volume(image[None], grid))
    save_labels(tmp_path / "painted.ome.tif", Labels(painted, grid))
    steps = ("crf appearance=9 smoothness=0 per_slice=true", "prior softness=0.1 unit=um")
    out, options = (
        tmp_path / "out.ome.tif",
        ("--image", tmp_path / "image.ome.tif", "--painted", tmp_path / "painted.ome.tif"),
    )
    outcome = command("clean", cell, "-o", out, "--step", steps[0], "--step", steps[1], *options, "--json")
    assert outcome.code == 0
    assert [step["kind"] for step in outcome.json["steps"]] == ["crf", "prior"]
    assert outcome.json["painted"] == "painted.ome.tif"
    context = api.cleanup_context(tmp_path / "image.ome.tif", painted=tmp_path / "painted.ome.tif")
    expected = api.clean(cell, steps, context)
    np.testing.assert_array_equal(load_labels(out).array, expected.array)
    assert (int(expected.array[1:3].sum()), expected.array[0, 9, 9]) == (72, 0)


@pytest.mark.parametrize(
    ("step", "message"),
    [("crf", "follows the image"), ("prior", "probability map or painted slices"), ("crf window=0", "window")],
)
def test_what_a_step_lacks_is_said(cell, tmp_path, command, step, message):
    outcome = command("clean", cell, "-o", tmp_path / "out.ome.tif", "--step", step)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert message in outcome.err
    assert not (tmp_path / "out.ome.tif").exists()


def test_a_probability_map_is_a_prior(cell, tmp_path, command):
    likely = np.full((1, 4, 10, 10), 0.01, np.float32)
    likely[0, :, :8, :8] = 0.6
    save_volume(tmp_path / "map.nii.gz", Volume(likely, Grid((2.0, 0.5, 0.5), "µm")))
    out = tmp_path / "out.ome.tif"
    assert command("clean", cell, "-o", out, "--step", "prior", "--map", tmp_path / "map.nii.gz").code == 0
    cleaned = load_labels(out).array
    assert (cleaned.sum(), cleaned[0, 9, 9]) == (32, 0)


def test_folders_are_scored_from_python_too(folders, tmp_path):
    told = []
    found = api.evaluate_folders(*folders, on_progress=told.append)
    assert list(found) == list(CASES)
    for case in CASES:
        alone = api.evaluate(*(next(folder.glob(f"{case}*")) for folder in folders))
        assert found[case] == alone
    assert [progress.done for progress in told][-1] == len(CASES)
    with pytest.raises(InputError, match="is none"):
        api.evaluate_folders(folders[0], tmp_path / "nowhere")


@pytest.mark.parametrize("steps", [[], ["--step", "polish"], ["--step", "smooth radius=-1"]])
def test_a_wrong_step_writes_nothing(cell, tmp_path, command, steps):
    outcome = command("clean", cell, "-o", tmp_path / "out.ome.tif", *steps)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out.ome.tif").exists()


@pytest.fixture
def organs(tmp_path):
    """A prediction and its reference in mm: the first organ is right; of the second, 27 of 36 voxels of a slice are."""
    truth = np.zeros((6, 30, 30), np.uint8)
    truth[1:5, 2:14, 2:14], truth[1:5, 18:24, 18:24] = 1, 2
    found = truth.copy()
    found[:, 18:20, 18:24] = 0
    names = [Structure(label=1, name="liver", colour="#e69f00"), Structure(label=2, name="spleen", colour="#56b4e9")]
    paths = tmp_path / "found.nii.gz", tmp_path / "truth.nii.gz"
    for path, array in zip(paths, (found, truth), strict=True):
        save_labels(path, Labels(array, Grid((4.0, 4.0, 4.0), "mm"), tuple(names)))
    return paths


def test_limits_are_told_for_each_structure_and_by_the_exit_code(organs, tmp_path, command):
    """Of the spleen two thirds are found: Dice 0.8 is acceptable, sensitivity 0.67 is not."""
    outcome = command("evaluate", *organs, "--limits", "clinical", "-o", tmp_path / "t.csv", "--json")
    assert outcome.code == 1
    liver, spleen = (structure["limits"] for structure in outcome.json["structures"])
    assert (liver["rating"], liver["passed"], liver["missed"]) == ("met", True, [])
    assert (spleen["rating"], spleen["passed"]) == ("missed", False)
    assert {limit["metric"] for limit in spleen["missed"]} == {"dice", "iou", "sensitivity", "hausdorff"}
    assert outcome.json["limits_passed"] is False
    assert [row["limits"] for row in rows_of(tmp_path / "t.csv")] == ["met", "missed"]
    shown = command("evaluate", *organs, "--limits", "clinical")
    assert "✓ 1.000" in shown.out
    assert [word for word in shown.out.split() if word in ("met", "missed")] == ["met", "missed"]
    assert all(words in shown.out for words in ("≈ 0.800", "✗ 0.667", "≈ 8.000", "HD < 5 / 10 mm"))
    assert "mean IoU (mIoU) 0.833" in shown.out
    assert command("evaluate", organs[1], organs[1], "--limits", "clinical").code == 0


def test_limits_come_from_a_file_and_a_bad_one_is_refused_in_one_line(organs, tmp_path, command):
    good, bad = tmp_path / "lab.toml", tmp_path / "bad.toml"
    good.write_text('[[limits]]\nmetric = "dice"\nvalue = 0.9\nacceptable = 0.75\n')
    bad.write_text('[[limits]]\nmetric = "dice"\nvalue = 90\n')
    outcome = command("evaluate", *organs, "--limits", good, "--json")
    assert (outcome.code, outcome.json["structures"][1]["limits"]["rating"]) == (0, "acceptable")
    outcome = command("evaluate", *organs, "--limits", bad, "-o", tmp_path / "t.csv")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert "dice needs a value below 1" in outcome.err
    assert command("evaluate", *organs, "--limits", "strict").code == 2
    assert not (tmp_path / "t.csv").exists()


def test_limits_of_folders_name_the_structures_that_miss_them(organs, tmp_path, command):
    for path in organs:
        (tmp_path / path.name[:5]).mkdir()
        path.rename(tmp_path / path.name[:5] / "case.nii.gz")
    folders = tmp_path / "found", tmp_path / "truth"
    outcome = command("evaluate", *folders, "--limits", "clinical", "--processes", 1)
    assert outcome.code == 1
    assert "✗ spleen" in outcome.out
    outcome = command("evaluate", *folders, "--limits", "clinical", "--processes", 1, "--json")
    (case,) = outcome.json["cases"]
    assert [structure["limits"]["passed"] for structure in case["structures"]] == [True, False]
    assert outcome.json["mean_iou"] == pytest.approx((1 + 2 / 3) / 2)


def test_the_report_tells_of_limits_and_advice(organs, tmp_path, command):
    out = tmp_path / "r.html"
    outcome = command("report", organs[0], "-o", out, "--reference", organs[1], "--limits", "clinical", "--json")
    assert outcome.code == 0, outcome.err
    assert [verdict["rating"] for verdict in outcome.json["verdicts"]] == ["met", "missed"]
    page = out.read_text(encoding="utf-8")
    assert "✗ dice above 0.85" in page
    assert "mean IoU (mIoU) 0.833" in page
    assert "Volume [mL]" in page


def test_measures_and_surfaces_are_finer_than_voxels_where_probabilities_are_given(tmp_path, command):
    """A ball of 6 mm in voxels of 1 mm, with the share of each voxel that it covers."""
    labels, soft = ball_files(tmp_path)
    outcome = command("measure", labels, "--probabilities", soft, "-o", tmp_path / "t.csv", "--json")
    (row,) = outcome.json["structures"]
    assert row["subvoxel_volume"] == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.01)
    assert row["subvoxel_surface"] == pytest.approx(4 * np.pi * 6**2, rel=0.03)
    assert row["surface"] > 1.06 * row["subvoxel_surface"]
    assert "Sub-voxel" in command("measure", labels, "--probabilities", soft).out
    assert command("measure", labels, "--probabilities", soft, "--objects", "--json").json["objects"][0].keys() >= {
        "subvoxel_volume", "subvoxel_surface",
    }  # fmt: skip
    assert command("surfaces", labels, "--probabilities", soft, "-o", tmp_path).code == 0
    outcome = command("measure", labels, "--probabilities", labels)
    assert (outcome.code, outcome.err.count("\n")) == (0, 0)
    save_volume(tmp_path / "bytes.nii.gz", Volume(np.full((1, 16, 16, 16), 255, np.uint8), Grid((1.0,) * 3, "mm")))
    outcome = command("measure", labels, "--probabilities", tmp_path / "bytes.nii.gz")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "from 0 to 1" in outcome.err


def ball_files(folder):
    at = (np.arange(16 * 4) + 0.5) / 4 - 8.2
    inside = at[:, None, None] ** 2 + at[:, None] ** 2 + at**2 <= 36
    covered = inside.reshape(16, 4, 16, 4, 16, 4).mean(axis=(1, 3, 5)).astype(np.float32)
    grid, ball = Grid((1.0, 1.0, 1.0), "mm"), Structure(label=1, name="ball", colour="#ff0000")
    save_labels(folder / "ball.nii.gz", Labels((covered > 0.5).astype(np.uint8), grid, (ball,)))
    save_volume(folder / "soft.nii.gz", Volume(np.stack([1 - covered, covered]), grid, ("background", "ball")))
    return folder / "ball.nii.gz", folder / "soft.nii.gz"


def test_advice_is_told_headless(organs, tmp_path, command):
    empty = tmp_path / "empty.nii.gz"
    truth = load_labels(organs[1])
    save_labels(empty, Labels(np.where(truth.array == 1, 1, 0).astype(np.uint8), truth.grid, truth.structures))
    outcome = command("evaluate", empty, organs[1], "--json")
    (advice,) = outcome.json["advice"]
    assert advice["structures"] == [2]
    assert advice["settings"] == {"structure_weight": 5.0, "learning_rate": 0.5, "minutes": 2.0}
    assert f"→ {advice['text']}"[:60] in command("evaluate", empty, organs[1]).out


def test_people_read_few_digits_and_files_keep_all(organs, tmp_path, command):
    outcome = command("measure", organs[1], "-o", tmp_path / "t.csv")
    assert "Volume [mL]" in outcome.out
    assert "36.86" in outcome.out
    assert float(rows_of(tmp_path / "t.csv")[0]["volume"]) == 4 * 144 * 64
