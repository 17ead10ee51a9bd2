"""The structures that are painted, in the terms of a painted layer: value 1 is background, structures follow from 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_unetseg.core.annotations.sparse_labels import BACKGROUND, MOST_CLASSES, UNPAINTED
from napari_unetseg.core.models.fine_tuned_card import structures_of
from napari_unetseg.core.volume import Structure

BACKGROUND_COLOUR = "#7f8fa6"
KEYS = 9
"""So many values have a key: Ctrl+1, …, Ctrl+9."""


class PaintStructures:
    """Names of painted values; the colours are those of the output.

    Parameters
    ----------
    names : mapping, optional
        Names by painted value, from an earlier session.
    """

    def __init__(self, names: Mapping[int, str] | None = None) -> None:
        last = max((*(names or {}), BACKGROUND + 1))
        self._unasked: set[int] = set()
        self._removed: set[int] = set()
        self._painted: set[int] = set()
        self._names = {value: (names or {}).get(value, _default(value)) for value in range(BACKGROUND + 1, last + 1)}

    @property
    def names(self) -> dict[int, str]:
        """Names by painted value, without the background's."""
        return dict(self._names)

    @property
    def output_names(self) -> dict[int, str]:
        """Names by output label."""
        return {value - 1: name for value, name in self._names.items()}

    @property
    def painted(self) -> tuple[Structure, ...]:
        """What each painted value means and looks like, background first."""
        background = Structure(label=BACKGROUND, name="background", colour=BACKGROUND_COLOUR)
        shifted = [s.model_copy(update={"label": s.label + 1, "channels": ()}) for s in self.output]
        return (background, *shifted)

    @property
    def output(self) -> tuple[Structure, ...]:
        """What each output label means and looks like."""
        return structures_of(len(self._names), self.output_names)

    @property
    def removed(self) -> frozenset[int]:
        """Painted values that stand for nothing until they are added or painted again: those of others never change."""
        return frozenset(self._removed - self._painted)

    @property
    def is_full(self) -> bool:
        """Whether no structure can be added."""
        return len(self._names) + 1 >= MOST_CLASSES and not self.removed

    def add(self) -> int:
        """Add a structure; returns its painted value, that of a removed one if there is one."""
        value = min(self.removed, default=max(self._names) + 1)
        self._removed.discard(value)
        self._names[value] = _default(value)
        return value

    def can_remove(self, value: int) -> bool:
        """Whether a painted value is a structure, and not the only one."""
        return value in self._names and value not in self.removed and len(self._names) - len(self.removed) > 1

    def remove(self, value: int) -> None:
        """Take a structure away, where that can be; its paint is erased by who asks for it."""
        if not self.can_remove(value):
            return
        self._names[value] = _default(value)
        self._removed.add(value)
        self._painted.discard(value)
        while len(self._names) > 1 and max(self._names) in self.removed:
            last = max(self._names)
            del self._names[last]
            self._removed.discard(last)
            self._unasked.discard(last)

    def rename(self, value: int, name: str) -> None:
        """Give a structure another name; an empty one is its first name again."""
        self._unasked.discard(value)
        self._removed.discard(value)
        self._names[value] = name.strip() or _default(value)

    def know(self, names: Mapping[int, str]) -> bool:
        """Take over names by painted value, where the user has given none; returns whether anything has changed."""
        before = self.names
        self.cover(max(names, default=0))
        for value, name in names.items():
            if self._names.get(value) == _default(value):
                self._names[value] = name
        return self._names != before

    def cover(self, largest: int) -> None:
        """Add structures until there is one for every painted value up to this one."""
        while max(self._names) < min(largest, MOST_CLASSES):
            self._unasked.add(self.add())

    def follow(self, counts: Sequence[int]) -> bool:
        """Cover what is painted now, and no more: structures that only paint has added go with it, as by an undo.

        Parameters
        ----------
        counts : sequence of int
            Voxels of each painted value 0, 1, ….

        Returns
        -------
        bool
            Whether anything has changed.
        """
        before, largest = (self.names, self.removed), largest_painted(counts)
        self.cover(largest)
        self._painted = {value for value, count in enumerate(counts) if count}
        while max(self._names) > max(largest, BACKGROUND + 1) and max(self._names) in self._unasked:
            last = max(self._names)
            del self._names[last]
            self._unasked.discard(last)
        return (self.names, self.removed) != before


def _default(value: int) -> str:
    return f"structure {value - BACKGROUND}"


def largest_painted(counts: Sequence[int]) -> int:
    """The largest value of which there are voxels, by how many there are of each value 0, 1, …."""
    return max((value for value, count in enumerate(counts) if count), default=0)


def missing(counts: Sequence[int], *, corrects: bool = False) -> str:
    """What has to be painted before one can learn; empty where nothing is missing, or nothing is painted yet."""
    has_background = len(counts) > BACKGROUND and bool(counts[BACKGROUND])
    has_structure = largest_painted(counts) > BACKGROUND
    if corrects or has_background == has_structure:
        return ""
    if has_structure:
        return "Paint some background too (Ctrl+1): it is learned from what it is not."
    return "Paint some of a structure too (Ctrl+2)."


def about_value(value: int, structures: PaintStructures) -> str:
    """What a value means that was chosen in napari's own controls, where that may surprise."""
    last = max(structures.names)
    if value == UNPAINTED:
        return "Label 0 is no paint: it takes paint away. Choose a structure, or background (1)."
    if value > MOST_CLASSES:
        return f"Label {value} cannot be learned: structures go up to {MOST_CLASSES}."
    if value > last or value in structures.removed:
        return f"Label {value} is no structure yet: painting with it adds {_default(value)}."
    return ""
