"""What the Learn widget is made of, without Qt: structures, kept paint, the queue of commands and the loop."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from napari_unetseg.core.annotations.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.annotations.journal import read_journal
from napari_unetseg.core.annotations.next_slice import SliceUncertainty
from napari_unetseg.core.annotations.versions import AcceptDecision, SlicePrediction, Tuned, Version
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Progress
from napari_unetseg.errors import InputError, OutputError
from napari_unetseg.plugin.annotate.annotations import PaintCopy
from napari_unetseg.plugin.annotate.classes import PaintStructures
from napari_unetseg.plugin.annotate.learn_image import LearnImage
from napari_unetseg.plugin.annotate.store import find_paint, keep_on, model_beside, place_of, set_aside
from napari_unetseg.plugin.learn.loop import (
    LIGHT,
    WAITING,
    CommandQueue,
    Hint,
    Judged,
    LearnRequest,
    Offered,
    Revert,
    Reverted,
    Save,
    Saved,
    SliceSeen,
    Take,
    TrainingFinished,
    learn,
)

PAINT = PaintCopy(np.ones((5, 2, 2), np.uint8), {1: "cell"})


def test_a_structure_has_one_colour_and_name_as_paint_and_as_output():
    structures = PaintStructures({2: "axon", 3: "myelin"})
    assert [(s.label, s.name) for s in structures.painted] == [(1, "background"), (2, "axon"), (3, "myelin")]
    assert [(s.label, s.name) for s in structures.output] == [(1, "axon"), (2, "myelin")]
    assert [s.colour for s in structures.painted[1:]] == [s.colour for s in structures.output]


def test_structures_are_added_and_renamed_without_losing_others():
    structures = PaintStructures()
    assert structures.add() == 3
    structures.rename(2, " nucleus ")
    structures.rename(3, "")
    structures.cover(5)
    assert structures.names == {2: "nucleus", 3: "structure 2", 4: "structure 3", 5: "structure 4"}


def test_names_that_a_start_knows_are_taken_over_where_none_were_given():
    structures = PaintStructures({2: "mine", 3: "structure 2"})
    assert structures.know({2: "axon", 3: "myelin", 4: "nucleus"})
    assert structures.names == {2: "mine", 3: "myelin", 4: "nucleus"}
    assert not structures.know({2: "axon"})
    assert not structures.know({})


def test_there_are_no_more_structures_than_can_be_learned():
    structures = PaintStructures()
    structures.cover(1000)
    assert structures.is_full
    assert max(structures.names) == 64


def test_kept_paint_is_found_with_its_names(tmp_path):
    path, painted = tmp_path / "a.paint", np.zeros((2, 3, 4), np.uint8)
    painted[1, 2, 3] = 2
    keeper = keep_on(path, painted.shape)
    keeper.keep(painted, {2: "cell"})
    survey = keeper.survey(painted).result()
    assert survey.counts == (23, 0, 1)
    expected = [painted.any(others) for others in ((1, 2), (0, 2), (0, 1))]
    assert all(map(np.array_equal, survey.occupied, expected))
    keeper.close()
    kept = find_paint(path, painted.shape)
    assert np.array_equal(kept.painted, painted)
    assert kept.names == {2: "cell"}
    assert find_paint(path, (2, 3, 5)) is None
    assert find_paint(tmp_path / "none.paint", painted.shape) is None


def test_old_paint_and_its_model_are_put_aside_not_deleted(tmp_path):
    path = tmp_path / "a.paint"
    for number in (1, 2):
        keep_on(path, (1, 2, 2)).close()
        model_beside(path).write_text(str(number))
        set_aside(path)
        assert (tmp_path / f"a.paint.{number}.safetensors").read_text() == str(number)
        assert read_journal(tmp_path / f"a.paint.{number}").painted.shape == (1, 2, 2)
    assert not path.exists()


def test_paint_lies_beside_the_file_or_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")
    file = tmp_path / "stack.tif"
    file.touch()
    assert place_of(str(file), "stack", (1, 2, 2)) == tmp_path / "napari-unetseg" / "stack.tif.paint"
    assert place_of(None, "stack", (1, 2, 2)).is_relative_to(tmp_path / "data")
    assert place_of(str(tmp_path / "gone.tif"), "stack", (1, 2, 2)).is_relative_to(tmp_path / "data")


def test_the_queue_gives_other_commands_first_and_only_the_newest_paint():
    queue, newer = CommandQueue(), PaintCopy(np.zeros((1, 1, 1)), {})
    for order in (PAINT, Revert(1), newer):
        queue.put(order)
    assert [queue.take(), queue.take(), queue.take()] == [Revert(1), newer, None]


def test_waiting_at_the_queue_ends_with_a_command():
    queue = CommandQueue()
    assert queue.take() is None
    threading.Timer(0.05, queue.put, [PAINT]).start()
    began = time.monotonic()
    queue.wait(30)
    assert time.monotonic() - began < 10


PLANE = np.zeros((2, 2), np.uint8)
SEEN = SlicePrediction(PLANE, PLANE, SliceUncertainty.of(PLANE, PLANE))


class FakeSource:
    shape = (1, 5, 2, 2)

    def volume(self, _grid):
        return "volume"


@dataclass
class FakeWorker:
    """Answers like the child; `verdicts` are taken one after another."""

    verdicts: list[Any]
    calls: list[str] = field(default_factory=list)
    is_open: bool = False
    is_full: bool = False
    strokes: list[Annotation] = field(default_factory=list)
    image: AnnotatedImage = field(default_factory=lambda: AnnotatedImage((5, 2, 2)))

    def run(self, target, _token, *args):
        yield Progress(0, 1, target.__name__)
        self.calls.append(" ".join([target.__name__, *(str(a) for a in args[:1] if isinstance(a, int))]))
        if target.__name__ == "is_open":
            return self.is_open
        if target.__name__ == "begin":
            return ()
        if target.__name__ == "paint":
            for stroke in args[0]:
                self.strokes.append(stroke)
                self.image.take(stroke)
            return (self.image.sequence,)
        if target.__name__ == "save" and self.is_full:
            raise OutputError("No space left on device.")
        if target.__name__ == "take":
            return self.verdicts.pop(0)
        if target.__name__ in ("learn", "fine_tune"):
            verdict = self.verdicts.pop(0)
            if isinstance(verdict, Exception):
                raise verdict
            return verdict if target.__name__ == "learn" else Tuned((0.5, 0.25), verdict)
        return Version(args[0], "light head") if target.__name__ == "revert" else SEEN


def accepted(number=1):
    return AcceptDecision(Version(number, "light head"), True, "better")


def run(worker, queue, orders=(PAINT,), minutes=0.0, kept=None):
    for order in orders:
        queue.put(order)
    settings = FineTuneSettings(minutes=minutes) if minutes else LIGHT
    request = LearnRequest("token", (LearnImage(FakeSource(), None),), None, kept, settings=settings)
    return [record for record in learn(worker, request, queue) if not isinstance(record, Progress)]


def test_the_slice_in_view_comes_first_and_then_the_nearest(tmp_path):
    worker = FakeWorker([accepted()])
    records = run(worker, CommandQueue(view=3), kept=tmp_path / "kept")
    assert [record.z for record in records if isinstance(record, SliceSeen)] == [3, 2, 4, 1, 0]
    assert worker.calls[:4] == ["is_open", "begin", "paint", "learn"]
    assert worker.calls[-1] == "save"


def painted_copies(*strokes):
    """Paint as it is after each stroke: voxels (z, y, x) that get a value."""
    painted = PAINT.painted
    for place, value in strokes:
        painted = painted.copy()
        painted[place] = value
        yield PaintCopy(painted, {1: "cell"})


def after_each_stroke(worker, copies):
    """Live learning on one stroke after the other."""
    queue, request = CommandQueue(live=True), LearnRequest("t", (LearnImage(FakeSource(), None),), None, None)
    copies = iter(copies)
    for record in learn(worker, request, queue):
        if isinstance(record, Progress) and record.stage == WAITING:
            copy = next(copies, None)
            if copy is None:
                queue.stop()
            else:
                queue.put(copy)


def test_a_stroke_travels_as_what_it_has_changed():
    worker = FakeWorker([accepted(number) for number in (1, 2, 3)])
    copies = list(painted_copies(((1, 1, 1), 2), ((3, slice(0, 2), 0), 3), ((3, 0, 0), 3)))
    after_each_stroke(worker, copies)
    assert [(stroke.box, stroke.values.ravel().tolist(), stroke.sequence) for stroke in worker.strokes[1:]] == [
        (((3, 4), (0, 2), (0, 1)), [3, 3], 2)
    ]
    assert np.array_equal(worker.image.painted, copies[-1].painted)


def test_where_the_session_holds_something_else_all_paint_is_sent_again():
    worker = FakeWorker([accepted(number) for number in (1, 2)])

    def copies():
        first, second = painted_copies(((1, 1, 1), 2), ((2, 0, 0), 3))
        yield first
        worker.image = AnnotatedImage((5, 2, 2))  # it has lost what it was told
        yield second

    after_each_stroke(worker, copies())
    assert [stroke.values.shape for stroke in worker.strokes] == [(5, 2, 2), (1, 1, 1), (5, 2, 2)]
    assert worker.image.painted[2, 0, 0] == 3


def test_a_rejected_candidate_leaves_the_preview_alone():
    worker = FakeWorker([AcceptDecision(Version(1, "light head"), False, "worse")])
    (judged,) = [record for record in run(worker, CommandQueue()) if isinstance(record, Judged)]
    assert judged.verdict.reason == "worse"
    assert not any(call.startswith("predict") for call in worker.calls)


def test_a_version_on_offer_is_shown_beside_the_one_in_use_and_taken_when_asked_for():
    current, offered = Version(1, "light head"), Version(2, "trained U-Net")
    worker = FakeWorker([accepted(), AcceptDecision(current, False, "not told apart", offered), accepted(2)])
    records = run(worker, CommandQueue(view=3), minutes=1.0)
    (shown,) = [record for record in records if isinstance(record, Offered)]
    assert (shown.version, shown.current, shown.z) == (offered, current, 3)
    assert worker.calls[-2:] == ["predict 3", "predict_offered 3"]
    taken = run(worker, CommandQueue(view=3), [Take()])
    assert [record.verdict.version.number for record in taken if isinstance(record, Judged)] == [2]
    assert len([record for record in taken if isinstance(record, SliceSeen)]) == 5  # all is predicted again


def test_an_open_session_is_used_again():
    worker = FakeWorker([accepted()], is_open=True)
    run(worker, CommandQueue())
    assert "begin" not in worker.calls


def test_a_unet_is_trained_when_everything_is_predicted():
    worker = FakeWorker([accepted(), None, None, accepted(2)])
    records = run(worker, CommandQueue(), minutes=1)
    assert [r for r in records if isinstance(r, TrainingFinished)] == [
        TrainingFinished((0.5, 0.25), begins) for begins in (True, False, False)
    ]
    assert worker.calls.count("fine_tune") == 3
    assert worker.calls.index("fine_tune") > worker.calls.index("predict 4")
    assert sum(call.startswith("predict") for call in worker.calls) == 10


def test_reverting_predicts_again_and_saving_writes(tmp_path):
    worker = FakeWorker([], is_open=True)
    records = run(worker, CommandQueue(), [Revert(1), Save(tmp_path / "m", {})])
    assert [type(record) for record in records[:2]] == [Reverted, Saved]
    assert sum(isinstance(record, SliceSeen) for record in records) == 5


def test_what_cannot_be_learned_is_an_error_once_and_a_hint_live():
    with pytest.raises(InputError, match="background"):
        run(FakeWorker([InputError("Paint some background.")]), CommandQueue())
    queue = CommandQueue(live=True)
    threading.Timer(0.2, queue.stop).start()
    records = run(FakeWorker([InputError("Paint some background.")]), queue)
    assert records[-1] == Hint("Paint some background.")


def test_stop_ends_between_two_slices():
    queue = CommandQueue()
    queue.put(PAINT)
    seen = 0
    for record in learn(
        FakeWorker([accepted()]), LearnRequest("t", (LearnImage(FakeSource(), None),), None, None), queue
    ):
        if isinstance(record, SliceSeen):
            seen += 1
            queue.stop()
    assert seen == 1


def test_what_was_accepted_before_a_stop_is_kept(tmp_path):
    worker, queue = FakeWorker([accepted()]), CommandQueue()
    queue.put(PAINT)
    request = LearnRequest("t", (LearnImage(FakeSource(), None),), None, tmp_path / "kept")
    for record in learn(worker, request, queue):
        if isinstance(record, SliceSeen):
            queue.stop()
    assert worker.calls[-2:] == ["predict 0", "save"]


def test_a_full_disk_is_told_and_learning_goes_on(tmp_path):
    worker = FakeWorker([accepted(), AcceptDecision(Version(1, "light head"), False, "worse")], is_full=True)
    records = run(worker, CommandQueue(), minutes=1, kept=tmp_path / "kept")
    assert "No space left" in next(record.text for record in records if isinstance(record, Hint))
    assert worker.calls.index("fine_tune") > worker.calls.index("save")
