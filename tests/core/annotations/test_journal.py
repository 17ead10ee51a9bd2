import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.annotations import journal_writer as journal_module
from napari_unetseg.core.annotations.journal import FOLDER, journal_path, read_journal
from napari_unetseg.core.annotations.journal_writer import Journal
from napari_unetseg.errors import InputError, OutputError

SHAPE = (4, 30, 40)

WRITER = """
import sys, numpy as np
from pathlib import Path
from napari_unetseg.core.annotations.journal_writer import Journal
painted = np.zeros((4, 30, 40), np.uint8)
with Journal(Path(sys.argv[1]), painted.shape) as journal:
    painted[:] = journal.painted
    stroke = int(painted.reshape(-1)[0])
    while True:
        stroke = stroke % 250 + 1
        painted.reshape(-1)[: 40 * (stroke % 7 + 1)] = stroke
        journal.record(painted)
        if stroke % 5 == 0:
            journal.compact()
        print(stroke, flush=True)
"""


def painted_with(*boxes):
    painted = np.zeros(SHAPE, dtype=np.uint8)
    for value, (z, y, x) in boxes:
        painted[z, y : y + 5, x : x + 7] = value
    return painted


def test_strokes_come_back_as_they_were(tmp_path):
    first, second = painted_with((1, (0, 0, 0))), painted_with((1, (0, 0, 0)), (2, (3, 25, 33)))
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        assert journal.record(first) == 35
        assert journal.record(second) == 35
    recovered = read_journal(tmp_path / "a.paint")
    assert (recovered.painted == second).all()
    assert recovered.strokes == 2


def test_an_erased_stroke_stays_erased(tmp_path):
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        journal.record(painted_with((3, (0, 0, 0))))
        journal.record(painted_with())
    assert not read_journal(tmp_path / "a.paint").painted.any()


def test_nothing_changed_writes_nothing(tmp_path):
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        journal.record(painted_with((1, (0, 0, 0))))
        size = journal.path.stat().st_size
        assert journal.record(painted_with((1, (0, 0, 0)))) == 0
        assert journal.path.stat().st_size == size


def test_a_journal_is_continued(tmp_path):
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        journal.record(painted_with((1, (0, 0, 0))))
        journal.write_note({"structures": {"2": "tubule"}})
    both = painted_with((1, (0, 0, 0)), (2, (1, 1, 1)))
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        assert journal.note == {"structures": {"2": "tubule"}}
        assert journal.record(both) == 35
    assert (read_journal(tmp_path / "a.paint").painted == both).all()


def test_compaction_keeps_the_paint_and_the_note_in_fewer_bytes(tmp_path):
    rng = np.random.default_rng(0)
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        journal.write_note({"model": "m"})
        for _ in range(30):
            painted = rng.integers(0, 3, SHAPE).astype(np.uint8)
            journal.record(painted)
        before = journal.path.stat().st_size
        journal.compact()
        assert journal.path.stat().st_size < before / 10
        painted[0, 0, :5] = 9
        journal.record(painted)
    recovered = read_journal(tmp_path / "a.paint")
    assert (recovered.painted == painted).all()
    assert recovered.note == {"model": "m"}
    assert recovered.strokes == 2


def test_a_large_journal_compacts_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "COMPACT_ABOVE", 2000)
    rng = np.random.default_rng(0)
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        for _ in range(40):
            journal.record(rng.integers(0, 3, SHAPE).astype(np.uint8))
    assert read_journal(tmp_path / "a.paint").strokes < 10


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_every_stroke_before_a_damage_is_found(tmp_path, damage):
    path = tmp_path / "a.paint"
    ends = []
    with Journal(path, SHAPE) as journal:
        for value in range(1, 6):
            journal.record(painted_with((value, (value % 4, 3, 3))))
            ends.append(path.stat().st_size)
    content = path.read_bytes()
    for at in range(ends[0], len(content)):
        path.write_bytes(
            content[:at] if damage == "cut" else content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        )
        assert read_journal(path).strokes == sum(end <= at for end in ends)


def test_writing_goes_on_after_a_torn_stroke(tmp_path):
    path = tmp_path / "a.paint"
    with Journal(path, SHAPE) as journal:
        journal.record(painted_with((1, (0, 0, 0))))
        journal.record(painted_with((2, (0, 0, 0))))
    path.write_bytes(path.read_bytes()[:-3])
    with Journal(path, SHAPE) as journal:
        assert set(np.unique(journal.painted)) == {0, 1}
        journal.record(painted_with((3, (0, 0, 0))))
    assert set(np.unique(read_journal(path).painted)) == {0, 3}


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.long)])
def test_a_killed_writer_loses_no_finished_stroke(tmp_path, kills):
    """Kills at random moments, each continued by the next writer."""
    path, choose = tmp_path / "a.paint", random.Random(0)
    command = [sys.executable, "-c", WRITER, str(path)]
    for _ in range(kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            finished = int(writer.stdout.readline())
            time.sleep(choose.random() * 0.02)
            writer.send_signal(signal.SIGKILL)
            rest = [line for line in writer.stdout.read().split("\n")[:-1] if line]
        finished = int(rest[-1]) if rest else finished
        found = int(read_journal(path).painted.reshape(-1)[0])
        assert found in (finished, finished % 250 + 1)  # the next stroke may have reached the disk unannounced


def test_a_full_disk_is_said_and_the_stroke_is_written_by_the_next_call(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        journal.record(painted_with((1, (0, 0, 0))))
        with monkeypatch.context() as patch:
            patch.setattr(journal_module.os, "fsync", full)
            with pytest.raises(OutputError, match="No space left"):
                journal.record(painted_with((2, (1, 0, 0))))
        assert journal.record(painted_with((2, (1, 0, 0)))) == 70
    recovered = read_journal(tmp_path / "a.paint")
    assert recovered.strokes == 2
    assert (recovered.painted == painted_with((2, (1, 0, 0)))).all()


def test_other_files_and_other_shapes_are_refused(tmp_path):
    (tmp_path / "b.paint").write_bytes(b"not ours")
    with pytest.raises(InputError, match="not a journal"):
        Journal(tmp_path / "b.paint", SHAPE)
    assert (tmp_path / "b.paint").read_bytes() == b"not ours"
    Journal(tmp_path / "a.paint", SHAPE).close()
    with pytest.raises(InputError, match=r"\(4, 30, 40\), and the image has \(1, 2, 3\)"):
        Journal(tmp_path / "a.paint", (1, 2, 3))
    with pytest.raises(InputError, match="cannot be read"):
        read_journal(tmp_path / "none.paint")


def test_a_journal_lies_beside_its_image_or_in_the_data_folder(tmp_path, monkeypatch):
    assert journal_path(tmp_path / "stack.tif", "stack", SHAPE) == tmp_path / FOLDER / "stack.tif.paint"
    monkeypatch.setattr(journal_module.os, "access", lambda *_: False)
    elsewhere = journal_path(tmp_path / "stack.tif", "stack", SHAPE)
    assert elsewhere.parent.name == "paint"
    assert elsewhere != journal_path(tmp_path / "other" / "stack.tif", "stack", SHAPE)
    assert journal_path(None, "a/b", SHAPE).name.startswith("a_b-")


def test_notes_are_json_and_the_last_one_counts(tmp_path):
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        journal.write_note({"model": "first"})
        journal.write_note({"model": "second"})
    assert json.dumps(read_journal(Path(tmp_path / "a.paint")).note) == '{"model": "second"}'


KILLED_WHILE_COMPACTING = """
import os, signal, sys
from pathlib import Path
from napari_unetseg.core.io.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_goes_on_with_a_journal_removes_what_a_killed_compaction_left(tmp_path):
    path = tmp_path / "a.paint"
    with Journal(path, SHAPE) as journal:
        journal.record(painted_with((1, (0, 0, 0))))
    subprocess.run([sys.executable, "-c", KILLED_WHILE_COMPACTING, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with Journal(path, SHAPE) as journal:
        assert journal.painted.sum() == 35
    assert list(tmp_path.iterdir()) == [path]
