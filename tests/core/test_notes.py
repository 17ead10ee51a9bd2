"""Notes: text as any other, with a code and an option beside it, also from another process."""

import pickle
import warnings

from napari_unetseg.core.notes import Note, as_note, note_records
from napari_unetseg.core.progress import told_warnings

NOTE = Note("Time point 1 of 5 is read.", "time", "--time")


def test_a_note_is_read_as_a_sentence():
    assert NOTE == "Time point 1 of 5 is read."
    assert f"{NOTE} More." == "Time point 1 of 5 is read. More."


def test_a_note_about_a_file_keeps_its_code():
    about = NOTE.about("a.tif")
    assert (about, about.code, about.option) == ("a.tif: Time point 1 of 5 is read.", "time", "--time")


def test_a_note_comes_whole_from_another_process():
    again = pickle.loads(pickle.dumps(NOTE))
    assert (again, again.code, again.option) == (NOTE, "time", "--time")


def test_records_hold_each_note_once_and_plain_sentences_too():
    assert note_records([NOTE, "Smaller tiles.", NOTE]) == [
        {"code": "time", "text": "Time point 1 of 5 is read.", "option": "--time"},
        {"code": "", "text": "Smaller tiles.", "option": ""},
    ]


def test_a_note_that_is_warned_of_is_told_with_its_code():
    from napari_unetseg.core.io import lazy

    told = []
    with told_warnings(told.append):
        warnings.warn_explicit(NOTE, UserWarning, lazy.__file__, 1)
    assert [(note, note.code) for note in told] == [(NOTE, "time")]
    assert as_note(told[0]) is told[0]
