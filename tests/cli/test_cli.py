import csv
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from napari_unetseg import __version__
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_labels, load_volume, save_labels
from napari_unetseg.core.io.samples import sample
from napari_unetseg.core.volume import Labels, Structure
from support import Command, ModelMaker


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """An image of 0 with two blocks: 150 everywhere but for a core of 255."""
    image = np.zeros((10, 24, 24), np.uint8)
    for start in (2, 13):
        image[2:8, 4:12, start : start + 8] = 150
        image[4:6, 6:10, start + 2 : start + 6] = 255
    path = tmp_path / "blocks.ome.tif"
    size = {"PhysicalSizeZ": 0.5, "PhysicalSizeY": 0.2, "PhysicalSizeX": 0.1}
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "ZYX", **size})
    return path


def two_blocks() -> npt.NDArray[np.uint8]:
    labels = np.zeros((10, 24, 24), np.uint8)
    labels[2:8, 4:12, 2:10], labels[2:8, 4:12, 13:21] = 1, 2
    return labels


def test_segment_writes_classes_on_the_grid_of_the_image(
    command: Command, blocks: Path, tiny_model: Path, tmp_path: Path
) -> None:
    outcome = command("segment", blocks, "-o", tmp_path / "out.ome.tif", "--model", tiny_model, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert outcome.json["output"] == str(tmp_path / "out.ome.tif")
    assert (outcome.json["model"], outcome.json["device"].split()[0]) == ("threshold", "cpu")
    assert 0 < outcome.json["seconds"] < 60
    labels = load_labels(tmp_path / "out.ome.tif")
    assert np.array_equal(labels.array, two_blocks() > 0)
    assert labels.grid.spacing == (0.5, 0.2, 0.1)
    assert labels.grid.unit == "µm"
    assert [(s.label, s.name, s.colour) for s in labels.structures] == [(1, "bright", "#e69f00")]


def test_segment_numbers_objects_where_the_model_finds_them(
    command: Command, blocks: Path, tiny_object_model: Path, tmp_path: Path
) -> None:
    outcome = command("segment", blocks, "-o", tmp_path / "out.tif", "--model", tiny_object_model, "--json")
    assert outcome.json["objects"] == 2
    labels = load_labels(tmp_path / "out.tif")
    assert labels.are_objects
    assert np.array_equal(labels.array, two_blocks())


def test_segment_writes_classes_of_an_object_model_on_request(
    command: Command, blocks: Path, tiny_object_model: Path, tmp_path: Path
) -> None:
    outcome = command("segment", blocks, "-o", tmp_path / "out.tif", "-m", tiny_object_model, "--write", "classes")
    assert outcome.code == 0
    labels = load_labels(tmp_path / "out.tif")
    assert not labels.are_objects
    assert np.array_equal(labels.array, two_blocks() > 0)


def test_segment_writes_probabilities_as_named_channels(
    command: Command, blocks: Path, tiny_model: Path, tmp_path: Path
) -> None:
    outcome = command("segment", blocks, "-o", tmp_path / "soft.ome.tif", "-m", tiny_model, "--write", "probabilities")
    assert outcome.code == 0, outcome.err
    soft = load_volume(tmp_path / "soft.ome.tif")
    assert soft.channels == ("background", "bright")
    assert soft.array.dtype == np.float32
    np.testing.assert_allclose(soft.array.sum(axis=0), 1, atol=2e-3)
    np.testing.assert_allclose(soft.array[1], two_blocks() > 0, atol=2e-3)


def test_segment_drops_objects_below_a_physical_size(
    command: Command, blocks: Path, tiny_object_model: Path, tmp_path: Path
) -> None:
    block = 6 * 8 * 8 * 0.5 * 0.2 * 0.1  # µm³
    for factor, left in ((0.9, 2), (1.1, 0)):
        outcome = command(
            "segment", blocks, "-o", tmp_path / "out.tif", "-m", tiny_object_model, "--json",
            "--smallest", factor * block,
        )  # fmt: skip
        assert outcome.json["objects"] == left


def test_segment_shows_the_model_an_image_at_another_scale(
    command: Command, blocks: Path, tiny_model: Path, tmp_path: Path
) -> None:
    outcome = command("segment", blocks, "-o", tmp_path / "half.ome.tif", "-m", tiny_model, "--scale", 0.5)
    assert outcome.code == 0, outcome.err
    half, truth = load_labels(tmp_path / "half.ome.tif").array > 0, two_blocks() > 0
    assert half.shape == truth.shape
    assert 0.4 * truth.sum() < (half & truth).sum() < truth.sum()  # corners are lost
    assert half[~truth].mean() < 0.01
    refused = command("segment", blocks, "-o", tmp_path / "no.ome.tif", "-m", tiny_model, "--scale", 0)
    assert refused.code == 2
    assert "Expected a scale from 0.0625 to 16; got 0" in refused.err


def test_segment_takes_the_voxel_size_from_the_command_line(
    command: Command, blocks: Path, tiny_model: Path, tmp_path: Path
) -> None:
    command("segment", blocks, "-o", tmp_path / "out.tif", "-m", tiny_model, "--spacing", "40,8,8nm")
    grid = load_labels(tmp_path / "out.tif").grid
    assert (grid.spacing, grid.unit) == ((40, 8, 8), "nm")


def test_segment_takes_one_channel(command: Command, tiny_model_2d: Path, tmp_path: Path) -> None:
    image = np.zeros((2, 16, 16), np.uint8)
    image[1, :, 8:] = 255
    tifffile.imwrite(tmp_path / "two.ome.tif", image, ome=True, metadata={"axes": "CYX"})
    outcome = command(
        "segment", tmp_path / "two.ome.tif", "-o", tmp_path / "o.tif", "-m", tiny_model_2d, "--channel", 1
    )
    assert outcome.code == 0, outcome.err
    assert np.array_equal(load_labels(tmp_path / "o.tif").array[0], image[1] > 0)


def test_segment_of_a_folder_writes_one_result_for_each_image(
    command: Command, tiny_model: Path, blocks: Path, tmp_path: Path
) -> None:
    folder, results = tmp_path / "images", tmp_path / "results"
    folder.mkdir(), results.mkdir()
    blocks.rename(folder / blocks.name)
    bright = np.full((8, 8, 8), 255, np.uint8)
    nibabel.save(nibabel.Nifti1Image(bright, np.diag([2.0, 3.0, 4.0, 1.0])), folder / "bright.nii.gz")
    (folder / "notes.txt").write_text("not an image")
    outcome = command("segment", folder, "-o", results, "-m", tiny_model, "--json")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in results.iterdir()) == ["blocks-labels.ome.tif", "bright-labels.nii.gz"]
    assert outcome.json["output"] == str(results)
    assert [Path(result["output"]).name for result in outcome.json["results"]] == [
        "blocks-labels.ome.tif",
        "bright-labels.nii.gz",
    ]
    labels = nibabel.load(results / "bright-labels.nii.gz")
    assert np.array_equal(labels.affine, np.diag([2.0, 3.0, 4.0, 1.0]))
    assert (np.asarray(labels.dataobj) == 1).all()


def test_segment_takes_a_folder_of_slices_as_one_volume(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(4):
        tifffile.imwrite(folder / f"{z}.tif", np.full((12, 12), 255 * (z % 2), np.uint8))
    outcome = command("segment", folder, "-o", tmp_path / "out.tif", "-m", tiny_model, "--stack")
    assert outcome.code == 0, outcome.err
    assert load_labels(tmp_path / "out.tif").array[:, 5, 5].tolist() == [0, 1, 0, 1]


def test_evaluate_scores_classes_by_hand(command: Command, tmp_path: Path) -> None:
    names = (Structure(label=1, name="axon", colour="#ff0000"), Structure(label=2, name="myelin", colour="#00ff00"))
    reference, predicted = np.zeros((1, 4, 10), np.uint8), np.zeros((1, 4, 10), np.uint8)
    reference[0, 0], reference[0, 1] = 1, 2
    predicted[0, 0, :5], predicted[0, 1:3] = 1, 2
    grid = Grid((1, 0.1, 0.1), "µm")
    save_labels(tmp_path / "reference.tif", Labels(reference, grid, names))
    save_labels(tmp_path / "predicted.tif", Labels(predicted, grid, names))
    outcome = command(
        "evaluate", tmp_path / "predicted.tif", tmp_path / "reference.tif", "-o", tmp_path / "table.csv", "--json"
    )
    assert outcome.code == 0, outcome.err
    rows = outcome.json["structures"]
    assert [(row["label"], row["name"]) for row in rows] == [(1, "axon"), (2, "myelin")]
    assert [row["dice"] for row in rows] == [pytest.approx(10 / 15), pytest.approx(20 / 30)]
    assert [row["iou"] for row in rows] == [pytest.approx(5 / 10), pytest.approx(10 / 20)]
    assert outcome.json["mean_dice"] == pytest.approx(2 / 3)
    with (tmp_path / "table.csv").open() as file:
        assert [float(row["dice"]) for row in csv.DictReader(file)] == [pytest.approx(2 / 3)] * 2


def test_evaluate_scores_objects_whatever_their_numbers(command: Command, tmp_path: Path) -> None:
    reference = two_blocks()
    predicted = np.where(reference > 0, 30 - reference, 0).astype(np.uint8)
    predicted[2:8, 4:12, 13:17] = 7  # the second block in two halves, of which neither is more than half of it
    nucleus = (Structure(label=1, name="nucleus", colour="#ff0000"),)
    save_labels(tmp_path / "predicted.tif", Labels(predicted, structures=nucleus, are_objects=True))
    tifffile.imwrite(tmp_path / "reference.tif", reference, photometric="minisblack")
    outcome = command("evaluate", tmp_path / "predicted.tif", tmp_path / "reference.tif", "--json")
    assert outcome.code == 0, outcome.err
    assert [(row["label"], row["name"], row["dice"]) for row in outcome.json["structures"]] == [(1, "nucleus", 1.0)]
    assert (outcome.json["objects"], outcome.json["reference_objects"]) == (3, 2)
    assert outcome.json["f1_50"] == pytest.approx(2 * 1 / (3 + 2))
    classes = command("evaluate", tmp_path / "predicted.tif", tmp_path / "reference.tif", "--json", "--classes")
    assert [row["label"] for row in classes.json["structures"]] == [1, 2, 7, 28, 29]


def test_evaluate_prints_a_table(command: Command, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", two_blocks(), photometric="minisblack")
    outcome = command("evaluate", tmp_path / "a.tif", tmp_path / "a.tif")
    lines = [line.split() for line in outcome.out.splitlines()]
    (row,) = (line for line in lines if line[:3] == ["1", "structure", "1"])
    assert row[3:7] == ["1.000"] * 4


def test_evaluate_of_different_shapes_is_refused(command: Command, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 4, 4), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "b.tif", np.ones((3, 4, 5), np.uint8), photometric="minisblack")
    outcome = command("evaluate", tmp_path / "a.tif", tmp_path / "b.tif", "-o", tmp_path / "t.csv")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "shapes differ" in outcome.err
    assert not (tmp_path / "t.csv").exists()


def test_models_lists_every_bundled_card(command: Command) -> None:
    listed = command("models", "--json").json["models"]
    weights = Path(sys.modules["napari_unetseg"].__file__ or "").parent / "weights"
    assert [card["name"] for card in listed] == sorted(path.stem for path in weights.glob("*.safetensors"))
    table = command("models").out
    assert all(card["name"] in table for card in listed)


def test_info_tells_the_facts_of_an_image(command: Command, blocks: Path) -> None:
    record = command("info", blocks, "--json").json
    assert (record["shape"], record["spacing"], record["unit"]) == ([10, 24, 24], [0.5, 0.2, 0.1], "µm")
    assert (record["dtype"], record["bytes"], record["times"]) == ("uint8", 10 * 24 * 24, 1)
    assert "0.5 × 0.2 × 0.1 µm" in command("info", blocks).out


def test_info_tells_the_card_of_a_model(command: Command, tiny_object_model: Path) -> None:
    record = command("info", tiny_object_model, "--json").json
    assert record["structures"][0]["name"] == "bright"
    assert "numbered objects" in command("info", tiny_object_model).out


def test_the_version_and_the_help(command: Command) -> None:
    assert command("--version").out == f"{__version__}\n"
    for words in (
        ["--help"],
        ["segment", "--help"],
        ["evaluate", "-h"],
        ["models", "-h"],
        ["info", "-h"],
        ["demo", "-h"],
    ):
        outcome = command(*words)
        assert (outcome.code, outcome.err) == (0, "")
        assert "Usage:" in outcome.out


@pytest.mark.parametrize("words", [["segment"], ["segment", "x.tif"], ["evaluate", "x.tif"], ["paint"]])
def test_a_command_that_is_not_complete_is_one_line(command: Command, words: list[str]) -> None:
    outcome = command(*words)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_without_a_display_the_viewer_is_refused_in_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    outcome = command()
    assert outcome.code == 2
    assert "display" in outcome.err
    assert outcome.err.count("\n") == 1


def test_without_qt_the_viewer_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setitem(sys.modules, "qtpy", None)
    outcome = command()
    assert outcome.code == 2
    assert 'pip install "napari-unetseg[all]"' in outcome.err


def test_a_fault_of_ours_keeps_its_traceback_and_is_exit_code_1(tmp_path: Path) -> None:
    script = (
        "from napari_unetseg import cli\n"
        "from napari_unetseg.cli import terminal\n"
        "terminal.say_json = lambda record: 1 / 0\n"
        "cli.main(['models', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_the_installed_command_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "napari_unetseg", "info", str(sample("hippocampus"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "37 × 47 × 35" in done.stdout


def test_a_model_is_chosen_where_none_was_named(
    command: Command, blocks: Path, make_model: ModelMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unetseg.core.models import catalogue

    make_model("flat", dimensions=2)
    make_model("solid", dimensions=3)
    monkeypatch.setattr(catalogue, "BUNDLED", tmp_path)
    outcome = command("segment", blocks, "-o", tmp_path / "out.tif", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["model"] == "solid"
    assert outcome.err == "note: No model was named: took solid, by the image's voxel size and its look.\n"
