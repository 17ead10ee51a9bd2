"""The structures that are painted, in the terms of a painted layer: value 1 is background, structures follow from 2."""

from __future__ import annotations

from collections.abc import Mapping

from napari_unetseg.core.annotations.sparse_labels import BACKGROUND, MOST_CLASSES
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
    def is_full(self) -> bool:
        """Whether no structure can be added."""
        return len(self._names) + 1 >= MOST_CLASSES

    def add(self) -> int:
        """Add a structure; returns its painted value."""
        value = max(self._names) + 1
        self._names[value] = _default(value)
        return value

    def rename(self, value: int, name: str) -> None:
        """Give a structure another name; an empty one is its first name again."""
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
            self.add()


def _default(value: int) -> str:
    return f"structure {value - BACKGROUND}"
