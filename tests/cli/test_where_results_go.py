"""Where commands write: never over what is not theirs, and known before anything is computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.volume import Labels
from support import Command, Outcome


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Bright in its lower half."""
    return picture(tmp_path / "image.tif")


def picture(path: Path, bright: int = 20) -> Path:
    array = np.zeros((4, 40, 40), np.uint8)
    array[:, :bright] = 255
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    save_labels(tmp_path / "labels.nii.gz", Labels(np.ones((4, 8, 8), np.uint8)))
    return tmp_path / "labels.nii.gz"


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    for word in words:
        assert word in outcome.err


def test_a_folder_with_a_persons_document_is_never_replaced(image: Path, tiny_model: Path, tmp_path: Path) -> None:
    """By the program as it is started: not even with --overwrite."""
    folder = tmp_path / "precious.zarr"
    folder.mkdir()
    (folder / "thesis.txt").write_text("three years of work")
    for more in ([], ["--overwrite"]):
        command = [sys.executable, "-m", "napari_unetseg", "segment", image, "-o", folder, "-m", tiny_model, *more]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        refused(Outcome(done.returncode, done.stdout, done.stderr), "precious.zarr", "did not write")
        assert (folder / "thesis.txt").read_text() == "three years of work"
        assert [entry.name for entry in folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("verb", ["segment", "clean"])
@pytest.mark.parametrize("added", ["notes.txt", "0/notes.txt"])
def test_a_document_in_a_zarr_of_ours_is_kept(
    command: Command, image: Path, labels: Path, tiny_model: Path, tmp_path: Path, verb: str, added: str
) -> None:
    target = tmp_path / "out.zarr"
    save_labels(target, Labels(np.ones((1, 2, 2), np.uint8)))
    (target / added).write_text("mine")
    more = ["-m", tiny_model] if verb == "segment" else ["--step", "renumber"]
    refused(command(verb, image if verb == "segment" else labels, "-o", target, *more), added)
    assert (target / added).read_text() == "mine"


def test_a_zarr_of_ours_is_replaced(command: Command, image: Path, tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    save_labels(target, Labels(np.ones((1, 2, 2), np.uint8)))
    (target / ".DS_Store").touch()
    assert command("segment", image, "-o", target, "-m", tiny_model).code == 0
    assert load_labels(target).array.shape == (4, 40, 40)


def test_a_zarr_of_another_program_is_kept(command: Command, image: Path, tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "theirs.zarr"
    save_labels(target, Labels(np.ones((1, 2, 2), np.uint8)))
    metadata = json.loads((target / "zarr.json").read_text())
    del metadata["attributes"]["napari_unetseg"]
    (target / "zarr.json").write_text(json.dumps(metadata))
    refused(command("segment", image, "-o", target, "-m", tiny_model), "did not write")
    assert load_labels(target).array.shape == (1, 2, 2)


def commands(labels: Path, image: Path, model: Path) -> dict[str, tuple[list[object], str]]:
    """Arguments of each verb that writes a file, and the file's suffix."""
    return {
        "segment": (["segment", image, "-m", model], ".tif"),
        "clean": (["clean", labels, "--step", "renumber"], ".nii.gz"),
        "evaluate": (["evaluate", labels, labels], ".csv"),
        "measure": (["measure", labels], ".csv"),
        "report": (["report", labels], ".html"),
        "export": (["export", "nuclei-2d"], ".zip"),
        "import-model": (["import-model", labels], ".safetensors"),
        "finetune": (["finetune", image, "--painted", labels, "--steps", "0"], ".safetensors"),
    }


VERBS = list(commands(Path(), Path(), Path()))


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest, labels: Path, image: Path, tiny_model: Path) -> tuple[list[object], str]:
    return commands(labels, image, tiny_model)[request.param]


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any image or model that is opened fails the test: what is wrong with a target is known before."""

    def opened(*_: object, **__: object) -> None:
        pytest.fail("something was read before the target was checked")

    for name in (
        "core.io.loadsave.open_source",
        "core.models.catalogue.read_card",
        "engine.networks.model_file.load_file",
    ):
        monkeypatch.setattr(f"napari_unetseg.{name}", opened)


def missing(target: Path) -> Path:
    return target.parent / "nowhere" / target.name


def read_only(target: Path) -> Path:
    return Path("/sys") / target.name  # where not even root may write


def long_name(target: Path) -> Path:
    return target.with_name(f"{'x' * 260}{target.name}")


def folder(target: Path) -> Path:
    if target.suffix == ".tif":  # results of `segment` may go into a folder, whatever it is called
        target = target.with_suffix(".zarr")
    target.mkdir()
    (target / "precious").touch()
    return target


def fifo(target: Path) -> Path:
    os.mkfifo(target)
    return target


def protected(target: Path) -> Path:
    target.touch()
    target.chmod(0o444)
    return target


def loop(target: Path) -> Path:
    target.symlink_to(target)
    return target


def another_kind(target: Path) -> Path:
    target.write_bytes(b"Dear\0colleague")
    return target


FAULTS = {
    missing: "Make it first",
    read_only: "cannot be written to",
    long_name: "too long",
    folder: "is a folder",
    fifo: "neither a file nor a folder",
    protected: "write-protected",
    loop: "leads to itself",
    another_kind: "--overwrite",
}


@pytest.mark.usefixtures("nothing_is_read")
@pytest.mark.parametrize("fault", FAULTS)
def test_every_verb_checks_its_target_first(
    command: Command, verb: tuple[list[object], str], fault: Callable[[Path], Path], tmp_path: Path
) -> None:
    arguments, suffix = verb
    target = fault(tmp_path / f"out{suffix}")
    refused(command(*arguments, "-o", target), FAULTS[fault])
    if fault is another_kind:
        assert target.read_bytes() == b"Dear\0colleague"


@pytest.mark.usefixtures("nothing_is_read")
def test_every_verb_checks_the_room_on_the_disk_first(
    command: Command, verb: tuple[list[object], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    arguments, suffix = verb
    refused(command(*arguments, "-o", tmp_path / f"out{suffix}"), "are free")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB; mounted, where that is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False
    ).returncode:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=64 * 1024))
            yield disk
    else:
        yield disk
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_too_small_is_known_before_and_nothing_is_left(
    command: Command, tiny_model: Path, tmp_path: Path, small_disk: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 200, 200), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "noise.tif", noise, photometric="minisblack")
    arguments = ["segment", tmp_path / "noise.tif", "--write", "probabilities", "-m", tiny_model]
    refused(command(*arguments, "-o", small_disk / "out.tif"), "are needed", "are free")
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("name", ["evaluate", "measure", "report", "clean"])
def test_overwrite_replaces_a_file_of_another_kind(
    command: Command, labels: Path, image: Path, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    arguments, suffix = commands(labels, image, tiny_model)[name]
    target = tmp_path / f"out{suffix}"
    target.write_bytes(b"Dear\0colleague")
    assert command(*arguments, "-o", target, "--overwrite").code == 0
    assert b"Dear" not in target.read_bytes()
    assert command(*arguments, "-o", target).code == 0, "its own kind is replaced without being asked"


@pytest.mark.parametrize("name", ["evaluate", "measure", "report"])
def test_a_table_or_a_page_is_not_written_as_an_image(
    command: Command, labels: Path, image: Path, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    arguments, _ = commands(labels, image, tiny_model)[name]
    refused(command(*arguments, "-o", tmp_path / "out.tif"), "out.tif")


def test_surfaces_and_demo_check_the_files_in_their_folder(command: Command, labels: Path, tmp_path: Path) -> None:
    (tmp_path / "structure_1.ply").write_text("my notes")
    refused(command("surfaces", labels, "-o", tmp_path), "structure_1.ply")
    assert (tmp_path / "structure_1.ply").read_text() == "my notes"
    refused(command("surfaces", labels, "-o", tmp_path / "nowhere"), "Make it first")
    (tmp_path / "hippocampus-overlay.png").write_text("my notes")
    refused(command("demo", "-o", tmp_path), "hippocampus-overlay.png")
    assert (tmp_path / "hippocampus-overlay.png").read_text() == "my notes"


def test_names_with_dots_stay_apart(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    """In one run, and in two."""
    first, second = picture(tmp_path / "in" / "a.b.tif", 10), picture(tmp_path / "in" / "a.c.tif", 30)
    results = tmp_path / "out"
    results.mkdir()
    for inputs in ([first, second], [first], [second]):
        assert command("segment", *inputs, "-o", results, "-m", tiny_model).code == 0
        if inputs == [first, second]:
            assert sorted(p.name for p in results.iterdir()) == ["a.b-labels.ome.tif", "a.c-labels.ome.tif"]
    assert load_labels(results / "a.b-labels.ome.tif").array.mean() == 10 / 40
    assert load_labels(results / "a.c-labels.ome.tif").array.mean() == 30 / 40


def test_another_images_result_is_not_overwritten_unasked(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    first, second = picture(tmp_path / "one" / "cell.tif", 10), picture(tmp_path / "two" / "cell.tif", 30)
    results = tmp_path / "out"
    results.mkdir()
    assert command("segment", first, "-o", results, "-m", tiny_model).code == 0
    refused(command("segment", second, "-o", results, "-m", tiny_model), "another image")
    assert load_labels(results / "cell-labels.ome.tif").array.mean() == 10 / 40
    assert command("segment", first, "-o", results, "-m", tiny_model).code == 0, "the same image again"
    assert command("segment", second, "-o", results, "-m", tiny_model, "--overwrite").code == 0
    assert load_labels(results / "cell-labels.ome.tif").array.mean() == 30 / 40


@pytest.mark.parametrize("suffix", [".tif", ".nii.gz", ".zarr"])
def test_a_name_as_long_as_the_system_allows_is_written(
    command: Command, image: Path, tiny_model: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"{'x' * (255 - len(suffix))}{suffix}"
    outcome = command("segment", image, "-o", target, "-m", tiny_model)
    assert outcome.code == 0, outcome.err
    assert load_labels(target).array.shape == (4, 40, 40)


def test_permissions_are_kept_and_a_link_is_followed(
    command: Command, image: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "result.tif", tmp_path / "link.tif"
    link.symlink_to(real)
    assert command("segment", image, "-o", link, "-m", tiny_model).code == 0
    real.chmod(0o640)
    assert command("segment", image, "-o", link, "-m", tiny_model).code == 0
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert load_labels(real).array.shape == (4, 40, 40)
    assert [p.name for p in real.parent.iterdir()] == ["result.tif"]


def test_an_input_behind_a_link_is_not_replaced(
    command: Command, image: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.tif").symlink_to(image)
    before = image.read_bytes()
    refused(command("segment", image, "-o", tmp_path / "link.tif", "-m", tiny_model), "would be replaced")
    assert image.read_bytes() == before
