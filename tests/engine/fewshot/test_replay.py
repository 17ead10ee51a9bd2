"""A session that is recorded here is replayed by the command in another process, and gives the same weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file

from napari_unetseg.api import iter_replay, replay
from napari_unetseg.core.annotations.session_record import Place, fingerprint, read_session, session_path, write_session
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.models.catalogue import read_card
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import finish
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.replay import record_session
from napari_unetseg.engine.fewshot.session import LearningSession
from napari_unetseg.engine.networks.model_file import load_model
from napari_unetseg.errors import InputError

NAMES = {1: "block", 2: "rim"}
SEED = FineTuneSettings(steps=0, seed=3, structure_weight=2.0)
STEPS = FineTuneSettings(steps=2, seed=3, boundary_weight=0.3)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file of two channels; the second one is learned from."""
    array = np.random.default_rng(0).integers(0, 40, (2, 3, 40, 40)).astype(np.uint8)
    array[1, :, 8:28, 8:28] += 150
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array, metadata={"axes": "CZYX"}, ome=True, photometric="minisblack")
    return path


def volume_of(image: Path) -> Volume:
    """As napari has it: one channel, and a mended voxel size."""
    return Volume(load_volume(image).array[1:2], Grid((2.0, 0.5, 0.5), "µm"), ("grey",), "second channel")


def painted() -> np.ndarray:
    paint = np.zeros((3, 40, 40), np.uint8)
    paint[1, ::2, 2:6], paint[1, 10:26, 10:26:2], paint[1, 8:28, 8] = 1, 2, 3
    return paint


def recorded(image: Path, model: Path, settings: FineTuneSettings, start: str | None) -> None:
    """Paint, learn, save the model, and record how it was made."""
    session = LearningSession([volume_of(image)], load_model(start) if start else None, "cpu")
    finish(session.learn([painted() * (painted() < 3)], NAMES, settings))  # an earlier stroke leaves no trace
    finish(session.learn([painted()], NAMES, settings))
    verdict = None if settings.steps else finish(session.learn([painted()], NAMES, settings))
    while verdict is None:  # in pieces, with predictions between them, as beside a painter
        verdict = finish(session.fine_tune([painted()], NAMES, settings, 0.2)).verdict
        session.predict(0)
    if verdict.offered is not None:  # two steps are no better than the light head
        session.take()
    session.save(model, {1: "core", 2: "rim"})
    assert record_session(session, model, [Place(path=str(image))])


def replayed(record: Path, out: Path, *inputs: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "napari_unetseg", "finetune", *map(str, inputs), "--session", str(record)]
    return subprocess.run([*command, "-o", str(out), "--json"], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("settings", "start"), [(SEED, "nuclei-2d"), (STEPS, None)])
def test_a_replay_in_another_process_gives_the_same_model(image: Path, tmp_path: Path, settings, start) -> None:
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    recorded(image, first, settings, start)
    done = replayed(session_path(first), again)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    assert (shown["model"], shown["steps"]) == (str(again), settings.steps)
    one, two = load_file(first), load_file(again)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    cards = [read_card(path).model_copy(update={"name": "same"}) for path in (first, again)]
    assert cards[0] == cards[1]
    assert [structure.name for structure in cards[0].structures] == ["core", "rim"]


def test_python_replays_too_and_nothing_is_written_where_it_is_stopped(image: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    recorded(image, first, SEED, None)
    job = iter_replay(str(session_path(first)), str(again), [str(image)])
    assert next(job).stage == "Reading the images"
    job.close()
    assert not again.exists()
    shown = []
    done = replay(str(session_path(first)), str(again), [str(image)], shown.append)
    assert (done.steps, shown[0].stage) == (0, "Reading the images")
    assert done.version.painted == np.count_nonzero(painted())
    one, two = load_file(first), load_file(again)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_start_that_is_not_bundled_is_kept_beside_the_record(image: Path, tmp_path: Path) -> None:
    first, second, again = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "again"))
    recorded(image, first, SEED, "nuclei-2d")
    recorded(image, second, SEED, str(first))
    first.unlink()
    assert read_session(session_path(second)).start == "second.session-start.safetensors"
    done = replayed(session_path(second), again)
    assert done.returncode == 0, done.stderr
    one, two = load_file(second), load_file(again)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_another_one_than_recorded_is_refused_in_one_line(image: Path, tmp_path: Path, command) -> None:
    model, out = tmp_path / "m.safetensors", tmp_path / "out.safetensors"
    recorded(image, model, SEED, None)
    record = session_path(model)
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, load_volume(image).array[1] + 1)
    (tmp_path / "elsewhere").mkdir()
    moved = image.rename(tmp_path / "elsewhere" / "moved.tif")

    def refused(*inputs: Path) -> str:
        outcome = command("finetune", *inputs, "--session", record, "-o", out)
        assert outcome.code == 2
        assert outcome.err.strip().count("\n") == 0
        assert not out.exists()
        return outcome.err

    assert "image.tif" in refused()
    assert "other voxels" in refused(other)
    assert "Expected 1 images" in refused(moved, moved)
    paint = tmp_path / "m.session-1.paint"
    kept = paint.read_bytes()
    paint.write_bytes(kept + b"more")
    assert "has changed" in refused(moved)
    paint.write_bytes(kept)
    record.write_text(record.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    assert "schema_version" in refused(moved)
    record.write_text("{")
    assert "Expected the record of a session" in refused(moved)


def test_a_record_of_an_earlier_version_finds_its_image_by_its_whole_path(image: Path, tmp_path: Path, command) -> None:
    model, folder = tmp_path / "m.safetensors", tmp_path / "elsewhere"
    recorded(image, model, SEED, None)
    folder.mkdir()
    record = json.loads(session_path(model).read_text())
    assert record["images"][0]["place"]["path"] == "image.tif"
    record["images"][0]["place"]["path"] = str(image.rename(folder / "image.tif"))
    session_path(model).write_text(json.dumps(record))
    assert command("finetune", "--session", session_path(model), "-o", tmp_path / "again.safetensors").code == 0


def test_a_restored_model_has_no_record_and_removes_an_old_one(image: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    recorded(image, model, SEED, None)
    session = LearningSession([volume_of(image)], None, "cpu", kept=load_model(model))
    assert not record_session(session, model, [Place()])
    assert not session_path(model).exists()


def test_a_fingerprint_depends_on_values_and_type_but_not_on_layout() -> None:
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    same = [array.astype(">i2"), np.asfortranarray(array), array.reshape(3, 2)]
    assert {fingerprint(other) for other in same} == {fingerprint(array)}
    assert fingerprint(array + 1) != fingerprint(array)
    assert fingerprint(array.astype(np.int32)) != fingerprint(array)


def test_a_replay_computes_in_the_recorded_precisions_and_tells_of_another_processor(image: Path, tmp_path: Path):
    first, again, exact = (tmp_path / f"{name}.safetensors" for name in ("first", "again", "exact"))
    recorded(image, first, STEPS, None)
    session = read_session(session_path(first))
    assert session.precisions
    assert session.processor
    changed = session.model_copy(
        update={"precisions": dict.fromkeys(session.precisions, "float32"), "processor": "abacus"}
    )
    write_session(session_path(first), changed)
    replay(session_path(first), again)
    other = replay(session_path(first), exact)
    assert "abacus" in other.notes[0]
    assert len(other.notes) == 1
    one, two = load_file(again), load_file(exact)
    assert all(torch.equal(one[name], two[name]) for name in one)
    if "bfloat16" in session.precisions.values():  # a processor that has it
        one = load_file(first)
        assert not all(torch.equal(one[name], two[name]) for name in one)


def test_a_name_that_no_system_allows_is_no_image(image: Path, tmp_path: Path) -> None:
    recorded(image, tmp_path / "m.safetensors", SEED, None)
    record = session_path(tmp_path / "m.safetensors")
    session = json.loads(record.read_text())
    session["images"][0]["place"]["path"] = "a" * 300
    record.write_text(json.dumps(session))
    image.rename(tmp_path / "moved.tif")  # it is found by its voxels
    assert replay(record, tmp_path / "again.safetensors").version.number == 1
    (tmp_path / "moved.tif").unlink()
    with pytest.raises(InputError, match="does not lie beside the record"):
        replay(record, tmp_path / "again.safetensors")
