"""A learning session from Python: paint, learn, predict, revert, save; here and in a process of its own."""

import numpy as np
import pytest

import napari_unetseg
from napari_unetseg.api import Annotation, InteractiveSession
from napari_unetseg.api.executors import SerialExecutor, make_executor, register_executor
from napari_unetseg.core.annotations.session_record import read_session, session_path
from napari_unetseg.core.io.loadsave import save_volume
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import finish
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import InputError, SettingsError
from napari_unetseg.service import session_jobs

NAMES = {1: "block"}
LIGHT = FineTuneSettings(steps=0)


@pytest.fixture
def halves():
    """A stack (2, 32, 32) whose left half is bright, with a little noise."""
    array = np.random.default_rng(0).normal(0, 3, (2, 32, 32)).astype(np.float32)
    array[..., :16] += 200
    return array


@pytest.fixture
def painted():
    paint = np.zeros((2, 32, 32), np.uint8)
    paint[0, ::2, 2:12], paint[0, ::2, 20:30] = 2, 1
    return paint


def test_paint_is_learned_and_continued(halves, painted):
    session = napari_unetseg.InteractiveSession(halves, device="cpu")
    assert session.versions == ()
    assert session.paint(painted) == 1
    assert session.learn(NAMES).accepted
    found = session.predict(1).labels
    assert (found[:, 2:13] == 1).mean() > 0.95
    assert (found[:, 19:30] == 0).mean() > 0.95
    assert [version.number for version in session.versions] == [1]


def test_strokes_come_one_after_the_other_and_versions_can_be_reverted_to(halves, painted):
    session = InteractiveSession(halves, device="cpu")
    session.paint(painted)
    session.learn(NAMES)
    stroke = Annotation(((1, 2), (0, 32), (2, 12)), np.full((1, 32, 10), 2, np.uint8), sequence=2)
    assert session.paint(stroke) == 2
    assert session.learn().version.painted == 320 + 320
    assert session.paint(Annotation(stroke.box, stroke.values, sequence=9)) == 2  # it does not follow
    assert session.revert(1).number == 1


def test_a_u_net_is_trained_on_the_same_paint(halves, painted):
    session = InteractiveSession(halves, device="cpu")
    session.paint(painted)
    session.learn(NAMES)
    verdict = session.fine_tune(settings=FineTuneSettings(steps=2))
    assert verdict.reason
    assert verdict.version in session.versions


def test_a_saved_model_has_its_names_and_its_record(tmp_path, halves, painted):
    save_volume(tmp_path / "halves.tif", Volume(halves[None]))
    session = InteractiveSession(tmp_path / "halves.tif", device="cpu")
    session.paint(painted)
    session.learn(NAMES)
    session.save(tmp_path / "block.safetensors")
    assert [s.name for s in napari_unetseg.load_model(tmp_path / "block.safetensors").card.structures] == ["block"]
    record = read_session(session_path(tmp_path / "block.safetensors"))
    assert record.images[0].place.path == "halves.tif"
    again = InteractiveSession(halves, kept=tmp_path / "block.safetensors", device="cpu")
    assert [version.kind for version in again.versions] == ["restored"]


def test_what_cannot_be_is_said(halves, painted):
    session = InteractiveSession(halves, device="cpu")
    with pytest.raises(InputError, match="Expected paint of the image's shape"):
        session.paint(painted[:1])
    with pytest.raises(InputError, match="Expected one of 1 images"):
        session.paint(painted, image=1)
    with pytest.raises(InputError):
        session.learn(NAMES)
    with pytest.raises(InputError, match="There is no model yet"):
        session.predict(0)
    with pytest.raises(InputError, match="Expected an image to learn on"):
        InteractiveSession([])


def learned_by(executor, halves, painted):
    """Versions and a slice of a session that is spoken to by verbs."""
    finish(executor.run(session_jobs.begin, "t", [Volume(halves[None])], [], None, None))
    whole = Annotation(((0, 2), (0, 32), (0, 32)), painted)
    assert finish(executor.run(session_jobs.paint, "t", [whole])) == (1,)
    verdict = finish(executor.run(session_jobs.learn, "t", NAMES, LIGHT))
    return verdict, finish(executor.run(session_jobs.predict, "t", 1, 2, 0))


def test_the_same_verbs_do_the_same_here_and_in_a_process_of_their_own(halves, painted):
    worker = make_executor("process")
    here, there = (learned_by(executor, halves, painted) for executor in (SerialExecutor(), worker))
    assert not finish(worker.run(session_jobs.is_open, "other"))
    worker.stop()
    assert here[0] == there[0]
    assert np.array_equal(here[1].labels, there[1].labels)
    assert np.array_equal(here[1].summary.rows, there[1].summary.rows)


def test_executors_go_by_name():
    assert isinstance(make_executor(), SerialExecutor)
    register_executor("mine", "napari_unetseg.api.executors:SerialExecutor")
    assert isinstance(make_executor("mine"), SerialExecutor)
    with pytest.raises(SettingsError, match="serial, process"):
        make_executor("cloud")
