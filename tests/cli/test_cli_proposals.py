"""Images that no model was made for, as the command meets them: told so, unless the nearest model is asked for."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_unetseg import api
from napari_unetseg.core.io.samples import find_sample
from napari_unetseg.core.models.selection import NEAREST
from napari_unetseg.errors import ModelError

LINE = "No bundled model was made for such images. Nearest: nuclei-2d."


@pytest.fixture
def stripes(tmp_path):
    path = tmp_path / "stripes.tif"
    columns = np.arange(96)
    tifffile.imwrite(path, np.repeat(128 + 100 * np.sin(columns / 3)[None], 96, 0).astype(np.uint8))
    return path


def run(*arguments):
    line = [sys.executable, "-m", "napari_unetseg", "segment", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_an_image_that_no_model_was_made_for_is_told_so_and_nothing_is_written(stripes, tmp_path):
    out = tmp_path / "out.tif"
    done = run(stripes, "-o", out)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error"))
    assert LINE in line
    assert "--model nearest" in line
    assert not out.exists()


def test_the_nearest_model_is_taken_where_it_is_asked_for_and_a_note_says_so(stripes, tmp_path):
    out = tmp_path / "out.tif"
    done = run(stripes, "-o", out, "--model", NEAREST, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["model"] == "nuclei-2d"
    assert f"{LINE} It was taken, as asked." in done.stderr
    assert out.exists()


def test_a_sample_still_picks_its_model(command, tmp_path):
    outcome = command("segment", find_sample("hippocampus").image, "-o", tmp_path / "out.nii.gz", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["model"] == "hippocampus-3d"
    assert "No model was named: took hippocampus-3d" in outcome.err


def test_among_several_images_the_others_are_segmented(stripes, command, tmp_path):
    out = tmp_path / "results"
    out.mkdir()
    outcome = command("segment", stripes, find_sample("hippocampus").image, "-o", out, "--json")
    assert outcome.code == 2
    assert [result["model"] for result in outcome.json["results"]] == ["hippocampus-3d"]
    (failure,) = outcome.json["failures"]
    assert LINE in failure["error"]


def test_python_is_told_the_same(stripes):
    with pytest.raises(ModelError, match=LINE):
        api.segment(stripes)
    with pytest.raises(ModelError, match=LINE):
        api.forecast(stripes)
    result = api.segment(stripes, NEAREST)
    assert result.model == "nuclei-2d"
    assert any(note.startswith(LINE) for note in result.notes)
