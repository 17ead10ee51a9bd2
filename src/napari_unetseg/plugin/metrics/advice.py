"""Advice on what is likely wrong, under the table of metrics; and a button that takes it to the *Learn* widget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.models.advice import Advice
from napari_unetseg.plugin.parts.docks import open_widget
from napari_unetseg.plugin.parts.fields import note


@runtime_checkable
class TakesAdvice(Protocol):
    """The *Learn* widget, as much of it as is known here: the rooms of the widgets do not know each other."""

    def take_advice(self, advice: Iterable[Advice]) -> None:
        """Set what the advice says, for the next training."""

    def parentWidget(self) -> Any:  # noqa: N802 - Qt's name
        """The dock that it is in."""


class AdviceBox(QWidget):
    """Advice, a paragraph each, and the button; hidden where there is none.

    Parameters
    ----------
    viewer : Viewer
        Whose *Learn* widget is set; it is opened where it is not there yet.
    """

    followed = Signal(str)
    """The advice was taken over; in words, what was changed."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._advice: tuple[Advice, ...] = ()
        self.text = note()
        self.button = QPushButton("Use in Learn")
        self.button.setToolTip(
            "Set this in the Learn widget (More settings), for the next training. Nothing starts yet."
        )
        self.button.clicked.connect(self._follow)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.text)
        column.addWidget(self.button)
        self.show_advice(())

    def show_advice(self, advice: Sequence[Advice]) -> None:
        """Show advice in place of what was shown."""
        self._advice = tuple(advice)
        self.text.setText("\n".join(f"→ {one.text}" for one in advice))
        self.button.setVisible(any(one.settings for one in advice))
        self.setVisible(bool(advice))

    def _follow(self) -> None:
        learn_widget(self._viewer).take_advice(self._advice)
        self.followed.emit("Set in Learn, under More settings. It counts when you learn again.")


def learn_widget(viewer: Viewer) -> TakesAdvice:
    """The viewer's *Learn* widget, in front of the other docks; it is opened where there is none."""
    widget: TakesAdvice = open_widget(viewer, "Learn")
    return widget
