"""The same command twice writes the same bytes, in every format, though it is not the same second."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import Command

OLD = Path(__file__).parents[1] / "recorded" / "old"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def twice(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, bytes], dict[str, bytes]]]:
    """A function that runs a command twice, years apart as far as the clock tells, and gives what was written."""
    out = tmp_path / "out"

    def run(*words: object) -> tuple[dict[str, bytes], dict[str, bytes]]:
        found = []
        for year in (0, 1):
            out.mkdir()
            with monkeypatch.context() as later:
                later.setattr("time.time", lambda year=year: 1.8e9 + year * 3.2e7)
                then = time.gmtime(1.8e9 + year * 3.2e7)
                later.setattr("time.localtime", lambda *_, then=then: then)
                done = command(*(str(word).replace("OUT", str(out)) for word in words))
            assert done.code == 0, done.err
            found.append(contents(out))
            shutil.rmtree(out)
        return found[0], found[1]

    return run


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".nii", ".nii.gz", ".ome.zarr", ".nrrd"])
def test_labels(twice, tiny_model: Path, suffix: str) -> None:
    first, second = twice("segment", OLD / "image.ome.tif", "-o", f"OUT/labels{suffix}", "-m", tiny_model)
    assert first
    assert first == second


@pytest.mark.parametrize("suffix", [".ome.tif", ".nii.gz", ".ome.zarr"])
def test_probabilities(twice, tiny_model: Path, suffix: str) -> None:
    words = ("segment", OLD / "image.ome.tif", "-o", f"OUT/soft{suffix}", "-m", tiny_model, "--write", "probabilities")
    first, second = twice(*words)
    assert first
    assert first == second


LABELS = OLD / "labels.ome.tif"


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", LABELS, LABELS, "-o", "OUT/scores.csv"),
        ("measure", LABELS, "-o", "OUT/sizes.csv"),
        ("clean", LABELS, "-o", "OUT/clean.ome.tif", "--step", "keep_largest"),
        ("surfaces", LABELS, "-o", "OUT"),
        ("report", LABELS, "--image", OLD / "image.ome.tif", "--reference", LABELS, "-o", "OUT/page.html"),
        ("export", OLD / "whole.safetensors", "-o", "OUT/package.zip"),
        ("finetune", OLD / "image.ome.tif", "--session", OLD / "head.session.json", "-o", "OUT/model.safetensors"),
    ],
    ids=lambda words: words[0],
)
def test_what_the_other_verbs_write(twice, words: tuple[object, ...]) -> None:
    first, second = twice(*words)
    assert first
    assert first == second


def test_another_image_has_another_identifier(command: Command, tmp_path: Path) -> None:
    import tifffile

    for parts in (1, 2):
        command("clean", LABELS, "-o", tmp_path / f"{parts}.ome.tif", "--step", f"keep_largest parts={parts}")
    command("clean", LABELS, "-o", tmp_path / "3.ome.tif", "--step", "remove_small volume=1e6")
    found = {tifffile.xml2dict(tifffile.tiffcomment(path))["OME"]["UUID"] for path in tmp_path.iterdir()}
    assert len(found) >= 2
    assert all(each.startswith("urn:uuid:") for each in found)
