"""Notes: what a reading or a computation left out or assumed, as a sentence that programs can tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class Note(str):
    """One sentence for people, with what a program needs: it is shown, joined and compared as any text.

    Parameters
    ----------
    text : str
        What was left out or assumed, in one sentence.
    code : str
        Of its kind, in words with hyphens, such as ``spacing-assumed``; empty where a program need not know.
    option : str
        What changes it, such as ``--time``; empty where nothing does.
    """

    code: str
    option: str

    def __new__(cls, text: str, code: str = "", option: str = "") -> Self:
        """Make the text a note."""
        note = super().__new__(cls, text)
        note.code, note.option = code, option
        return note

    def about(self, name: str) -> Note:
        """The same note about the file or image of that name."""
        return Note(f"{name}: {self}", self.code, self.option)


def as_note(text: str) -> Note:
    """A sentence as a note; one that is a note stays it."""
    return text if isinstance(text, Note) else Note(text)


def note_records(notes: Iterable[str]) -> list[dict[str, str]]:
    """Notes for programs: a list of ``{"code", "text", "option"}``, each once."""
    unique = dict.fromkeys(map(as_note, notes))
    return [{"code": note.code, "text": str(note), "option": note.option} for note in unique]
